package edgemodel

/** A value of JSON. What is not of the wanted kind is named by its path. */
class Json(val value: Any?, private val path: String = "") {
    val absent: Boolean get() = value == null
    val text: String get() = value as? String ?: wrong("text")
    val number: Double get() = value as? Double ?: wrong("a number")
    val flag: Boolean get() = value as? Boolean ?: wrong("true or false")
    val int: Int get() = number.toInt()
    val list: List<Json>
        get() = (value as? List<*> ?: wrong("a list")).mapIndexed { i, one -> Json(one, "$path[$i]") }
    val fields: Map<String, Json>
        get() = (value as? Map<*, *> ?: wrong("an object")).entries
            .associate { (key, one) -> key.toString() to Json(one, "$path.$key") }

    operator fun get(key: String): Json = Json((value as? Map<*, *> ?: wrong("an object"))[key], "$path.$key")

    private fun wrong(kind: String): Nothing =
        throw IllegalArgumentException("${path.removePrefix(".").ifEmpty { "the file" }} is not $kind")

    companion object {
        fun read(text: String): Json = Json(Reader(text).whole())

        /** JSON of maps, lists, texts, numbers and booleans; a number that is none becomes null. */
        fun write(value: Any?): String = when (value) {
            null -> "null"
            is Map<*, *> -> value.entries.joinToString(",", "{", "}") { (key, one) -> "${quoted(key.toString())}:${write(one)}" }
            is Iterable<*> -> value.joinToString(",", "[", "]") { write(it) }
            is Double -> if (value.isNaN() || value.isInfinite()) "null" else value.toString()
            is Float -> write(value.toDouble())
            is Number, is Boolean -> value.toString()
            else -> quoted(value.toString())
        }

        private fun quoted(text: String): String = buildString {
            append('"')
            for (letter in text) {
                when {
                    letter == '"' || letter == '\\' -> append('\\').append(letter)
                    letter < ' ' || letter.isSurrogate() -> append("\\u").append(letter.code.toString(16).padStart(4, '0'))
                    else -> append(letter)
                }
            }
            append('"')
        }
    }

    private class Reader(private val text: String) {
        private var at = 0

        fun whole(): Any? = value().also { if (next() != END) fail() }

        private fun value(): Any? = when (next()) {
            '{' -> several('}') { (next().let { if (it == '"') string() else fail() }).also { expect(':') } to value() }.toMap()
            '[' -> several(']') { value() }
            '"' -> string()
            't' -> word("true", true)
            'f' -> word("false", false)
            'n' -> word("null", null)
            else -> number()
        }

        private fun <T> several(end: Char, one: () -> T): List<T> {
            val found = ArrayList<T>()
            at++
            while (next() != end) {
                if (found.isNotEmpty()) expect(',')
                found.add(one())
            }
            at++
            return found
        }

        private fun string(): String = buildString {
            at++
            while (peek() != '"') {
                val letter = take()
                append(if (letter == '\\') escaped(take()) else letter)
            }
            at++
        }

        private fun escaped(letter: Char): Char = when (letter) {
            'n' -> '\n'
            't' -> '\t'
            'r' -> '\r'
            'b' -> '\b'
            'f' -> '\u000c'
            'u' -> String(CharArray(4) { take() }).toInt(16).toChar()
            else -> letter
        }

        private fun number(): Double {
            val start = at
            while (peek() in "+-.eE0123456789") at++
            return text.substring(start, at).toDoubleOrNull() ?: fail()
        }

        private fun <T> word(name: String, found: T): T {
            if (!text.startsWith(name, at)) fail()
            at += name.length
            return found
        }

        private fun next(): Char {
            while (peek() in " \n\r\t") at++
            return peek()
        }

        private fun expect(letter: Char) {
            if (next() != letter) fail()
            at++
        }

        private fun peek(): Char = if (at < text.length) text[at] else END

        private fun take(): Char = if (at < text.length) text[at++] else fail()

        private fun fail(): Nothing = throw IllegalArgumentException("is no JSON at character $at")
    }
}

private const val END = '\u0000'
