"""ONNX files of the user's own, brought under the data's names, layout and types."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.errors import Unsuited, UsageError
from edgekd.nets import programs
from edgekd.ort import adopting
from edgekd.plugins import OnnxFile
from edgekd.results import Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec(name="image", shape=(-1, 3, 4, 4)),), outputs=(TensorSpec(name="logits", shape=(-1, 2)),)
)
WEIGHTS = np.random.default_rng(0).normal(size=(48, 2)).astype(np.float32)


def write(path: Path, shape: list, opset: int = 17, kind: int = TensorProto.FLOAT, name: str = "pixels") -> Path:
    """A linear layer over all pixels, in the order of its own layout; its inner tensor is called logits."""
    nodes = [
        helper.make_node("Cast", [name], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["image" if name != "image" else "flat"]),
        helper.make_node("MatMul", ["image" if name != "image" else "flat", "weights"], ["logits"]),
        helper.make_node("Neg", ["logits"], ["scores"]),
        helper.make_node("Abs", ["logits"], ["unused"]),
    ]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [shape[0], 2]) for n in ("unused", "scores")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape)],
        outputs,
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def adopt(path: Path, signature: Signature = SIGNATURE, name: str = "pixels") -> tuple[Path, Signature]:
    out = path.with_name("adopted.onnx")
    return out, adopting.adopt(OnnxFile(path, {name: "image"}, "scores"), signature, out)


def run(path: Path, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)


IMAGES = np.random.default_rng(1).integers(0, 255, (2, 3, 4, 4)).astype(np.float32)


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.UINT8])
@pytest.mark.parametrize("last", [False, True])
def test_it_computes_the_same_from_the_datas_own_input(tmp_path: Path, last: bool, kind: int, opset: int) -> None:
    shape = ["n", 4, 4, 3] if last else ["n", 3, 4, 4]
    path, signature = adopt(write(tmp_path / "m.onnx", shape, opset, kind))
    given = IMAGES.transpose(0, 2, 3, 1) if last else IMAGES
    expected = run(tmp_path / "m.onnx", {"pixels": given.astype(np.uint8) if kind == TensorProto.UINT8 else given})[1]
    (found,) = run(path, {"image": IMAGES})
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert [o.name for o in onnx.load(path).graph.output] == ["logits"] and signature.inputs[0].shape == (-1, 3, 4, 4)
    assert "Abs" not in {node.op_type for node in onnx.load(path).graph.node}


def test_names_that_are_the_same_already_and_a_fixed_batch_are_kept(tmp_path: Path) -> None:
    path, signature = adopt(write(tmp_path / "m.onnx", [1, 3, 4, 4], name="image"), name="image")
    assert signature.inputs[0].shape == (1, 3, 4, 4) and signature.outputs[0].shape == (1, 2)
    (found,) = run(path, {"image": IMAGES[:1]})
    np.testing.assert_allclose(found, run(tmp_path / "m.onnx", {"image": IMAGES[:1]})[1], rtol=1e-5)


def test_the_digest_is_of_the_graph_and_not_of_the_weights(tmp_path: Path) -> None:
    one, _ = adopt(write(tmp_path / "m.onnx", ["n", 3, 4, 4]))
    first = adopting.digest(one)
    model = onnx.load(one)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHTS + 1, model.graph.initializer[0].name))
    onnx.save(model, one)
    assert adopting.digest(one) == first
    model.graph.node[0].op_type = "Neg"
    del model.graph.node[0].attribute[:]
    onnx.save(model, one)
    assert adopting.digest(one) != first


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    model = onnx.load(write(tmp_path / "m.onnx", ["n", 3, 4, 4]))
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(UsageError, match="has its weights in another file"):
        adopt(tmp_path / "e.onnx")


def test_formats_that_start_from_torch_say_so() -> None:
    with pytest.raises(Unsuited, match="an ONNX file is none"):
        programs.load(Path("student.onnx"))
