"""What every format must do: each precision, on images and on ids with a mask, in its own runtime, as torch says."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekd import files, plugins
from edgekd.results import Artifact, Program
from edgekd.views import Feed
from edgekd.workspace import Workspace, locate
from tests import converted as toy

NETS = ("images", "words")
PRECISIONS = {"float32", "float16", "int8"}
# largest difference from torch, as a share of torch's largest output; the toys have few and coarse activations
TOLERANCE = {"float32": 1e-5, "float16": 3e-3, "int8": 5e-2}
Made = Callable[[str], Path]

each_format = pytest.mark.parametrize("format", plugins.names("formats"))
each_conversion = pytest.mark.parametrize("net, precision", [name.split("-") for name in toy.CONVERSIONS])


def runs_here(format: str) -> bool:
    """Core ML runs on macOS only; its files are looked into in tests/test_formats.py."""
    return format != "coreml" or sys.platform == "darwin"


def outputs(folder: Path, made: Artifact, program: Program, net: str, batch: int) -> np.ndarray:
    """Run the whole validation part in the format's own runtime."""
    runtime = importlib.import_module(f"edgekd.runtimes.{made.format}")
    model = runtime.load(locate(folder / "entries", made.file), 1, made.signature.model_dump(mode="json"), batch)
    space = Workspace(folder, folder / "entries", "0" * 64)
    feed = Feed(space, toy.splits(folder)[net], "validation", made.signature, augment=False, seed=0)
    found = []
    for start in range(0, feed.count, model.batch):
        inputs = feed.batch(np.arange(start, min(start + model.batch, feed.count)))
        model.feed([inputs[spec.name] for spec in made.signature.inputs])
        model.invoke()
        found.append(np.array(model.outputs()[0]))
    return np.concatenate(found)


@each_format
def test_it_declares_itself(format: str) -> None:
    declared = plugins.declared("formats", format)
    assert declared.version >= 1 and declared.packages and declared.extra and declared.summary
    assert set(declared.precisions) <= PRECISIONS and "float32" in declared.precisions
    assert format in plugins.names("runtimes")


@each_format
@each_conversion
def test_the_artifact_says_what_it_is(format: str, net: str, precision: str, converted: Made) -> None:
    folder = converted(format)
    made, program = toy.artifact(folder, format, net, precision), toy.program(folder, net)
    path = locate(folder / "entries", made.file)
    assert (made.format, made.precision, made.graph, made.golden) == (format, precision, program.digest, program.golden)
    assert made.size == files.size(path) and made.file.sha256 == files.digest(path)
    assert made.made_by and any(character.isdigit() for character in made.made_by)
    assert [p.name for p in path.parent.iterdir()] == [made.file.name], "nothing temporary is left"
    assert [s.name for s in made.signature.inputs] == [s.name for s in program.signature.inputs]
    assert [s.preprocess for s in made.signature.inputs] == [s.preprocess for s in program.signature.inputs]
    assert made.signature.outputs[0].name == "logits" and made.signature.classes == program.signature.classes
    assert len({s.shape[0] for s in (*made.signature.inputs, *made.signature.outputs)}) == 1
    assert made.signature.inputs[0].shape[0] in (-1, 1)


@each_format
@each_conversion
def test_it_holds_no_path_of_this_machine(format: str, net: str, precision: str, converted: Made) -> None:
    folder = converted(format)
    path = locate(folder / "entries", toy.artifact(folder, format, net, precision).file)
    content = b"".join(p.read_bytes() for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file())
    for secret in (str(Path.cwd()), str(folder), sys.prefix, "site-packages"):
        assert secret.encode() not in content


@each_format
@each_conversion
def test_its_outputs_are_those_of_torch(format: str, net: str, precision: str, converted: Made) -> None:
    if not runs_here(format):
        pytest.skip("Core ML runs on macOS only")
    folder = converted(format)
    made, program = toy.artifact(folder, format, net, precision), toy.program(folder, net)
    reference = np.load(locate(folder / "entries", program.reference), allow_pickle=False)
    # one by one as an application runs it, then several at once
    found = outputs(folder, made, program, net, batch=1)
    assert found.dtype == np.float32 and found.shape == reference.shape
    assert np.abs(found - reference).max() <= TOLERANCE[precision] * np.abs(reference).max()
    if made.signature.inputs[0].shape[0] == -1:
        np.testing.assert_allclose(outputs(folder, made, program, net, batch=16), found, atol=1e-2)


@each_format
def test_fewer_bits_change_the_outputs(format: str, converted: Made) -> None:
    if not runs_here(format):
        pytest.skip("Core ML runs on macOS only")
    folder = converted(format)
    found = {}
    for precision in PRECISIONS:
        made = toy.artifact(folder, format, "images", precision)
        found[precision] = outputs(folder, made, toy.program(folder, "images"), "images", batch=1)
    assert not np.array_equal(found["float32"], found["float16"])
    assert not np.array_equal(found["float16"], found["int8"])


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_fresh_process_makes_the_same_bytes(format: str, converted: Made, tmp_path: Path) -> None:
    first = converted(format)
    for part, wanted in (("program", ()), (format, ("images-int8",))):
        command = [sys.executable, "-m", "tests.converted", str(tmp_path), part, *wanted]
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True)
    for net in NETS:
        one, two = toy.program(first, net), toy.program(tmp_path, net)
        assert (one.file, one.reference, one.golden, one.digest) == (two.file, two.reference, two.golden, two.digest)
    one, two = (toy.artifact(folder, format, "images", "int8") for folder in (first, tmp_path))
    assert one == two
