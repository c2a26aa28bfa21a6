"""What every format must do: each precision, on images and on ids with a mask, in its own runtime, as torch says."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from edgekd import files, plugins
from edgekd.litert import content as tflite
from edgekd.nets import layers, programs
from edgekd.results import Artifact, Program, Signature
from edgekd.runtimes import replay
from edgekd.samples.views import Feed
from edgekd.spec import Precision
from edgekd.workspace import Workspace, locate
from tests import converted as toy
from tests import plugged

PRECISIONS = ("float32", "float16", "int8")
# largest difference from torch, as a share of torch's largest output; the toys have few and coarse activations
TOLERANCE: dict[Precision, float] = {"float32": 1e-5, "float16": 3e-3, "int8": 5e-2}
TOLERANCE |= {"int8-full": 0.1, "int8-dynamic": 5e-2, "int8-weights": 3e-2, "int4-weights": 0.3, "palette4": 0.3}
Made = Callable[[str], Path]

each_format = pytest.mark.parametrize("format", plugins.names("formats"))
# where a runtime does not work on this system, files are evaluated by their definitions
RUNS = [name for name in plugins.names("formats") if plugged.runs(name)]
THAT_RUN = [n for n in plugins.names("formats") if n in RUNS or plugins.declared("formats", n).reference]
each_that_runs = pytest.mark.parametrize("format", THAT_RUN)
THAT_OPEN = [n for n in plugins.names("formats") if not plugins.declared("formats", n).unopened]
# operators whose values are to be seen in the files of the toy networks, whatever a converter fuses
SEEN = {"images": {"relu6", "mean", "mul"}, "words": {"embedding", "sum", "relu", "linear"}}
SEEN["raw"] = SEEN["images"]


def each_conversion_to(formats: Sequence[str]) -> pytest.MarkDecorator:
    """Every conversion of the toy networks to these formats."""
    cases = [(f, *name.split("-", 1)) for f in formats for name in toy.conversions(f)]
    return pytest.mark.parametrize("format, net, precision", cases)


each_conversion = each_conversion_to(plugins.names("formats"))


def outputs(folder: Path, made: Artifact, program: Program, net: str, batch: int) -> np.ndarray:
    """Run the whole validation part in the format's own runtime, or evaluate it where that cannot run."""
    space = Workspace(folder, folder / "entries", "0" * 64)
    feed = Feed(space, toy.splits(folder)[net], "validation", made.signature, augment=False, seed=0)
    if made.format not in RUNS:
        return evaluated(folder, made, feed)
    runtime = importlib.import_module(f"edgekd.runtimes.{made.format}")
    model = runtime.load(locate(folder / "entries", made.file), 1, made.signature.model_dump(mode="json"), batch)
    found = replay.outputs(model, made.signature.model_dump(mode="json"), feed.batch(np.arange(feed.count)))
    assert [values.dtype for values in model.outputs()] == [spec.dtype for spec in made.signature.outputs]
    return found[0]


def evaluated(folder: Path, made: Artifact, feed: Feed) -> np.ndarray:
    """What the format's reference evaluator says of the whole validation part."""
    evaluate = plugins.find("formats", made.format).evaluator(locate(folder / "entries", made.file), made.signature)
    return evaluate(feed.batch(np.arange(feed.count)))[made.signature.outputs[0].name]


@each_conversion_to([f for f in plugins.names("formats") if plugins.declared("formats", f).reference])
def test_its_reference_evaluator_says_what_torch_does(format: str, net: str, precision: str, converted: Made) -> None:
    folder = converted(format)
    made, program = toy.artifact(folder, format, net, precision), toy.program(folder, net)
    expected = np.load(locate(folder / "entries", program.reference), allow_pickle=False)
    space = Workspace(folder, folder / "entries", "0" * 64)
    found = evaluated(folder, made, Feed(space, toy.splits(folder)[net], "validation", made.signature, False, 0))
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE[made.precision] * np.abs(expected).max()


