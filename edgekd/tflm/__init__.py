"""Files in TensorFlow Lite Micro's own kernels and memory allocator, which PyPI has for this computer."""

PACKAGE = "tflite-micro"
EXTRA = "micro"
