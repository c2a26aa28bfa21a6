"""Files in TensorFlow Lite Micro's own kernels and memory allocator, which PyPI has for this computer."""

VERSION = 1
PACKAGE = "tflite-micro"
EXTRA = "micro"
