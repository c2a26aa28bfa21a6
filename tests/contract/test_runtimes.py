"""What every runtime must do with real files: right answers for any number of samples, a clear no for bad files."""

import importlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd import plugins
from edgekd.results import Signature
from edgekd.runtimes import facts, predict, preprocess, profile
from edgekd.runtimes.fault import Fault
from tests import plugged, tiny

NAMES = plugins.names("runtimes")
# Files of tests/tiny.py: (runtime, file, kind, batch of the file, type of ids)
BY_HAND = [
    ("onnx", "image-dynamic.onnx", "image", -1, ""),
    ("onnx", "image-fixed.onnx", "image", 1, ""),
    ("onnx", "image-four.onnx", "image", 4, ""),
    ("onnx", "int8-fixed.onnx", "int8", 1, ""),
    ("onnx", "text-dynamic.onnx", "text", -1, "int64"),
    ("openvino", "image-dynamic.openvino", "image", -1, ""),
    ("openvino", "image-fixed.openvino", "image", 1, ""),
    ("openvino", "text-dynamic.openvino", "text", -1, "int64"),
    ("tflite", "image-dynamic.tflite", "image", -1, ""),
    ("tflite", "image-fixed.tflite", "image", 1, ""),
    ("tflite", "text-fixed.tflite", "text", 1, "int32"),
]
# of any other runtime that works here its format makes two; what batch and types these have, their signatures say
OTHERS = [name for name in NAMES if plugged.runs(name) and name not in {runtime for runtime, *_ in BY_HAND}]
FILES = [*BY_HAND, *((name, f"{kind}.{name}", kind, 0, "") for name in OTHERS for kind in ("image", "text"))]
RUNTIMES = sorted({runtime for runtime, *_ in FILES})
THAT_TELL = [name for name in RUNTIMES if "UNPROFILED" not in facts.declared(name)]
Place = Callable[[str], Path]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """The folder with the files of a runtime."""

    def found(runtime: str) -> Path:
        if runtime in OTHERS:
            return request.getfixturevalue("tiny_made")(runtime)
        return request.getfixturevalue("tiny")

    return found


def expected(kind: str) -> Any:
    stored = tiny.samples()
    if kind == "text":
        return tiny.text_net(stored["ids"], stored["mask"])
    return tiny.image_net(preprocess.prepare(stored["image"], tiny.PREPROCESS))


def job(tiny_files: Path, folder: Path, file: str, kind: str, batch: int, ids: str, **more: Any) -> dict[str, Any]:
    """A request for `file` over the tiny samples."""
    source, stated = tiny_files / file, tiny_files / f"{file}.json"
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / file)
    for name, values in tiny.samples().items():
        np.save(folder / f"{name}.npy", values)
    signature = tiny.signature(kind, batch, ids or "int64")
    if stated.is_file():
        signature = json.loads(stated.read_text(encoding="utf-8"))
    inputs = {name: f"{name}.npy" for name in tiny.samples()}
    return {"model": file, "threads": 1, "signature": signature, "inputs": inputs, **more}


@pytest.mark.parametrize("name", NAMES)
def test_a_runtime_declares_what_installs_it_and_belongs_to_a_format(name: str) -> None:
    declared = plugins.declared("runtimes", name)
    assert declared.version >= 1
    assert declared.packages
    assert declared.platforms and all(place.count("-") == 1 for place in declared.platforms)
    assert declared.summary.endswith(".")
    assert name in plugins.names("formats")
    assert facts.declared(name)["PACKAGES"] == declared.packages


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_versions_are_those_of_the_installed_package(runtime: str) -> None:
    module = importlib.import_module(f"edgekd.runtimes.{runtime}")
    assert facts.runtimes()[0][runtime] == module.version()


@pytest.mark.parametrize(("runtime", "file", "kind", "batch", "ids"), FILES, ids=[file for _, file, *_ in FILES])
def test_predictions_are_right_for_any_number_of_samples(
    place: Place, tmp_path: Path, runtime: str, file: str, kind: str, batch: int, ids: str
) -> None:
    request = job(place(runtime), tmp_path, file, kind, batch, ids, runtime=runtime)
    answer = predict.run(request, tmp_path)
    outputs = np.load(tmp_path / answer["outputs"]["logits"])
    assert outputs.dtype == np.float32
    assert outputs.shape == (7, 4)
    tolerance = 0.12 if kind == "int8" else 1e-4
    np.testing.assert_allclose(outputs, expected(kind), rtol=0, atol=tolerance)
    assert answer["batch"] == abs(request["signature"]["inputs"][0]["shape"][0])


