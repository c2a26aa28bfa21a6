"""Run a file on samples in its own runtime, without edgekd; Core ML's is evaluated by its definitions (edgekd.mil).

    python bare_outputs.py FILE SAMPLES.npz OUTPUTS.npy

SAMPLES.npz has the inputs in order; OUTPUTS.npy gets the first output, sample first. Samples run one at a time;
the definitions treat many at once as each alone.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Samples that are evaluated by definition at once.
TOGETHER = 250
Run = Callable[[list[np.ndarray]], np.ndarray]


def onnx(path: Path) -> Run:
    """ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in session.get_inputs()]
    return lambda one: session.run(None, dict(zip(names, one, strict=True)))[0]


def tflite(path: Path) -> Run:
    """LiteRT."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    runner = Interpreter(str(path)).get_signature_runner()
    wanted = dict(sorted(runner.get_input_details().items()))

    def run(one: list[np.ndarray]) -> np.ndarray:
        given = {name: as_wanted(values, spec) for (name, spec), values in zip(wanted.items(), one, strict=True)}
        return next(iter(runner(**given).values()))

    return run


def as_wanted(values: np.ndarray, spec: dict[str, Any]) -> np.ndarray:
    """An input in the integers that a quantized file takes; outputs may stay so, since only their order counts."""
    if spec["dtype"] == values.dtype:
        return values
    scale, zero = spec["quantization"]
    limits = np.iinfo(spec["dtype"])
    return np.clip(np.rint(values / scale + zero), limits.min, limits.max).astype(spec["dtype"])


def xml(path: Path) -> Run:
    """OpenVINO."""
    import openvino  # noqa: PLC0415

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda one: compiled(one)[0].copy()


def mlpackage(path: Path) -> Run:
    """Core ML's definitions."""
    from edgekd.mil.evaluator import Evaluator  # noqa: PLC0415

    evaluator = Evaluator(path)
    names = [slot.name for slot in evaluator.inputs]
    return lambda one: next(iter(evaluator(dict(zip(names, one, strict=True))).values()))


def main() -> None:
    """Run all samples."""
    path = Path(sys.argv[1])
    run = {"onnx": onnx, "tflite": tflite, "xml": xml, "mlpackage": mlpackage}[path.suffix[1:]](path)
    with np.load(sys.argv[2], allow_pickle=False) as stored:
        inputs = [stored[name] for name in stored.files]
    size = TOGETHER if path.suffix == ".mlpackage" else 1
    starts = range(0, len(inputs[0]), size)
    np.save(sys.argv[3], np.concatenate([run([v[i : i + size] for v in inputs]) for i in starts]))


if __name__ == "__main__":
    main()
