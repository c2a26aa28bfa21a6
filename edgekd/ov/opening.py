"""A copy of an OpenVINO file that gives inner values as outputs too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as operators

from edgekd.nets import programs
from edgekd.ov import layers
from edgekd.plugins import Opened
from edgekd.results import Signature, TensorSpec


def opened(file: Path, signature: Signature, names: Mapping[str, str], folder: Path, name: str) -> Opened:
    """Write the copy, to be run one sample at a time: a value without the sample in front gets it there.

    `name` is that of the model's .xml in the copy's folder, which is named as the original.
    """
    model = openvino.Core().read_model(file / name)
    own = {result for port in model.outputs for result in port.get_names()}
    inner = [(port, layers.id_(port), node) for port, node in layers.by_name(model, names) if layers.id_(port) in names]
    shapes = _shapes(model, signature, [port for port, _, _ in inner])
    batch = signature.inputs[0].shape[0]
    outputs, nodes = [], {result: node for result, node in names.items() if result in own}
    for (port, place, node), shape in zip(inner, shapes, strict=True):
        leads = shape[:1] == (1,)
        seen = operators.convert(port, "f32")
        seen = (seen if leads else operators.unsqueeze(seen, np.int64(0))).output(0)
        seen.get_tensor().set_names({f"inner.{place}"})
        model.add_outputs([seen])
        nodes[f"inner.{place}"] = node
        outputs.append(TensorSpec(name=f"inner.{place}", shape=(batch, *shape[1:]) if leads else (1, *shape)))
    (folder / file.name).mkdir()
    openvino.save_model(model, folder / file.name / name, compress_to_fp16=False)
    return Opened(file.name, signature.model_copy(update={"outputs": (*signature.outputs, *outputs)}), nodes)


def _shapes(model: openvino.Model, signature: Signature, ports: list[Any]) -> list[tuple[int, ...]]:
    """The shapes of inner values for one sample, as the runtime has them."""
    probe = model.clone()
    found = {layers.id_(port): port for op in probe.get_ordered_ops() for port in op.outputs()}
    probe.add_outputs([found[layers.id_(port)] for port in ports])
    compiled = openvino.Core().compile_model(probe, "CPU", {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": "1"})
    inputs = zip(signature.inputs, programs.samples(signature, 1), strict=True)
    results = compiled({spec.name: tensor.numpy() for spec, tensor in inputs})
    first = len(model.outputs)
    return [results[first + i].shape for i in range(len(ports))]
