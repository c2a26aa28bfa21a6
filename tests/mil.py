"""Core ML packages read back without macOS: python -m tests.mil FOLDER writes what is in them, and what they compute.

coremltools loads the package's own program; the few operators of the toy networks are then evaluated here in float64,
by their definitions in the MIL reference, from the weights in the file. This is not Core ML's own arithmetic.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil.frontend.milproto.load import load as load_program
from torch.nn import functional as F

from edgekd.samples.views import Feed
from edgekd.workspace import Workspace, locate
from tests import converted as toy

Inputs = Mapping[str, Any]


def tensor(value: Any) -> torch.Tensor:
    made = value if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
    return made.double() if made.is_floating_point() else made


def conv(i: Inputs) -> torch.Tensor:
    assert str(i["pad_type"]) == "custom" and len(set(i["pad"])) == 1
    strides, pad = [int(s) for s in i["strides"]], int(i["pad"][0])
    bias = tensor(i["bias"]) if "bias" in i else None
    return F.conv2d(tensor(i["x"]), tensor(i["weight"]), bias, strides, pad, 1, int(i["groups"]))


def select(i: Inputs) -> torch.Tensor:
    return torch.where(tensor(i["cond"]).bool(), tensor(i["a"]), tensor(i["b"]))


def gather(i: Inputs) -> torch.Tensor:
    assert int(i["axis"]) == 0
    return tensor(i["x"])[tensor(i["indices"]).long()]


def reduced(how: Callable[..., torch.Tensor]) -> Callable[[Inputs], torch.Tensor]:
    return lambda i: how(tensor(i["x"]), [int(a) for a in i["axes"]], keepdim=bool(i["keep_dims"]))


def two(how: Callable[..., torch.Tensor]) -> Callable[[Inputs], torch.Tensor]:
    return lambda i: how(tensor(i["x"]), tensor(i["y"]))


OPERATORS: dict[str, Callable[[Inputs], torch.Tensor]] = {
    "conv": conv,
    "linear": lambda i: F.linear(tensor(i["x"]), tensor(i["weight"]), tensor(i["bias"])),
    "relu": lambda i: F.relu(tensor(i["x"])),
    "relu6": lambda i: F.relu6(tensor(i["x"])),
    "clip": lambda i: tensor(i["x"]).clamp(float(i["alpha"]), float(i["beta"])),
    "reduce_mean": reduced(torch.mean),
    "reduce_sum": reduced(torch.sum),
    "expand_dims": lambda i: tensor(i["x"]).unsqueeze(int(i["axes"][0])),
    "cast": lambda i: tensor(i["x"]).long() if "int" in str(i["dtype"]) else tensor(i["x"]).double(),
    "gather": gather,
    "select": select,
    "add": two(torch.add),
    "mul": two(torch.mul),
    "real_div": two(torch.div),
    "maximum": two(torch.maximum),
    "greater_equal": two(torch.ge),
}


def evaluate(function: Any, feeds: Mapping[str, np.ndarray]) -> torch.Tensor:
    known: dict[str, Any] = dict(feeds)
    for op in function.operations:
        if op.op_type == "const":
            continue
        if op.op_type.startswith("constexpr_"):
            known[op.outputs[0].name] = op.materialized_val_inference()
            continue
        values = {k: known.get(v.name, v.val) for k, v in op.inputs.items() if v is not None}
        known[op.outputs[0].name] = OPERATORS[op.op_type](values)
    return tensor(known[function.outputs[0].name])


def described(value: Any) -> dict[str, Any]:
    array = value.type.multiArrayType
    return {"name": value.name, "shape": list(array.shape), "type": array.ArrayDataType.Name(array.dataType)}


def main(folder: Path) -> None:
    found = {}
    for name in toy.CONVERSIONS:
        net = name.split("-")[0]
        made = toy.artifact(folder, "coreml", *name.split("-"))
        model = ct.models.MLModel(str(locate(folder / "entries", made.file)), skip_model_load=True)
        spec = model.get_spec()
        function = load_program(spec, spec.specificationVersion, model.weights_dir).functions["main"]
        space = Workspace(folder, folder / "entries", "")
        feed = Feed(space, toy.splits(folder)[net], "validation", made.signature, augment=False, seed=0)
        rows = [evaluate(function, feed.batch(np.array([row]))) for row in range(feed.count)]
        reference = space.load(toy.program(folder, net).reference)
        found[name] = {
            "version": spec.specificationVersion,
            "inputs": [described(value) for value in spec.description.input],
            "outputs": [described(value) for value in spec.description.output],
            "operators": [op.op_type for op in function.operations if op.op_type != "const"],
            "weights": sorted({str(op.outputs[0].val.dtype) for op in function.operations if is_weight(op)}),
            "difference": float(np.abs(torch.cat(rows).numpy() - reference).max() / np.abs(reference).max()),
        }
    (folder / "mil.json").write_text(json.dumps(found))


def is_weight(op: Any) -> bool:
    value = getattr(op.outputs[0], "val", None)
    return op.op_type == "const" and isinstance(value, np.ndarray) and value.ndim >= 2


if __name__ == "__main__":
    main(Path(sys.argv[1]))