@pytest.mark.parametrize("format, conversion", [(f, one) for f in THAT_RUN for one in toy.routed(f)])
def test_a_second_way_to_lower_programs_computes_what_torch_does(format: str, conversion: str, converted: Made) -> None:
    folder, (net, _, way) = converted(format), conversion.partition("-")
    made, program = toy.artifact(folder, format, net, way), toy.program(folder, net)
    assert made.route == plugins.declared("formats", format).routes[1]
    first = toy.artifact(folder, format, net, way.partition("~")[0])
    assert (made.made_by, made.notes) != (first.made_by, first.notes)
    expected = np.load(locate(folder / "entries", program.reference), allow_pickle=False)
    found = outputs(folder, made, program, net, 1)
    assert np.abs(found - expected).max() <= TOLERANCE[made.precision] * np.abs(expected).max()


@each_format
def test_it_declares_itself(format: str) -> None:
    declared = plugins.declared("formats", format)
    assert declared.version >= 1 and declared.packages and declared.summary.endswith(".")
    assert declared.platforms and all(place.count("-") == 1 for place in declared.platforms)
    assert declared.suffixes and all(suffix.startswith(".") for suffix in declared.suffixes)
    assert {"convert"} <= declared.offers and ("opened" in declared.offers) != bool(declared.unopened)
    assert set(declared.precisions) <= set(get_args(Precision)) and "float32" in declared.precisions
    assert format in plugins.names("runtimes")
    assert declared.reference == ("evaluator" in declared.offers) and declared.placed == ("placed" in declared.offers)


@each_conversion
def test_the_artifact_says_what_it_is(format: str, net: str, precision: str, converted: Made) -> None:
    folder = converted(format)
    made, program = toy.artifact(folder, format, net, precision), toy.program(folder, net)
    path = locate(folder / "entries", made.file)
    assert (made.format, made.precision) == (format, precision.partition("@")[0])
    assert (made.graph, made.golden) == (program.digest, program.golden)
    assert made.size == files.size(path) and made.file.sha256 == files.digest(path)
    assert made.made_by and any(character.isdigit() for character in made.made_by)
    beside = {"layers.json", *plugins.declared("formats", format).beside}
    assert {p.name for p in path.parent.iterdir()} == {made.file.name, *beside}, "nothing temporary is left"
    assert [s.name for s in made.signature.inputs] == [s.name for s in program.signature.inputs]
    assert [s.preprocess for s in made.signature.inputs] == [s.preprocess for s in program.signature.inputs]
    assert made.signature.outputs[0].name == "logits" and made.signature.classes == program.signature.classes
    assert len({s.shape[0] for s in (*made.signature.inputs, *made.signature.outputs)}) == 1
    assert made.signature.inputs[0].shape[0] in (-1, 1)


@each_conversion
def test_it_holds_no_path_of_this_machine(format: str, net: str, precision: str, converted: Made) -> None:
    folder = converted(format)
    path = locate(folder / "entries", toy.artifact(folder, format, net, precision).file)
    content = b"".join(p.read_bytes() for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file())
    for secret in (str(Path.cwd()), str(folder), sys.prefix, "site-packages"):
        assert secret.encode() not in content


