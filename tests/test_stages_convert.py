"""Convert: what reaches a format's plug-in, what is refused before it starts, and how its artifact is described."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgekd import files, plugins
from edgekd.errors import NotConverted, Problem, Unsuited, UsageError
from edgekd.nets import programs
from edgekd.plugins import Conversion, Converted
from edgekd.results import Artifact, File, Preprocess, Program, Signature, Size, TensorSpec
from edgekd.stages import convert
from edgekd.steps import Convert
from tests import converted as toy
from tests import learnable
from tests import test_culprit as culprits

HOW = Preprocess(canvas=16, size=8, channels="gray", filter="box", mean=(0.5,), std=(0.25,))
IMAGES = Signature(
    inputs=(TensorSpec(name="image", shape=(-1, 1, 8, 8), preprocess=HOW),),
    outputs=(TensorSpec(name="logits", shape=(-1, 3)),),
    classes=learnable.CLASSES,
)
WORDS = IMAGES.model_copy(
    update={"inputs": tuple(TensorSpec(name=name, shape=(-1, 12), dtype="int64") for name in ("ids", "mask"))}
)


def program(folder: Path, signature: Signature) -> Program:
    out = toy.entry(folder, "program")
    out.path("student.pt2").write_bytes(b"a program")
    file = out.file("student.pt2")
    golden = File(entry="0" * 64, name="golden.npz", sha256="1" * 64, size=3)
    return Program(
        file=file,
        signature=signature,
        golden=golden,
        reference=golden,
        size=Size(params=1, macs=1),
        digest="d" * 64,
        trained=True,
    )


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, words: bool, precision: str = "float32") -> tuple:
    """Convert with a format that writes a folder of two files, and notes what it was given."""
    given: list[Conversion] = []

    def fake(conversion: Conversion) -> Converted:
        given.append(conversion)
        made = conversion.folder / "student.fake"
        made.mkdir()
        (made / "a").write_bytes(conversion.program.read_bytes())
        (made / "b").write_bytes(b"weights")
        return Converted("student.fake", conversion.signature, "fake 1.2", ("a note",))

    monkeypatch.setattr(plugins, "find", lambda *_: SimpleNamespace(PRECISIONS=("float32",), convert=fake))
    entries = folder / "entries"
    data = learnable.tokens(entries) if words else learnable.images(entries)
    step = Convert(program=program(folder, WORDS if words else IMAGES), format="fake", precision=precision, splits=data)
    out = toy.entry(folder, "artifact")
    return convert.run(step, out), given[0], out


def test_the_artifact_is_described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made, given, out = run(monkeypatch, tmp_path, words=False)
    path = out.path("student.fake")
    assert made == Artifact(
        file=File(entry=out.key, name="student.fake", sha256=files.digest(path), size=16),
        format="fake",
        precision="float32",
        signature=IMAGES,
        golden=given_golden(),
        size=16,
        graph="d" * 64,
        made_by="fake 1.2",
        notes=("a note",),
        layers=out.file("layers.json"),
    )
    assert given.program.read_bytes() == b"a program" and given.folder == out.folder


def given_golden() -> File:
    return File(entry="0" * 64, name="golden.npz", sha256="1" * 64, size=3)


def test_calibration_images_are_prepared_as_the_network_wants_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, given, _ = run(monkeypatch, tmp_path, words=False)
    image = given.calibration["image"]
    stored = np.load(tmp_path / "entries" / "ab" / learnable.ENTRY / "calibration-image.npy", allow_pickle=False)
    assert image.shape == (learnable.COUNTS["calibration"], 1, 8, 8) and image.dtype == np.float32
    halved = stored[..., 0].reshape(-1, 8, 2, 8, 2).mean((2, 4))
    np.testing.assert_allclose(image[:, 0], (halved / 255 - 0.5) / 0.25, atol=0.02)


def test_calibration_ids_stay_whole_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, given, _ = run(monkeypatch, tmp_path, words=True)
    assert {name: values.dtype for name, values in given.calibration.items()} == {"ids": np.int64, "mask": np.int64}


def test_a_precision_that_the_format_lacks_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fake has no precision 'int8'.*Choose from: float32"):
        run(monkeypatch, tmp_path, words=False, precision="int8")


def test_int8_without_calibration_samples_is_refused(tmp_path: Path) -> None:
    data = learnable.images(tmp_path / "entries")
    parts = {name: part for name, part in data.parts.items() if name != "calibration"}
    step = Convert(
        program=program(tmp_path, IMAGES),
        format="onnx",
        precision="int8",
        splits=data.model_copy(update={"parts": parts}),
    )
    with pytest.raises(UsageError, match="calibration samples") as caught:
        convert.run(step, toy.entry(tmp_path, "artifact"))
    assert caught.value.problems[0].where == "data.calibration"


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    data = learnable.images(tmp_path / "entries")
    step = Convert(program=program(tmp_path, IMAGES), format="tensorrt", precision="float32", splits=data)
    with pytest.raises(UsageError, match=r"tensorrt.*tflite"):
        convert.run(step, toy.entry(tmp_path, "artifact"))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_failing_converter_is_told_in_the_names_of_the_users_network(
    precision: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    traced, signature = culprits.program("gamma")
    given = program(tmp_path, signature)
    programs.write(traced, tmp_path / "entries" / given.file.entry[:2] / given.file.entry / given.file.name)

    def fake(conversion: Conversion) -> Converted:
        names = [str(node.target) for node in programs.load(conversion.program).graph.nodes]
        assert conversion.precision == precision and conversion.base is None
        if any("lgamma" in name for name in names):
            raise RuntimeError("first\n\nsecond") from ValueError("no kernel for it")
        if not any("relu" in name for name in names):
            raise Unsuited(Problem("", "8 bits do nothing for this part", ""))
        return Converted("student.fake", conversion.signature, "fake 1.2")

    monkeypatch.setattr(plugins, "find", lambda *_: SimpleNamespace(PRECISIONS=("float32", "int8"), convert=fake))
    monkeypatch.setattr(convert, "_calibration", lambda *_: {"x": np.ones((20, 8), np.float32)})
    step = Convert(program=given, format="fake", precision=precision, splits=learnable.tokens(tmp_path / "entries"))
    with pytest.raises(NotConverted) as found:
        convert.run(step, toy.entry(tmp_path, "artifact"))
    (problem,) = found.value.problems
    assert problem.where == f"fake {precision}"
    assert problem.message == "the converter fails at aten.lgamma in blocks.2 (Odd): RuntimeError: no kernel for it"
    assert problem.hint == "Instead, use a polynomial approximation of it; or leave this target out"


def test_the_float32_file_is_handed_on_with_its_layers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made, first, out = run(monkeypatch, tmp_path, words=False)
    assert first.base is None and first.ranges == "min-max"
    files.write(out.path("layers.json"), '{"t1": "relu"}')
    given: list[Conversion] = []

    def fake(conversion: Conversion) -> Converted:
        given.append(conversion)
        (conversion.folder / "student.fake").write_bytes(b"model")
        return Converted("student.fake", conversion.signature, "fake 1.2", layers={"t1_q": "relu"})

    monkeypatch.setattr(plugins, "find", lambda *_: SimpleNamespace(PRECISIONS=("int8",), convert=fake))
    data = learnable.images(tmp_path / "entries")
    step = Convert(
        program=program(tmp_path, IMAGES), format="fake", precision="int8", splits=data, base=made, ranges="entropy"
    )
    second = toy.entry(tmp_path, "second")
    quantized = convert.run(step, second)
    base = given[0].base
    assert base is not None and (base.path, base.made_by) == (out.path("student.fake"), "fake 1.2")
    assert base.layers == {"t1": "relu"} and given[0].ranges == "entropy"
    assert quantized.layers is not None and second.path("layers.json").read_text() == '{\n "t1_q": "relu"\n}'
