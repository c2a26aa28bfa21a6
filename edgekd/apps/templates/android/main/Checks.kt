package edgemodel

import java.security.MessageDigest
import java.util.Locale
import kotlin.math.abs
import kotlin.math.max

// The checks of the self-test, in their order; each alone, so that the first that fails names what broke.

// Levels of 255 by which decoders of lossy formats may differ: of any value, and on average.
private const val LEVELS = 8
private const val MEAN = 1.0

// Share of the largest input by which preparing may differ.
private const val SHARE = 1e-5

/** What a check found; `passed` is null where it cannot be made. */
data class Check(val what: String, val passed: Boolean?, val why: String)

private class Finding(val passed: Boolean?, val why: String)

private fun finding(why: String) = Finding(why.isEmpty(), why)

internal class Checks(
    private val platform: Platform,
    private val model: Model,
    private val page: Page?,
    private val classifier: Classifier?,
    private val error: Throwable?,
) {
    /** The largest difference of the model's outputs from the recorded ones, where it was seen. */
    var difference: Double? = null
        private set

    /** The digest of the model's file as it is here. */
    var sha256: String? = null
        private set

    private val how = model.signature.inputs[0].how
    private val golden by lazy { recorded().golden(platform::read) }
    private val found by lazy { golden.inputs.map { ready().engine.run(it) } }

    fun all(): List<Check> {
        val pictures = page?.pictures.orEmpty()
        return buildList {
            add(checked("files") { files() })
            pictures.forEach { one -> add(checked("decode ${one.file}") { finding(decoded(one)) }) }
            pictures.forEach { one -> add(checked("prepare ${one.file}") { finding(prepared(one)) }) }
            model.signature.outputs.forEachIndexed { i, one -> add(checked("model ${one.name}") { outputs(i) }) }
            add(checked("answers") { answers() })
            add(checked("pictures") { pictures() })
        }
    }

    // Errors too, such as those of missing native libraries: a check that throws has failed.
    private fun checked(what: String, look: () -> Finding): Check = try {
        look().let { Check(what, it.passed, it.why) }
    } catch (error: Throwable) {
        Check(what, false, said(error))
    }

    private fun ready(): Classifier = classifier ?: throw (error ?: IllegalStateException("the model is not open"))

    private fun recorded(): Page = page ?: throw IllegalStateException("golden/golden.json cannot be read")

    private fun preparing(): How = how ?: throw IllegalStateException("the model takes no image")

    private fun files(): Finding {
        for ((name, listed) in model.files) {
            val bytes = platform.read(name)
            if (bytes.size != listed.size) return finding("$name has ${bytes.size} bytes, not ${listed.size}")
            val digest = MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
            if (name == model.file) sha256 = digest
            if (digest != listed.sha256) {
                return finding("$name is another file than was built (sha256 ${digest.take(12)}, not ${listed.sha256.take(12)})")
            }
        }
        return finding("")
    }

    // Encoded bytes by the app's own decoding, against the recorded canvas.
    private fun decoded(picture: Picture): String {
        val wanted = platform.read("golden/${picture.canvas}")
        val canvas = toCanvas(platform.pixels(platform.read("golden/${picture.file}")), preparing())
        if (canvas.size != wanted.size) return "${canvas.size} values, ${wanted.size} are recorded"
        val gaps = IntArray(wanted.size) { abs((canvas[it].toInt() and 0xff) - (wanted[it].toInt() and 0xff)) }
        val most = if (picture.exact) 0 else LEVELS
        val usual = if (picture.exact) 0.0 else MEAN
        if (gaps.max() <= most && gaps.average() <= usual) return ""
        val mean = String.format(Locale.ROOT, "%.2f", gaps.average())
        return "${gaps.max()} levels of 255 apart, on average $mean; $most and ${usual.toInt()} are allowed"
    }

    private fun input(picture: Picture): FloatArray = floats(typed(platform.read("golden/${picture.input}"), "float32"))

    // The recorded canvas by the app's own preparation, against the recorded input.
    private fun prepared(picture: Picture): String {
        val wanted = input(picture)
        val allowed = SHARE * max(1f, wanted.maxOf { abs(it) })
        val gap = apart(prepare(platform.read("golden/${picture.canvas}"), preparing()), wanted)
        return if (gap <= allowed) "" else "the input differs by ${show(gap)}, ${show(allowed)} is allowed"
    }

    private fun outputs(number: Int): Finding {
        if (recorded().missing.isNotEmpty()) return Finding(null, "no outputs are recorded: ${recorded().missing}")
        var gap = golden.outputs.indices.maxOf { apart(found[it][number], golden.outputs[it][number]) }
        for (picture in if (number == 0) recorded().pictures else emptyList()) {
            val given = ready().engine.run(listOf(input(picture)))[number]
            gap = max(gap, apart(given, picture.outputs.toFloatArray()))
        }
        difference = max(gap, difference ?: 0.0)
        return finding(if (gap <= model.tolerance) "" else amiss(gap, model.tolerance))
    }

    // What the application makes of the recorded outputs.
    private fun answers(): Finding {
        val page = recorded()
        if (page.answers.isEmpty()) {
            return Finding(null, if (page.missing.isEmpty()) "the model tells no classes" else "no outputs are recorded")
        }
        for ((i, wanted) in page.answers.withIndex()) {
            val told = answered(golden.outputs[i][0], model.signature)
            val why = unlike(told, wanted, wanted.decided, true, model.answerTolerance)
            if (why.isNotEmpty()) return finding("sample ${i + 1}: $why")
        }
        return finding("")
    }

    // The whole chain, as an application calls it.
    private fun pictures(): Finding {
        val page = recorded()
        if (page.missing.isNotEmpty()) return Finding(null, "no outputs are recorded")
        if (page.pictures.isEmpty()) return Finding(null, "the model takes no image files")
        for (picture in page.pictures) {
            val told = ready().answer(platform.pixels(platform.read("golden/${picture.file}")))
            val gap = if (picture.exact) apart(told.outputs, picture.outputs.toFloatArray()) else 0.0
            val wanted = picture.answer
            val why = when {
                wanted != null -> unlike(told, wanted, wanted.decided && picture.exact, picture.exact, model.probabilityTolerance)
                gap > model.tolerance -> amiss(gap, model.tolerance)
                else -> ""
            }
            if (why.isNotEmpty()) return finding("${picture.file}: $why")
        }
        return finding("")
    }

    private fun unlike(told: Result, wanted: Wanted, labels: Boolean, probabilities: Boolean, allowed: Double): String {
        for ((i, label) in wanted.labels.withIndex()) {
            val found = told.parts[i]
            if (labels && found.label != label) return "the answer is ${found.label}, $label is recorded"
            val gap = abs(found.confidence - wanted.probabilities[i])
            if (probabilities && !(gap <= allowed)) {
                val (ours, theirs) = listOf(found.confidence, wanted.probabilities[i]).map { String.format(Locale.ROOT, "%.4f", it) }
                return "the probability is $ours, $theirs is recorded and ${show(allowed)} is allowed"
            }
        }
        return ""
    }
}
