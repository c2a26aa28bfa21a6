package edgemodel

import java.nio.ByteBuffer
import java.nio.ByteOrder

// What model.json and golden/golden.json say, and the recorded arrays beside them.

/** An input or output of the file; with a `scale` it is quantized: (level - zero) * scale. */
class Tensor(told: Json) {
    val name: String = told["name"].text
    val dtype: String = told["dtype"].text
    val shape: List<Int> = told["shape"].list.map { it.int }
    val scale: Float? = told["scale"].let { if (it.absent) null else it.number.toFloat() }
    val zero: Int = told["zero_point"].let { if (it.absent) 0 else it.int }
    val how: How? = told["preprocess"].let { if (it.absent) null else How(it) }

    /** The shape of one sample. */
    val one: LongArray get() = LongArray(shape.size) { if (it == 0) 1 else shape[it].toLong() }
}

class Head(told: Json) {
    val name: String = told["name"].text
    val start: Int = told["start"].int
    val classes: List<String> = told["classes"].list.map { it.text }
}

class Column(told: Json) {
    val name: String = told["name"].text
    val unit: String = told["unit"].text
}

class Confidence(told: Json) {
    val temperature: Double = told["temperature"].number
    val threshold: Double? = told["threshold"].let { if (it.absent) null else it.number }
}

class Signature(told: Json) {
    val inputs: List<Tensor> = told["inputs"].list.map(::Tensor)
    val outputs: List<Tensor> = told["outputs"].list.map(::Tensor)
    val classes: List<String> = told["classes"].list.map { it.text }
    val heads: List<Head> = told["heads"].list.map(::Head)
    val columns: List<Column> = told["columns"].list.map(::Column)
    val confidence: List<Confidence> = told["confidence"].list.map(::Confidence)
}

class Listed(val sha256: String, val size: Int)

class Model(told: Json) {
    val slug: String = told["slug"].text
    val file: String = told["file"]["name"].text
    val sha256: String = told["file"]["sha256"].text
    val size: Int = told["file"]["size"].int
    val tolerance: Double = told["tolerance"].number
    val answerTolerance: Double = told["answer_tolerance"].number
    val probabilityTolerance: Double = told["probability_tolerance"].number
    val signature: Signature = Signature(told["signature"])
    val files: Map<String, Listed> = told["files"].fields.mapValues { (_, one) -> Listed(one["sha256"].text, one["size"].int) }
}

class Wanted(told: Json) {
    val labels: List<String> = told["labels"].list.map { it.text }
    val probabilities: List<Double> = told["probabilities"].list.map { it.number }
    val decided: Boolean = told["decided"].flag
}

class Picture(told: Json) {
    val file: String = told["file"].text
    val exact: Boolean = told["exact"].flag
    val canvas: String = told["canvas"].text
    val input: String = told["input"].text
    val outputs: List<Float> = told["outputs"].list.map { it.number.toFloat() }
    val answer: Wanted? = told["answer"].let { if (it.absent) null else Wanted(it) }
}

/** Recorded samples: for each of them one array an input, and one an output. */
class Golden(val inputs: List<List<Any>>, val outputs: List<List<FloatArray>>)

class Page(told: Json) {
    val missing: String = told["missing"].text
    val answers: List<Wanted> = told["answers"].list.map(::Wanted)
    val pictures: List<Picture> = told["pictures"].list.map(::Picture)
    private val count = told["count"].int
    private val inputs = told["inputs"].list
    private val outputs = told["outputs"].list

    fun golden(read: (String) -> ByteArray): Golden {
        val turn = { found: List<List<Any>> -> List(count) { i -> found.map { it[i] } } }
        val given = turn(inputs.map { samples(it, read) })
        return Golden(given, turn(outputs.map { samples(it, read) }).map { row -> row.map(::floats) })
    }

    private fun samples(told: Json, read: (String) -> ByteArray): List<Any> {
        val bytes = read("golden/${told["file"].text}")
        val dtype = told["dtype"].text
        val size = told["shape"].list.fold(1) { product, one -> product * one.int } * width(dtype)
        require(bytes.size == count * size) { "${told["file"].text} has ${bytes.size} bytes, $count samples have ${count * size}" }
        return List(count) { typed(bytes.copyOfRange(it * size, (it + 1) * size), dtype) }
    }
}

internal fun width(dtype: String): Int = when (dtype) {
    "float64", "int64" -> 8
    "float32", "int32" -> 4
    "int16" -> 2
    "int8", "uint8", "bool" -> 1
    else -> throw IllegalArgumentException("there are no arrays of $dtype here")
}

/** An array of raw little-endian numbers. */
internal fun typed(bytes: ByteArray, dtype: String): Any {
    val raw = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
    val count = bytes.size / width(dtype)
    return when (dtype) {
        "float32" -> FloatArray(count).also { raw.asFloatBuffer().get(it) }
        "float64" -> DoubleArray(count).also { raw.asDoubleBuffer().get(it) }
        "int64" -> LongArray(count).also { raw.asLongBuffer().get(it) }
        "int32" -> IntArray(count).also { raw.asIntBuffer().get(it) }
        "int16" -> ShortArray(count).also { raw.asShortBuffer().get(it) }
        else -> bytes
    }
}

internal fun floats(array: Any): FloatArray = when (array) {
    is FloatArray -> array
    is DoubleArray -> FloatArray(array.size) { array[it].toFloat() }
    is LongArray -> FloatArray(array.size) { array[it].toFloat() }
    is IntArray -> FloatArray(array.size) { array[it].toFloat() }
    is ShortArray -> FloatArray(array.size) { array[it].toFloat() }
    is ByteArray -> FloatArray(array.size) { array[it].toFloat() }
    else -> throw IllegalArgumentException("${array.javaClass.simpleName} is no array of numbers")
}

internal fun length(array: Any): Int = java.lang.reflect.Array.getLength(array)
