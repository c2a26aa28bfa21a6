"""The application for Python programs: what it holds, that it answers and tests itself without edgekd, and that its
self-test sees every mistake that is made in a copy of it on purpose.
"""

import ast
import importlib
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import wave
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import tokenizers
from onnx import numpy_helper
from PIL import Image

from edgekd.apps import python as app_of_python
from edgekd.bundle import apps, bundle
from edgekd.bundle.content import Content
from edgekd.commands.selftest import SelfTest
from edgekd.results import Artifact, Confidence, Interval, Preprocess, Signature, TensorSpec
from edgekd.runtimes import logmel
from edgekd.workspace import locate
from tests import converted as toy
from tests import small, test_bundle
from tests import tiny as toys

SURE = Interval(value=0.02, low=0.01, high=0.03)
CONFIDENCE = Confidence(temperature=1.43, threshold=0.4, coverage=0.9, error=SURE, error_before=SURE, samples=100)
# What a clean Python is to have; not edgekd, and no torch.
LEFT_OUT = ("edgekd", "_edgekd", "__editable__", "torch", "distutils-precedence")
NUMBERS = count()


def bundled(
    folder: Path,
    file: Path,
    signature: Signature,
    kind: tuple[str, str],
    samples: dict[str, Any],
    confidence: tuple[Confidence, ...] = (CONFIDENCE,),
) -> Path:
    """A bundle of a model file, as the stages write it; `kind` is its format and precision, samples are stored ones."""
    store = small.Store(folder / "store")
    entry = store.entry()
    (shutil.copytree if file.is_dir() else shutil.copyfile)(file, entry.path(f"student{file.suffix}"))
    arrays = {f"raw:{name}": values for name, values in samples.items()}
    zeros = np.zeros((len(next(iter(samples.values()))), *signature.outputs[0].shape[1:]), np.float32)
    np.savez(entry.path("golden.npz"), **arrays, **{f"output:{signature.outputs[0].name}": zeros})
    stored = entry.file(f"student{file.suffix}")
    made = Artifact(
        file=stored,
        format=kind[0],
        precision=kind[1],
        signature=signature.model_copy(update={"confidence": confidence}),
        golden=entry.file("golden.npz"),
        size=stored.size,
        graph="9" * 64,
        made_by="a test",
    )
    row = test_bundle.synthetic.rows("onnx")[-1].model_copy(update={"artifact": made, "precision": kind[1]})
    golden = small.golden_set(store, made, small.device_facts())
    return bundle.write(test_bundle.report(row), row, golden, store.entries, folder / "made", test_bundle.LOCK)


def written(folder: Path, *told: Any) -> Path:
    """The application of such a bundle."""
    return apps.write(bundled(folder, *told), "python", folder / "app").folder


