package edgemodel

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sin

// From an image's pixels to the model's input, to the byte as edgekd trained and judged it (with Pillow):
// alpha on white, gray or RGB, shorter side to the canvas, central cut; channel order, resize,
// (x / 255 - mean) / std, layout.

// Longer strips are cut to this ratio first.
private const val LONGEST = 8

// Weights of a resize are whole numbers of so many bits after the point.
private const val BITS = 22

/** Decoded pixels: RGBA bytes that are not premultiplied, row by row. */
class Pixels(val rgba: ByteArray, val width: Int, val height: Int) {
    init {
        require(rgba.size == 4 * width * height) { "${rgba.size} bytes are no $width x $height pixels of RGBA" }
    }
}

internal class Image(val data: ByteArray, val width: Int, val height: Int, val depth: Int) {
    fun level(at: Int): Int = data[at].toInt() and 0xff
}

private class Weights(val start: Int, val own: IntArray)

private class Filter(val reach: Double, val curve: (Double) -> Double)

private val FILTERS = mapOf(
    "box" to Filter(0.5) { if (it > -0.5 && it <= 0.5) 1.0 else 0.0 },
    "bilinear" to Filter(1.0) { max(0.0, 1 - abs(it)) },
    "bicubic" to Filter(2.0, ::cubic),
    "lanczos" to Filter(3.0) { if (it >= -3 && it < 3) sinc(it) * sinc(it / 3) else 0.0 },
)

private fun cubic(signed: Double): Double {
    val a = -0.5
    val x = abs(signed)
    return if (x < 1) ((a + 2) * x - (a + 3)) * x * x + 1 else if (x < 2) (((x - 5) * x + 8) * x - 4) * a else 0.0
}

private fun sinc(x: Double): Double = if (x == 0.0) 1.0 else sin(x * PI) / (x * PI)

/** Decoded pixels as the canvas: bytes (canvas, canvas, 1 for gray or 3 for RGB). */
fun toCanvas(pixels: Pixels, how: How): ByteArray {
    val flat = opaque(pixels).let { if (how.channels == "gray") gray(it) else it }
    return central(flat, how.canvas, how.filter).data
}

/** A canvas as the model's input, in the layout that the model takes. */
fun prepare(canvas: ByteArray, how: How): FloatArray {
    val stored = Image(canvas, how.canvas, how.canvas, canvas.size / (how.canvas * how.canvas))
    return normalize(resize(ordered(stored, how.channels), how.size, how.size, how.filter), how)
}

// RGB of RGBA: what is transparent shows white.
private fun opaque(pixels: Pixels): Image {
    val rgb = ByteArray(3 * pixels.width * pixels.height)
    for (pixel in 0 until pixels.width * pixels.height) {
        val alpha = pixels.rgba[4 * pixel + 3].toInt() and 0xff
        for (channel in 0 until 3) {
            val value = pixels.rgba[4 * pixel + channel].toInt() and 0xff
            rgb[3 * pixel + channel] = (if (alpha == 255) value else onWhite(value, alpha)).toByte()
        }
    }
    return Image(rgb, pixels.width, pixels.height, 3)
}

// As Pillow's alpha_composite rounds.
private fun onWhite(value: Int, alpha: Int): Int {
    val mixed = value * alpha * 128 + 255 * (255 - alpha) * 128 + 0x4000
    return ((mixed shr 8) + mixed) shr 15
}

// Luma of ITU-R 601.
private fun gray(image: Image): Image {
    val luma = ByteArray(image.width * image.height) { at ->
        val (red, green, blue) = List(3) { image.level(3 * at + it) }
        ((19595 * red + 38470 * green + 7471 * blue + 0x8000) shr 16).toByte()
    }
    return Image(luma, image.width, image.height, 1)
}

// Channels in the model's order.
private fun ordered(image: Image, channels: String): Image {
    if (channels == "gray") {
        return if (image.depth == 1) image else gray(image)
    }
    val order = if (channels == "bgr") intArrayOf(2, 1, 0) else intArrayOf(0, 1, 2)
    val found = ByteArray(3 * image.width * image.height) { at ->
        image.data[at / 3 * image.depth + if (image.depth == 1) 0 else order[at % 3]]
    }
    return Image(found, image.width, image.height, 3)
}

// The shorter side becomes `canvas`, and the centre is cut.
private fun central(image: Image, canvas: Int, filter: String): Image {
    val short = min(image.width, image.height)
    val strip = max(image.width, image.height) > LONGEST * short
    val whole = if (strip) cut(image, min(image.width, LONGEST * short), min(image.height, LONGEST * short)) else image
    val (width, height) = listOf(whole.width, whole.height).map { side ->
        if (side == short) canvas else Math.rint(side.toDouble() * canvas / short).toInt()
    }
    return cut(resize(whole, width, height, filter), canvas, canvas)
}

