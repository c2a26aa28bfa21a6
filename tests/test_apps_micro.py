"""The application for microcontrollers: what it holds, that its C code is right on this computer and on an emulated
Cortex-M4, and that its self-test sees every mistake that is made in a copy of it on purpose.

The interpreter behind the self-test is a table of what TensorFlow Lite Micro's own kernels gave (tests/micro_board.py).
"""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.apps import _c
from edgekd.apps import micro as app_of_micro
from edgekd.bundle import apps, content
from edgekd.commands.selftest import SelfTest
from edgekd.errors import MissingExtra, UsageError
from edgekd.runtimes import preprocess, tensors
from edgekd.workspace import locate
from tests import micro as toys
from tests import micro_board as board
from tests.test_apps_python import bundled

pytest.importorskip("tflite_micro", reason="tflite-micro is not here: pip install 'edgekd[micro]'")
from edgekd.tflm import kernels, operators

gcc = pytest.mark.skipif(bool(board.missing("gcc", "g++")), reason="there is no C compiler")
arm = pytest.mark.skipif(bool(board.missing(board.ARM)), reason="gcc-arm-none-eabi is not here")
SLOW = pytest.mark.slow
qemu = pytest.mark.skipif(bool(board.missing("qemu-system-arm")), reason="qemu-system-arm is not here")
STEPS = ("prepare", "model", "answers", "pictures")


@dataclasses.dataclass(frozen=True)
class Made:
    """An application of a toy network, the bundle that it was made of, and what TFLM's kernels gave."""

    app: Path
    bundle: Path
    table: str


@pytest.fixture(scope="module")
def made(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """made("int8-full") -> its application, written once."""
    found: dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in found:
            folder = tmp_path_factory.mktemp(name)
            bundle = bundle_of(micro, name, folder)
            app = apps.write(bundle, "micro", folder / "app").folder
            found[name] = Made(app, bundle, board.table(app))
        return found[name]

    return make


def bundle_of(micro: Path, name: str, folder: Path) -> Path:
    one = toys.artifact(micro, name)
    told = (one.signature, ("tflite", one.precision), toys.samples(micro, one))
    return bundled(folder, locate(micro / "entries", one.file), *told)


@pytest.fixture
def app(made: Callable[[str], Made], tmp_path: Path) -> Path:
    """A copy of the one of 8 bits."""
    return Path(shutil.copytree(made("int8-full").app, tmp_path / "app"))


@pytest.fixture
def table(made: Callable[[str], Made]) -> str:
    return made("int8-full").table


def judged(app: Path, table: str, lie: str = "honest") -> dict[str, Any]:
    found = board.run(board.compiled(app, app.parent / "board", table, lie))
    SelfTest.model_validate(found)
    return found


def failed(found: dict[str, Any]) -> list[str]:
    assert found["passed"] == (not [one for one in found["checks"] if one["passed"] is False])
    return [one["what"] for one in found["checks"] if one["passed"] is False]


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file.name}"
    file.write_text(text.replace(old, new))


def test_it_says_what_tensorflow_lite_micro_did(made: Callable[[str], Made]) -> None:
    one = made("int8-full")
    told = json.loads((one.app / "micro.json").read_text())
    model = one.app / "model/student.tflite"
    assert told["operators"] == list(operators.asked(model.read_bytes()).methods)
    arrays = np.load(one.bundle / "golden/golden.npz")
    spec = json.loads((one.app / "model/model.json").read_text())["signature"]
    ran = kernels.run(model, spec, [tensors.encode(arrays["input:image"], spec["inputs"][0])])
    gap = np.abs(tensors.decode(ran.outputs[0], spec["outputs"][0]) - arrays["runtime:logits"]).max()
    assert told["difference"] == float(gap) <= told["tolerance"]
    assert told["arena"]["bytes"] == ran.arena >= told["arena"]["used"]["total"] > 1000
    assert told["flash"]["model"] == model.stat().st_size
    source, header = (one.app / f"edge_model/model.{end}" for end in ("cc", "h"))
    assert re.findall(r"resolver\.(Add\w+)\(\)", source.read_text()) == told["operators"]
    assert f"MicroMutableOpResolver<{len(told['operators'])}>" in source.read_text()
    assert f"#define EDGEKD_ARENA_SIZE {ran.arena}\n" in header.read_text()
    readme = (one.app / "README.md").read_text()
    assert str(ran.arena) in readme and "Latency" not in readme and "64-bit pointers" in readme


