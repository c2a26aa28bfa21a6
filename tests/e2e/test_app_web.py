"""The application bundle for browsers in a real one: what it answers, what its self-test catches, and how it looks.

Needs Chromium and the runtimes for browsers: edgekd doctor --at browser --provision.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgekd.commands.selftest import SelfTest
from edgekd.devices import _npm

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ABSENT = "chromium is not here" if CHROMIUM is None else "" if len(_npm.versions()) == 2 else "runtimes not fetched"
FLAGS = ("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
APPS = ("gray-onnx", "gray-tflite", "rgb-onnx", "rgb-tflite")
# Packages of npm as the page finds them, by the names under which they are kept here.
MODULES = {"onnxruntime-web/dist": "onnxruntime-web", "@litertjs/core/wasm": "@litertjs/core"}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(ABSENT), reason=ABSENT or "-")]

# Networks of random weights, their files, and bundles of them as `edgekd build` writes these; in a fresh process.
MAKE = r"""
import json, sys
from pathlib import Path
import numpy as np, torch, litert_torch, onnxruntime
from ai_edge_litert.interpreter import Interpreter
from edgekd.bundle import apps
from edgekd.certificate import Certificate
from edgekd.contrast import answering
from edgekd.results import Confidence, Interval, Preprocess, Signature, TensorSpec
from edgekd.runtimes import digests, preprocess
from edgekd.samples import pictures
from edgekd.spec import Budget
from edgekd.stages.golden import tolerance

GRAY = Preprocess(canvas=28, size=28, channels="gray", filter="bilinear", mean=(0.286,), std=(0.353,))
RGB = Preprocess(canvas=40, size=32, channels="bgr", filter="bicubic", mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229))
CLASSES = ("T-shirt/top", 'a "quoted" one', "schöner Hut", "Coat", "Bag")
EXACT = Interval(value=0.02, low=0.01, high=0.03)


def net(channels, seed):
    torch.manual_seed(seed)
    layers = [torch.nn.Conv2d(channels, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, stride=2), torch.nn.ReLU()]
    side = {1: 6, 3: 7}[channels]
    found = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(8 * side * side, len(CLASSES)))
    found[-1].weight.data *= 6
    return found.eval()


def exported(format, module, example, file):
    if format == "onnx":
        torch.onnx.export(module, (example,), file, input_names=["image"], output_names=["logits"], dynamo=True, external_data=False)
    else:
        litert_torch.convert(module, (example,)).export(str(file))


def runs(format, file, inputs):
    if format == "onnx":
        session = onnxruntime.InferenceSession(file)
        return np.concatenate([session.run(None, {"image": one[None]})[0] for one in inputs])
    interpreter, found = Interpreter(str(file)), []
    interpreter.allocate_tensors()
    for one in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], one[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy())
    return np.concatenate(found)


def samples(how):
    rng, n = np.random.default_rng(3), how.canvas
    coarse = rng.integers(0, 256, (8, 5, 5, 1 if how.channels == "gray" else 3)).astype(np.uint8)
    return np.stack([preprocess.square(np.kron(one, np.ones((8, 8, 1), np.uint8)), n, "bicubic") for one in coarse])


def bundle(folder, format, how, seed=1):
    (folder / "golden").mkdir(parents=True)
    channels = 1 if how.channels == "gray" else 3
    said, stored = how.model_dump(mode="json"), samples(how)
    spec = TensorSpec(name="image", shape=(1, channels, how.size, how.size), preprocess=how)
    sure = Confidence(temperature=1.5, threshold=0.5, coverage=0.9, accuracy=EXACT, error=EXACT, error_before=EXACT, samples=500)
    outs = (TensorSpec(name="logits", shape=(1, len(CLASSES))),)
    signature = Signature(inputs=(spec,), outputs=outs, classes=CLASSES, confidence=(sure,))
    file = folder / f"student.{format}"
    exported(format, net(channels, seed), torch.zeros(spec.shape), file)
    written, margins = pictures.write(folder / "golden", stored, said)
    canvases = np.stack([preprocess.decode(folder / "golden" / one.file, how.canvas, "gray" if channels == 1 else "rgb", how.filter) for one in written])
    arrays = {"input:image": preprocess.prepare(stored, said), "image:canvas": canvases, "image:input": preprocess.prepare(canvases, said)}
    arrays["runtime:logits"] = runs(format, file, arrays["input:image"])
    arrays["image:runtime:logits"] = runs(format, file, arrays["image:input"])
    np.savez(folder / "golden/golden.npz", **arrays)
    allowed, why = tolerance(arrays["runtime:logits"], "float32")
    margins |= answering.margins(arrays["runtime:logits"], signature, allowed)
    model = {"name": file.name, "sha256": digests.sha256(file), "size": file.stat().st_size}
    images = [{"file": one.file, "shows": one.shows, "exact": one.exact} for one in written]
    page = dict(format=format, precision="float32", model=model, runtime="1", tolerance=allowed, tolerance_from=why,
                missing="", margins=margins, images=images)
    (folder / "golden/golden.json").write_text(json.dumps(page))
    (folder / "signature.json").write_text(signature.model_dump_json())
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    (folder / "README.md").write_text(f"# clothes of noise for {format}\n")
    for name in ("MODEL_CARD.md", "LICENSES", "edgekd.lock.json"):
        (folder / name).write_text(name)
    certificate = Certificate(edgekd="0.1.0", created="2026-11-23", target=format, precision="float32", verdict="holds", terms=(),
                              budget=Budget(), basis="measured", model=file.name, sha256={})
    (folder / "certificate.json").write_text(certificate.model_dump_json())
    digests.record(folder)


