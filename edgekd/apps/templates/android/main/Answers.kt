package edgemodel

import kotlin.math.exp

// From the model's outputs to an answer: the class, how sure the model is, and whether that is enough.

private const val TOP = 5

/** A class and its probability. */
data class Share(val label: String, val probability: Double)

/** What the model says of one thing. `calibrated`: the confidence was fitted on samples that training never saw. */
data class Answer(
    val label: String,
    val index: Int,
    val confidence: Double,
    val calibrated: Boolean,
    /** False: the model is not sure enough to answer. */
    val accepted: Boolean,
    /** The likeliest labels, the first one first. */
    val top: List<Share>,
)

/** A number that the model tells. */
data class Quantity(val value: Double, val unit: String)

/** What the model says of a sample: an `answer`, or one for each of its `heads`, or numbers in `values`. */
class Result(
    val answer: Answer?,
    val heads: Map<String, Answer>,
    val values: Map<String, Quantity>,
    /** What the model gave. */
    val outputs: FloatArray,
    /** From the sample to this result. */
    val milliseconds: Double,
) {
    internal val parts: List<Answer> get() = heads.values.ifEmpty { listOfNotNull(answer) }.toList()
}

internal fun answered(outputs: FloatArray, signature: Signature, milliseconds: Double = 0.0): Result {
    if (signature.columns.isNotEmpty()) {
        val values = signature.columns.withIndex().associate { (i, one) -> one.name to Quantity(outputs[i].toDouble(), one.unit) }
        return Result(null, emptyMap(), values, outputs, milliseconds)
    }
    val heads = signature.heads.withIndex().associate { (i, head) ->
        val own = outputs.copyOfRange(head.start, head.start + head.classes.size)
        head.name to sorted(own, head.classes, signature.confidence.getOrNull(i))
    }
    val alone = heads.isEmpty() && signature.classes.isNotEmpty()
    val answer = if (alone) sorted(outputs, signature.classes, signature.confidence.getOrNull(0)) else null
    return Result(answer, heads, emptyMap(), outputs, milliseconds)
}

private fun sorted(outputs: FloatArray, classes: List<String>, told: Confidence?): Answer {
    val shares = probabilities(outputs, told?.temperature ?: 1.0)
    val order = shares.indices.sortedByDescending { shares[it] }
    val index = order[0]
    return Answer(
        label = classes[index],
        index = index,
        confidence = shares[index],
        calibrated = told != null,
        accepted = told?.threshold == null || shares[index] >= told.threshold,
        top = order.take(TOP).map { Share(classes[it], shares[it]) },
    )
}

/** Softmax of outputs, divided by the temperature that was fitted for them. */
fun probabilities(outputs: FloatArray, temperature: Double): DoubleArray {
    val scaled = DoubleArray(outputs.size) { outputs[it] / temperature }
    val largest = scaled.max()
    val powers = DoubleArray(scaled.size) { exp(scaled[it] - largest) }
    val sum = powers.sum()
    return DoubleArray(powers.size) { powers[it] / sum }
}
