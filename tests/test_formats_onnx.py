"""ONNX files of networks that torch's exporter or the quantizer's preparation stumble over."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.formats import onnx
from edgekd.nets import programs
from edgekd.plugins import Conversion
from edgekd.results import Signature, TensorSpec


class Sentences(nn.Module):
    """Its output is called as its first layer's value is."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(20, 8), nn.Linear(8, 4)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        return {"embedding": self.head(self.table(ids).mean(1))}


class Pyramid(nn.Module):
    """Resizes to twice the size of a picture whose size the quantizer does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.side = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        one = self.one(image)
        x = self.side(one) + F.interpolate(self.two(F.relu(one)), scale_factor=2.0, mode="nearest")
        return {"scores": x.permute(0, 2, 3, 1).reshape(image.shape[0], -1, 4)}


NETS = {
    "embedding": (Sentences, TensorSpec(name="ids", shape=(-1, 6), dtype="int64"), (-1, 4)),
    "scores": (Pyramid, TensorSpec(name="image", shape=(-1, 3, 16, 16)), (-1, 128, 4)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "precision", "far"), [("embedding", "float32", 1e-5), ("scores", "int8", 0.05)])
def test_a_file_gives_what_torch_gives(
    name: str, precision: str, far: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    kind, spec, shape = NETS[name]
    net, random = kind().eval(), np.random.default_rng(0)
    ids = random.integers(0, 20, (16, *spec.shape[1:]))
    rows = {spec.name: ids if spec.dtype == "int64" else random.normal(size=ids.shape).astype(np.float32)}
    signature = Signature(inputs=(spec,), outputs=(TensorSpec(name=name, shape=shape),))
    program, signature = programs.trace(net, signature, {key: v[:3] for key, v in rows.items()}, "student")
    programs.write(program, tmp_path / "student.pt2")
    monkeypatch.chdir(here := Path(tempfile.mkdtemp(dir=tmp_path)))
    made = onnx.convert(Conversion(tmp_path / "student.pt2", signature, precision, rows, tmp_path))
    assert not list(here.iterdir()), "the converter's leftovers"
    session = onnxruntime.InferenceSession(tmp_path / made.name, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == [name]
    with torch.no_grad():
        wanted = net(*(torch.from_numpy(values) for values in rows.values()))[name].numpy()
    (found,) = session.run(None, rows)
    assert np.linalg.norm(found - wanted) <= far * np.linalg.norm(wanted)
    assert made.layers[name] in {str(one) for one in program.graph_signature.user_outputs}
