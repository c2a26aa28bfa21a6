package edgemodel

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

// More threads than this make small models slower.
private const val THREADS = 4

/** The model, open until it is closed. Open it by `load`; it may be called from several threads, and runs one at a time. */
class Classifier internal constructor(
    internal val platform: Platform,
    val model: Model,
    private val chosen: Chosen,
) : AutoCloseable {
    private var closed = false

    internal val engine: Plain get() = if (closed) throw IllegalStateException("this classifier is closed") else chosen.engine

    /** What runs the model, and what became of the other candidates. */
    val used: String get() = chosen.used
    val tried: List<Tried> get() = chosen.tried
    val threads: Int get() = chosen.engine.threads

    /** Classify an encoded image: the bytes of a JPEG, PNG or WebP file. */
    suspend fun classify(encoded: ByteArray): Result = withContext(Dispatchers.Default) { answer(platform.pixels(encoded)) }

    /** Classify pixels, upright and not premultiplied. */
    suspend fun classify(pixels: Pixels): Result = withContext(Dispatchers.Default) { answer(pixels) }

    /** Classify prepared arrays, by the name of their input. */
    suspend fun classify(inputs: Map<String, Any>): Result = withContext(Dispatchers.Default) {
        val started = System.nanoTime()
        told(arrays(inputs), started)
    }

    /** Run the model alone: prepared arrays by the names of inputs, numbers by the names of outputs. */
    suspend fun run(inputs: Map<String, Any>): Map<String, FloatArray> = withContext(Dispatchers.Default) {
        model.signature.outputs.map { it.name }.zip(engine.run(arrays(inputs))).toMap()
    }

    internal fun answer(pixels: Pixels): Result {
        val started = System.nanoTime()
        val how = requireNotNull(model.signature.inputs.singleOrNull()?.how) { "the model takes no images" }
        return told(listOf(prepare(toCanvas(pixels, how), how)), started)
    }

    private fun told(inputs: List<Any>, started: Long): Result {
        val outputs = engine.run(inputs)[0]
        return answered(outputs, model.signature, 1000 * since(started))
    }

    private fun arrays(inputs: Map<String, Any>): List<Any> = model.signature.inputs.map { one ->
        requireNotNull(inputs[one.name]) { "there is no array for the input ${one.name}" }
    }

    internal val load: Double get() = chosen.engine.load
    internal val first: Double get() = chosen.engine.first ?: 0.0

    override fun close() {
        if (!closed) chosen.engine.close()
        closed = true
    }
}

internal fun Platform.page(name: String): Json = try {
    Json.read(String(read(name), Charsets.UTF_8))
} catch (error: IllegalArgumentException) {
    throw IllegalStateException("$name ${said(error)}", error)
}

internal fun opened(platform: Platform, candidates: List<Candidate>?, threads: Int?): Classifier {
    val model = Model(platform.page("model.json"))
    val golden = Page(platform.page("golden/golden.json")).golden(platform::read)
    val bytes = platform.read(model.file)
    check(bytes.size == model.size) { "${model.file} has ${bytes.size} bytes, not ${model.size}: copy it again" }
    val possible = threads ?: minOf(THREADS, java.lang.Runtime.getRuntime().availableProcessors())
    val opening = Opening(model, bytes, possible, platform::copy)
    val runtime = platform.runtime
    return Classifier(platform, model, choose(opening, golden, runtime.cpu, candidates ?: runtime.others))
}

/** Open the model on what runs it fastest here, if that gives the outputs that were recorded for it. */
suspend fun load(platform: Platform, candidates: List<Candidate>? = null, threads: Int? = null): Classifier =
    withContext(Dispatchers.Default) { opened(platform, candidates, threads) }