def linear(path: Path, signature: Signature) -> Path:
    """A linear layer over all pixels of the one input."""
    size = int(np.prod(signature.inputs[0].shape[1:]))
    weights = np.random.default_rng(5).normal(0, 0.05, (size, 3)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("Flatten", ["image"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    small._write(path, nodes, signature, [numpy_helper.from_array(weights, "weights")])
    return path


COLOUR = Signature(
    inputs=(
        TensorSpec(
            name="image",
            shape=(-1, 3, 32, 32),
            preprocess=Preprocess(
                canvas=40, size=32, channels="bgr", filter="bicubic", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)
            ),
        ),
    ),
    outputs=(TensorSpec(name="logits", shape=(-1, 3)),),
    classes=small.CLASSES,
)


def coloured() -> dict[str, np.ndarray]:
    rows, columns = np.indices((40, 40))
    waves = [[np.sin(rows * (n + c + 1) / 5) + np.cos(columns * (n + 2) / (4 + c)) for c in range(3)] for n in range(6)]
    return {"image": np.moveaxis(127 + 60 * np.array(waves), 1, -1).astype(np.uint8)}


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gray")
    model = linear(folder / "gray.onnx", small.IMAGES)
    return written(folder, model, small.IMAGES, ("onnx", "float32"), small.image_samples())


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colour")
    return written(folder, linear(folder / "colour.onnx", COLOUR), COLOUR, ("onnx", "float32"), coloured())


@pytest.fixture(params=("gray", "colour"))
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the application of a gray or a colour network."""
    return Path(shutil.copytree(request.getfixturevalue(request.param), tmp_path / "app"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages like site-packages, but without edgekd and torch."""
    folder = tmp_path_factory.mktemp("site")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(LEFT_OUT) and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    return folder


def without(site: Path, folder: Path, *names: str) -> Path:
    """The same packages but for some."""
    folder.mkdir()
    for entry in site.iterdir():
        if not entry.name.startswith(names):
            (folder / entry.name).symlink_to(entry.resolve())
    return folder


def environment(*places: Path) -> dict[str, str]:
    return {"PYTHONPATH": ":".join(map(str, places)), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}


def python(app: Path, site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """This Python without its site-packages, in the application's folder."""
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(
        command, cwd=app, env=environment(site), capture_output=True, text=True, check=False, timeout=300
    )


def imported(app: Path) -> Callable[[str], ModuleType]:
    """The package of an application under a name of its own: several are in this process."""
    name = f"edge_model_{next(NUMBERS)}"
    place = app / "edge_model"
    spec = importlib.util.spec_from_file_location(name, place / "__init__.py", submodule_search_locations=[str(place)])
    assert spec and spec.loader
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return lambda inner: importlib.import_module(f"{name}.{inner}" if inner else name)


def self_test(app: Path, *accelerators: Any, package: Callable[[str], ModuleType] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = (package or imported(app))("selftest").run(app / "model", accelerators)
    SelfTest.model_validate_json(json.dumps(found, allow_nan=False))
    return found


def failed(found: dict[str, Any]) -> list[str]:
    return [one["what"] for one in found["checks"] if one["passed"] is False]


def one_line(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_it_holds_what_a_project_needs(colour: Path) -> None:
    slug = json.loads((colour / "model/model.json").read_text())["slug"]
    assert sorted(path.name for path in colour.iterdir()) == sorted(
        ["LICENSES", "MODEL_CARD.md", "README.md", "certificate.json", "digests.json", "edge_model", f"{slug}.service",
         "main.py", "model", "requirements.txt"]
    )  # fmt: skip
    readme = (colour / "README.md").read_text()
    assert len(readme.splitlines()) <= 40
    assert "edgekd report RUN --add selftest.json" in readme
    assert (colour / "requirements.txt").read_text().split() == ["numpy>=1.24", "onnxruntime>=1.24", "pillow>=9.4"]


def test_its_sources_are_for_python_3_9(gray: Path) -> None:
    sources = [path for path in gray.rglob("*.py") if "__pycache__" not in path.parts]
    assert len(sources) > 20
    for path in sources:
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        names = {
            (node.module, name.name) for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names
        }
        unions = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)]
        assert ("__future__", "annotations") in names or not unions, path
        assert "edgekd" not in {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        keywords = [k.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for k in node.keywords]
        assert "strict" not in keywords and "slots" not in keywords, path


def test_it_tests_itself_and_answers_without_edgekd(app: Path, clean: Path) -> None:
    for name in ("edgekd", "torch"):
        assert f"No module named '{name}'" in python(app, clean, "-c", f"import {name}").stderr
    done = python(app, clean, "main.py", "--self-test", "--out", "told.json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = SelfTest.model_validate_json((app / "told.json").read_text())
    assert found.passed and found.latency and len(found.latency.seconds) == 50
    names = ("odd-size.png", "turned.jpg", "alpha.png")
    pictures = [f"{step} {name}" for step in ("decode", "prepare") for name in names]
    assert [one.what for one in found.checks] == ["files", *pictures, "model logits", "answers", "pictures"]
    assert found.accelerator.used == "cpu" and found.device.cores and found.device.memory
    raw = json.loads((app / "told.json").read_text())
    assert set(raw) == {"schema_version", "kind", "app", "created", "model", "device", "runtime", "accelerator",
                        "passed", "checks", "difference", "tolerance", "latency"}  # fmt: skip
    assert set(raw["device"]) == {"name", "system", "processor", "cores", "memory", "agent", "emulated"}
    assert raw["device"]["emulated"] == ""
    golden = json.loads((app / "model/golden/golden.json").read_text())
    done = python(app, clean, "main.py", *(f"model/golden/{one['file']}" for one in golden["pictures"]))
    assert done.returncode == 0, done.stderr
    for line, picture in zip(done.stdout.splitlines(), golden["pictures"], strict=True):
        assert line.startswith(f"model/golden/{picture['file']}: ")
        assert picture["answer"]["labels"][0] in line and " ms" in line


def test_frames_go_through_the_same_code_as_files(app: Path) -> None:
    model = imported(app)("").load()
    picture = app / "model/golden/odd-size.png"
    frame = np.asarray(Image.open(picture).convert("RGB"))
    of_file, of_frame, of_bytes = (model.classify(one) for one in (picture, frame, picture.read_bytes()))
    assert of_file.outputs == of_frame.outputs == of_bytes.outputs
    assert of_file.label in small.CLASSES and of_file.confidence == of_file.top[0][1] == max(s for _, s in of_file.top)
    assert of_file.accepted == (of_file.confidence >= CONFIDENCE.threshold)
    assert sum(share for _, share in of_file.top) == pytest.approx(1)
    gray = np.asarray(Image.open(picture).convert("L"))
    assert model.classify(gray).outputs == model.classify(np.stack([gray] * 3, -1)).outputs
    with pytest.raises(ValueError, match="frames are uint8"):
        model.classify(frame.astype(np.float32))


PIXELS = "edge_model/runtime/preprocess.py"
ANSWERS = "edge_model/answers.py"
SWAPPED = 'Image.merge("RGB", _flat(upright).convert("RGB").split()[::-1])'
SHARES = "shares: np.ndarray[Any, Any] = powers / powers.sum()"
DIVIDED = "values /= np.float32(255)"
# The mistake, the file and the text in it, what to write instead, and the check that has to see it first.
FAULTS = (
    ("bgr", PIXELS, "_central(_flat(upright).", f"_central({SWAPPED}.", "decode"),
    ("mean", PIXELS, 'np.asarray(preprocess["mean"], np.float32)', "np.zeros(1, np.float32)", "prepare"),
    ("layout", PIXELS, "images.transpose(0, 3, 1, 2)", "images.transpose(0, 3, 2, 1)", "prepare"),
    ("filter", PIXELS, "method = resampling(filter)\n    if", 'method = resampling("box")\n    if', "decode"),
    ("filter", PIXELS, "resize((width, height), method)", "resize((width, height), 0)", "decode"),
    ("crop", PIXELS, "width, height = (canvas if", "width, height = (canvas if True or", "decode"),
    ("exif", PIXELS, "turned = ImageOps.exif_transpose(image)", "turned = None", "decode turned.jpg"),
    ("label", ANSWERS, "label=labels[order[0]]", "label=labels[order[0] - 1]", "answers"),
    ("dtype", PIXELS, DIVIDED, "pass", "prepare"),
    ("dtype", PIXELS, DIVIDED, "values = (values / 255).astype(np.uint8).astype(np.float32)", "prepare"),
    ("softmax", ANSWERS, SHARES, "shares = scaled", "answers"),
    ("softmax", ANSWERS, "np.float64) / temperature", "np.float64)", "answers"),
    ("softmax", ANSWERS, SHARES, f"powers = np.exp(powers / powers.sum())\n    {SHARES}", "answers"),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_the_self_test_sees_mistakes_in_the_code(app: Path, fault: tuple[str, str, str, str, str]) -> None:
    _, file, old, new, check = fault
    assert self_test(app)["passed"]
    change(app / file, old, new)
    found = self_test(app)
    assert failed(found) and failed(found)[0].startswith(check), found["checks"]
    assert not found["passed"] and found["latency"] is None


def test_channels_in_the_wrong_order_of_a_canvas_are_seen(colour: Path, tmp_path: Path) -> None:
    app = Path(shutil.copytree(colour, tmp_path / "app"))
    change(app / PIXELS, 'images if channels == "rgb" else images[..., ::-1]', "images")
    assert failed(self_test(app))[0] == "prepare odd-size.png"


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file.name}"
    file.write_text(text.replace(old, new))


def model_file(app: Path) -> Path:
    return app / "model" / json.loads((app / "model/model.json").read_text())["file"]["name"]


def another(file: Path) -> None:
    """Another network of the same shapes."""
    model = onnx.load(file)
    weights = model.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights)[::-1].copy(), weights.name))
    onnx.save(model, file)


def test_the_self_test_sees_another_file(app: Path, clean: Path) -> None:
    file = model_file(app)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert failed(self_test(app)) == ["files", "model logits", "answers", "pictures"]
    done = python(app, clean, "main.py", "--self-test")
    assert done.returncode == 1 and "FAILED        files" in done.stdout and "Traceback" not in done.stderr
    assert SelfTest.model_validate_json((app / "selftest.json").read_text()).passed is False
    one_line(python(app, clean, "main.py", "model/golden/odd-size.png"), 1, file.name)
    file.write_bytes(whole)
    another(file)
    assert failed(self_test(app))[0] == "files"
    with pytest.raises(Exception, match="does not give what was recorded"):
        imported(app)("").load()


def test_another_file_with_its_own_digest_is_seen_by_its_answers(app: Path) -> None:
    file = model_file(app)
    another(file)
    page = json.loads((app / "model/model.json").read_text())
    told = {"sha256": imported(app)("package").digest(file), "size": file.stat().st_size}
    page["files"][file.name] = told
    (app / "model/model.json").write_text(json.dumps(page))
    assert failed(self_test(app))[0] == "model logits"


class Lying:
    """An accelerator that gives something else than the CPU, or is slow."""

    def __init__(self, model: Any, lie: str) -> None:
        self._model, self._lie, self.batch = model, lie, model.batch
        self._before: list[np.ndarray] = []

    def feed(self, arrays: Any) -> None:
        self._model.feed(arrays)

    def invoke(self) -> None:
        if self._lie == "slow":
            time.sleep(0.002)
        if self._lie == "broken":
            raise RuntimeError("the driver is gone")
        self._model.invoke()

    def outputs(self) -> list[np.ndarray]:
        now = self._model.outputs()
        before, self._before = self._before or now, now
        lies = {"huge": [one * 0 + 1e28 for one in now], "stale": before, "nan": [one * np.nan for one in now]}
        return lies.get(self._lie, now)


def liar(package: Callable[[str], ModuleType], lie: str) -> Any:
    module = package("runtime.onnx")
    return package("").Candidate(lie, lambda path, threads, told: Lying(module.load(path, threads, told), lie))


@pytest.mark.parametrize(
    ("lie", "why"),
    [("huge", "outputs differ by 1e+28"), ("stale", "outputs differ by"), ("nan", "not finite"), ("slow", "the CPU"),
     ("broken", "the driver is gone")],
)  # fmt: skip
def test_accelerators_that_lie_or_are_slow_are_not_kept(gray: Path, lie: str, why: str) -> None:
    package = imported(gray)
    found = self_test(gray, liar(package, lie), package=package)
    assert found["passed"] and found["accelerator"]["used"] == "cpu"
    (tried,) = found["accelerator"]["tried"]
    assert tried["name"] == lie and not tried["kept"] and why in tried["why"], tried


def test_one_that_is_right_and_faster_is_kept(gray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = imported(gray)
    module = package("runtime.onnx")
    slow = SimpleNamespace(load=lambda *told: Lying(module.load(*told), "slow"), version=module.version)
    monkeypatch.setattr(package("engine"), "backend", lambda format: slow)
    fast = package("").Candidate("fast", module.load)
    found = self_test(gray, liar(package, "huge"), fast, package=package)
    assert found["passed"] and found["accelerator"]["used"] == "fast"
    assert [one["kept"] for one in found["accelerator"]["tried"]] == [False, True]


@pytest.mark.parametrize("lie", ["huge", "stale"])
def test_without_the_check_the_self_test_sees_the_lie(app: Path, lie: str) -> None:
    change(
        app / "edge_model/engine.py", "why = _unlike(recorded(other.model", 'why = "" and _unlike(recorded(other.model'
    )
    change(app / "edge_model/engine.py", "if seconds < slowest:", "if True:")
    package = imported(app)
    found = self_test(app, liar(package, lie), package=package)
    assert found["accelerator"]["used"] == lie and failed(found)[0] == "model logits"


def test_an_accelerator_that_is_not_there_is_an_error(gray: Path, clean: Path) -> None:
    one_line(python(gray, clean, "main.py", "--accelerator", "NoneSuch", "a.png"), 1, "no accelerator NoneSuch")


def test_what_is_missing_or_unreadable_is_one_line(app: Path, clean: Path, tmp_path: Path) -> None:
    (app / "bad.png").write_bytes(b"no picture")
    one_line(python(app, clean, "main.py", "bad.png"), 1, "bad.png", "not a readable")
    one_line(python(app, clean, "main.py", "none.png"), 1, "none.png", "No such file")
    site = without(clean, tmp_path / "poor", "PIL", "pillow")
    one_line(python(app, site, "main.py", "model/golden/odd-size.png"), 1, "Run: pip install pillow")
    site = without(clean, tmp_path / "poorer", "onnxruntime")
    one_line(python(app, site, "main.py", "bad.png"), 1, "onnxruntime is not installed", "requirements.txt")
    assert python(app, clean, "main.py").returncode == 2
    model_file(app).unlink()
    one_line(python(app, clean, "main.py", "bad.png"), 1, "is missing", model_file(app).name)
    (app / "model/model.json").write_text("{")
    one_line(python(app, clean, "main.py", "--self-test"), 1, "model.json is damaged")


FAKE_CV2 = '''"""Not OpenCV: a fake camera for a test, which gives one frame again and again."""
import numpy as np

class VideoCapture:
    def __init__(self, number):
        self.number = number

    def isOpened(self):
        return self.number == 0

    def read(self):
        blue_green_red = np.zeros((48, 64, 3), np.uint8)
        blue_green_red[..., 2] = 200
        return True, blue_green_red

    def release(self):
        print("the camera is free", flush=True)
'''


def test_frames_of_a_fake_camera(app: Path, clean: Path, tmp_path: Path) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake/cv2.py").write_text(FAKE_CV2)
    site = without(clean, tmp_path / "site", "cv2", "picamera2", "opencv")
    one_line(python(app, site, "main.py", "--camera"), 1, "apt install python3-picamera2", "pip install opencv")
    (site / "cv2.py").write_text(FAKE_CV2)
    done = python(app, site, "main.py", "--camera", "--frames", "3")
    assert done.returncode == 0, done.stderr
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    answer = imported(app)("").load().classify(red)
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and lines[-1] == "the camera is free"
    assert all(f"{answer.label} {100 * answer.confidence:.1f} %" in line for line in lines[:3])
    one_line(python(app, site, "main.py", "--camera", "1"), 1, "no camera 1")


def test_ctrl_c_ends_it_cleanly(gray: Path, clean: Path, tmp_path: Path) -> None:
    site = without(clean, tmp_path / "site", "cv2", "picamera2", "opencv")
    (site / "cv2.py").write_text(FAKE_CV2)
    command = [sys.executable, "-S", "main.py", "--camera"]
    with subprocess.Popen(
        command, cwd=gray, env=environment(site), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout and " ms" in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=300)
    assert running.returncode == 0 and "Traceback" not in err and out.endswith("the camera is free\n")


def test_the_service_is_one_of_systemd(gray: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("systemd-analyze is not here: apt install systemd")
    (file,) = gray.glob("*.service")
    text = file.read_text()
    home = tmp_path / "opt"
    (home / ".venv/bin").mkdir(parents=True)
    (home / ".venv/bin/python").symlink_to(sys.executable)
    (tmp_path / file.name).write_text(text.replace(f"/opt/{file.stem}", str(home)))
    done = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / file.name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert file.name not in done.stderr, done.stderr
    (tmp_path / file.name).write_text(text.replace("ProtectSystem=strict", "ProtectSystem=nonsense"))
    done = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / file.name)], capture_output=True, text=True, check=False
    )
    assert "protect system" in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["image-fixed.onnx", "int8-fixed.onnx", "image-fixed.tflite", "image-fixed.openvino"])
