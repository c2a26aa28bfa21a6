"""ONNX models as ONNX Runtime's tools make them: which tensor holds what, and copies that show it.

A package of its own, so that a change here converts nothing but ONNX files, and what is made from them, again.
"""

VERSION = 2
