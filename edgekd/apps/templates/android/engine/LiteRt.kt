package edgemodel

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

/** LiteRT: the processor, and its GPU and NPU accelerators where the device has them. */
object DeviceRuntime : Runtime {
    override val name: String get() = "litert"
    override val version: String get() = LITERT
    override val cpu: Candidate = Candidate("cpu") { LiteEngine(it, Accelerator.CPU) }
    override val others: List<Candidate> = listOf(
        Candidate("gpu") { LiteEngine(it, Accelerator.GPU) },
        Candidate("npu") { LiteEngine(it, Accelerator.NPU) },
    )
}

// The version that build.gradle.kts asks for; the library tells none itself.
private const val LITERT = "VERSION"

private class LiteEngine(opening: Opening, accelerator: Accelerator) : Engine {
    // CompiledModel chooses the processor's threads itself.
    override val threads: Int get() = 1
    private val signature = opening.model.signature
    private val model = CompiledModel.create(opening.file().path, CompiledModel.Options(accelerator))
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    override fun run(inputs: List<Any>): List<Any> {
        inputs.zip(this.inputs) { array, buffer ->
            when (array) {
                is FloatArray -> buffer.writeFloat(array)
                is IntArray -> buffer.writeInt(array)
                is LongArray -> buffer.writeLong(array)
                is ByteArray -> buffer.writeInt8(array)
                else -> throw IllegalArgumentException("LiteRT takes no ${array.javaClass.simpleName}")
            }
        }
        model.run(this.inputs, outputs)
        return outputs.zip(signature.outputs) { buffer, one ->
            when (one.dtype) {
                "float32" -> buffer.readFloat()
                "int32" -> buffer.readInt()
                "int64" -> buffer.readLong()
                else -> buffer.readInt8()
            }
        }
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }
}
