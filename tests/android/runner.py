"""The real runtime on a model file, spoken to over a pipe: a stand-in for the runtime's library on Android."""

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def main(folder: Path) -> None:
    signature = json.loads((folder / "model.json").read_text())
    inputs, outputs = signature["signature"]["inputs"], signature["signature"]["outputs"]
    run = opened(folder / signature["file"]["name"], inputs, outputs)
    given, taken = sys.stdin.buffer, sys.stdout.buffer
    while size := given.read(4):
        arrays = []
        for number, spec in enumerate(inputs):
            data = given.read(struct.unpack(">i", size if number == 0 else given.read(4))[0])
            arrays.append(np.frombuffer(data, spec["dtype"]).reshape(1, *spec["shape"][1:]))
        for array in run(arrays):
            data = np.ascontiguousarray(array).tobytes()
            taken.write(struct.pack(">i", len(data)) + data)
        taken.flush()


def opened(file: Path, inputs: list[Any], outputs: list[Any]) -> Callable[[list[Any]], list[Any]]:
    if file.suffix == ".onnx":
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # is read when the module is imported
        import onnxruntime  # noqa: PLC0415 - one of the two

        session = onnxruntime.InferenceSession(file)
        names = [spec["name"] for spec in outputs]
        return lambda arrays: session.run(names, {s["name"]: a for s, a in zip(inputs, arrays, strict=True)})
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - one of the two

    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()

    def run(arrays: list[Any]) -> list[Any]:
        for spec, array in zip(interpreter.get_input_details(), arrays, strict=True):
            interpreter.set_tensor(spec["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(spec["index"]) for spec in interpreter.get_output_details()]

    return run


main(Path(sys.argv[1]))
