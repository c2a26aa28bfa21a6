"""Diff: a made-up format with a known fault, then real files with a weight changed in the middle of each."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgekd import files, jobs, plugins
from edgekd.errors import DeviceError, EdgekdError, NotVerified, UsageError
from edgekd.nets import layers, programs
from edgekd.plugins import Opened
from edgekd.results import Artifact, Diffed, Layer, Preprocess, Program, Signature, Size, TensorSpec
from edgekd.runtimes import preprocess
from edgekd.spec import Device, UserFile
from edgekd.stages import diff
from edgekd.steps import Diff
from edgekd.workspace import Workspace, locate
from tests import altered
from tests import converted as toy

pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")

Made = Callable[[str], Path]
HOW = Preprocess(canvas=8, size=8, channels="gray", filter="bilinear", mean=(0.5,), std=(0.25,))
SIGNATURE = Signature(
    inputs=(TensorSpec(name="image", shape=(-1, 1, 8, 8), preprocess=HOW),),
    outputs=(TensorSpec(name="logits", shape=(-1, 3)),),
    classes=("a", "b", "c"),
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3, padding=1), nn.Linear(6, 3)
        self.register_buffer("scale", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, image):
        x = F.relu(self.conv2(F.relu(self.conv1(image)))).flatten(2).mean(2)
        return self.head(F.dropout(x, 0.5, self.training)) * (self.scale + 1)


NODES = ("conv2d", "relu", "conv2d_1", "relu_1", "mean", "linear", "mul")


class Bench:
    """A real program, and a made-up format whose file holds the values that a test says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        torch.set_num_threads(1)  # as the stage, or sums differ in their last bits
        torch.manual_seed(0)
        raw = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1)).astype(np.uint8)
        inputs = preprocess.prepare(raw, HOW.model_dump(mode="json"))
        exported, signature = programs.trace(Net().eval(), SIGNATURE, {"image": inputs[:3]}, "here")
        out = toy.entry(folder, "program")
        programs.write(exported, out.path("student.pt2"))
        np.savez(out.path("golden.npz"), **{"raw:image": raw, "input:image": inputs})
        golden = out.file("golden.npz")
        self.program = Program(
            file=out.file("student.pt2"), signature=signature, golden=golden, reference=golden,
            size=Size(params=1, macs=1), digest="d" * 64, trained=True,
        )  # fmt: skip
        self.said = layers.values(exported, [inputs])
        self.given: dict[str, Any] = {}
        # tensor of the made-up file -> node, and its values there
        self.named = {f"t.{node}": node for node in NODES}
        self.values: dict[str, np.ndarray] = {f"t.{node}": self.said[node] for node in NODES}
        self.shown = dict(self.named)
        self.specs: dict[str, dict[str, Any]] = {}
        monkeypatch.setattr(plugins, "find", self._find)

    def _find(self, kind: str, name: str) -> Any:
        return SimpleNamespace(opened=self._opened, evaluator=self._evaluator)

    def _opened(self, file: Path, signature: Signature, named: Mapping[str, str], folder: Path) -> Opened:
        self.given |= {"file": file, "named": dict(named)}
        (folder / "opened.fake").write_bytes(b"large")
        inner = (TensorSpec(name=name, shape=(-1,), **self.specs.get(name, {})) for name in self.shown)
        return Opened("opened.fake", signature.model_copy(update={"outputs": (*signature.outputs, *inner)}), self.shown)

    def _evaluator(self, file: Path, signature: Signature) -> Any:
        assert file.read_bytes() == b"large"

        def evaluate(inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
            self.given["inputs"] = inputs
            return {**self.values, "logits": self.said["mul"]}

        return evaluate

    def artifact(self, precision: str = "float32", **changes: Any) -> Artifact:
        out = toy.entry(self.folder, "artifact")
        out.path("student.fake").write_bytes(b"a file")
        files.write(out.path("layers.json"), str(self.named).replace("'", '"'))
        made = Artifact(
            file=out.file("student.fake"), format="coreml", precision=precision, signature=self.program.signature,
            golden=self.program.golden, size=1, graph="d" * 64, made_by="nobody", layers=out.file("layers.json"),
        )  # fmt: skip
        return made.model_copy(update=changes)

    def diff(self, precision: str = "float32", runtime: str = "", **changes: Any) -> Diffed:
        file = changes.pop("file", None)
        step = Diff(
            program=self.program, artifact=self.artifact(precision, **changes), device=Device(), fingerprint="f",
            runtime=runtime, file=file,
        )  # fmt: skip
        self.out = Workspace(self.folder / "diff", self.folder / "entries", "d" * 64)
        self.out.folder.mkdir()
        return diff.run(step, self.out)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def by_node(found: Diffed) -> dict[str, Layer]:
    return {layer.node: layer for layer in found.layers}


def noise(values: np.ndarray, decibels: float, seed: int = 0) -> np.ndarray:
    """Values with noise so many dB below them."""
    random = np.random.default_rng(seed).normal(size=values.shape)
    return values + random * np.linalg.norm(values) / np.linalg.norm(random) / 10 ** (decibels / 20)


def test_a_format_that_hides_its_inner_values_says_so_and_runs_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = replace(plugins.declared("formats", "coreml"), unopened="its runtime gives outputs alone")
    monkeypatch.setattr(plugins, "declared", lambda kind, name: known)
    found = bench.diff()
    assert (found.basis, found.why, found.layers) == ("not measured", "its runtime gives outputs alone", ())
    assert bench.given == {}


def test_a_file_that_agrees_has_no_divergent_layer(bench: Bench) -> None:
    found = bench.diff()
    assert (found.first, found.worst, found.cause, found.advice) == (None, (), "", "")
    assert [layer.node for layer in found.layers] == list(NODES)
    assert all(layer.snr == float("inf") and layer.lost == 0 for layer in found.layers)
    assert (found.basis, found.samples, found.threshold, found.altered) == ("reference", 8, 60.0, False)
    assert "evaluated by their definitions" in found.why
    assert [one.operator for one in found.hidden] == ["add"]
    assert Diffed.model_validate_json(found.model_dump_json()) == found
    assert [path.name for path in bench.out.folder.iterdir() if path.suffix != ".json"] == ["values.npz"]


def test_the_first_divergent_layer_is_named_as_the_user_named_it(bench: Bench) -> None:
    for node in ("conv2d_1", "relu_1", "mean", "linear", "mul"):
        bench.values[f"t.{node}"] = noise(bench.said[node], 20)
    found = bench.diff()
    assert found.first == "conv2d_1" and found.worst[0] == "conv2d_1"
    layer = by_node(found)["conv2d_1"]
    assert (layer.name, layer.module, layer.kind, layer.operator) == ("conv2", "conv2", "Conv2d", "conv2d")
    assert (layer.tensor, layer.shape) == ("t.conv2d_1", (6, 6, 6))
    assert layer.snr == pytest.approx(20, abs=0.01) and layer.lost == pytest.approx(100, abs=0.01)
    assert found.cause.startswith("no known cause: what it takes in is right")


def test_a_file_with_channels_last_is_read_as_such(bench: Bench) -> None:
    for node in ("conv2d", "relu", "conv2d_1", "relu_1"):
        bench.values[f"t.{node}"] = np.moveaxis(bench.said[node], 1, -1)
    found = bench.diff()
    assert found.first is None and len(found.layers) == len(NODES)  # relu_1 and conv2d_1 are 6 x 6 x 6
    assert by_node(found)["conv2d_1"].snr == float("inf")


def test_one_square_tensor_with_its_axes_moved_is_a_divergence_with_that_cause(bench: Bench) -> None:
    bench.values["t.relu_1"] = np.moveaxis(bench.said["relu_1"], 1, -1)
    found = bench.diff()
    assert found.first == "relu_1" and "another order of axes" in found.cause


def test_what_cannot_be_seen_is_told_with_the_reason(bench: Bench) -> None:
    for node in ("conv2d", "relu"):
        del bench.named[f"t.{node}"], bench.shown[f"t.{node}"]
    del bench.shown["t.conv2d_1"]
    bench.values["t.mean"] = bench.said["mean"][:, :5]
    found = bench.diff()
    why = {one.node: one.why for one in found.hidden}
    assert why == {
        "conv2d": "it has no tensor of its own: fused into relu_1, which follows",
        "relu": "it has no tensor of its own: fused into relu_1, which follows",
        "conv2d_1": "the runtime hides it",
        "mean": "its tensor has the shape 5 in the file and 6 in torch",
        "add": "the converter folded it: it does not depend on the inputs",
    }
    assert {one.node: (one.name, one.module) for one in found.hidden}["conv2d_1"] == ("conv2", "conv2")
    assert by_node(found)["relu_1"].name == "conv1 + relu + conv2 + relu_1"
    assert by_node(found)["relu_1"].inside == ("conv2d", "relu", "conv2d_1", "relu_1")


def test_a_tail_that_nothing_shows_is_told_too(bench: Bench) -> None:
    bench.shown = bench.named = {"t.relu": "relu"}
    why = {one.node: one.why for one in bench.diff().hidden}
    assert why["mul"] == "no tensor of the file holds it" and why["conv2d"].endswith("fused into relu, which follows")


def test_values_of_each_layer_are_kept_with_their_extremes(bench: Bench) -> None:
    wrong = bench.said["relu_1"].copy()
    wrong.reshape(-1)[778] += 5
    bench.values["t.relu_1"] = wrong
    found = bench.diff()
    assert found.values is not None
    with np.load(bench.out.path(found.values.name)) as kept:
        assert set(kept.files) == {f"{side}:{node}" for side in ("torch", "file") for node in NODES}
        ours, theirs = kept["torch:relu_1"], kept["file:relu_1"]
    assert diff.KEPT <= len(ours) <= diff.KEPT + 3 and ours.max() == bench.said["relu_1"].max()
    assert np.abs(ours - theirs).max() == pytest.approx(5)


def test_clipping_is_seen_by_the_scale_that_the_file_gives(bench: Bench) -> None:
    values = bench.said["relu_1"]
    top = float(np.quantile(values, 0.9))
    bench.values["t.relu_1"] = np.clip(np.rint(values / (top / 255)), 0, 255) * (top / 255)
    bench.specs["t.relu_1"] = {"dtype": "uint8", "scale": top / 255, "zero_point": 0}
    for node in ("mean", "linear", "mul"):
        bench.values[f"t.{node}"] = noise(bench.said[node], 10)
    found = bench.diff("int8")
    layer = by_node(found)["relu_1"]
    assert layer.clipped == pytest.approx(0.1, abs=0.01) and found.threshold == 15.0
    assert found.first == "relu_1" and "beyond the range that calibration found" in found.cause


def test_a_value_that_is_no_end_of_the_files_range_clips_nothing(bench: Bench) -> None:
    values = bench.said["relu_1"]
    step = float(values.max()) / 255
    bench.values["t.relu_1"] = np.clip(np.rint(values / step), 0, 100) * step
    assert by_node(bench.diff("int8"))["relu_1"].clipped > 0.01, "as far as its values show"
    bench.out.path("values.npz").unlink()
    bench.out.path("progress.json").unlink()
    bench.out.folder.rmdir()
    bench.specs["t.relu_1"] = {"dtype": "uint8", "scale": step, "zero_point": 0}
    assert by_node(bench.diff("int8"))["relu_1"].clipped == 0.0, "the file says that it goes on"


def test_each_side_gets_the_samples_as_it_wants_them(bench: Bench) -> None:
    how = HOW.model_copy(update={"layout": "NHWC", "mean": (0.0,), "std": (1.0,)})
    image = TensorSpec(name="image", shape=(1, 8, 8, 1), preprocess=how)
    found = bench.diff(signature=SIGNATURE.model_copy(update={"inputs": (image,)}))
    given = bench.given["inputs"]["image"]
    assert given.shape == (8, 8, 8, 1) and 0 <= given.min() < given.max() <= 1
    assert found.first is None, "torch has its own"


def test_a_changed_file_is_compared_in_place_of_the_stores(bench: Bench, tmp_path: Path) -> None:
    own = tmp_path / "mine.fake"
    own.write_bytes(b"changed")
    bench.values["t.mul"] = noise(bench.said["mul"], 3)
    found = bench.diff(file=UserFile(path=str(own), sha256=files.digest(own)))
    assert found.altered and bench.given["file"] == own and "changed afterwards" in found.cause


def test_a_file_that_does_not_open_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Opened:
        raise ValueError("no such tensor")

    monkeypatch.setattr(bench, "_opened", broken)
    with pytest.raises(EdgekdError, match=r"student\.fake cannot be opened: ValueError: no such tensor"):
        bench.diff()


def test_where_nothing_runs_the_file_the_reason_is_given(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_rule(*_: Any) -> Any:
        raise NotVerified("no rule for lstm")

    monkeypatch.setattr(bench, "_evaluator", without_rule)
    found = bench.diff()
    assert (found.basis, found.why, found.layers, found.first) == ("not measured", "no rule for lstm", (), None)
    (bench.out.folder / "progress.json").unlink(missing_ok=True)
    bench.out.folder.rmdir()
    assert "onnx has no runtime here" in bench.diff(format="onnx").why


def test_values_that_a_runtime_keeps_to_itself_are_those_of_what_the_file_was_made_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, evaluate = bench._opened, bench._evaluator

    def inside(*given: Any) -> Opened:
        made = opened(*given)
        return replace(made, evaluate=evaluate(given[3] / made.name, made.signature))

    monkeypatch.setattr(bench, "_opened", inside)
    bench.values["t.conv2d_1"] = noise(bench.said["conv2d_1"], 10)
    found = bench.diff()
    assert (found.basis, found.first) == ("reference", "conv2d_1")
    assert found.why == "the coreml runtime shows outputs alone, so torch ran what the file was made of"


def test_how_far_the_file_itself_is_from_what_it_was_made_of_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, evaluate = bench._opened, bench._evaluator

    def inside(*given: Any) -> Opened:
        made = opened(*given)
        return replace(made, evaluate=evaluate(given[3] / made.name, made.signature))

    said = bench.said["mul"]

    def ran(step: Diff, out: Workspace, artifact: Artifact, model: Path, inputs: Any) -> Any:
        assert model.read_bytes() == b"a file" and artifact.signature == bench.program.signature
        return "measured", "", {"logits": said}

    monkeypatch.setattr(bench, "_opened", inside)
    monkeypatch.setattr(diff, "_by_runtime", ran)
    assert bench.diff(runtime="1").why.endswith("what the file was made of; its outputs are the file's own")
    shutil.rmtree(bench.out.folder)
    said = noise(said, 30)
    assert bench.diff(runtime="1").why.endswith("; its outputs are 30 dB from the file's own")


def test_an_artifact_without_a_record_of_its_layers_is_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match=r"did not record which tensor is which layer.*Build the run again"):
        bench.diff(layers=None)


def test_a_program_that_is_an_onnx_file_is_refused(bench: Bench) -> None:
    named = bench.program.file.model_copy(update={"name": "student.onnx"})
    bench.program = bench.program.model_copy(update={"file": named})
    with pytest.raises(UsageError, match="made from an ONNX file"):
        bench.diff()


# -- real files --


def asked(folder: Path, format: str, net: str, precision: str, file: Path | None = None) -> Diff:
    facts = jobs.Reached(Device()).facts()
    changed = UserFile(path=str(file), sha256=files.digest(file)) if file else None
    return Diff(
        program=toy.program(folder, net), artifact=toy.artifact(folder, format, net, precision), device=Device(),
        fingerprint=facts.fingerprint, runtime=facts.runtimes.get(format, ""), file=changed,
    )  # fmt: skip


def answered(folder: Path, step: Diff, place: Path) -> Diffed:
    place.mkdir()
    return diff.run(step, Workspace(place, folder / "entries", "d" * 64))


FORMATS = [n for n in plugins.names("formats") if "\ndef opened(" in plugins.declared("formats", n).file.read_text()]
each_format = pytest.mark.parametrize("format", FORMATS)
# a file that is looked into by what was kept beside it shows nothing once it was changed
each_that_opens_any = pytest.mark.parametrize(
    "format", [n for n in FORMATS if not plugins.declared("formats", n).beside]
)


# the contract of formats looks at every tensor of every conversion; here a few must do
@each_format
@pytest.mark.parametrize("name", ["images-int8", "words-float32"])
def test_real_files_diverge_nowhere(format: str, name: str, converted: Made, tmp_path: Path) -> None:
    folder, (net, precision) = converted(format), name.split("-", 1)
    found = answered(folder, asked(folder, format, net, precision), tmp_path / "diff")
    assert found.first is None and found.basis in ("measured", "reference"), found
    assert len(found.layers) >= 4 and found.layers[-1].module in ("", "head")
    assert all(layer.snr >= found.threshold for layer in found.layers)


@each_that_opens_any
@pytest.mark.parametrize(
    ("net", "precision", "layer"),
    [
        ("images", "float32", "conv2"),
        ("words", "int8", "inner"),
        pytest.param("images", "int8", "conv2", marks=pytest.mark.slow),
        pytest.param("words", "float32", "inner", marks=pytest.mark.slow),
    ],
)
def test_a_weight_that_was_changed_in_a_file_is_found(
    format: str, net: str, precision: str, layer: str, converted: Made, tmp_path: Path
) -> None:
    """The weight's values are put in another order: exactly this layer is the first divergent one."""
    folder = converted(format)
    made = toy.artifact(folder, format, net, precision)
    file = altered.weight(format, locate(folder / "entries", made.file), tmp_path, 1)
    found = answered(folder, asked(folder, format, net, precision, file), tmp_path / "diff")
    named = by_node(found)
    assert found.altered and found.first is not None
    first = named[found.first]
    assert layer in first.name.split(" + "), first.name
    assert first.snr < found.threshold and found.first in found.worst
    earlier = found.layers[: found.layers.index(first)]
    assert earlier and all(one.snr >= found.threshold for one in earlier)


def test_a_runtime_of_another_version_is_refused(converted: Made, tmp_path: Path) -> None:
    folder = converted("onnx")
    step = asked(folder, "onnx", "words", "float32").model_copy(update={"runtime": "0.1"})
    with pytest.raises(DeviceError, match=r"the onnx runtime of .* but the build began with 0\.1"):
        answered(folder, step, tmp_path / "diff")


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with one channel 300 times wider than the others, as an int8 file."""
    folder = tmp_path_factory.mktemp("spread")
    for part in (("program", "spread"), ("onnx", "spread-int8")):
        command = [sys.executable, "-m", "tests.converted", str(folder), *part]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_channels_of_unequal_width_are_the_cause_in_int8(spread: Path, tmp_path: Path) -> None:
    found = answered(spread, asked(spread, "onnx", "spread", "int8"), tmp_path / "diff")
    named = by_node(found)
    worst = [named[node] for node in found.worst]
    (wide,) = [layer for layer in worst if "inner" in layer.name.split(" + ")]
    assert wide.channels is not None and wide.channels > 100
    assert found.first == worst[0].node and named[found.first].name == "head"
    assert f"a channel of {wide.name} has weights" in found.cause and "Equalize" in found.advice


def test_the_same_network_with_equal_channels_has_no_such_cause(converted: Made, tmp_path: Path) -> None:
    folder = converted("onnx")
    found = answered(folder, asked(folder, "onnx", "words", "int8"), tmp_path / "diff")
    assert found.cause == "" and max(layer.channels or 0 for layer in found.layers) < 2
