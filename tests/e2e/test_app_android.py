"""The Android application without a phone: compiled by the real kotlinc, its logic run on a desktop's JVM.

Needs a JDK and two packages of npm, which `make android` fetches into a folder that EDGEKD_ANDROID names. Stand-ins:
javax.imageio decodes, and a Python process runs the model. Android's decoder and runtimes are compiled against alone.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.apps import android
from edgekd.commands.selftest import SelfTest
from edgekd.runtimes import preprocess
from tests.e2e.test_app_web import MAKE
from tests.test_apps_web import by_pillow, how, picture

HERE = Path(__file__).parent.parent / "android"
CACHE = Path(os.environ.get("EDGEKD_ANDROID", Path.home() / ".cache/edgekd/android")) / "node_modules"
KOTLIN, ORT = CACHE / "kotlin-compiler", CACHE / "com.github.asus4.onnxruntime/Plugins/Android/onnxruntime.aar"
ABSENT = (
    "no JDK is here"
    if shutil.which("javac") is None
    else ""
    if KOTLIN.is_dir() and ORT.is_file()
    else "kotlinc and onnxruntime's classes are not fetched: make android"
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(ABSENT), reason=ABSENT or "-")]
COROUTINES = KOTLIN / "lib/kotlinx-coroutines-core-jvm.jar"
APPS = ("gray-onnx", "gray-tflite", "rgb-onnx", "rgb-tflite")
# (fault, models, file, what stands there, what stands there then, how the first failed check begins)
Change = tuple[str, str, str, str, str, str]
STALE = "val found = engine.run(fed).let { now -> (last ?: now).also { last = now } }"
FAULTS: tuple[Change, ...] = (
    ("bgr", "rgb", "Preprocess.kt", 'channels == "bgr"', 'channels == "rgb"', "prepare"),
    ("filter", "both", "Preprocess.kt", "how.canvas, how.filter).data", 'how.canvas, "lanczos").data', "decode"),
    ("crop", "both", "Preprocess.kt", "if (side == short) canvas", "if (side > 0) canvas", "decode"),
    ("exif", "both", "Platform.kt", "orientation(encoded))", "1)", "decode"),
    ("alpha", "both", "Preprocess.kt", "if (alpha == 255)", "if (alpha >= 0)", "decode"),
    ("mean", "both", "Preprocess.kt", "- how.mean(channel)", "- 0.5f", "prepare"),
    ("layout", "rgb", "Preprocess.kt", 'how.layout == "NCHW"', 'how.layout != "NCHW"', "prepare"),
    ("dtype", "both", "Preprocess.kt", "/ 255f -", "/ 1f -", "prepare"),
    ("label", "both", "Answers.kt", "label = classes[index]", "label = classes[(index + 1) % classes.size]", "answers"),
    ("softmax", "both", "Answers.kt", "powers[it] / sum", "powers[it]", "answers"),
    ("temperature", "both", "Answers.kt", "outputs[it] / temperature", "outputs[it] * temperature", "answers"),
    ("delegate", "both", "Accelerators.kt", "val found = engine.run(fed)", STALE, "model"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an application of each model and format."""
    found = tmp_path_factory.mktemp("android")
    script = MAKE.replace('"web"', '"android"')
    done = subprocess.run(
        [sys.executable, "-c", script, str(found)], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return found


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes of the stubs of Android and JUnit, and the real ones of onnxruntime."""
    folder = tmp_path_factory.mktemp("classes")
    sources = [str(path) for path in (HERE / "stubs").rglob("*.java")]
    subprocess.run(["javac", "-d", str(folder), *sources], check=True, timeout=300)
    with zipfile.ZipFile(ORT) as archive:
        archive.extract("classes.jar", folder)
    return folder


def kotlinc(sources: list[Path], to: Path, *classes: Path) -> str:
    """Compile with warnings as errors; returns what the compiler says against it."""
    paths = ":".join(str(path) for path in (COROUTINES, *classes))
    command = ["bash", str(KOTLIN / "bin/kotlinc"), "-Werror", "-cp", paths, "-d", str(to), *map(str, sources)]
    roomy = os.environ | {"JAVA_OPTS": "-Xmx2g"}  # for many copies at once
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=roomy)
    return "" if done.returncode == 0 else done.stderr


@pytest.fixture(scope="module")
def built(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code and its faulty copies, each in a package of its own, with what runs them; one run of the compiler."""
    folder = tmp_path_factory.mktemp("built")
    sources = []
    plain = [path for path in (android.TEMPLATES / "main").glob("*.kt") if path.name != "Android.kt"]
    for number, change in enumerate((None, *FAULTS)):
        for path in (*plain, HERE / "Harness.kt"):
            text = path.read_text(encoding="utf-8").replace("package edgemodel", f"package copy{number}", 1)
            if change and change[2] == path.name:
                fault, _, _, old, new, _ = change
                assert old in text, change
                text = text.replace(old, new)
                if fault == "delegate":
                    text = text.replace("    var first:", "    private var last: List<Any>? = null\n    var first:")
            sources.append(folder / f"source/{number}/{path.name}")
            sources[-1].parent.mkdir(parents=True, exist_ok=True)
            sources[-1].write_text(text, encoding="utf-8")
    assert not kotlinc(sources, folder / "out")
    return folder / "out"


Run = Callable[..., Any]


@pytest.fixture
def run(built: Path) -> Run:
    """Run the code, or its copy with a fault, on a folder model/; gives what it prints as JSON."""

    def ran(model: Path | None, mode: str = "self-test", number: int = 0, given: str = "") -> Any:
        paths = ":".join(map(str, (built, COROUTINES, KOTLIN / "lib/kotlin-stdlib.jar")))
        where = [] if model is None else [str(model), sys.executable, str(HERE / "runner.py")]
        done = subprocess.run(
            ["java", "-Djava.awt.headless=true", "-cp", paths, f"copy{number}.HarnessKt", mode, *where],
            input=given,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return ran


def failed(told: dict[str, Any]) -> dict[str, str]:
    return {one["what"]: one["why"] for one in told["checks"] if one["passed"] is False}


@pytest.mark.parametrize("name", ["rgb-onnx", "rgb-tflite"])
def test_it_compiles_without_a_warning(name: str, home: Path, classes: Path, tmp_path: Path) -> None:
    """Against onnxruntime's own classes, and stubs of Android and LiteRT."""
    sources = sorted((home / name / "src").rglob("*.kt")) + sorted((HERE / "stubs").glob("*.kt"))
    assert not kotlinc(sources, tmp_path, classes, classes / "classes.jar")


def test_a_call_that_onnxruntime_does_not_have_is_refused(home: Path, classes: Path, tmp_path: Path) -> None:
    sources = sorted((home / "rgb-onnx/src/main").rglob("*.kt"))
    (engine,) = (path for path in sources if path.name == "OnnxRuntime.kt")
    other = tmp_path / "OnnxRuntime.kt"
    other.write_text(engine.read_text().replace("setIntraOpNumThreads", "setIntraOpThreadz"))
    said = kotlinc([*(set(sources) - {engine}), other], tmp_path / "out", classes, classes / "classes.jar")
    assert "setIntraOpThreadz" in said


@pytest.mark.parametrize("name", APPS)
def test_the_self_test_passes_and_is_what_a_report_takes(name: str, run: Run, home: Path) -> None:
    told = run(home / name / "model")
    assert told["passed"] and {one["passed"] for one in told["checks"]} == {True}, told["checks"]
    pictures = ("odd-size.png", "turned.jpg", "alpha.png")
    decoded, prepared = ([f"{what} {file}" for file in pictures] for what in ("decode", "prepare"))
    assert [one["what"] for one in told["checks"]] == [
        "files", *decoded, *prepared, "model logits", "answers", "pictures"
    ]  # fmt: skip
    assert told["difference"] <= told["tolerance"]
    said = SelfTest.model_validate_json(json.dumps(told))
    assert said.latency is not None and len(said.latency.seconds) == 50 and said.latency.load > 0


def test_numbers_of_several_inputs_pass_too(run: Run, home: Path) -> None:
    told = run(home / "numbers-onnx/model")
    assert told["passed"], failed(told)
    assert {one["what"] for one in told["checks"] if one["passed"] is None} == {"answers", "pictures"}


CASES = [
    pytest.param(name, number, id=f"{fault}-{name}")
    for name in ("gray-onnx", "rgb-tflite")
    for number, (fault, models, *_) in enumerate(FAULTS, 1)
    if models == "both" or name.startswith(models)
]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_every_fault_in_the_code_is_caught(name: str, number: int, run: Run, home: Path) -> None:
    first = FAULTS[number - 1][-1]
    told = run(home / name / "model", number=number)
    assert not told["passed"] and told["latency"] is None
    assert next(iter(failed(told))).startswith(first), failed(told)
    SelfTest.model_validate_json(json.dumps(told))


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("fault", ["truncated", "other", "labels"])
def test_every_fault_in_the_files_is_caught(fault: str, name: str, run: Run, home: Path, tmp_path: Path) -> None:
    model, format = tmp_path / "model", name.partition("-")[2]
    shutil.copytree(home / name / "model", model)
    file = model / f"student.{format}"
    if fault == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif fault == "other":
        shutil.copy(home / "bundles" / f"other-{name.partition('-')[0]}.{format}", file)
    else:
        (model / "labels.txt").write_text("one\n")
    found = failed(run(model))
    assert "files" in found and (fault == "labels" or "model logits" in found), found


@pytest.mark.parametrize("name", ["gray-onnx", "rgb-tflite"])
def test_accelerators_that_lie_are_not_kept(name: str, run: Run, home: Path) -> None:
    told = run(home / name / "model", "lying")
    assert told["passed"] and told["accelerator"]["used"] == "true", told["accelerator"]
    tried = {one["name"]: one for one in told["accelerator"]["tried"]}
    assert [one["name"] for one in tried.values() if one["kept"]] == ["true"]
    for liar, why in (
        ("huge", "outputs differ by 1"),
        ("nan", "no finite numbers"),
        ("stale", "outputs differ by"),
        ("slow", "the processor takes"),
        ("throwing", "driver lost"),
        ("missing", "no driver in java.library.path"),
    ):
        assert why in tried[liar]["why"], tried[liar]


@pytest.mark.parametrize("filter", preprocess.FILTERS)
def test_pixels_are_those_of_pillow_to_the_byte(filter: str, run: Run, tmp_path: Path) -> None:
    rng, cases = np.random.default_rng(14), []
    for width, height in [*rng.integers(1, 150, (12, 2)), (28, 28), (27, 29), (1, 1), (3, 300), (640, 481)]:
        canvas, size = (int(side) for side in rng.integers(8, 64, 2))
        channels = str(rng.choice(["gray", "rgb", "bgr"]))
        spread = {"mean": [0.286], "std": [0.353]} if channels == "gray" else {}
        layout = str(rng.choice(["NCHW", "NHWC"]))
        asked = how(canvas=canvas, size=size, channels=channels, filter=filter, layout=layout, **spread)
        cases.append((picture(int(width), int(height), alpha=width % 2 == 0), asked))
    given = [
        {"how": one, "width": image.width, "height": image.height, "rgba": base64.b64encode(image.tobytes()).decode()}
        for image, one in cases
    ]
    for (image, one), found in zip(cases, run(None, "pixels", given=json.dumps(given)), strict=True):
        assert tuple(map(base64.b64decode, found)) == by_pillow(image, one, tmp_path), (image.size, one)
