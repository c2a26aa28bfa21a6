package edgemodel

import java.io.File

/** What a model is opened with. */
class Opening(val model: Model, val bytes: ByteArray, val threads: Int, private val copy: (String, ByteArray) -> File) {
    /** The model as a file, for runtimes that take no bytes. */
    fun file(): File = copy(model.file, bytes)
}

/** A runtime with the model in it. Arrays are primitive ones of the types that the signature names, in its order. */
interface Engine : AutoCloseable {
    val threads: Int

    fun run(inputs: List<Any>): List<Any>
}

/** Something that may run the model; kept if it is faster than the processor, and gives the recorded outputs. */
class Candidate(val name: String, val open: (Opening) -> Engine)

/** What the runtime is, and where it can run the model. */
interface Runtime {
    val name: String
    val version: String
    val cpu: Candidate
    val others: List<Candidate>
}

/** What the code of this folder needs of the device. */
interface Platform {
    val runtime: Runtime

    /** A file of model/. */
    fun read(name: String): ByteArray

    /** Pixels of encoded bytes as they are stored: not turned, not premultiplied, colours not converted. */
    fun decode(encoded: ByteArray): Pixels

    /** Bytes as a file of this application. */
    fun copy(name: String, bytes: ByteArray): File

    /** name, system, processor, cores, memory: what the device tells of itself. */
    fun device(): Map<String, Any?>
}

/** Encoded bytes (JPEG, PNG, WebP) as upright pixels. */
fun Platform.pixels(encoded: ByteArray): Pixels {
    require(encoded.isNotEmpty()) { "an image of no bytes" }
    return upright(decode(encoded), orientation(encoded))
}
