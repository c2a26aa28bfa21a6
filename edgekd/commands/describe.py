"""What tensors a bare model file takes and gives: python -m edgekd.commands.describe FORMAT FILE, a process of its own.

A file from elsewhere may crash the library that reads it: then only this process is lost. Prints one JSON object.
"""

import importlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Tensor = dict[str, Any]
Described = dict[str, list[Tensor]]
ONNX_TYPES = {"float": "float32", "double": "float64"}


def _tensor(name: str, shape: Sequence[object], dtype: str) -> Tensor:
    """-1 for every dimension that is open."""
    return {"name": name, "shape": [n if isinstance(n, int) and n >= 0 else -1 for n in shape], "dtype": dtype}


def _onnx(path: Path) -> Described:
    session = importlib.import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def read(values: Any) -> list[Tensor]:
        kinds = [value.type.partition("(")[2].rstrip(")") for value in values]
        return [_tensor(v.name, v.shape, ONNX_TYPES.get(k, k)) for v, k in zip(values, kinds, strict=True)]

    return {"inputs": read(session.get_inputs()), "outputs": read(session.get_outputs())}


def _tflite(path: Path) -> Described:
    interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter(model_path=str(path))
    signatures = interpreter.get_signature_list()
    if not signatures:
        both = (interpreter.get_input_details(), interpreter.get_output_details())
        sides = [{d["name"]: d for d in side} for side in both]
    else:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        sides = [runner.get_input_details(), runner.get_output_details()]

    def number(name: str) -> list[str]:
        return [part.zfill(9) for part in re.split(r"(\d+)", name)]

    def read(side: dict[str, Any]) -> list[Tensor]:
        chosen = [(name, side[name]) for name in (sorted(side, key=number) if signatures else side)]
        return [_tensor(name, [int(n) for n in d["shape_signature"]], d["dtype"].__name__) for name, d in chosen]

    return {"inputs": read(sides[0]), "outputs": read(sides[1])}


def _openvino(path: Path) -> Described:
    file = next(iter(sorted(path.glob("*.xml"))), path) if path.is_dir() else path
    model = importlib.import_module("openvino").Core().read_model(str(file))

    def read(ports: Any) -> list[Tensor]:
        shapes = [[-1 if n.is_dynamic else n.get_length() for n in port.partial_shape] for port in ports]
        types = [port.get_element_type().to_dtype().name for port in ports]
        return [_tensor(p.any_name, s, t) for p, s, t in zip(ports, shapes, types, strict=True)]

    return {"inputs": read(model.inputs), "outputs": read(model.outputs)}


READERS: dict[str, Callable[[Path], Described]] = {"onnx": _onnx, "tflite": _tflite, "openvino": _openvino}


def main(arguments: Sequence[str]) -> int:
    """Print what READERS[arguments[0]] says of the file arguments[1]."""
    sys.stdout.write(json.dumps(READERS[arguments[0]](Path(arguments[1]))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
