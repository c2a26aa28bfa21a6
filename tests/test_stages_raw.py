from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekd.divergence import walk
from edgekd.errors import EdgekdError, UsageError
from edgekd.nets import programs, surgery
from edgekd.results import Program, TensorSpec
from edgekd.runtimes import onnx as runtime
from edgekd.runtimes import replay
from edgekd.samples.views import Feed
from edgekd.spec import KEY, Target
from edgekd.stages import convert, raw
from edgekd.steps import Convert, Raw
from edgekd.workspace import Workspace, locate
from tests import converted as toy
from tests import sensed


def golden(folder: Path, program: Program) -> dict[str, np.ndarray]:
    with np.load(locate(folder / "entries", program.golden), allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Program, Program]:
    """The program of pictures that are resized and turned to bgr, with prepared and with raw input."""
    folder = tmp_path_factory.mktemp("pictures")
    given = sensed.program(folder, "bgr")
    return folder, given, sensed.raw_program(folder, "bgr", given)


def test_the_program_takes_stored_pixels_and_is_held_against_torch_on_prepared_ones(
    pictures: tuple[Path, Program, Program],
) -> None:
    folder, given, made = pictures
    (spec,) = made.signature.inputs
    assert (spec.shape, spec.dtype, spec.preprocess) == ((-1, 24, 24, 3), "uint8", None)
    assert spec.inside == given.signature.inputs[0].preprocess and spec.is_raw
    assert (made.reference, made.size, made.trained) == (given.reference, given.size, given.trained)
    assert made.signature.outputs == given.signature.outputs and made.digest != given.digest
    before, after = golden(folder, given), golden(folder, made)
    assert after["input:image"].dtype == np.uint8 and (after["input:image"] == before["raw:image"]).all()
    assert (after["raw:image"] == before["raw:image"]).all() and (
        after["output:logits"] == before["output:logits"]
    ).all()


def test_nodes_keep_their_places_in_the_users_network(pictures: tuple[Path, Program, Program]) -> None:
    folder, given, made = pictures
    before, after = (walk.nodes(programs.load(locate(folder / "entries", one.file))) for one in (given, made))
    old = [(node.module, node.kind, node.operator) for node in before.values()]
    new = [(node.module, node.kind, node.operator) for node in after.values()]
    assert ("conv1", "Conv2d", "conv2d") in old and new[-len(old) :] == old
    assert {(module, kind) for module, kind, _ in new[: -len(old)]} == {("raw.image", "RawPixels")}


def test_what_stands_before_an_input_is_known_so_that_weights_in_few_bits_leave_it_out(
    pictures: tuple[Path, Program, Program],
) -> None:
    folder, given, made = pictures
    before, after = (programs.load(locate(folder / "entries", one.file)) for one in (given, made))
    found = [name for name, node in walk.nodes(after).items() if node.module == "raw.image"]
    assert surgery.fronts(before) == frozenset() and set(found) <= surgery.fronts(after)
    assert not surgery.fronts(after) & {name for name, node in walk.nodes(after).items() if node.module != "raw.image"}
    splits = sensed.splits(folder, "bgr")
    for precision, left in (("int4-weights", True), ("int8", False), ("float32", False)):
        step = Convert(program=made, format="onnx", precision=precision, splits=splits)
        out = Workspace(folder, folder / "entries", "0" * 64)
        assert bool(convert._fronts(step, out)) == left
        prepared = step.model_copy(update={"program": given})
        assert not convert._fronts(prepared, out)


def test_a_program_that_is_another_function_is_not_used(pictures: tuple[Path, Program, Program]) -> None:
    folder, given, _ = pictures
    out = toy.entry(folder, "wrong")
    wrong = np.asarray(out.load(given.reference)) * np.float32(1.01)
    changed = given.model_copy(update={"reference": out.save("reference.npy", wrong)})
    with pytest.raises(EdgekdError, match=r"not the same function: its outputs differ by 0\.0099 of their size"):
        raw.run(Raw(program=changed, splits=sensed.splits(folder, "bgr")), out)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_an_onnx_file_of_the_users_own_is_changed_in_its_own_graph(pictures: tuple[Path, Program, Program]) -> None:
    folder, given, _ = pictures
    splits = sensed.splits(folder, "bgr")
    step = Convert(program=given, format="onnx", precision="float32", splits=splits)
    file = convert.run(step, toy.entry(folder, "file")).file
    foreign = given.model_copy(update={"file": file, "size": None})
    asked = Raw(program=foreign, splits=splits)
    assert (
        set(asked.plugins()) == {("formats", "onnx"), ("runtimes", "onnx")}
        and not Raw(program=given, splits=splits).plugins()
    )
    made = raw.run(asked, toy.entry(folder, "grafted"))
    assert made.file.name == "student.onnx" and made.digest != foreign.digest
    told = made.signature.model_dump(mode="json")
    feed = Feed(Workspace(folder, folder / "entries", "0" * 64), splits, "validation", made.signature, False, 0)
    model = runtime.load(locate(folder / "entries", made.file), 1, told, 1)
    found = replay.outputs(model, told, feed.batch(np.arange(feed.count)))[0]
    reference = np.load(locate(folder / "entries", given.reference))
    assert np.abs(found - reference).max() <= 1e-3 * np.abs(reference).max()


def test_audio_that_was_read_as_floats_is_taken_as_16_bit_samples(tmp_path: Path) -> None:
    made = sensed.raw_program(tmp_path, "wave", sensed.program(tmp_path, "wave"))
    (spec,) = made.signature.inputs
    assert (spec.dtype, spec.scale, spec.zero_point, spec.is_raw) == ("int16", 2**-15, 0, True)
    assert golden(tmp_path, made)["input:wave"].dtype == np.int16
    assert any(
        node.module == "raw.wave"
        for node in walk.nodes(programs.load(locate(tmp_path / "entries", made.file))).values()
    )


def test_a_network_that_takes_16_bit_samples_itself_stays_as_it_is(tmp_path: Path) -> None:
    given = sensed.program(tmp_path, "own")
    assert given.signature.inputs[0].dtype == "int16" and sensed.raw_program(tmp_path, "own", given) == given


def test_ids_and_a_mask_are_refused(converted: Callable[[str], Path], tmp_path: Path) -> None:
    folder = converted("program")
    step = Raw(program=toy.program(folder, "words"), splits=toy.splits(folder)["words"])
    with pytest.raises(UsageError, match="ids is int64, ids or a mask; mask is int64"):
        raw.run(step, Workspace(tmp_path, folder / "entries", "0" * 64))


def test_questions_about_prepared_inputs_are_those_that_were_asked_before_there_were_raw_ones() -> None:
    target, spec = Target(name="onnx", format="onnx"), TensorSpec(name="x", shape=(1,))
    assert "input" not in target.model_dump(context=KEY) and "inside" not in spec.model_dump(context=KEY)
    raw_target = target.model_copy(update={"input": "raw"})
    assert raw_target.model_dump(context=KEY)["input"] == "raw" and target.model_dump()["input"] == "float"
