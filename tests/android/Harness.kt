package edgemodel

import java.io.ByteArrayInputStream
import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Base64
import javax.imageio.ImageIO
import kotlinx.coroutines.runBlocking

// The application's code on a desktop's JVM. Stand-ins: javax.imageio for Android's decoder, a pipe to the real runtime.

private class Desktop(private val folder: File, private val python: List<String>, private val pause: Long = 0) : Platform {
    override val runtime: Runtime = object : Runtime {
        override val name = "pipe"
        override val version = "1"
        override val cpu = Candidate("cpu") { Told(Pipe(it, folder, python)) { found -> found.also { Thread.sleep(pause) } } }
        override val others = listOf<Candidate>()
    }

    override fun read(name: String): ByteArray = File(folder, name).readBytes()

    override fun decode(encoded: ByteArray): Pixels {
        val image = requireNotNull(ImageIO.read(ByteArrayInputStream(encoded))) { "not an image" }
        val colors = image.getRGB(0, 0, image.width, image.height, null, 0, image.width)
        val rgba = ByteArray(4 * colors.size) { (colors[it / 4] shr intArrayOf(16, 8, 0, 24)[it % 4]).toByte() }
        return Pixels(rgba, image.width, image.height)
    }

    override fun copy(name: String, bytes: ByteArray): File = File(folder, name)

    override fun device(): Map<String, Any?> = mapOf("name" to "desktop", "system" to "JVM", "cores" to 2)
}

private class Pipe(opening: Opening, folder: File, python: List<String>) : Engine {
    override val threads = 1
    private val signature = opening.model.signature
    private val process = ProcessBuilder(python + folder.path).redirectError(ProcessBuilder.Redirect.INHERIT).start()
    private val given = DataOutputStream(process.outputStream.buffered())
    private val taken = DataInputStream(process.inputStream.buffered())

    override fun run(inputs: List<Any>): List<Any> {
        for (array in inputs) {
            val floats = array as FloatArray
            val raw = ByteBuffer.allocate(4 * floats.size).order(ByteOrder.LITTLE_ENDIAN)
            raw.asFloatBuffer().put(floats)
            given.writeInt(raw.capacity())
            given.write(raw.array())
        }
        given.flush()
        return signature.outputs.map { one -> typed(ByteArray(taken.readInt()).also(taken::readFully), one.dtype) }
    }

    override fun close() {
        given.close()
        process.waitFor()
    }
}

private class Told(private val inner: Engine, private val change: (FloatArray) -> FloatArray) : Engine by inner {
    override fun run(inputs: List<Any>): List<Any> = inner.run(inputs).map { if (it is FloatArray) change(it) else it }
}

private fun lying(cpu: Candidate): List<Candidate> {
    var last: FloatArray? = null
    val wrong = mapOf<String, (FloatArray) -> FloatArray>(
        "huge" to { FloatArray(it.size) { 1e28f } },
        "nan" to { FloatArray(it.size) { Float.NaN } },
        "stale" to { now -> (last ?: now).also { last = now } },
        "slow" to { it.also { Thread.sleep(50) } },
        "throwing" to { throw IllegalStateException("driver lost") },
    )
    return wrong.map { (name, change) -> Candidate(name) { Told(cpu.open(it), change) } } +
        Candidate("missing") { throw UnsatisfiedLinkError("no driver in java.library.path") } + Candidate("true") { cpu.open(it) }
}

private fun pixels() {
    val encoder = Base64.getEncoder()
    val found = Json.read(System.`in`.readBytes().toString(Charsets.UTF_8)).list.map { one ->
        val how = How(one["how"])
        val pixels = Pixels(Base64.getDecoder().decode(one["rgba"].text), one["width"].int, one["height"].int)
        val canvas = toCanvas(pixels, how)
        val input = prepare(canvas, how)
        val raw = ByteBuffer.allocate(4 * input.size).order(ByteOrder.LITTLE_ENDIAN)
        raw.asFloatBuffer().put(input)
        listOf(encoder.encodeToString(canvas), encoder.encodeToString(raw.array()))
    }
    println(Json.write(found))
}

fun main(args: Array<String>) {
    if (args[0] == "pixels") return pixels()
    val folder = File(args[1])
    val python = args.drop(2)
    // beside a slow processor the true one is faster
    val platform = Desktop(folder, python, if (args[0] == "lying") 10 else 0)
    val offered = if (args[0] == "lying") lying(Desktop(folder, python).runtime.cpu) else null
    print(runBlocking { SelfTest.run(platform, candidates = offered) }.json)
}
