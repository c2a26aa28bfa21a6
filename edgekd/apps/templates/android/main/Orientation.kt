package edgemodel

// EXIF orientation, read from the bytes of JPEG, PNG and WebP files: Android's decoder leaves it to the application.

private const val TAG = 0x0112

private class Bytes(private val data: ByteArray) {
    val size: Int get() = data.size

    fun byte(at: Int): Int = data[at].toInt() and 0xff

    fun short(at: Int, little: Boolean = false): Int =
        if (little) byte(at) or (byte(at + 1) shl 8) else (byte(at) shl 8) or byte(at + 1)

    fun int(at: Int, little: Boolean = false): Int =
        if (little) short(at, true) or (short(at + 2, true) shl 16) else (short(at) shl 16) or short(at + 2)

    fun word(at: Int, length: Int = 4): String =
        if (at + length <= size) String(data, at, length, Charsets.ISO_8859_1) else ""
}

/** The EXIF orientation of an encoded file, from 1 to 8; 1 where it says none, or is cut or garbled. */
fun orientation(encoded: ByteArray): Int {
    val bytes = Bytes(encoded)
    return try {
        val start = when {
            bytes.word(0, 2) == "\u00ff\u00d8" -> inJpeg(bytes)
            bytes.word(1, 3) == "PNG" -> inPng(bytes)
            bytes.word(0) == "RIFF" && bytes.word(8) == "WEBP" -> inWebp(bytes)
            else -> null
        }
        if (start == null) 1 else tagged(bytes, start)
    } catch (cut: IndexOutOfBoundsException) {
        1
    }
}

private fun inJpeg(bytes: Bytes): Int? {
    var at = 2
    while (at + 4 <= bytes.size && bytes.byte(at) == 0xff) {
        val marker = bytes.byte(at + 1)
        if (marker == 0xff) {
            at += 1
        } else if (marker == 0xda || marker == 0xd9) {
            return null
        } else if (marker == 0xe1 && bytes.word(at + 4, 6) == "Exif\u0000\u0000") {
            return at + 10
        } else {
            at += 2 + bytes.short(at + 2)
        }
    }
    return null
}

private fun inPng(bytes: Bytes): Int? {
    var at = 8
    while (at + 8 <= bytes.size) {
        val size = bytes.int(at)
        if (bytes.word(at + 4) == "eXIf") return at + 8
        if (size < 0) return null
        at += 12 + size
        if (at < 0) return null
    }
    return null
}

private fun inWebp(bytes: Bytes): Int? {
    var at = 12
    while (at + 8 <= bytes.size) {
        val size = bytes.int(at + 4, true)
        if (bytes.word(at) == "EXIF") return at + 8 + if (bytes.word(at + 8) == "Exif") 6 else 0
        if (size < 0) return null
        at += 8 + size + (size and 1)
        if (at < 0) return null
    }
    return null
}

private fun tagged(bytes: Bytes, start: Int): Int {
    val little = bytes.short(start) == 0x4949
    val first = start + bytes.int(start + 4, little)
    for (i in 0 until bytes.short(first, little)) {
        val entry = first + 2 + 12 * i
        if (bytes.short(entry, little) == TAG) {
            return bytes.short(entry + 8, little).let { if (it in 1..8) it else 1 }
        }
    }
    return 1
}

/** Pixels turned and mirrored as an orientation says. */
fun upright(pixels: Pixels, orientation: Int): Pixels {
    if (orientation == 1) return pixels
    val across = orientation > 4
    val (wide, high) = if (across) pixels.height to pixels.width else pixels.width to pixels.height
    val flipX = orientation in setOf(2, 3, 7, 8)
    val flipY = orientation in setOf(3, 4, 6, 7)
    val found = ByteArray(pixels.rgba.size)
    for (y in 0 until high) {
        for (x in 0 until wide) {
            val (u, v) = if (across) y to x else x to y
            val column = if (flipX) pixels.width - 1 - u else u
            val row = if (flipY) pixels.height - 1 - v else v
            val from = 4 * (row * pixels.width + column)
            pixels.rgba.copyInto(found, 4 * (y * wide + x), from, from + 4)
        }
    }
    return Pixels(found, wide, high)
}
