"""Convert and quantize a program with each converter as its own documentation shows, without edgekd.

    python bare_tools.py PROGRAM.pt2 CALIBRATION.npz FOLDER FORMAT...

Writes FOLDER/<format>-float32 and FOLDER/<format>-int8 with the tools' defaults; the last line of standard output is
JSON: seconds and bytes of each, imports included in "imports". Each format is best run in a process of its own.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


def onnx(program: Any, inputs: dict[str, np.ndarray], folder: Path) -> tuple[Callable[[], Path], Callable[[], Path]]:
    """torch.onnx.export, then onnxruntime.quantization.quantize_static."""
    import onnxruntime.quantization as quantization  # noqa: PLC0415

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            count = len(next(iter(inputs.values())))
            self.left = iter([{name: v[i : i + 1] for name, v in inputs.items()} for i in range(count)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    whole, small = folder / "onnx-float32.onnx", folder / "onnx-int8.onnx"

    def float32() -> Path:
        torch.onnx.export(program, dynamo=True, input_names=list(inputs), external_data=False, verbose=False).save(
            whole
        )
        return whole

    def int8() -> Path:
        quantization.quantize_static(whole, small, Reader())
        return small

    return float32, int8


def tflite(program: Any, inputs: dict[str, np.ndarray], folder: Path) -> tuple[Callable[[], Path], Callable[[], Path]]:
    """litert_torch.convert, then ai_edge_quantizer's static_wi8_ai8 recipe with its own calibration."""
    import litert_torch  # noqa: PLC0415
    from ai_edge_quantizer import quantizer, recipe  # noqa: PLC0415

    whole, small = folder / "tflite-float32.tflite", folder / "tflite-int8.tflite"
    one = tuple(torch.tensor(values[:1]) for values in inputs.values())

    def float32() -> Path:
        module = program.module()
        module.training = False
        litert_torch.convert(module, one).export(str(whole))
        return whole

    def int8() -> Path:
        tool = quantizer.Quantizer(str(whole), recipe.static_wi8_ai8())
        count = len(next(iter(inputs.values())))
        rows = [{f"args_{k}": v[i : i + 1] for k, v in enumerate(inputs.values())} for i in range(count)]
        ranges = tool.calibrate({"serving_default": rows})
        tool.quantize(ranges).export_model(str(small))
        return small

    return float32, int8


def openvino(
    program: Any, inputs: dict[str, np.ndarray], folder: Path
) -> tuple[Callable[[], Path], Callable[[], Path]]:
    """openvino.convert_model on the program, then nncf.quantize."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import nncf  # noqa: PLC0415
    import openvino as ov  # noqa: PLC0415

    whole, small = folder / "openvino-float32.xml", folder / "openvino-int8.xml"
    kept: dict[str, Any] = {}

    def float32() -> Path:
        kept["model"] = ov.convert_model(program)
        ov.save_model(kept["model"], whole, compress_to_fp16=False)
        return whole

    def int8() -> Path:
        count = len(next(iter(inputs.values())))
        rows = [tuple(v[i : i + 1] for v in inputs.values()) for i in range(count)]
        ov.save_model(nncf.quantize(kept["model"], nncf.Dataset(rows)), small)
        return small

    return float32, int8


def coreml(program: Any, inputs: dict[str, np.ndarray], folder: Path) -> tuple[Callable[[], Path], Callable[[], Path]]:
    """coremltools.convert, then linear_quantize_weights (activations need macOS)."""
    import coremltools as ct  # noqa: PLC0415
    import coremltools.optimize.coreml as optimize  # noqa: PLC0415

    whole, small = folder / "coreml-float32.mlpackage", folder / "coreml-int8.mlpackage"
    kept: dict[str, Any] = {}

    def float32() -> Path:
        kept["model"] = ct.convert(
            program.run_decompositions({}),
            minimum_deployment_target=ct.target.iOS17,
            compute_precision=ct.precision.FLOAT32,
            skip_model_load=True,
        )
        kept["model"].save(str(whole))
        return whole

    def int8() -> Path:
        each = optimize.OpLinearQuantizerConfig(mode="linear_symmetric")
        model = optimize.linear_quantize_weights(kept["model"], optimize.OptimizationConfig(global_config=each))
        model.save(str(small))
        return small

    return float32, int8


TOOLS = {"onnx": onnx, "tflite": tflite, "openvino": openvino, "coreml": coreml}


def main() -> None:
    """Run the named tools one after the other."""
    started = time.monotonic()
    program = torch.export.load(sys.argv[1])
    with np.load(sys.argv[2], allow_pickle=False) as stored:
        inputs = {name: stored[name] for name in stored.files}
    folder = Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {}
    for name in sys.argv[4:]:
        float32, int8 = TOOLS[name](program, inputs, folder)
        told[name] = {"imports": time.monotonic() - started}
        for precision, make in (("float32", float32), ("int8", int8)):
            started = time.monotonic()
            try:
                path = make()
            except Exception as error:  # a tool that fails is an answer
                told[name][precision] = {"error": f"{type(error).__name__}: {error}".partition("\n")[0][:200]}
                continue
            told[name][precision] = {"seconds": time.monotonic() - started, "path": str(path)}
        started = time.monotonic()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