@each_conversion_to(THAT_OPEN)
def test_an_opened_copy_gives_what_torch_has_at_the_same_nodes(
    format: str, net: str, precision: str, converted: Made, tmp_path: Path
) -> None:
    folder = converted(format)
    made, program = toy.artifact(folder, format, net, precision), toy.program(folder, net)
    file = locate(folder / "entries", made.file)
    named = json.loads(locate(folder / "entries", made.layers).read_text())
    opened = plugins.find("formats", format).opened(file, made.signature, named, tmp_path)
    assert opened.signature.inputs == made.signature.inputs
    assert opened.signature.outputs[: len(made.signature.outputs)] == made.signature.outputs
    assert sorted(opened.layers.values()) == sorted(named.values())
    assert set(opened.layers) <= {spec.name for spec in opened.signature.outputs}

    samples = toy.samples(folder, net, made.signature, count=8)
    if opened.evaluate is not None:
        found = dict(opened.evaluate({s.name: samples[s.name].astype(s.dtype) for s in made.signature.inputs}))
    else:
        found = every_output(format, tmp_path / opened.name, opened.signature, samples)
    plain = every_output(format, file, made.signature, samples)
    torch_has = layers.values(
        programs.load(locate(folder / "entries", program.file)),
        [samples[s.name].astype(s.dtype) for s in program.signature.inputs],
    )
    for spec in made.signature.outputs:
        # torch rounds to another step than the runtime where a number is between two
        step = 1e-2 if opened.evaluate is None else 2e-2 * np.abs(plain[spec.name]).max()
        np.testing.assert_allclose(found[spec.name], plain[spec.name], atol=1e-5 if precision == "float32" else step)
    # convolution and mean, embedding and linear layers: enough to see where a difference begins
    assert len(opened.layers) >= len(SEEN[net]) and {named_after(n) for n in opened.layers.values()} >= SEEN[net]
    for output, node in opened.layers.items():
        value = laid_out(found[output], torch_has[node].shape)
        assert value.dtype == np.float32 and value.shape == torch_has[node].shape, (output, node)
        gap = np.abs(value - torch_has[node]).max()
        assert gap <= TOLERANCE[made.precision] * np.abs(torch_has[node]).max(), (output, node)


