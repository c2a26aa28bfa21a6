package edgemodel

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.DoubleBuffer
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.nio.LongBuffer
import java.nio.ShortBuffer

/** ONNX Runtime: the processor, and XNNPACK and NNAPI where the device has them. Its telemetry is off. */
object DeviceRuntime : Runtime {
    private val environment by lazy { OrtEnvironment.getEnvironment().apply { setTelemetry(false) } }

    override val name: String get() = "onnxruntime-android"
    override val version: String get() = runCatching { environment.version }.getOrDefault("unknown")
    override val cpu: Candidate = Candidate("cpu") { OnnxEngine(environment, it) {} }
    override val others: List<Candidate> = listOf(
        Candidate("xnnpack") { opening ->
            OnnxEngine(environment, opening) { addXnnpack(mapOf("intra_op_num_threads" to "${opening.threads}")) }
        },
        Candidate("nnapi") { OnnxEngine(environment, it) { addNnapi() } },
    )
}

private class OnnxEngine(
    private val environment: OrtEnvironment,
    opening: Opening,
    provider: OrtSession.SessionOptions.() -> Unit,
) : Engine {
    override val threads: Int = opening.threads
    private val session = OrtSession.SessionOptions().use { options ->
        options.setIntraOpNumThreads(threads)
        options.provider()
        environment.createSession(opening.bytes, options)
    }
    private val signature = opening.model.signature
    private val inputs = own(signature.inputs, session.inputNames.toList())
    private val outputs = own(signature.outputs, session.outputNames.toList())

    override fun run(inputs: List<Any>): List<Any> {
        val fed = LinkedHashMap<String, OnnxTensor>()
        try {
            inputs.forEachIndexed { i, array -> fed[this.inputs[i]] = tensor(array, signature.inputs[i]) }
            return session.run(fed).use { found ->
                outputs.zip(signature.outputs) { name, one -> array(found.get(name).get() as OnnxTensor, one.dtype) }
            }
        } finally {
            fed.values.forEach { it.close() }
        }
    }

    override fun close() = session.close()

    // The file's own names, in the signature's order; by position if it has none of them.
    private fun own(specs: List<Tensor>, names: List<String>): List<String> {
        val wanted = specs.map { it.name }
        if (names.containsAll(wanted)) return wanted
        check(wanted.size == names.size && wanted.none { it in names }) { "the signature names $wanted, and the file $names" }
        return names
    }

    private fun tensor(array: Any, tensor: Tensor): OnnxTensor {
        val free = tensor.one.indexOf(-1)
        val shape = tensor.one
        if (free >= 0) shape[free] = length(array) / shape.filter { it != -1L }.fold(1L) { product, one -> product * one }
        return when (array) {
            is FloatArray -> OnnxTensor.createTensor(environment, FloatBuffer.wrap(array), shape)
            is DoubleArray -> OnnxTensor.createTensor(environment, DoubleBuffer.wrap(array), shape)
            is LongArray -> OnnxTensor.createTensor(environment, LongBuffer.wrap(array), shape)
            is IntArray -> OnnxTensor.createTensor(environment, IntBuffer.wrap(array), shape)
            is ShortArray -> OnnxTensor.createTensor(environment, ShortBuffer.wrap(array), shape)
            is ByteArray -> OnnxTensor.createTensor(environment, ByteBuffer.wrap(array), shape, kind(tensor.dtype))
            else -> throw IllegalArgumentException("${tensor.name} is no array of ${tensor.dtype}")
        }
    }

    private fun kind(dtype: String): OnnxJavaType = when (dtype) {
        "uint8" -> OnnxJavaType.UINT8
        "bool" -> OnnxJavaType.BOOL
        else -> OnnxJavaType.INT8
    }

    private fun array(found: OnnxTensor, dtype: String): Any = when (dtype) {
        "float32" -> found.floatBuffer.let { FloatArray(it.remaining()).also(it::get) }
        "float64" -> found.doubleBuffer.let { DoubleArray(it.remaining()).also(it::get) }
        "int64" -> found.longBuffer.let { LongArray(it.remaining()).also(it::get) }
        "int32" -> found.intBuffer.let { IntArray(it.remaining()).also(it::get) }
        "int16" -> found.shortBuffer.let { ShortArray(it.remaining()).also(it::get) }
        else -> found.byteBuffer.let { ByteArray(it.remaining()).also(it::get) }
    }
}