home = Path(sys.argv[1])
for name, how in (("gray", GRAY), ("rgb", RGB)):
    for format in ("onnx", "tflite"):
        bundle(home / "bundles" / f"{name}-{format}", format, how)
        apps.write(home / "bundles" / f"{name}-{format}", "web", home / f"{name}-{format}")
        exported(format, net(1 if name == "gray" else 3, 2), torch.zeros(1, 1 if name == "gray" else 3, how.size, how.size), home / "bundles" / f"other-{name}.{format}")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an application of each model and format, whose packages of npm are beside their pages."""
    found = tmp_path_factory.mktemp("apps")
    done = subprocess.run(
        [sys.executable, "-c", MAKE, str(found)], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for target, name in MODULES.items():
        package = next(one for one in _npm.PACKAGES if one.name == name)
        (found / "node_modules" / target).parent.mkdir(parents=True, exist_ok=True)
        (found / "node_modules" / target).symlink_to(_npm.kept(package))
    core, utils = found / "node_modules/@litertjs/core/dist", found / "node_modules/@litertjs/wasm-utils/dist"
    for folder, name, kept in ((core, "index.js", _npm.PACKAGES[1]), (core, "wasm-utils.js", _npm.PACKAGES[2])):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(_npm.kept(kept) / name)
    utils.mkdir(parents=True)
    (utils / "index.js").symlink_to(_npm.kept(_npm.PACKAGES[2]) / "wasm-utils.js")
    for name in APPS:
        placed(found / name)
    return found


def placed(app: Path) -> Path:
    """An application with its packages, and a page that only has the import map of its demo."""
    (app / "node_modules").symlink_to("../node_modules")
    mapped = re.search(r'<script type="importmap">.*?</script>', (app / "demo.html").read_text(), re.S)
    assert mapped
    (app / "bare.html").write_text(f"<!doctype html><head>{mapped[0]}</head><body></body>")
    return app


class Handler(SimpleHTTPRequestHandler):
    isolated = False
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Isolated(Handler):
    isolated = True


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[dict[bool, str]]:
    """Addresses of the folder, by whether pages from there are cross-origin isolated."""
    servers = {
        isolated: ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(home)))
        for isolated, handler in ((False, Handler), (True, Isolated))
    }
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {isolated: f"http://127.0.0.1:{server.server_port}" for isolated, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where there is no browser it is not needed

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


Run = Callable[..., Any]


@pytest.fixture
def run(browser: Any, served: dict[bool, str]) -> Iterator[Run]:
    """Run JavaScript in a page of an application: `app` is what its index.js exports, `given` an argument."""
    context = browser.new_context()
    context.set_default_timeout(300_000)

    def ran(name: str, script: str, given: Any = None, isolated: bool = False) -> Any:
        page = context.new_page()
        page.goto(f"{served[isolated]}/{name}/bare.html")
        wrapped = f"async (given) => {{ const app = await import(new URL('index.js', location).href); {script} }}"
        try:
            return page.evaluate(wrapped, given)
        finally:
            page.close()

    yield ran
    context.close()


SELF_TEST = "return app.selfTest(given ?? {});"


def failed(told: dict[str, Any]) -> dict[str, str]:
    return {one["what"]: one["why"] for one in told["checks"] if one["passed"] is False}


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("name", APPS)
def test_the_self_test_passes_and_is_what_a_report_takes(run: Run, name: str, isolated: bool, home: Path) -> None:
    told = run(name, SELF_TEST, isolated=isolated)
    assert told["passed"] and not failed(told), told["checks"]
    assert {one["passed"] for one in told["checks"]} == {True}
    pictures = ("odd-size.png", "turned.jpg", "alpha.png")
    decoded, prepared = ([f"{what} {file}" for file in pictures] for what in ("decode", "prepare"))
    names = ["files", *decoded, *prepared, "model logits", "answers", "pictures"]
    assert [one["what"] for one in told["checks"]] == names
    model = json.loads((home / name / "model/model.json").read_text())
    assert told["model"] == {"name": model["file"]["name"], "sha256": model["file"]["sha256"], "slug": model["slug"]}
    assert told["difference"] <= told["tolerance"] == model["tolerance"]
    threads = min(4, os.cpu_count() or 1) if isolated else 1
    assert told["accelerator"]["used"] == "wasm" and told["accelerator"]["threads"] == threads
    assert [one["kept"] for one in told["accelerator"]["tried"]] == [False]
    said = SelfTest.model_validate_json(json.dumps(told))
    assert said.latency is not None and len(said.latency.seconds) == 50 and said.latency.load > 0
    assert "Linux" in said.device.system and said.device.cores == os.cpu_count()