def laid_out(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A file's value in torch's layout: some formats keep channels last, or axes of one where torch has none."""
    without_ones = [size for size in shape if size != 1]
    if values.ndim > 2 and [size for size in values.shape if size != 1] != without_ones:
        values = np.moveaxis(values, -1, 1)
    return values.reshape(shape) if [size for size in values.shape if size != 1] == without_ones else values


def named_after(node: str) -> str:
    """The operator that a node is named after: conv2d_1 -> conv2d."""
    return re.sub(r"_\d+$", "", node)


def every_output(
    format: str, file: Path, signature: Signature, samples: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """All outputs of a file by name, one sample at a time."""
    if format not in RUNS:
        return dict(plugins.find("formats", format).evaluator(file, signature)(samples))
    runtime = importlib.import_module(f"edgekd.runtimes.{format}")
    model = runtime.load(file, 1, signature.model_dump(mode="json"), 1)
    found = replay.outputs(model, signature.model_dump(mode="json"), samples)
    return {spec.name: values for spec, values in zip(signature.outputs, found, strict=True)}


@each_conversion_to(THAT_RUN)
def test_its_outputs_are_those_of_torch(format: str, net: str, precision: str, converted: Made) -> None:
    folder = converted(format)
    made, program = toy.artifact(folder, format, net, precision), toy.program(folder, net)
    reference = np.load(locate(folder / "entries", program.reference), allow_pickle=False)
    # one by one as an application runs it, then several at once
    found = outputs(folder, made, program, net, batch=1)
    assert found.dtype == np.float32 and found.shape == reference.shape
    assert np.abs(found - reference).max() <= TOLERANCE[made.precision] * np.abs(reference).max()
    if made.signature.inputs[0].shape[0] == -1:
        np.testing.assert_allclose(outputs(folder, made, program, net, batch=16), found, atol=1e-2)


@each_that_runs
@pytest.mark.parametrize("precision, raw_precision", [("float32", "float32"), ("int8", "int8@base")])
def test_a_file_with_raw_input_gives_what_the_one_with_prepared_input_gives(
    format: str, precision: str, raw_precision: str, converted: Made
) -> None:
    folder = converted(format)
    prepared, raw = (toy.artifact(folder, format, *case) for case in (("images", precision), ("raw", raw_precision)))
    (spec,) = raw.signature.inputs
    assert (spec.dtype, spec.shape[1:], spec.preprocess) == ("uint8", (16, 16, 1), None)
    assert spec.inside == prepared.signature.inputs[0].preprocess
    assert any("takes raw pixels, uint8 of 16 x 16, gray" in note for note in raw.notes)
    assert not any("nputs and outputs" in note for note in raw.notes)
    one, other = (outputs(folder, made, toy.program(folder, "raw"), "raw", batch=1) for made in (prepared, raw))
    most = {"float32": 1e-5, "int8": 2e-2}[precision] * np.abs(one).max()
    assert np.abs(one - other).max() <= most < np.ptp(one, axis=0).max()


def test_a_tflite_file_without_float_takes_the_pixels_themselves(converted: Made) -> None:
    folder = converted("tflite")
    made = toy.artifact(folder, "tflite", "raw", "int8-full@base")
    content = tflite.read(locate(folder / "entries", made.file).read_bytes())
    (index,) = content.subgraphs[0].inputs
    (reader,) = tflite.readers(content, int(index))
    kinds = dict(zip(map(id, content.subgraphs[0].operators), tflite.kinds(content), strict=True))
    given, first = (content.subgraphs[0].tensors[i] for i in (index, reader.outputs[0]))
    assert made.signature.inputs[0].dtype == "uint8" and kinds[id(reader)] == tflite.Kind.QUANTIZE
    # every level of a pixel keeps its own number in 8 bits
    assert (float(given.quantization.scale[0]), int(given.quantization.zeroPoint[0])) == (1.0, 0)
    assert (float(first.quantization.scale[0]), int(first.quantization.zeroPoint[0])) == (1.0, -128)
    used = {int(i) for one in content.subgraphs[0].operators for i in (*one.inputs, *one.outputs)}
    assert tflite.FLOAT not in {content.subgraphs[0].tensors[i].type for i in used}


@each_that_runs
def test_fewer_bits_change_the_outputs(format: str, converted: Made) -> None:
    folder = converted(format)
    found = []
    for precision in [one for one in PRECISIONS if one in plugins.declared("formats", format).precisions]:
        made = toy.artifact(folder, format, "images", precision)
        found.append(outputs(folder, made, toy.program(folder, "images"), "images", batch=1))
    assert len(found) >= 2 and not any(np.array_equal(one, other) for one, other in pairwise(found))


@pytest.mark.slow
@each_format
def test_a_fresh_process_makes_the_same_bytes(format: str, converted: Made, tmp_path: Path) -> None:
    first = converted(format)
    one = toy.artifact(first, format, "images", "int8")
    program = toy.program(first, "images")
    copy = toy.entry(tmp_path, "images")
    assert copy.key == program.file.entry
    shutil.copy(locate(first / "entries", program.file), copy.path(program.file.name))
    shutil.copy(first / "images.json", tmp_path)
    command = [sys.executable, "-m", "tests.converted", str(tmp_path), format, "images-int8"]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True)
    assert toy.artifact(tmp_path, format, "images", "int8") == one


@pytest.mark.slow
@each_that_runs
def test_attention_with_a_mask_keeps_its_outputs(format: str, tmp_path: Path) -> None:
    wanted = ("attention-int8", "attention-float32")
    for part in (("program", "attention"), (format, *wanted)):
        command = [sys.executable, "-m", "tests.converted", str(tmp_path), *part]
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True)
    program = toy.program(tmp_path, "attention")
    reference = np.load(locate(tmp_path / "entries", program.reference), allow_pickle=False)
    for name in wanted:
        made = toy.artifact(tmp_path, format, *name.split("-", 1))
        found = outputs(tmp_path, made, program, "attention", batch=1)
        assert np.abs(found - reference).max() <= TOLERANCE[made.precision] * np.abs(reference).max()


@each_format
def test_every_precision_is_there_or_there_is_a_reason_why_not(format: str) -> None:
    declared = plugins.declared("formats", format)
    assert {*declared.precisions, *declared.lacks} == set(get_args(Precision))
    assert not {*declared.precisions} & {*declared.lacks} and all(declared.lacks.values())
