"""TFLite files: programs lowered to them, quantized, and looked into. What they hold and how, in one place."""

VERSION = 2
