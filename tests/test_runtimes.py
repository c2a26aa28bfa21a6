"""Rules of the device side as a whole: what its files may import and use, and how one job runs end to end."""

import ast
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgekd import runtimes
from edgekd.devices import _jobs
from tests import tiny

FILES = sorted(Path(runtimes.__file__).parent.glob("*.py"))
EXTRA = {"preprocess": {"PIL"}, "tokens": {"tokenizers"}}


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of absolute imports anywhere in a file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def literal(tree: ast.Module, name: str) -> tuple[str, ...]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return tuple(ast.literal_eval(node.value))
    return ()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_keep_to_python_3_9_and_to_their_own_library(file: Path) -> None:
    """A process that measures holds no torch, unless a runtime declares that its binding is made of torch's tensors."""
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
    own = {package.replace("-", "_") for package in literal(tree, "PACKAGES")}
    assert imported(tree) <= sys.stdlib_module_names | {"numpy"} | own | EXTRA.get(file.stem, set())
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert all(node.level == 1 for node in relative)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_new_types_stand_in_annotations_only(file: Path) -> None:
    """`X | Y` of types is 3.10 unless nothing evaluates it; the future import makes annotations text."""
    source = file.read_text(encoding="utf-8")
    assert "def " not in source or "from __future__ import annotations" in source


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("app") / "runtimes.pyz"
    _jobs.zipapp(path)
    return path


def send(app: Path, folder: Path, request: object, *flags: str) -> tuple[int, dict[str, Any], str]:
    text = request if isinstance(request, str) else json.dumps(request)
    (folder / "request.json").write_text(text, encoding="utf-8")
    (folder / "result.json").unlink(missing_ok=True)
    command = [sys.executable, *flags, str(app), str(folder / "request.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    result = folder / "result.json"
    return done.returncode, json.loads(result.read_text()) if result.is_file() else {}, done.stderr


def test_facts_are_quick_stable_and_import_no_runtime(app: Path, tmp_path: Path) -> None:
    started = time.perf_counter()
    status, first, _ = send(app, tmp_path, {"verb": "facts"})
    seconds = time.perf_counter() - started
    status_again, again, trace = send(app, tmp_path, {"verb": "facts"}, "-X", "importtime")
    assert status == status_again == 0
    assert first["fingerprint"] == again["fingerprint"]
    assert not {"numpy", "onnxruntime", "openvino", "ai_edge_litert"} & set(trace.split())
    assert seconds < 3  # 0.15 s on an idle machine; the bound only catches an import of something heavy


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"verb": "dance"}, "there is no verb 'dance'; choose from: clock, energy"),
        ([1], "there is no verb None"),
        ("{", "Expecting property name"),
        ({"verb": "predict"}, "the request lacks runtime, model, threads, signature"),
        ({"verb": "clock", "runtime": "onnx", "model": "m", "threads": 1, "signature": {}}, "lacks inputs or outputs"),
        (
            {
                "verb": "clock",
                "runtime": "onnx",
                "model": "gone.onnx",
                "threads": 1,
                "signature": tiny.signature("text"),
            },
            "the model gone.onnx is not in",
        ),
        (
            {"verb": "memory", "runtime": "job", "model": ".", "threads": 1, "signature": tiny.signature("text")},
            "there is no runtime 'job'",
        ),
    ],
)
def test_a_wrong_request_is_answered_by_a_sentence(app: Path, tmp_path: Path, request_: object, message: str) -> None:
    status, result, stderr = send(app, tmp_path, request_)
    assert status == 1
    assert message in result["error"]
    assert "Traceback" not in stderr


def test_a_call_without_a_request_shows_the_usage(app: Path) -> None:
    done = subprocess.run([sys.executable, str(app)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_a_runtime_that_is_not_installed_is_named_with_the_pip_line(app: Path, tmp_path: Path) -> None:
    """The zipapp works with an interpreter that has numpy only: here one that sees no other package."""
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "hide.py").write_text(
        "import runpy, sys\nsys.modules['onnxruntime'] = None\nsys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    request = {"verb": "memory", "runtime": "onnx", "model": "model.onnx", "threads": 1}
    (tmp_path / "request.json").write_text(json.dumps(request | {"signature": tiny.signature("image")}))
    command = [sys.executable, str(tmp_path / "hide.py"), str(app), str(tmp_path / "request.json")]
    assert subprocess.run(command, check=False).returncode == 1
    assert "Run: pip install onnxruntime" in json.loads((tmp_path / "result.json").read_text())["error"]


def test_core_ml_says_at_once_that_it_needs_macos(app: Path, tmp_path: Path) -> None:
    if sys.platform == "darwin":
        pytest.skip("Core ML runs here")
    (tmp_path / "model.mlpackage").mkdir()
    request = {"verb": "clock", "runtime": "coreml", "model": "model.mlpackage", "threads": 1}
    _, result, _ = send(app, tmp_path, request | {"signature": tiny.signature("image")})
    assert result["error"] == "coreml cannot run here: its runtime works on macOS only, and this is Linux"


@pytest.mark.slow
def test_the_core_ml_module_imports_without_torch() -> None:
    """On macOS the module is imported for every job; elsewhere at least its import can be checked."""
    code = "import sys; import edgekd.runtimes.coreml; assert sys.modules.get('torch') is None"
    root = Path(runtimes.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False, capture_output=True).returncode == 0


PICTURE = """
import numpy as np
from coremltools.proto import Model_pb2
from edgekd.runtimes import coreml

spec, fed = Model_pb2.Model(), {}
image = spec.description.input.add(name="image").type.imageType
image.width, image.height, image.colorSpace = 3, 2, image.RGB
spec.description.output.add(name="logits")

class Package:
    def get_spec(self):
        return spec

    def predict(self, given):
        fed.update(given)
        return {"logits": np.ones((1, 3))}

model = coreml.Model(Package(), {"inputs": [{"name": "image"}], "outputs": [{"name": "logits"}]})
pixels = np.arange(18, dtype=np.uint8).reshape(1, 2, 3, 3)
model.feed([pixels])
model.invoke()
assert model.batch == 1 and model.outputs()[0].shape == (1, 3)
assert fed["image"].mode == "RGB" and fed["image"].size == (3, 2) and (np.asarray(fed["image"]) == pixels[0]).all()
"""


@pytest.mark.slow
def test_core_ml_is_fed_raw_pixels_as_a_picture() -> None:
    root = Path(runtimes.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", PICTURE], cwd=root, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_package_also_runs_where_edgekd_is_installed(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text('{"verb": "facts"}')
    command = [sys.executable, "-m", "edgekd.runtimes", str(tmp_path / "request.json")]
    root = Path(runtimes.__file__).parents[2]
    assert subprocess.run(command, cwd=root, check=False).returncode == 0
    assert json.loads((tmp_path / "result.json").read_text())["cores"] >= 1
