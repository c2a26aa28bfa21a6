package edgemodel

import kotlin.math.abs
import kotlin.math.max

// Which engine runs the model: the processor, or what is faster and gives the recorded outputs.

// Runs of which the median is compared.
private const val RUNS = 20

/** What became of a candidate, and why. */
data class Tried(val name: String, val kept: Boolean, val why: String, val seconds: Double?)

/** An engine that takes and gives plain numbers, one run at a time, whatever the file itself is made of. */
internal class Plain(private val engine: Engine, private val signature: Signature, val load: Double) : AutoCloseable {
    val threads: Int get() = engine.threads
    var first: Double? = null
        private set

    @Synchronized
    fun run(inputs: List<Any>): List<FloatArray> {
        val fed = inputs.mapIndexed { i, array -> encoded(array, signature.inputs[i]) }
        val started = System.nanoTime()
        val found = engine.run(fed)
        if (first == null) first = since(started)
        return found.mapIndexed { i, array -> decoded(array, signature.outputs[i]) }
    }

    @Synchronized
    override fun close() = engine.close()
}

internal class Chosen(val engine: Plain, val used: String, val tried: List<Tried>)

internal fun since(nanoseconds: Long): Double = (System.nanoTime() - nanoseconds) / 1e9

private fun encoded(array: Any, tensor: Tensor): Any {
    val size = tensor.shape.drop(1)
    val wanted = size.fold(1) { product, one -> product * one }
    require(-1 in size || length(array) == wanted) { "the input ${tensor.name} has $wanted numbers, not ${length(array)}" }
    val scale = tensor.scale
    if (scale == null || array !is FloatArray) return array
    val level = { at: Int -> Math.rint((array[at] / scale).toDouble()).toInt() + tensor.zero }
    return when (tensor.dtype) {
        "int8" -> ByteArray(array.size) { level(it).coerceIn(-128, 127).toByte() }
        "uint8" -> ByteArray(array.size) { level(it).coerceIn(0, 255).toByte() }
        else -> ShortArray(array.size) { level(it).coerceIn(-32768, 32767).toShort() }
    }
}

private fun decoded(array: Any, tensor: Tensor): FloatArray {
    val bytes = array as? ByteArray
    val plain = if (bytes != null && tensor.dtype == "uint8") FloatArray(bytes.size) { (bytes[it].toInt() and 0xff).toFloat() } else floats(array)
    val scale = tensor.scale ?: return plain
    return FloatArray(plain.size) { (plain[it] - tensor.zero) * scale }
}

/** The largest difference of two arrays; infinite where one holds other than finite numbers, or fewer. */
internal fun apart(found: FloatArray, wanted: FloatArray): Double {
    if (found.size != wanted.size) return Double.POSITIVE_INFINITY
    var largest = 0.0
    for (i in wanted.indices) {
        val gap = abs(found[i].toDouble() - wanted[i])
        largest = if (gap.isNaN()) Double.POSITIVE_INFINITY else max(largest, gap)
    }
    return largest
}

private fun difference(engine: Plain, golden: Golden): Double = golden.inputs.indices.maxOf { i ->
    val found = engine.run(golden.inputs[i])
    golden.outputs[i].withIndex().maxOfOrNull { (k, wanted) -> apart(found[k], wanted) } ?: 0.0
}

internal fun amiss(gap: Double, tolerance: Double): String {
    val told = if (gap.isInfinite()) "outputs are no finite numbers" else "outputs differ by ${show(gap)}"
    return "$told, ${show(tolerance)} is allowed"
}

internal fun show(value: Double): String = String.format(java.util.Locale.ROOT, "%.3g", value)

private fun open(one: Candidate, opening: Opening): Plain {
    val started = System.nanoTime()
    val engine = one.open(opening)
    return Plain(engine, opening.model.signature, since(started))
}

/** Open the model with the first candidate that is true to the recorded outputs and faster than the processor, or on that. */
internal fun choose(opening: Opening, golden: Golden, cpu: Candidate, offered: List<Candidate>): Chosen {
    val plain = open(cpu, opening)
    val tolerance = opening.model.tolerance
    val gap = try {
        difference(plain, golden)
    } catch (error: Exception) {
        plain.close()
        throw error
    }
    if (gap > tolerance) {
        plain.close()
        throw IllegalStateException("${opening.model.file} does not give its recorded outputs here: ${amiss(gap, tolerance)}")
    }
    val tried = ArrayList<Tried>()
    for (one in offered) {
        val (engine, told) = attempt(one, opening, golden, plain)
        tried.add(told)
        if (engine != null) {
            plain.close()
            return Chosen(engine, one.name, tried)
        }
    }
    return Chosen(plain, cpu.name, tried)
}

// Whatever a driver throws, also errors of missing native libraries, leaves the processor to run the model.
private fun attempt(one: Candidate, opening: Opening, golden: Golden, cpu: Plain): Pair<Plain?, Tried> {
    var engine: Plain? = null
    return try {
        engine = open(one, opening)
        val (why, seconds) = judged(engine, golden, cpu, opening.model.tolerance)
        if (why.isNotEmpty()) runCatching { engine.close() }
        val told = Tried(one.name, why.isEmpty(), why.ifEmpty { "gives the recorded outputs, and is faster" }, seconds)
        (if (why.isEmpty()) engine else null) to told
    } catch (error: Throwable) {
        runCatching { engine?.close() }
        null to Tried(one.name, false, said(error), null)
    }
}

private fun judged(engine: Plain, golden: Golden, cpu: Plain, tolerance: Double): Pair<String, Double?> {
    if (golden.outputs.firstOrNull().isNullOrEmpty()) return "there are no recorded outputs to compare with" to null
    val gap = difference(engine, golden)
    if (gap > tolerance) return amiss(gap, tolerance) to null
    val theirs = median(engine, golden)
    val ours = median(cpu, golden)
    val slow = if (theirs < ours) "" else "${show(1000 * theirs)} ms a run, the processor takes ${show(1000 * ours)} ms"
    return slow to theirs
}

private fun median(engine: Plain, golden: Golden): Double = List(RUNS) { i ->
    val started = System.nanoTime()
    engine.run(golden.inputs[i % golden.inputs.size])
    since(started)
}.sorted()[RUNS / 2]

internal fun said(error: Throwable): String = error.message ?: error.javaClass.simpleName
