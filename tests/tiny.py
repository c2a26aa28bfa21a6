"""Tiny real model files for tests of the device side, made once a session by: python -m tests.tiny FOLDER [FORMAT...]

One image network in several formats and with open or fixed batch, one with int8 inputs and outputs, and one of integer
ids and a mask. What each must answer is computed by numpy. Of a format that is named, its own plug-in makes the files:
NET.FORMAT, with its signature in NET.FORMAT.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

PREPROCESS = {
    "canvas": 10,
    "size": 8,
    "channels": "rgb",
    "filter": "bilinear",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.25, 0.3],
    "layout": "NCHW",
}
SCALE, ZERO, OUT_SCALE, OUT_ZERO = 0.05, 3, 0.06, -5
CLASSES = ["a", "b", "c", "d"]


def weights() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    shapes = {"first": (3, 16), "second": (16, 4), "embedding": (11, 6), "head": (6, 4)}
    return {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def samples(count: int = 7) -> dict[str, Any]:
    """Stored images, ids and masks."""
    draw = np.random.default_rng(1)
    mask = (np.arange(5) < draw.integers(1, 6, (count, 1))).astype(np.int64)
    return {
        "image": draw.integers(0, 256, (count, 10, 10, 3)).astype(np.uint8),
        "ids": draw.integers(0, 11, (count, 5)).astype(np.int64),
        "mask": mask,
    }


def image_net(x: Any) -> Any:
    """(N, 3, 8, 8) float32 -> (N, 4)."""
    w = weights()
    return np.maximum(np.einsum("nchw,cd->ndhw", x, w["first"]), 0).mean((2, 3)) @ w["second"]


def text_net(ids: Any, mask: Any) -> Any:
    """(N, 5) ids and mask -> (N, 4)."""
    w = weights()
    kept = mask[..., None].astype(np.float32)
    return ((w["embedding"][ids] * kept).sum(1) / kept.sum(1)) @ w["head"]


def signature(kind: str, batch: int = -1, ids: str = "int64") -> dict[str, Any]:
    """Signature of a kind ("image", "text", "int8") as JSON."""

    def spec(name: str, shape: tuple[int, ...], dtype: str = "float32", **more: Any) -> dict[str, Any]:
        plain = {"name": name, "shape": [batch, *shape], "dtype": dtype, "scale": None, "zero_point": None}
        return plain | {"preprocess": None} | more

    inputs = {
        "image": [spec("image", (3, 8, 8), preprocess=PREPROCESS)],
        "int8": [spec("image", (3, 8, 8), "int8", preprocess=PREPROCESS, scale=SCALE, zero_point=ZERO)],
        "text": [spec("ids", (5,), ids), spec("mask", (5,), ids)],
    }[kind]
    output = spec("logits", (4,))
    if kind == "int8":
        output |= {"dtype": "int8", "scale": OUT_SCALE, "zero_point": OUT_ZERO}
    return {"inputs": inputs, "outputs": [output], "classes": CLASSES}


def _onnx(folder: Path) -> None:
    import onnx  # noqa: PLC0415
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    w = {name: numpy_helper.from_array(value, name) for name, value in weights().items()}

    def save(name: str, nodes: list[Any], inputs: list[Any], batch: object, constants: list[Any], out: int) -> None:
        outputs = [helper.make_tensor_value_info("logits", out, [batch, 4])]
        graph = helper.make_graph([helper.make_node(*n) for n in nodes], "tiny", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / name)

    def constant(name: str, value: Any) -> Any:
        return numpy_helper.from_array(value, name)

    net = [
        ("Conv", ["x", "kernel"], ["h"]),
        ("Relu", ["h"], ["h2"]),
        ("ReduceMean", ["h2", "axes"], ["r4"]),
        ("Flatten", ["r4"], ["r"]),
    ]
    kernel = constant("kernel", np.ascontiguousarray(weights()["first"].T[:, :, None, None]))
    fixed = [kernel, w["second"], constant("axes", np.array([2, 3], np.int64))]
    for label, batch in (("dynamic", "n"), ("fixed", 1), ("four", 4)):
        x = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 8, 8])]
        nodes = [("Identity", ["image"], ["x"]), *net, ("MatMul", ["r", "second"], ["logits"])]
        save(f"image-{label}.onnx", nodes, x, batch, fixed, TensorProto.FLOAT)
    x = [helper.make_tensor_value_info("image", TensorProto.INT8, [1, 3, 8, 8])]
    steps = [
        *(constant(n, np.float32(v)) for n, v in (("s", SCALE), ("os", OUT_SCALE))),
        *(constant(n, np.int8(v)) for n, v in (("z", ZERO), ("oz", OUT_ZERO))),
    ]
    nodes = [
        ("DequantizeLinear", ["image", "s", "z"], ["x"]),
        *net,
        ("MatMul", ["r", "second"], ["y"]),
        ("QuantizeLinear", ["y", "os", "oz"], ["logits"]),
    ]
    save("int8-fixed.onnx", nodes, x, 1, [*fixed, *steps], TensorProto.INT8)
    words = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", 5]) for n in ("ids", "mask")]
    nodes = [
        ("Gather", ["embedding", "ids"], ["e"]),
        ("CastLike", ["mask", "embedding"], ["k2"]),
        ("Unsqueeze", ["k2", "last"], ["k"]),
        ("Mul", ["e", "k"], ["ek"]),
        ("ReduceSum", ["ek", "one"], ["s3"]),
        ("ReduceSum", ["k", "one"], ["n3"]),
        ("Div", ["s3", "n3"], ["d3"]),
        ("Squeeze", ["d3", "one"], ["d"]),
        ("MatMul", ["d", "head"], ["logits"]),
    ]
    fixed = [w["embedding"], w["head"], constant("last", np.array([2])), constant("one", np.array([1]))]
    save("text-dynamic.onnx", nodes, words, "n", fixed, TensorProto.FLOAT)


def _openvino(folder: Path) -> None:
    import openvino  # noqa: PLC0415

    for name in ("image-dynamic", "image-fixed", "text-dynamic"):
        target = folder / f"{name}.openvino"
        target.mkdir()
        openvino.save_model(openvino.convert_model(folder / f"{name}.onnx"), target / "model.xml", False)


def _nets() -> tuple[Any, Any]:
    """The image network and that of ids and a mask, of torch."""
    import torch  # noqa: PLC0415

    w = {name: torch.from_numpy(value) for name, value in weights().items()}

    class Image(torch.nn.Module):
        def forward(self, image: Any) -> Any:
            hidden = torch.nn.functional.conv2d(image, w["first"].T[:, :, None, None])
            return {"logits": torch.relu(hidden).mean((2, 3)) @ w["second"]}

    class Text(torch.nn.Module):
        def forward(self, ids: Any, mask: Any) -> Any:
            kept = mask.float().unsqueeze(-1)
            summed = (torch.nn.functional.embedding(ids, w["embedding"]) * kept).sum(1)
            return {"logits": (summed / kept.sum(1)) @ w["head"]}

    return Image().eval(), Text().eval()


def _tflite(folder: Path) -> None:
    import litert_torch  # noqa: PLC0415
    import torch  # noqa: PLC0415

    image, text = _nets()
    one, ids = torch.zeros(1, 3, 8, 8), torch.ones(1, 5, dtype=torch.int64)
    litert_torch.convert(image, sample_kwargs={"image": one}).export(str(folder / "image-fixed.tflite"))
    anything = ({0: torch.export.Dim("n", min=1, max=64)},)
    dynamic = litert_torch.convert(image, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=anything)
    dynamic.export(str(folder / "image-dynamic.tflite"))
    words = litert_torch.convert(text, sample_kwargs={"ids": ids, "mask": ids.clone()})
    words.export(str(folder / "text-fixed.tflite"))


def _made(folder: Path, format: str) -> None:
    from edgekd import plugins  # noqa: PLC0415
    from edgekd.nets import programs  # noqa: PLC0415
    from edgekd.plugins import Conversion  # noqa: PLC0415
    from edgekd.results import Signature  # noqa: PLC0415

    rows = samples()
    rows["image"] = np.zeros((2, 3, 8, 8), np.float32)
    for kind, net in zip(("image", "text"), _nets(), strict=True):
        wanted = Signature.model_validate(signature(kind))
        program, given = programs.trace(net, wanted, {name: values[:2] for name, values in rows.items()}, kind)
        work = folder / f"{kind}-{format}"
        work.mkdir()
        programs.write(program, work / "program.pt2")
        made = plugins.find("formats", format).convert(Conversion(work / "program.pt2", given, "float32", {}, work))
        (work / made.name).rename(folder / f"{kind}.{format}")
        (folder / f"{kind}.{format}.json").write_text(made.signature.model_dump_json())


if __name__ == "__main__":
    target, formats = Path(sys.argv[1]), sys.argv[2:]
    for name in formats:
        _made(target, name)
    if not formats:
        _onnx(target)
        _openvino(target)
        _tflite(target)
    (target / "done.json").write_text(json.dumps(sorted(p.name for p in target.iterdir())))