def test_the_arena_is_the_smallest_that_is_enough(made: Callable[[str], Made]) -> None:
    """One that is too small may end its process."""
    one = made("int8-full")
    arena = json.loads((one.app / "micro.json").read_text())["arena"]["bytes"]
    program = "import sys; from tflite_micro import runtime as r; "
    program += "r.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2])).invoke()"
    model = str(one.app / "model/student.tflite")
    status = [
        subprocess.run([sys.executable, "-c", program, model, str(size)], capture_output=True, check=False).returncode
        for size in (arena, arena - 16)
    ]
    assert status[0] == 0 and status[1] != 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("int8", "outputs that differ from the recorded ones by 0.4"),  # it dequantizes rows by the first one's scale
        ("int8-dynamic", "does not run it: Input type: FLOAT32 with filter type: INT8 not supported"),
        ("float16", "Node DEQUANTIZE .* failed to prepare"),
    ],
)
def test_a_file_that_does_not_run_there_is_refused(micro: Path, tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        apps.write(bundle_of(micro, name, tmp_path), "micro", tmp_path / "app")
    assert "Build with --precision int8-full" in error.value.problems[0].hint
    assert not (tmp_path / "app").exists()


def test_what_cannot_be_tried_is_refused(made: Callable[[str], Made], tmp_path: Path) -> None:
    held = content.write(made("int8-full").bundle, tmp_path / "held")
    spec = held.model["signature"]["inputs"][0]
    signature = held.model["signature"] | {"inputs": [spec | {"shape": [-1, *spec["shape"][1:]]}]}
    many = dataclasses.replace(held, model=held.model | {"signature": signature})
    assert "any number" in app_of_micro.unfit(many)[0]
    unseen = dataclasses.replace(held, golden=held.golden | {"missing": "there was no device"})
    assert "there was no device" in app_of_micro.unfit(unseen)[0]
    odd = dataclasses.replace(
        held, model=held.model | {"signature": signature | {"inputs": [spec | {"dtype": "bf16"}]}}
    )
    assert "bf16" in app_of_micro.unfit(odd)[0]


def test_without_its_package_the_extra_is_named(
    made: Callable[[str], Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = content.write(made("int8-full").bundle, tmp_path / "held")
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgekd\[micro\]'"):
        app_of_micro.unfit(held)


def test_what_ends_the_kernels_process_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"no model at all, but TFL3 nowhere" * 8)
    with pytest.raises(kernels.Refused):
        kernels.run(tmp_path / "broken.tflite", {"inputs": [], "outputs": []}, [np.zeros((1, 4), np.float32)])


@gcc
def test_the_array_is_the_file_to_the_byte(made: Callable[[str], Made], tmp_path: Path) -> None:
    app = made("int8-full").app
    program = '#include <stdio.h>\n#include "model_data.h"\nint main(void) {\n'
    program += "  if ((uintptr_t)edgekd_model_data % 16) return 1;\n"
    program += "  return fwrite(edgekd_model_data, 1, EDGEKD_MODEL_SIZE, stdout) != EDGEKD_MODEL_SIZE;\n}\n"
    (tmp_path / "main.c").write_text(program)
    for compiler in (["gcc", "-std=c11"], ["g++", "-std=c++17", "-x", "c++"]):
        flags = ["-Wall", "-Wextra", "-Werror", f"-I{app / 'edge_model'}", "-o", str(tmp_path / "main")]
        subprocess.run([*compiler, *flags, tmp_path / "main.c", app / "edge_model/model_data.c"], check=True)
        done = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
        assert done.stdout == (app / "model/student.tflite").read_bytes()


@gcc
@pytest.mark.parametrize("name", ["int8-full", *(pytest.param(n, marks=SLOW) for n in ("float32", "raw", "words"))])
def test_it_tests_itself(made: Callable[[str], Made], tmp_path: Path, name: str) -> None:
    one = made(name)
    found = board.run(board.compiled(one.app, tmp_path, one.table))
    said = SelfTest.model_validate(found)
    assert said.passed and said.created is None and said.device.name == 'a "test" board'
    whats = [check.what for check in said.checks]
    if name in ("raw", "words"):
        assert whats == ["files", "model logits", "answers"]
    else:
        pictures = [f"prepare {one}" for one in ("odd-size.png", "turned.jpg", "alpha.png")]
        assert whats == ["files", *pictures, "model logits", "answers", "pictures"]
    told = json.loads((one.app / "micro.json").read_text())
    assert said.difference is not None and said.difference <= said.tolerance
    assert said.difference >= told["difference"] * 0.999
    assert said.latency and sum(said.latency.seconds) == pytest.approx(9e-6 * len(said.latency.seconds), rel=1e-3)
    assert len(said.latency.seconds) * said.latency.means >= 50


@SLOW
@arm
@qemu
def test_it_tests_itself_on_an_emulated_cortex_m4(made: Callable[[str], Made], tmp_path: Path) -> None:
    one = made("int8-full")
    here = board.run(board.compiled(one.app, tmp_path / "here", one.table))
    there = board.run_on_cortex(board.compiled(one.app, tmp_path / "there", one.table, arm=True))
    assert there["checks"] == here["checks"] and there["passed"] and there["difference"] == here["difference"]
    assert there["latency"] is None and there["device"]["emulated"] == "QEMU's Cortex-M4"
    wrong = Path(shutil.copytree(one.app, tmp_path / "app")) / "edge_model/answer.c"
    change(wrong, "sum += expf((own[i] - largest) / head->temperature)", "sum += expf(own[i] - largest)")
    program = board.compiled(tmp_path / "app", tmp_path / "wrong", one.table, arm=True)
    assert failed(board.run_on_cortex(program))[0] == "answers"


@SLOW
@arm
def test_it_compiles_for_a_cortex_m4_without_a_warning(made: Callable[[str], Made], tmp_path: Path) -> None:
    sizes = {}
    for name in ("int8-full", "words"):
        for source in sorted((made(name).app / "edge_model").glob("*.c")):
            out = tmp_path / f"{source.stem}.o"
            subprocess.run([board.ARM, *board.CORTEX, *board.WARNINGS, "-c", source, "-o", out], check=True)
            told = subprocess.run(["arm-none-eabi-size", out], capture_output=True, text=True, check=True).stdout
            sizes[name, source.stem] = sum(map(int, told.splitlines()[1].split()[:3]))
    model = (made("int8-full").app / "model/student.tflite").stat().st_size
    assert sizes["int8-full", "model_data"] == model
    assert sum(sizes["int8-full", name] for name in ("answer", "crc32", "engine", "prepare", "spec", "values")) < 2048


@gcc
def test_the_class_loads_answers_and_tests_itself_on_stand_ins(made: Callable[[str], Made], tmp_path: Path) -> None:
    """Against stand-ins for the headers of TensorFlow Lite Micro, which are in no package."""
    one = made("int8-full")
    arena = json.loads((one.app / "micro.json").read_text())["arena"]["bytes"]
    done = subprocess.run([board.by_model(one.app, tmp_path, one.table, arena=arena)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    golden = json.loads((one.app / "model/golden/golden.json").read_text())
    for line, picture in zip(done.stderr.splitlines(), golden["pictures"], strict=True):
        name, label, confidence, accepted = line.split()
        assert (name, [label]) == (picture["file"], picture["answer"]["labels"]) and accepted == "1"
        assert float(confidence) == pytest.approx(picture["answer"]["probabilities"][0], abs=0.02)
    for lie, space, words in (("honest", arena + 16, "arena is too small"), ("scale", arena, "another scale")):
        program = board.by_model(one.app, tmp_path, one.table, lie, space)
        done = subprocess.run([program], capture_output=True, text=True)
        assert done.returncode == 1 and words in done.stdout
    words_app = made("words")
    done = subprocess.run([board.by_model(words_app.app, tmp_path / "words", words_app.table)], capture_output=True)
    assert done.returncode == 0


LEVELS = "levels[channel][frame[pixel]]"
TAKEN = "answers[k].index = best;"
EXPONENT = "expf((own[i] - largest) / head->temperature)"
LABEL = "edgekd_labels[head->start + best]"
VALUE = "(value - (float)tensor->zero_point) * tensor->scale"
FIRST = "prepare odd-size.png"
# The mistake, the file and the text in it, what to write instead, and the check that has to see it first.
FAULTS = (
    ("dtype", "prepare.c", LEVELS, "(int8_t)(frame[pixel] + 0 * levels[0][0])", FIRST),
    ("dtype", "prepare.c", LEVELS, "(int8_t)(levels[channel][frame[pixel]] / 35)", FIRST),
    ("layout", "prepare.c", LEVELS, "levels[channel][frame[pixel % 16 * 16 + pixel / 16]]", FIRST),
    ("label", "answer.c", TAKEN, "answers[k].index = (best + 1) % head->count;", "answers"),
    ("label", "answer.c", LABEL, "edgekd_labels[(best + 1) % head->count]", "answers"),
    ("softmax", "answer.c", "head->temperature) / sum", "head->temperature) * sum", "answers"),
    ("softmax", "answer.c", f"sum += {EXPONENT}", "sum += expf(own[i] - largest)", "answers"),
    ("softmax", "answer.c", f"sum += {EXPONENT}", f"sum += expf({EXPONENT})", "answers"),
    ("softmax", "spec.c", "1.43e+00f", "1.0e+00f", "answers"),
    ("threshold", "answer.c", "confidence >= head->threshold", "confidence < head->threshold", "answers"),
    ("dtype", "spec.c", "EDGEKD_INT8, 256, 256", "EDGEKD_UINT8, 256, 256", FIRST),
    ("scale", "values.c", VALUE, "value * tensor->scale", "model logits"),
)


@gcc
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_the_self_test_sees_mistakes_in_the_code(app: Path, table: str, fault: tuple[str, str, str, str, str]) -> None:
    _, file, old, new, check = fault
    change(app / "edge_model" / file, old, new)
    found = judged(app, table)
    assert failed(found)[0] == check, found["checks"]
    assert found["latency"] is None


@gcc
def test_another_mean_is_seen(made: Callable[[str], Made], app: Path, table: str, tmp_path: Path) -> None:
    held = content.write(made("int8-full").bundle, tmp_path / "held")
    spec = held.model["signature"]["inputs"][0]
    other = spec | {"preprocess": spec["preprocess"] | {"mean": [0.0], "std": [1.0]}}
    wrong = dataclasses.replace(held, model=held.model | {"signature": held.model["signature"] | {"inputs": [other]}})
    written = app_of_micro.files(wrong)["edge_model/prepare.c"]
    assert written != (app / "edge_model/prepare.c").read_text()
    (app / "edge_model/prepare.c").write_text(written)
    assert failed(judged(app, table)) == [*(f"prepare {n}.{e}" for n, e in
        (("odd-size", "png"), ("turned", "jpg"), ("alpha", "png"))), "pictures"]  # fmt: skip


@gcc
def test_another_model_and_half_of_one_are_seen(made: Callable[[str], Made], app: Path, table: str) -> None:
    file = app / "edge_model/model_data.c"
    head, body, tail = re.split(r"(?<=\{)\n|\n(?=\};)", file.read_text())
    numbers = body.split(", ")
    file.write_text(f"{head}\n{', '.join(numbers[: len(numbers) // 2])}\n{tail}\n")
    assert failed(judged(app, table)) == ["files"]
    other = bytearray((app / "model/student.tflite").read_bytes())
    start = other.rfind(b"TOCO") if b"TOCO" in other else len(other) // 2
    other[start] ^= 1
    file.write_text(f"{head}\n{_c.numbers(np.frombuffer(bytes(other), np.uint8))}\n{tail}\n")
    assert failed(judged(app, table)) == ["files"]


@SLOW
@gcc
def test_another_model_with_its_own_sum_is_seen_by_its_outputs(
    made: Callable[[str], Made], app: Path, micro: Path, tmp_path: Path
) -> None:
    """The kernels really run the other one: the same file with rows of its last layer turned around."""
    model = turned(app / "model/student.tflite")
    (tmp_path / "other.tflite").write_bytes(model)
    file = app / "edge_model/model_data.c"
    head, _, tail = re.split(r"(?<=\{)\n|\n(?=\};)", file.read_text())
    file.write_text(f"{head}\n{_c.numbers(np.frombuffer(model, np.uint8))}\n{tail}\n")
    was = f"0x{zlib.crc32((app / 'model/student.tflite').read_bytes()):08x}u"
    change(app / "edge_model/spec.h", was, f"0x{zlib.crc32(model):08x}u")
    assert failed(judged(app, board.table(app, tmp_path / "other.tflite")))[0] == "model logits"


def turned(file: Path) -> bytes:
    """The file with the weights of its last layer in the opposite order."""
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema  # noqa: PLC0415

    data = file.read_bytes()
    found = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    graph = found.subgraphs[0]
    weights = found.buffers[graph.tensors[graph.operators[-1].inputs[1]].buffer].data
    place = data.find(bytes(weights))
    assert place > 0
    return data[:place] + bytes(weights)[::-1] + data[place + len(weights) :]


@SLOW
@gcc
@pytest.mark.parametrize(
    ("name", "lie", "first", "why"),
    [
        ("int8-full", "stale", "model logits", "more than is allowed"),
        ("float32", "huge", "model logits", "more than is allowed"),
        ("float32", "nan", "model logits", "not finite"),
        ("int8-full", "throws", "model logits", "did not run"),
        ("int8-full", "scale", "model logits", "another scale"),
        ("int8-full", "type", "model logits", "another type"),
        ("int8-full", "missing", "model logits", "an output is missing"),
    ],
)
def test_an_interpreter_that_lies_is_seen(
    made: Callable[[str], Made], tmp_path: Path, name: str, lie: str, first: str, why: str
) -> None:
    one = made(name)
    found = board.run(board.compiled(one.app, tmp_path, one.table, lie))
    assert failed(found)[0] == first
    assert why in next(check["why"] for check in found["checks"] if check["passed"] is False)
    SelfTest.model_validate(found)


@gcc
@pytest.mark.parametrize("channels", ["gray", "rgb", "bgr"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_frames_are_prepared_as_in_training(tmp_path: Path, channels: str, layout: str, dtype: str) -> None:
    """To the very bytes, whatever the levels."""
    planes = 1 if channels == "gray" else 3
    mean, std = [0.4, 0.5, 0.6][:planes], [0.2, 0.3, 0.25][:planes]
    how = {"canvas": 9, "size": 9, "channels": channels, "filter": "box", "mean": mean, "std": std, "layout": layout}
    shape = [1, planes, 9, 9] if layout == "NCHW" else [1, 9, 9, planes]
    quantized = {"scale": 0.021, "zero_point": 5 if dtype == "int8" else 121}
    spec = {"name": "image", "shape": shape, "dtype": dtype, "preprocess": how}
    spec |= {"scale": None, "zero_point": None} if dtype == "float32" else quantized
    held = dataclasses.replace(blank(), model={"signature": {"inputs": [spec]}}, image=True)
    told = {"frame": app_of_micro._frame(held, spec)}
    for name in ("prepare.c", "prepare.h"):
        (tmp_path / name).write_text(app_of_micro.PAGES.get_template(f"edge_model/{name}.jinja").render(told))
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "prepare.h"\nint main(void) {\n  static uint8_t frame[EDGEKD_FRAME_BYTES];\n'
        "  static float input[EDGEKD_FRAME_BYTES];\n"
        "  while (fread(frame, 1, sizeof frame, stdin) == sizeof frame) {\n"
        f"    edgekd_prepare(frame, input);\n    fwrite(input, {np.dtype(dtype).itemsize}, sizeof frame, stdout);\n"
        "  }\n"
        "  return 0;\n}\n"
    )
    sources = [tmp_path / "main.c", tmp_path / "prepare.c"]
    subprocess.run(["gcc", *board.WARNINGS, "-o", tmp_path / "main", *sources], check=True)
    frames = np.random.default_rng(3).integers(0, 256, (20, 9, 9, planes)).astype(np.uint8)
    done = subprocess.run([tmp_path / "main"], input=frames.tobytes(), capture_output=True, check=True)
    wanted = tensors.encode(preprocess.prepare(frames, how), spec)
    assert done.stdout == wanted.tobytes()
    if planes == 3:
        swapped = subprocess.run(
            [tmp_path / "main"], input=frames[..., ::-1].tobytes(), capture_output=True, check=True
        )
        assert swapped.stdout != done.stdout


def blank() -> content.Content:
    return content.Content("", "", "", {}, {}, {}, {}, (), False, Path())


@SLOW
@gcc
def test_heads_get_an_answer_each_and_numbers_their_units(made: Callable[[str], Made], tmp_path: Path) -> None:
    one = made("int8-full")
    held = content.write(one.bundle, tmp_path / "held")
    sure = held.model["signature"]["confidence"][0]
    heads = [
        {"name": "kind", "start": 0, "classes": ["bag", 'a "coat"']},
        {"name": "season", "start": 1, "classes": ["wärm", "cold"]},
    ]
    confidence = [sure | {"head": "kind", "temperature": 2.0}, sure | {"head": "season", "threshold": None}]
    classes = [f"{head['name']} {label}" for head in heads for label in head["classes"]]
    found = self_tested(one, held, {"heads": heads, "classes": classes, "confidence": confidence}, tmp_path / "heads")
    assert found["passed"] and [check["what"] for check in found["checks"]][-2:] == ["answers", "pictures"]
    change(tmp_path / "heads/edge_model/answer.c", "[head->start + best];", "[best];")
    assert failed(board.run(board.compiled(tmp_path / "heads", tmp_path / "b", one.table)))[0] == "answers"
    columns = [{"name": n, "unit": u, "mean": 0.0, "deviation": 1.0} for n, u in (("a", "mmHg"), ("b", ""), ("c", "%"))]
    told = {"columns": columns, "classes": [], "confidence": []}
    found = self_tested(one, held, told, tmp_path / "numbers")
    assert found["passed"] and {"what": "answers", "passed": None, "why": "it tells numbers"} in found["checks"]
    assert '"mmHg"' in (tmp_path / "numbers/edge_model/spec.c").read_text()


def self_tested(one: Made, held: content.Content, told: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The self-test of the same model that tells something else."""
    other = dataclasses.replace(held, model=held.model | {"signature": held.model["signature"] | told})
    shutil.copytree(one.app, folder)
    for name, text in app_of_micro.files(other).items():
        (folder / name).write_text(text)
    return board.run(board.compiled(folder, folder / "board", one.table))


def test_flash_is_spent_on_few_samples_of_large_inputs(
    made: Callable[[str], Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made("int8-full")
    held = content.write(one.bundle, tmp_path / "held")
    whole = {row["fault"]: row["margin"] for row in app_of_micro.margins(held)}
    monkeypatch.setattr(app_of_micro, "GOLDEN_BYTES", 3 * 256)
    told = json.loads(app_of_micro.files(held)["micro.json"])
    assert told["samples"] == 3 and told["recorded"] == 8
    fewer = {row["fault"]: row["margin"] for row in app_of_micro.margins(held)}
    assert whole["label"] == 8 and fewer["label"] == 3 and fewer["softmax"] > 0.5 * whole["softmax"]
    assert set(whole) == {"mean", "layout", "dtype", "label", "softmax", "delegate", "truncated", "other"}
    assert [name for name, margin in whole.items() if margin is None] == [
        "mean",
        "layout",
        "dtype",
        "truncated",
        "other",
    ]


@gcc
def test_texts_of_c_mean_what_they_mean_here(tmp_path: Path) -> None:
    text = 'a "b" \\ ?\u003f/ \n ü 中 */'
    values = np.array([0.1, -1e-30, 3.4e38, 1, 0, 16777217], np.float32)
    whole = np.array([-(2**31), 2**31 - 1, 0], np.int32)
    (tmp_path / "main.c").write_text(
        f"/* {_c.comment(text)} */\n#include <stdint.h>\n#include <stdio.h>\nint main(void) {{\n"
        f"  static const float values[] = {{\n{_c.numbers(values)}\n  }};\n"
        f"  static const int32_t whole[] = {{\n{_c.numbers(whole)}\n  }};\n"
        f"  static const char text[] = {_c.text(text)};\n"
        "  fwrite(values, 1, sizeof values, stdout);\n  fwrite(whole, 1, sizeof whole, stdout);\n"
        "  fwrite(text, 1, sizeof text - 1, stdout);\n  return 0;\n}\n"
    )
    subprocess.run(["gcc", *board.WARNINGS, "-o", tmp_path / "main", tmp_path / "main.c"], check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
    assert done.stdout == values.tobytes() + whole.tobytes() + text.encode()
    assert max(map(len, _c.numbers(np.arange(-128, 127, dtype=np.int8)).splitlines())) <= 120


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("DEPTHWISE_CONV_2D", "DepthwiseConv2D"),
        ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor"),
        ("ADD_N", "AddN"),
        ("RELU6", "Relu6"),
        ("BATCH_TO_SPACE_ND", "BatchToSpaceNd"),
        ("SPLIT_V", "SplitV"),
    ],
)
def test_operators_have_the_names_of_their_methods(operator: str, method: str) -> None:
    assert operators.method(operator) == method


def test_every_method_of_tensorflow_lite_micro_is_the_name_of_an_operator() -> None:
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema  # noqa: PLC0415

    known = {operators.method(name) for name in vars(schema.BuiltinOperator) if name.isupper()}
    stand_in = (Path(__file__).parent / "tflm_stub/tensorflow/lite/micro/micro_mutable_op_resolver.h").read_text()
    methods = set(re.findall(r"TfLiteStatus Add(\w+)\(", stand_in))
    assert len(methods) > 90 and methods <= known, methods - known