def test_every_format_runs_pictures_in_colour(tiny: Path, tmp_path: Path, name: str) -> None:
    kind, format = name.partition("-")[0], name.partition(".")[2]
    signature = Signature.model_validate(toys.signature(kind, 1))
    samples = {"image": toys.samples()["image"]}
    app = written(tmp_path, tiny / name, signature, (format, "int8" if kind == "int8" else "float32"), samples)
    found = self_test(app)
    assert found["passed"] and found["latency"], found["checks"]
    assert found["runtime"]["name"] == format and found["difference"] <= found["tolerance"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_tflite_runs_gray_pictures(converted: Callable[[str], Path], tmp_path: Path, precision: str) -> None:
    folder = converted("tflite")
    made = toy.artifact(folder, "tflite", "images", precision)
    with np.load(locate(folder / "entries", made.golden)) as stored:
        samples = {"image": stored["raw:image"]}
    file = locate(folder / "entries", made.file)
    app = written(tmp_path, file, made.signature, ("tflite", precision), samples)
    found = self_test(app)
    assert found["passed"] and found["latency"], found["checks"]
    change(app / PIXELS, DIVIDED, "pass")
    assert failed(self_test(app))[0].startswith("prepare")


def test_arrays_are_given_by_name(tmp_path: Path, clean: Path) -> None:
    small.write_word_model(tmp_path / "words.onnx")
    app = written(tmp_path, tmp_path / "words.onnx", small.WORDS, ("onnx", "float32"), small.word_samples())
    assert self_test(app)["passed"]
    model, samples = imported(app)("").load(), small.word_samples()
    answer = model.classify({name: values[0] for name, values in samples.items()})
    golden = json.loads((app / "model/golden/golden.json").read_text())["answers"][0]
    assert answer.label == golden["labels"][0]
    with pytest.raises(ValueError, match="no array for the input mask"):
        model.classify({"ids": samples["ids"][0]})
    np.savez(app / "some.npz", **samples)
    done = python(app, clean, "main.py", "some.npz")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 8, done.stderr
    assert "pillow" not in (app / "requirements.txt").read_text()


def test_heads_get_an_answer_each_and_numbers_their_units(gray: Path) -> None:
    read = imported(gray)("answers").read
    heads = [
        {"name": "kind", "start": 0, "classes": ["bag", "coat"]},
        {"name": "season", "start": 2, "classes": ["a", "b"]},
    ]
    sure = [{"temperature": 2.0, "threshold": 0.9}, {"temperature": 1.0, "threshold": None}]
    signature = {"classes": [], "columns": [], "heads": heads, "confidence": sure}
    found = read(signature, np.array([2.0, 0.0, 0.0, 1.0]), 1.5)
    assert (found["kind"].label, found["season"].label, found["season"].index) == ("bag", "b", 1)
    assert found["kind"].confidence == pytest.approx(1 / (1 + np.exp(-1))) and not found["kind"].accepted
    assert found["season"].confidence == pytest.approx(1 / (1 + np.exp(-1))) and found["season"].accepted
    columns = [{"name": "pressure", "unit": "mmHg"}, {"name": "pulse", "unit": ""}]
    numbers = read(signature | {"columns": columns, "heads": [], "confidence": []}, np.array([120.0, 61.0]), 1.5)
    assert numbers["pressure"] == 120 and numbers.units == {"pressure": "mmHg", "pulse": ""}


@pytest.mark.parametrize(
    ("changes", "result", "shown"),
    [
        ({"heads": [{"name": "kind", "start": 0, "classes": ["a", "b", 'c"']}]}, "dict[str, Answer]", ".items():"),
        ({"columns": [{"name": "pulse", "unit": "1/min"}], "classes": []}, "Numbers", "result.units"),
    ],
)
def test_types_and_words_are_those_of_the_model(
    gray: Path, tmp_path: Path, changes: dict[str, Any], result: str, shown: str
) -> None:
    page = json.loads((gray / "model/model.json").read_text())
    page["signature"] |= {"confidence": []} | changes
    golden = json.loads((gray / "model/golden/golden.json").read_text())
    content = Content("a title", "a-title", "0.1.0", page, golden, {}, {}, ("a fact",), True, Path())
    found = app_of_python.files(content)
    assert f"Result = {result}" in found["edge_model/result.py"]
    assert shown in found["README.md"] and "not calibrated" in found["README.md"]
    assert ('"c\\""' in found["edge_model/labels.py"]) == bool(changes.get("heads"))
    for name, text in found.items():
        if name.endswith(".py"):
            ast.parse(text, feature_version=(3, 9))
    assert "a-title.service" in found


def test_sounds_are_wav_files_or_samples(gray: Path, tmp_path: Path) -> None:
    samples = imported(gray)("samples")
    how = {"kind": "log-mel", "rate": 8000, "samples": 4000, "window": 200, "hop": 100, "fft": 256, "mels": 12,
           "low": 50.0, "high": 3900.0, "floor": 1e-6}  # fmt: skip
    spec = {"name": "sound", "shape": [-1, logmel.steps(how), 12], "dtype": "float32", "front_end": how}
    sound = (8000 * np.sin(np.arange(5000) / 7)).astype(np.int16)
    for rate in (8000, 16000):
        with wave.open(str(tmp_path / f"{rate}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(sound.tobytes())
    made = samples.Samples({"inputs": [spec]}, tmp_path)
    of_file, of_array = made.prepare(tmp_path / "8000.wav"), made.prepare(sound)
    assert made.kind == "sound" and (of_file["sound"] == of_array["sound"]).all()
    assert (of_file["sound"] == logmel.prepare(logmel.cut(sound, 4000)[None], how)).all()
    with pytest.raises(ValueError, match="16000 samples a second, the model takes 8000"):
        made.prepare(tmp_path / "16000.wav")


def test_texts_are_read_by_the_tokenizer_of_the_training(gray: Path, tmp_path: Path) -> None:
    words = {"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    (tmp_path / "golden").mkdir()
    tokenizer.save(str(tmp_path / "golden/tokenizer.json"))
    how = {"kind": "tokens", "file": "tokenizer.json", "length": 4, "padding": 0, "mask": "mask"}
    specs = [{"name": "ids", "front_end": how}, {"name": "mask", "front_end": None}]
    made = imported(gray)("samples").Samples({"inputs": specs}, tmp_path)
    found = made.prepare("bad good news")
    assert made.kind == "text"
    assert found["ids"].tolist() == [[3, 2, 1, 0]] and found["mask"].tolist() == [[1, 1, 1, 0]]


def test_a_number_takes_its_time_and_few_values(gray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = imported(gray)
    timing = package("timing")
    monkeypatch.setitem(timing.SECONDS, "number", 0.3)
    monkeypatch.setattr(timing, "MOST", 100)
    told = package("package").Package(gray / "model")
    chosen = package("classifier").choose(told, (), None)
    found = timing.latency(told, chosen, "number", lambda _: None)
    assert len(found["seconds"]) < 100 and found["means"] > 1 and found["means"] & (found["means"] - 1) == 0
    assert len(found["seconds"]) * found["means"] >= 1024 and min(found["seconds"]) > 0


@pytest.mark.slow
def test_types_of_the_application_are_right(app: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "main.py", "edge_model"]
    done = subprocess.run(command, cwd=app, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