// Of an odd rest the smaller half is cut at the left and the top.
private fun cut(image: Image, wide: Int, high: Int): Image {
    val left = (image.width - wide) / 2
    val top = (image.height - high) / 2
    val found = ByteArray(wide * high * image.depth)
    for (y in 0 until high) {
        val start = ((top + y) * image.width + left) * image.depth
        image.data.copyInto(found, y * wide * image.depth, start, start + wide * image.depth)
    }
    return Image(found, wide, high, image.depth)
}

// Resize with antialiasing in two passes, each rounded to bytes; as Pillow since 13, rows go first where many go.
private fun resize(image: Image, width: Int, height: Int, filter: String): Image {
    val columns = { one: Image -> if (width == one.width) one else across(one, width, filter) }
    val rows = { one: Image -> if (height == one.height) one else down(one, height, filter) }
    val fewer = image.height - height
    return if (fewer > 0 && fewer > 2 * (image.width - width)) columns(rows(image)) else rows(columns(image))
}

private fun across(image: Image, wide: Int, filter: String): Image {
    val found = ByteArray(wide * image.height * image.depth)
    val table = weights(image.width, wide, filter)
    var to = 0
    for (y in 0 until image.height) {
        for (one in table) {
            val from = (y * image.width + one.start) * image.depth
            for (channel in 0 until image.depth) {
                found[to++] = weighed(image, from + channel, image.depth, one.own)
            }
        }
    }
    return Image(found, wide, image.height, image.depth)
}

private fun down(image: Image, high: Int, filter: String): Image {
    val row = image.width * image.depth
    val found = ByteArray(row * high)
    weights(image.height, high, filter).forEachIndexed { y, one ->
        for (x in 0 until row) {
            found[y * row + x] = weighed(image, one.start * row + x, row, one.own)
        }
    }
    return Image(found, image.width, high, image.depth)
}

private fun weighed(image: Image, from: Int, step: Int, own: IntArray): Byte {
    var sum = 1 shl (BITS - 1)
    for (i in own.indices) {
        sum += image.level(from + i * step) * own[i]
    }
    return (sum shr BITS).coerceIn(0, 255).toByte()
}

// For each new pixel where the old ones that it is made of begin, and their weights.
private fun weights(from: Int, to: Int, name: String): List<Weights> {
    val filter = requireNotNull(FILTERS[name]) { "there is no resize filter \"$name\"; choose from: ${FILTERS.keys.joinToString()}" }
    val scale = from.toDouble() / to
    val stretch = max(1.0, scale)
    val support = filter.reach * stretch
    return List(to) { i ->
        val center = (i + 0.5) * scale
        val start = max(0, (center - support + 0.5).toInt())
        val stop = min(from, (center + support + 0.5).toInt())
        val shares = DoubleArray(stop - start) { k -> filter.curve((k + start - center + 0.5) * (1 / stretch)) }
        val sum = shares.sum()
        Weights(start, IntArray(shares.size) { k ->
            val whole = (if (sum == 0.0) shares[k] else shares[k] / sum) * (1 shl BITS)
            (whole + if (whole < 0) -0.5 else 0.5).toInt()
        })
    }
}

// (x / 255 - mean) / std in single precision, in the layout.
private fun normalize(image: Image, how: How): FloatArray {
    val area = image.width * image.height
    val found = FloatArray(image.data.size)
    for (pixel in 0 until area) {
        for (channel in 0 until image.depth) {
            val value = (image.level(pixel * image.depth + channel) / 255f - how.mean(channel)) / how.std(channel)
            found[if (how.layout == "NCHW") channel * area + pixel else pixel * image.depth + channel] = value
        }
    }
    return found
}

/** How an image becomes an input: signature.inputs[0].preprocess of model.json. */
class How(told: Json) {
    val canvas: Int = told["canvas"].int
    val size: Int = told["size"].int
    val channels: String = told["channels"].text
    val filter: String = told["filter"].text
    val layout: String = told["layout"].text
    private val means = told["mean"].list.map { it.number.toFloat() }
    private val stds = told["std"].list.map { it.number.toFloat() }

    fun mean(channel: Int): Float = means[if (means.size == 1) 0 else channel]

    fun std(channel: Int): Float = stds[if (stds.size == 1) 0 else channel]
}
