"""ExecuTorch files: what stays float, what has nothing to quantize, and what the runtime tells and keeps to itself."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd import plugins
from edgekd.errors import EdgekdError, Unsuited
from edgekd.nets import programs
from edgekd.plugins import Conversion
from edgekd.results import Signature, TensorSpec
from edgekd.runtimes.fault import Fault
from edgekd.workspace import locate
from tests import converted as toy
from tests import plugged

NAME = "executorch"
Made = Callable[[str], Path]
pytestmark = [
    pytest.mark.skipif(bool(plugged.absent(NAME)), reason=plugged.absent(NAME)),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
]


@pytest.fixture(scope="module")
def runtime() -> Any:
    return importlib.import_module(f"edgekd.runtimes.{NAME}")


def file(converted: Made, name: str) -> tuple[Path, dict[str, Any]]:
    folder = converted(NAME)
    made = toy.artifact(folder, NAME, *name.split("-", 1))
    return locate(folder / "entries", made.file), made.signature.model_dump(mode="json")


def test_the_file_is_for_one_sample_and_its_layers_are_beside_it(converted: Made) -> None:
    made = toy.artifact(converted(NAME), NAME, "images", "float32")
    assert made.file.name == "student.pte" and made.signature.inputs[0].shape[0] == 1
    assert any("one sample at a time" in note for note in made.notes)
    folder = locate(converted(NAME) / "entries", made.file).parent
    assert (folder / "layers.pt2").is_file() and "relu6" in (folder / "layers.json").read_text(encoding="utf-8")


def test_a_file_that_was_made_elsewhere_shows_no_layers(converted: Made, tmp_path: Path) -> None:
    made = toy.artifact(converted(NAME), NAME, "images", "float32")
    (tmp_path / "mine.pte").write_bytes(b"")
    with pytest.raises(EdgekdError, match=r"layers\.pt2 is not there: XNNPACK shows no layers of .*mine\.pte"):
        plugins.find("formats", NAME).opened(tmp_path / "mine.pte", made.signature, {}, tmp_path)


def test_a_broken_file_is_told_in_the_runtimes_own_words(runtime: Any, tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "student.pte"
    path.write_bytes(b"not a program of ExecuTorch" * 20)
    with pytest.raises(Fault, match=r"student\.pte does not run in ExecuTorch: .*Program identifier"):
        runtime.load(path, 1, {}, 1)
    assert capfd.readouterr().err == ""


def test_inputs_of_another_shape_or_type_are_refused(runtime: Any, converted: Made) -> None:
    path, signature = file(converted, "images-float32")
    for change in ({"shape": [1, 1, 8, 8]}, {"dtype": "int64"}):
        other = {**signature, "inputs": [{**signature["inputs"][0], **change}]}
        with pytest.raises(Fault, match="the signature's inputs are not those of the file: image is float32"):
            runtime.load(path, 1, other, 1)


@pytest.mark.parametrize("name", ["images-float32", "images-int8"])
def test_the_trace_tells_partitions_and_portable_kernels(runtime: Any, converted: Made, name: str, capfd: Any) -> None:
    path, signature = file(converted, name)
    model = runtime.profiled(path, 1, signature, 1)
    for _ in range(4):
        model.feed([np.ones((1, 1, 16, 16), np.float32)])
        model.invoke()
    told = model.placed()
    assert capfd.readouterr().err == "" and model.notes == {"threads": 1}
    kinds = {one["kind"]: one for one in told["operators"]}
    assert {"Convolution", "Fully Connected", "mean"} <= set(kinds) and told["partitions"] >= 2
    assert kinds["Convolution"]["wanted"] and kinds["Convolution"]["kernel"].startswith("XNNPACK Convolution (NHWC")
    assert ("QC8" in kinds["Convolution"]["kernel"]) == (name == "images-int8")
    # torch asks for a mean without the two dimensions, and XNNPACK has one that keeps them
    assert not kinds["mean"]["wanted"] and kinds["mean"]["kernel"] == "portable aten::mean.out"
    made = {name for one in told["operators"] for name in one["gives"]}
    # the first reads the input, and one the factor of 5, which is a constant of another type
    begin = [one["kind"] for one in told["operators"] if not set(one["takes"]) & made]
    assert len(begin) <= 2 < len(told["operators"])
    assert all(one["seconds"] is not None for one in told["operators"])


@pytest.mark.slow
def test_operators_that_stay_float_bring_the_outputs_nearer(runtime: Any, converted: Made, tmp_path: Path) -> None:
    folder = converted(NAME)
    program = toy.program(folder, "words")
    source = locate(folder / "entries", program.file)
    nodes = frozenset(node.name for node in programs.load(source).graph.nodes if "linear" in node.name)
    samples = toy.samples(folder, "words", program.signature, 40)
    reference = np.load(locate(folder / "entries", program.reference), allow_pickle=False)
    gaps = []
    for in_float in (frozenset(), nodes):
        work = tmp_path / str(len(in_float))
        work.mkdir()
        conversion = Conversion(source, program.signature, "int8", samples, work, in_float=in_float)
        made = plugins.find("formats", NAME).convert(conversion)
        assert any(note.endswith(f"accuracy: {len(nodes)}.") for note in made.notes) == bool(in_float)
        model = runtime.load(work / made.name, 1, made.signature.model_dump(mode="json"), 1)
        found = []
        for i in range(20):
            model.feed([samples[spec.name][i : i + 1] for spec in program.signature.inputs])
            model.invoke()
            found.append(model.outputs()[0])
        gaps.append(np.abs(np.concatenate(found) - reference[:20]).max())
    assert gaps[1] < 0.75 * gaps[0]


@pytest.mark.slow
def test_what_is_computed_as_one_stays_float_as_one(converted: Made, tmp_path: Path) -> None:
    folder = converted(NAME)
    program = toy.program(folder, "images")
    source, samples = locate(folder / "entries", program.file), toy.samples(folder, "images", program.signature, 8)
    conversion = Conversion(source, program.signature, "int8", samples, tmp_path, in_float=frozenset({"relu6"}))
    made = plugins.find("formats", NAME).convert(conversion)
    # the convolution, its norm and the activation
    assert "Operators that stay float32, for the sake of accuracy: 3." in made.notes


@pytest.mark.slow
def test_a_network_without_an_8_bit_operator_is_unsuited(tmp_path: Path) -> None:
    torch = importlib.import_module("torch")
    wanted = Signature(
        inputs=(TensorSpec(name="x", shape=(-1, 4)),), outputs=(TensorSpec(name="logits", shape=(-1, 4)),)
    )
    rows = {"x": np.ones((3, 4), np.float32)}
    program, given = programs.trace(torch.nn.Softmax(-1), wanted, rows, "here")
    programs.write(program, tmp_path / "program.pt2")
    with pytest.raises(Unsuited, match="no operator of this network can compute in 8 bits"):
        plugins.find("formats", NAME).convert(Conversion(tmp_path / "program.pt2", given, "int8", rows, tmp_path))


def int8(network: Any, rows: np.ndarray, folder: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """What 8 bits make of a network: what is known of the file, its outputs for a sample, and those of torch."""
    torch = importlib.import_module("torch")
    kind = str(rows.dtype)
    wanted = Signature(
        inputs=(TensorSpec(name="x", shape=(-1, *rows.shape[1:]), dtype=kind),),
        outputs=(TensorSpec(name="logits", shape=(-1, 4)),),
    )
    torch.manual_seed(0)
    program, given = programs.trace(network.eval(), wanted, {"x": rows[:3]}, "here")
    programs.write(program, folder / "program.pt2")
    made = plugins.find("formats", NAME).convert(Conversion(folder / "program.pt2", given, "int8", {"x": rows}, folder))
    runtime = importlib.import_module(f"edgekd.runtimes.{NAME}")
    model = runtime.load(folder / made.name, 1, made.signature.model_dump(mode="json"), 1)
    model.feed([rows[:1]])
    model.invoke()
    return made, model.outputs()[0], network(torch.tensor(rows[:1])).detach().numpy()


def near(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())


NOISE = np.random.default_rng(0).normal(size=(32, 3, 8, 8)).astype(np.float32)
IDS = np.random.default_rng(0).integers(0, 18, (32, 5))


def places(torch: Any) -> Any:
    class Places(torch.nn.Module):
        """Sums and products of ids before the table that they choose from, as text models have them."""

        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = torch.nn.Embedding(40, 8), torch.nn.Linear(8, 4)

        def forward(self, ids: Any) -> Any:
            return self.head(self.table((ids + 1) * 2).mean(1))

    return Places()


def shared(torch: Any) -> Any:
    class Shared(torch.nn.Module):
        """One layer that is used twice, as the heads of detectors are."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.twice = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, image: Any) -> Any:
            return self.twice(torch.relu(self.twice(self.first(image)))).mean((2, 3))

    return Shared()


