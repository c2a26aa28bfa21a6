"""A copy of an ONNX file that gives inner tensors as outputs too."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime.transformers.onnx_model import OnnxModel

from edgekd.nets import programs
from edgekd.plugins import Opened
from edgekd.results import Signature, TensorSpec


def opened(file: Path, signature: Signature, layers: Mapping[str, str], folder: Path, name: str) -> Opened:
    """Write the copy, to be run one sample at a time: a tensor without the sample in front gets it there."""
    model = onnx.load(file)
    own = {value.name for value in model.graph.output}
    inner = [tensor for tensor in layers if tensor not in own]
    shapes = _shapes(model, signature, inner)
    added = [_give(model, tensor, shapes[tensor]) for tensor in inner]
    sorting = OnnxModel(model)
    sorting.topological_sort()
    onnx.save(sorting.model, folder / name)
    batch = signature.inputs[0].shape[0]
    outputs = tuple(
        TensorSpec(name=output, shape=(batch, *shapes[tensor][1:]) if _leads(shapes[tensor]) else (1, *shapes[tensor]))
        for tensor, output in zip(inner, added, strict=True)
    )
    nodes = {tensor: layers[tensor] for tensor in layers if tensor in own}
    nodes |= {output: layers[tensor] for tensor, output in zip(inner, added, strict=True)}
    return Opened(name, signature.model_copy(update={"outputs": (*signature.outputs, *outputs)}), nodes)


def _shapes(model: onnx.ModelProto, signature: Signature, tensors: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of inner tensors for one sample, as the runtime has them."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in tensors)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = zip(signature.inputs, programs.samples(signature, 1), strict=True)
    names = [value.name for value in session.get_outputs()]
    results = session.run(names, {spec.name: np.asarray(tensor) for spec, tensor in inputs})
    return {name: result.shape for name, result in zip(names, results, strict=True)}


def _leads(shape: tuple[int, ...]) -> bool:
    """Does a tensor's first dimension count samples? It is one where there is one sample."""
    return shape[:1] == (1,)


def _give(model: onnx.ModelProto, tensor: str, shape: tuple[int, ...]) -> str:
    """Add a float32 output with a tensor's value; returns its name."""
    output = f"inner.{tensor}"
    if _leads(shape):
        model.graph.node.append(helper.make_node("Cast", [tensor], [output], to=TensorProto.FLOAT))
    else:
        cast, axis = f"{output}.float32", f"{output}.axis"
        model.graph.initializer.append(helper.make_tensor(axis, TensorProto.INT64, [1], [0]))
        model.graph.node.append(helper.make_node("Cast", [tensor], [cast], to=TensorProto.FLOAT))
        model.graph.node.append(helper.make_node("Unsqueeze", [cast, axis], [output]))
    model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    return output
