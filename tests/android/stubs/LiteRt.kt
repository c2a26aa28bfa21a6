// A stub, not LiteRT: the declarations of com.google.ai.edge.litert that the application uses, after the public
// documentation of CompiledModel's Kotlin interface. It shows that the types fit together as documented; it runs nothing.
package com.google.ai.edge.litert

enum class Accelerator { NONE, CPU, GPU, NPU }

class TensorBuffer : AutoCloseable {
    fun writeFloat(data: FloatArray): Unit = stub(data)

    fun writeInt(data: IntArray): Unit = stub(data)

    fun writeLong(data: LongArray): Unit = stub(data)

    fun writeInt8(data: ByteArray): Unit = stub(data)

    fun readFloat(): FloatArray = stub()

    fun readInt(): IntArray = stub()

    fun readLong(): LongArray = stub()

    fun readInt8(): ByteArray = stub()

    override fun close(): Unit = stub()
}

class CompiledModel : AutoCloseable {
    class Options(vararg val accelerators: Accelerator)

    fun createInputBuffers(): List<TensorBuffer> = stub()

    fun createOutputBuffers(): List<TensorBuffer> = stub()

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>): Unit = stub(inputs, outputs)

    override fun close(): Unit = stub()

    companion object {
        fun create(filePath: String, options: Options): CompiledModel = stub(filePath, options)
    }
}

private fun stub(vararg given: Any): Nothing = throw UnsupportedOperationException("stub, given ${given.size}")
