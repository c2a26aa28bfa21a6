package edgemodel

import android.app.ActivityManager
import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.os.Build
import java.io.File
import java.nio.ByteBuffer

/** Android's part: files of the application's assets, its decoder, and what the device tells of itself. */
class Android(context: Context) : Platform {
    private val context = context.applicationContext

    override val runtime: Runtime get() = DeviceRuntime

    override fun read(name: String): ByteArray = context.assets.open("$FOLDER/$name").use { it.readBytes() }

    override fun decode(encoded: ByteArray): Pixels {
        val options = BitmapFactory.Options().apply {
            inPremultiplied = false
            inScaled = false
            inPreferredConfig = Bitmap.Config.ARGB_8888
        }
        val bitmap = requireNotNull(BitmapFactory.decodeByteArray(encoded, 0, encoded.size, options)) { "not an image that Android reads" }
        try {
            return if (bitmap.config == Bitmap.Config.ARGB_8888) stored(bitmap) else bitmap.toPixels()
        } finally {
            bitmap.recycle()
        }
    }

    override fun copy(name: String, bytes: ByteArray): File =
        File(context.cacheDir, FOLDER).apply { mkdirs() }.resolve(name).apply { writeBytes(bytes) }

    override fun device(): Map<String, Any?> {
        val memory = ActivityManager.MemoryInfo()
        (context.getSystemService(Context.ACTIVITY_SERVICE) as? ActivityManager)?.getMemoryInfo(memory)
        val board = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}" else Build.HARDWARE
        return mapOf(
            "name" to "${Build.MANUFACTURER} ${Build.MODEL}".take(80),
            "system" to "Android ${Build.VERSION.RELEASE}".take(80),
            "processor" to "$board, ${Build.SUPPORTED_ABIS.firstOrNull().orEmpty()}".take(80),
            "cores" to java.lang.Runtime.getRuntime().availableProcessors(),
            "memory" to memory.totalMem.takeIf { it > 0 },
            "emulated" to if (Build.HARDWARE in setOf("goldfish", "ranchu")) "Android emulator" else "",
        )
    }

    private companion object {
        const val FOLDER = "edgemodel"
    }
}

// RGBA in memory's order, as the decoder left it: neither premultiplied nor of another colour space.
private fun stored(bitmap: Bitmap): Pixels {
    val raw = ByteArray(bitmap.rowBytes * bitmap.height)
    bitmap.copyPixelsToBuffer(ByteBuffer.wrap(raw))
    val row = 4 * bitmap.width
    val rgba = ByteArray(row * bitmap.height)
    for (y in 0 until bitmap.height) {
        raw.copyInto(rgba, y * row, y * bitmap.rowBytes, y * bitmap.rowBytes + row)
    }
    return Pixels(rgba, bitmap.width, bitmap.height)
}

/** Pixels of a bitmap, which has to be upright. */
fun Bitmap.toPixels(): Pixels {
    // those of hardware bitmaps are read through a copy
    val plain = if (config == Bitmap.Config.ARGB_8888) this else requireNotNull(copy(Bitmap.Config.ARGB_8888, false))
    val colors = IntArray(width * height)
    plain.getPixels(colors, 0, width, 0, 0, width, height)
    if (plain !== this) plain.recycle()
    val rgba = ByteArray(4 * colors.size)
    for (i in colors.indices) {
        rgba[4 * i] = (colors[i] shr 16).toByte()
        rgba[4 * i + 1] = (colors[i] shr 8).toByte()
        rgba[4 * i + 2] = colors[i].toByte()
        rgba[4 * i + 3] = (colors[i] ushr 24).toByte()
    }
    return Pixels(rgba, width, height)
}

/** Classify a bitmap, which has to be upright: turn a camera's frames by their rotation first. */
suspend fun Classifier.classify(bitmap: Bitmap): Result = classify(bitmap.toPixels())

/** Classify RGBA pixels of a buffer, row by row from its position on, such as an image reader gives them. */
suspend fun Classifier.classify(rgba: ByteBuffer, width: Int, height: Int): Result =
    classify(Pixels(ByteArray(4 * width * height).also { rgba.duplicate().get(it) }, width, height))

/** Open the model on what runs it fastest here, if that gives the outputs that were recorded for it. */
suspend fun load(context: Context): Classifier = load(Android(context))

/** Check and time this application on this device, and write selftest.json into the application's files. */
suspend fun selfTest(context: Context, protocol: Protocol = Protocol.LOOK): SelfTest {
    val found = SelfTest.run(Android(context), protocol)
    File(context.getExternalFilesDir(null) ?: context.filesDir, "selftest.json").writeText(found.json)
    return found
}