@pytest.mark.parametrize(("runtime", "file"), [(r, f) for r, f, _, batch, _ in FILES if batch == -1])
@pytest.mark.parametrize("batch", [3, 16])
def test_an_open_batch_takes_the_size_that_is_asked_for(
    tiny: Path, tmp_path: Path, runtime: str, file: str, batch: int
) -> None:
    kind = file.partition("-")[0]
    answer = predict.run({**job(tiny, tmp_path, file, kind, -1, "", runtime=runtime), "batch": batch}, tmp_path)
    assert answer["batch"] == batch
    outputs = np.load(tmp_path / answer["outputs"]["logits"])
    np.testing.assert_allclose(outputs, expected(kind), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_runtime_tells_where_operators_run_or_says_why_it_does_not(name: str) -> None:
    reason = facts.declared(name).get("UNPROFILED", "")
    assert ("profiled" in plugins.declared("runtimes", name).offers) != bool(reason)


@pytest.mark.parametrize("name", NAMES)
def test_a_runtime_tells_its_arena_or_says_why_it_does_not(name: str) -> None:
    reason = facts.declared(name).get("NO_ARENA", "")
    assert ("arena" in plugins.declared("runtimes", name).offers) != bool(reason)


@pytest.mark.parametrize(
    ("runtime", "file", "kind", "batch", "ids"),
    [one for one in FILES if one[0] in THAT_TELL],
    ids=[one[1] for one in FILES if one[0] in THAT_TELL],
)
def test_every_operator_is_told_whatever_the_file(
    place: Place, tmp_path: Path, runtime: str, file: str, kind: str, batch: int, ids: str
) -> None:
    answer = profile.run(job(place(runtime), tmp_path, file, kind, batch, ids, runtime=runtime), tmp_path)
    counted = [plugins.Operator(**one) for one in answer["operators"] if one["counts"]]
    assert counted and any(one.wanted for one in counted) == (kind != "int8"), "that file computes in float32"
    assert all(one.kind and one.name and one.gives and (one.wanted or one.why) for one in counted)
    assert {one.seconds is None for one in counted} == {bool(answer["untimed"])}
    assert all(one.seconds is None or 0 <= one.seconds < 1 for one in counted)
    assert answer["partitions"] is None or answer["partitions"] >= 1
    assert answer["version"] == facts.runtimes()[0][runtime] and answer["runs"] >= profile.LEAST
    made = {name for one in answer["operators"] for name in one["gives"]}
    assert any(made & set(one.takes) for one in counted), "operators hang together"


@pytest.mark.parametrize("runtime", THAT_TELL)
def test_watching_does_not_change_what_is_computed(place: Place, runtime: str) -> None:
    file = next(f for r, f, kind, *_ in FILES if r == runtime and kind == "image")
    module = importlib.import_module(f"edgekd.runtimes.{runtime}")
    ready, found = np.ascontiguousarray(preprocess.prepare(_images(), _preprocess())[:1]), []
    for load in (module.load, module.profiled):
        model = load(place(runtime) / file, 1, _signature(), 1)
        model.feed([ready])
        model.invoke()
        model.invoke()
        found.append(model.outputs()[0])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-5)
    assert model.placed()["operators"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_two_runs_may_be_compared_and_kept(place: Place, runtime: str) -> None:
    """Outputs of a run stay what they were when the next run has happened."""
    file = next(f for r, f, kind, *_ in FILES if r == runtime and kind == "image")
    module = importlib.import_module(f"edgekd.runtimes.{runtime}")
    model = module.load(place(runtime) / file, 1, _signature(), 1)
    ready = preprocess.prepare(_images(), _preprocess())
    found = []
    for row in (0, 1):
        model.feed([np.ascontiguousarray(ready[row : row + 1])])
        model.invoke()
        found.append(model.outputs()[0])
    np.testing.assert_allclose(np.concatenate(found), expected("image")[:2], rtol=0, atol=1e-4)
    assert isinstance(model.notes, dict)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("content", [b"", b"\x08\x07not a model" * 20])
def test_a_file_that_is_no_model_is_a_fault(tmp_path: Path, runtime: str, content: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    if runtime == "openvino":
        path = tmp_path / "model.openvino"
        path.mkdir()
        (path / "model.xml").write_bytes(content)
    module = importlib.import_module(f"edgekd.runtimes.{runtime}")
    with pytest.raises(Fault, match=f"{'model.xml' if runtime == 'openvino' else path.name} does not run in"):
        module.load(path, 1, _signature(), 1)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_signature_of_another_model_is_a_fault(place: Place, runtime: str) -> None:
    file = next(f for r, f, kind, *_ in FILES if r == runtime and kind == "text")
    module = importlib.import_module(f"edgekd.runtimes.{runtime}")
    with pytest.raises(Fault, match="are not those of the file"):
        module.load(place(runtime) / file, 1, _signature(), 1)


@pytest.mark.parametrize(
    "runtime", [name for name in RUNTIMES if "described" in plugins.declared("runtimes", name).offers]
)
def test_a_file_alone_says_what_it_takes_and_gives(place: Place, runtime: str) -> None:
    for kind in ("image", "text"):
        file = next(f for r, f, k, *_ in FILES if r == runtime and k == kind)
        told = Signature.model_validate(
            importlib.import_module(f"edgekd.runtimes.{runtime}").described(place(runtime) / file)
        )
        wanted = Signature.model_validate(tiny.signature(kind))
        assert (len(told.inputs), len(told.outputs)) == (len(wanted.inputs), 1)
        assert {s.shape[1:] for s in (*told.inputs, *told.outputs)} == {
            s.shape[1:] for s in (*wanted.inputs, *wanted.outputs)
        }


def test_an_openvino_folder_holds_one_model(tmp_path: Path) -> None:
    module = importlib.import_module("edgekd.runtimes.openvino")
    with pytest.raises(Fault, match=r"must hold one \.xml file, and holds 0"):
        module.load(tmp_path, 1, _signature(), 1)


def test_openvino_never_computes_in_bfloat16(tiny: Path) -> None:
    module = importlib.import_module("edgekd.runtimes.openvino")
    assert module.load(tiny / "image-fixed.openvino", 1, _signature(), 1).notes == {"precision": "f32", "threads": 1}


def test_tflite_gives_the_whole_network_to_xnnpack(tiny: Path) -> None:
    module = importlib.import_module("edgekd.runtimes.tflite")
    assert module.load(tiny / "image-fixed.tflite", 1, _signature(), 1).notes == {"delegates": 1}


def test_numbered_arguments_are_in_numerical_order() -> None:
    module = importlib.import_module("edgekd.runtimes.tflite_model")
    names = [f"args_{i}" for i in range(12)]
    assert [name for name, _ in module._ordered(dict.fromkeys(sorted(names)))] == names


def test_openvino_tells_how_long_a_run_took_without_its_python_call(place: Place) -> None:
    module = importlib.import_module("edgekd.runtimes.openvino")
    model = module.load(place("openvino") / "image-fixed.openvino", 1, _signature(), 1)
    model.feed([preprocess.prepare(tiny.samples(1)["image"], tiny.PREPROCESS)])
    for _ in range(20):
        started = time.perf_counter_ns()
        told = model.invoke()
        assert 0 < told < time.perf_counter_ns() - started


def test_every_output_can_be_asked_for_and_images_can_be_files(tiny: Path, tmp_path: Path) -> None:
    request = job(tiny, tmp_path, "image-dynamic.onnx", "image", -1, "", runtime="onnx")
    answer = predict.run({**request, "all": True}, tmp_path)
    assert list(answer["outputs"]) == ["logits"]
    from_arrays = np.load(tmp_path / "outputs-0.npy")
    preprocess.Image.fromarray(_images()[4]).save(tmp_path / "photo.png")
    predict.run({**request, "files": ["photo.png"]}, tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "outputs-0.npy"), from_arrays[4:5], rtol=0, atol=1e-6)


def test_chunks_do_not_change_the_answer(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = job(tiny, tmp_path, "image-four.onnx", "image", 4, "", runtime="onnx")
    predict.run(request, tmp_path)
    whole = np.load(tmp_path / "outputs-0.npy")
    monkeypatch.setattr("edgekd.runtimes.tensors.CHUNK", 1)
    predict.run(request, tmp_path)
    assert np.array_equal(np.load(tmp_path / "outputs-0.npy"), whole)


def _images() -> Any:
    return tiny.samples()["image"]


def _preprocess() -> dict[str, Any]:
    return tiny.PREPROCESS


def _signature() -> dict[str, Any]:
    return tiny.signature("image")