def two_readers(torch: Any) -> Any:
    class Dense(torch.nn.Module):
        """A convolution that a norm reads and a concatenation too, as DenseNet has them."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2)
            self.norm.running_mean.fill_(-3.0)
            self.norm.weight.data.fill_(4.0)

        def forward(self, image: Any) -> Any:
            x = self.first(image)
            return torch.cat([x, torch.relu(self.norm(x))], 1).mean((2, 3))

    return Dense()


def one_number(torch: Any) -> Any:
    class Skips(torch.nn.Module):
        """A sum that begins with a number without dimensions, as WaveNet's skips do."""

        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(3, 4, 1)

        def forward(self, image: Any) -> Any:
            total = torch.zeros(())
            for layer in (self.one, self.other):
                total = total + layer(image)
            return total.mean((2, 3))

    return Skips()


def made_weight(torch: Any) -> Any:
    class Asked(torch.nn.Module):
        """Attention to another sequence, whose weights are parts of one, as DETR's decoder has it."""

        def __init__(self) -> None:
            super().__init__()
            self.questions = torch.nn.Parameter(torch.randn(6, 1, 8))
            self.first, self.attention = torch.nn.Conv2d(3, 8, 1), torch.nn.MultiheadAttention(8, 2)
            self.head = torch.nn.Linear(8, 4)

        def forward(self, image: Any) -> Any:
            seen = self.first(image).flatten(2).permute(2, 0, 1)
            asked = self.questions.expand(-1, seen.shape[1], -1)
            return self.head(self.attention(asked, seen, seen, need_weights=False)[0].mean(0))

    return Asked()


def mask(torch: Any) -> Any:
    class Masked(torch.nn.Module):
        """Scores with the least number of all where nothing is to be seen, as text encoders write their masks."""

        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = torch.nn.Embedding(40, 8), torch.nn.Linear(8, 4)

        def forward(self, ids: Any) -> Any:
            x = self.head(self.table(ids))
            hidden = (ids < 4).float()[..., None] * torch.finfo(torch.float32).min
            return torch.softmax(x + hidden + hidden, 1).mean(1) + torch.softmax(x, 1).amax(1)

    return Masked()


@pytest.mark.slow
@pytest.mark.parametrize("network", [places, shared, two_readers, one_number, made_weight, mask])
def test_what_the_quantizer_alone_gets_wrong(network: Any, tmp_path: Path) -> None:
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    made, found, expected = int8(network(torch), IDS if network in (places, mask) else NOISE, tmp_path)
    near(found, expected)
    assert any("a mask stay float32" in note for note in made.notes) == (network is mask)
