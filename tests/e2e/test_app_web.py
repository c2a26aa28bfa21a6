"""The application bundle for browsers in a real one: what it answers, what its self-test catches, and how it looks.

Needs Chromium and the runtimes for browsers: edgekd doctor --at browser --provision.
"""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from edgekd.commands.selftest import SelfTest
from edgekd.devices import _npm
from edgekd.runtimes import preprocess

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
from torch import nn
from edgekd.bundle import apps
from edgekd.certificate import Certificate
from edgekd.contrast import answering
from edgekd.results import Column, Confidence, Interval, Preprocess, Signature, TensorSpec
from edgekd.runtimes import digests, preprocess
from edgekd.samples import pictures
from edgekd.spec import Budget
from edgekd.stages.golden import tolerance

GRAY = Preprocess(canvas=28, size=28, channels="gray", filter="bilinear", mean=(0.286,), std=(0.353,))
MEAN, STD = (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)
RGB = Preprocess(canvas=40, size=32, channels="bgr", filter="bicubic", mean=MEAN, std=STD)
CLASSES = ("T-shirt/top", 'a "quoted" one', "schöner Hut", "Coat", "Bag")
EXACT = Interval(value=0.02, low=0.01, high=0.03)


def net(channels, seed):
    torch.manual_seed(seed)
    first, second, relu = nn.Conv2d(channels, 8, 3, stride=2), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU()
    side = {1: 6, 3: 7}[channels]
    last = nn.Linear(8 * side * side, len(CLASSES))
    found = nn.Sequential(first, relu, second, relu, nn.Flatten(), last)
    found[-1].weight.data *= 6
    return found.eval()


def exported(module, examples, file, inputs=("image",), output="logits"):
    if file.suffix == ".tflite":
        litert_torch.convert(module, examples).export(str(file))
        return
    names = {"input_names": list(inputs), "output_names": [output]}
    torch.onnx.export(module, examples, file, **names, dynamo=True, external_data=False)


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


def bundle(folder, format, how):
    (folder / "golden").mkdir(parents=True)
    channels = 1 if how.channels == "gray" else 3
    said, stored = how.model_dump(mode="json"), samples(how)
    spec = TensorSpec(name="image", shape=(1, channels, how.size, how.size), preprocess=how)
    errors = {"accuracy": EXACT, "error": EXACT, "error_before": EXACT}
    sure = Confidence(temperature=1.5, threshold=0.5, coverage=0.9, samples=500, **errors)
    outs = (TensorSpec(name="logits", shape=(1, len(CLASSES))),)
    signature = Signature(inputs=(spec,), outputs=outs, classes=CLASSES, confidence=(sure,))
    file = folder / f"student.{format}"
    exported(net(channels, 1), (torch.zeros(spec.shape),), file)
    written, margins = pictures.write(folder / "golden", stored, said)
    kind = "gray" if channels == 1 else "rgb"
    paths = [folder / "golden" / one.file for one in written]
    canvases = np.stack([preprocess.decode(path, how.canvas, kind, how.filter) for path in paths])
    arrays = {"input:image": preprocess.prepare(stored, said), "image:canvas": canvases}
    arrays["image:input"] = preprocess.prepare(canvases, said)
    arrays["runtime:logits"] = runs(format, file, arrays["input:image"])
    arrays["image:runtime:logits"] = runs(format, file, arrays["image:input"])
    images = [{"file": one.file, "shows": one.shows, "exact": one.exact} for one in written]
    finish(folder, file, signature, arrays, images, margins, f"clothes of noise for {format}")


def finish(folder, file, signature, arrays, images, margins, title):
    np.savez(folder / "golden/golden.npz", **arrays)
    outputs, format = arrays[f"runtime:{signature.outputs[0].name}"], file.suffix[1:]
    allowed, why = tolerance(outputs, "float32")
    margins |= answering.margins(outputs, signature, allowed)
    model = {"name": file.name, "sha256": digests.sha256(file), "size": file.stat().st_size}
    page = dict(format=format, precision="float32", model=model, runtime="1", tolerance=allowed, tolerance_from=why,
                missing="", margins=margins, images=images)
    (folder / "golden/golden.json").write_text(json.dumps(page))
    (folder / "signature.json").write_text(signature.model_dump_json())
    (folder / "labels.txt").write_text("".join(f"{one}\n" for one in signature.classes))
    (folder / "README.md").write_text(f"# {title}\n")
    for name in ("MODEL_CARD.md", "LICENSES", "edgekd.lock.json"):
        (folder / name).write_text(name)
    made = {"edgekd": "0.1.0", "created": "2026-11-23", "target": format, "precision": "float32", "model": file.name}
    certificate = Certificate(**made, verdict="holds", terms=(), budget=Budget(), basis="measured", sha256={})
    (folder / "certificate.json").write_text(certificate.model_dump_json())
    digests.record(folder)


def numbers(folder):
    # two inputs without images, two numbers
    (folder / "golden").mkdir(parents=True)
    torch.manual_seed(4)
    inputs = tuple(TensorSpec(name=name, shape=(-1, size)) for name, size in (("pulse", 6), ("age", 1)))
    columns = (Column(name="pressure", unit="mmHg", mean=120, deviation=9), Column(name="risk", mean=0, deviation=1))
    signature = Signature(inputs=inputs, outputs=(TensorSpec(name="told", shape=(-1, 2)),), columns=columns)
    file, rng = folder / "student.onnx", np.random.default_rng(5)
    examples, names = (torch.zeros(1, 6), torch.zeros(1, 1)), [spec.name for spec in inputs]
    exported(Both().eval(), examples, file, names, "told")
    arrays = {f"input:{name}": rng.normal(size=(8, n)).astype(np.float32) for name, n in (("pulse", 6), ("age", 1))}
    session = onnxruntime.InferenceSession(file)
    rows = [session.run(None, {name: arrays[f"input:{name}"][i : i + 1] for name in names})[0] for i in range(8)]
    arrays["runtime:told"] = np.concatenate(rows)
    finish(folder, file, signature, arrays, [], {}, "numbers of noise for onnx")


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(7, 2)

    def forward(self, pulse, age):
        return self.last(torch.cat((pulse, age), 1))


home = Path(sys.argv[1])
numbers(home / "bundles/numbers-onnx")
apps.write(home / "bundles/numbers-onnx", "web", home / "numbers-onnx")
for name, how in (("gray", GRAY), ("rgb", RGB)):
    for format in ("onnx", "tflite"):
        place, channels = home / "bundles" / f"{name}-{format}", 1 if name == "gray" else 3
        bundle(place, format, how)
        apps.write(place, "web", home / f"{name}-{format}")
        example = torch.zeros(1, channels, how.size, how.size)
        exported(net(channels, 2), (example,), home / "bundles" / f"other-{name}.{format}")
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
    for name in (*APPS, "numbers-onnx"):
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


# The faults that users make, as changes of an application's own files:
# (fault, models, file, what stands there, what stands there then, how the first failed check begins).
CHANNELS = 'channels === "bgr" ? [2, 1, 0] : [0, 1, 2]'
LUMA = "19595 * data[from] + 38470 * data[from + 1] + 7471 * data[from + 2]"
PLACE = 'layout === "NCHW" ? channel * area + pixel : pixel * depth + channel'
CENTRAL = "central(flat, how.canvas, how.filter).data"
VALUE = "round(round(data[pixel * depth + channel] / 255) - means[channel]) / stds[channel]"
SUM = "return powers.map((power) => power / sum);"
Change = tuple[str, str, str, str, str, str]
FAULTS: tuple[Change, ...] = (
    ("bgr", "rgb", "preprocess.js", CHANNELS, 'channels === "rgb" ? [2, 1, 0] : [0, 1, 2]', "prepare"),
    ("bgr-decoded", "rgb", "preprocess.js", "rgb[to + channel] =", "rgb[to + 2 - channel] =", "decode odd-size.png"),
    ("bgr", "gray", "preprocess.js", LUMA, LUMA.replace("19595", "7471", 1).replace("+ 7471", "+ 19595"), "decode"),
    ("mean", "both", "preprocess.js", "- means[channel]", "- 0.5", "prepare"),
    ("layout", "rgb", "preprocess.js", 'layout === "NCHW"', 'layout !== "NCHW"', "prepare"),
    ("layout", "gray", "preprocess.js", PLACE, "pixel % width * height + Math.trunc(pixel / width)", "prepare"),
    ("filter", "both", "preprocess.js", CENTRAL, 'central(flat, how.canvas, "lanczos").data', "decode"),
    (
        "filter-nearest",
        "both",
        "preprocess.js",
        "weighed(data, from + channel, depth, own)",
        "data[from + channel]",
        "decode",
    ),
    ("crop", "both", "preprocess.js", CENTRAL, "resize(flat, how.canvas, how.canvas, how.filter).data", "decode"),
    ("exif", "both", "decode.js", "new Blob([image])", "new Blob([unmarked(image)])", "decode turned.jpg"),
    ("alpha", "both", "preprocess.js", "+ 255 * (255 - alpha) * 128", "", "decode alpha.png"),
    ("label", "both", "answer.js", "label: classes[index]", "label: classes[(index + 1) % classes.length]", "answers"),
    ("dtype", "both", "preprocess.js", "/ 255)", ")", "prepare"),
    ("dtype-whole", "both", "preprocess.js", VALUE, f"Math.trunc({VALUE})", "prepare"),
    ("softmax-none", "both", "answer.js", SUM, "return scaled;", "answers"),
    ("softmax-cold", "both", "answer.js", "value / temperature)", "value)", "answers"),
    ("softmax-twice", "both", "answer.js", SUM, "return twice(powers.map((power) => power / sum));", "answers"),
)
# What changes use: a second softmax, and bytes in which no decoder finds the orientation.
HELPERS = {
    "twice(": """
function twice(shares) {
    const powers = shares.map(Math.exp);
    return powers.map((power) => power / powers.reduce((total, one) => total + one, 0));
}
""",
    "unmarked(": """
function unmarked(bytes) {
    const text = new TextDecoder("latin1").decode(bytes).replace("Exif", "Nope");
    return Uint8Array.from(text, (letter, i) => (letter === "N" && text.startsWith("Nope", i) ? 78 : bytes[i]));
}
""",
}


def changed(home: Path, name: str, fault: str, file: str, old: str, new: str) -> str:
    """A copy of an application in which `old` stands no more; returns its name."""
    copy = home / f"{name}-{fault}"
    shutil.copytree(home / name, copy, symlinks=True)
    text = (copy / file).read_text()
    assert text.count(old) == 1, (fault, file, old)
    helpers = [text for name, text in HELPERS.items() if name in new]
    (copy / file).write_text("".join([text.replace(old, new), *helpers]))
    return copy.name


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize(
    ("fault", "models", "file", "old", "new", "caught"), FAULTS, ids=[f"{f[0]}-{f[1]}" for f in FAULTS]
)
def test_a_fault_is_caught(
    run: Run, home: Path, format: str, fault: str, models: str, file: str, old: str, new: str, caught: str
) -> None:
    for kind in ("gray", "rgb") if models == "both" else (models,):
        told = run(changed(home, f"{kind}-{format}", fault, file, old, new), SELF_TEST)
        assert not told["passed"] and told["latency"] is None
        assert next(iter(failed(told))).startswith(caught), (kind, failed(told))
        SelfTest.model_validate_json(json.dumps(told))


@pytest.mark.parametrize("name", APPS)
def test_a_cut_model_another_model_and_a_missing_one_are_told(run: Run, home: Path, name: str) -> None:
    kind, format = name.split("-")
    file = f"student.{format}"
    for fault, means in {
        "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
        "other": lambda path: shutil.copy(home / f"bundles/other-{kind}.{format}", path),
        "missing": lambda path: path.unlink(),
    }.items():
        copy = home / f"{name}-{fault}"
        shutil.copytree(home / name, copy, symlinks=True)
        means(copy / "model" / file)
        refused = run(copy.name, "return app.load().then(() => '', (error) => error.message);")
        told = failed(run(copy.name, SELF_TEST))
        assert next(iter(told)) == "files" and "model logits" in told, told
        assert file in refused and file in told["files"]
        size = (home / name / "model" / file).stat().st_size
        wanted = {
            "truncated": f"{file} has {size - 1000} bytes, not {size}: copy it again",
            "other": f"{file} does not give its recorded outputs here: outputs differ by",
            "missing": f"{file} cannot be read (404): is the folder model/ at http://",
        }
        assert refused.startswith(wanted[fault]), refused
    # another one whose digest was written anew
    copy = home / f"{name}-exchanged"
    shutil.copytree(home / f"{name}-other", copy, symlinks=True)
    page = json.loads((copy / "model/model.json").read_text())
    data = (copy / "model" / file).read_bytes()
    page["files"][file] = page["file"] | {"size": len(data), "sha256": sha256(data).hexdigest()}
    page["file"]["size"] = len(data)
    (copy / "model/model.json").write_text(json.dumps(page))
    assert list(failed(run(copy.name, SELF_TEST))) == ["model logits", "pictures"]


# Accelerators that lie, each by the processor's own engine.
LIARS = """
const { CPU } = await import(new URL("engine.js", location).href);
const late = () => new Promise((resolve) => { setTimeout(resolve, 20); });
let before = null, runs = 0;
const lies = {
    huge: async (engine, arrays) => (await engine.run(arrays)).map((one) => one.map(() => 1e28)),
    nan: async (engine, arrays) => (await engine.run(arrays)).map((one) => one.map(() => NaN)),
    stale: async (engine, arrays) => {
        const found = await engine.run(arrays), old = before ?? found;
        before = found;
        return old;
    },
    slow: async (engine, arrays) => { await late(); return engine.run(arrays); },
    breaks: async (engine, arrays) => {
        if (++runs > 3) {
            throw new Error("the device was lost");
        }
        return engine.run(arrays);
    },
};
const liar = (name) => ({ name, open: async (wanted) => {
    const engine = await CPU.open(wanted);
    return { threads: 1, run: (arrays) => lies[name](engine, arrays), close: () => engine.close() };
} });
const absent = { name: "absent", open: async () => { throw new Error("no such chip"); } };
"""


@pytest.mark.parametrize("name", ["gray-onnx", "rgb-tflite"])
def test_accelerators_that_lie_or_are_slow_are_not_kept(run: Run, name: str) -> None:
    script = f"""{LIARS}
    const model = await app.load({{ accelerators: [...Object.keys(lies).map(liar), absent] }});
    const told = await app.selfTest(model);
    await model.close();
    return {{ told, after: await model.run({{}}).catch((error) => error.message) }};"""
    found = run(name, script)
    told = found["told"]
    tried = {one["name"]: one for one in told["accelerator"]["tried"]}
    assert told["passed"] and told["accelerator"]["used"] == "wasm" and not any(one["kept"] for one in tried.values())
    assert re.match(r"outputs differ by 1\.00e\+28, 0\.\d+ is allowed", tried["huge"]["why"])
    assert tried["nan"]["why"].startswith("outputs are no finite numbers")
    assert tried["stale"]["why"].startswith("outputs differ by")
    assert re.fullmatch(r"[\d.]+ ms a run, the processor takes .+", tried["slow"]["why"])
    assert tried["slow"]["seconds"] > 0.019
    assert tried["breaks"]["why"] == "the device was lost" and tried["absent"]["why"] == "no such chip"
    assert found["after"] == "this classifier is closed"


@pytest.mark.parametrize("name", ["gray-tflite", "rgb-onnx"])
@pytest.mark.parametrize("lie", ["huge", "nan", "stale"])
def test_a_lying_accelerator_that_was_believed_is_caught(run: Run, home: Path, name: str, lie: str) -> None:
    believes = home / f"{name}-delegate"
    if not believes.exists():
        changed(home, name, "delegate", "runtime.js", "if (!why) {", "if (true) {")
    told = run(believes.name, f"{LIARS} return app.selfTest({{ accelerators: [liar(given)] }});", lie)
    assert told["accelerator"]["used"] == lie and not told["passed"]
    assert next(iter(failed(told))) == "model logits"
    assert SelfTest.model_validate_json(json.dumps(told)).difference == told["difference"]


def test_one_that_is_right_and_faster_is_kept(run: Run) -> None:
    script = """
    const { CPU } = await import(new URL("engine.js", location).href);
    const known = new Map();
    const open = async (wanted) => {
        const engine = await CPU.open(wanted);
        return { threads: 1, close: () => engine.close(), async run([array]) {
            const key = array.join();
            known.has(key) || known.set(key, await engine.run([array]));
            return known.get(key);
        } };
    };
    const slow = { name: "slow-cpu", open: CPU.open };
    const model = await app.load({ accelerators: [{ name: "remembers", open }] });
    return model.accelerator;"""
    assert run("rgb-onnx", script)["tried"][0]["name"] == "remembers"


PICTURES = """
const model = await app.load({ accelerators: [] });
const bytes = await (await fetch("model/golden/odd-size.png")).arrayBuffer();
const bitmap = await createImageBitmap(new Blob([bytes]));
const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
canvas.getContext("2d").drawImage(bitmap, 0, 0);
const image = Object.assign(new Image(), { src: "model/golden/odd-size.png" });
const samples = {
    buffer: bytes, array: new Uint8Array(bytes), blob: new Blob([bytes]), file: new File([bytes], "odd.png"),
    bitmap, canvas, image, pixels: canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height),
};
const found = {};
for (const [name, sample] of Object.entries(samples)) {
    const result = await model.classify(sample);
    found[name] = { ...result, outputs: Array.from(result.outputs) };
}
const refused = {};
const others = { text: new TextEncoder().encode("no image"), nothing: new Uint8Array(0) };
for (const [name, sample] of Object.entries(others)) {
    refused[name] = await model.classify(sample).catch((error) => error.message);
}
const many = await Promise.all(Array.from({ length: 8 }, () => model.classify(bytes)));
return { found, refused, many: many.map((one) => one.confidence) };
"""


@pytest.mark.parametrize("name", APPS)
def test_an_image_is_taken_in_every_form_and_answered_alike(run: Run, home: Path, name: str) -> None:
    told = run(name, PICTURES)
    golden = json.loads((home / name / "model/golden/golden.json").read_text())
    wanted = golden["pictures"][0]["answer"]
    for form, result in told["found"].items():
        assert result["label"] == wanted["labels"][0], form
        assert abs(result["confidence"] - wanted["probabilities"][0]) < 1e-3, form
        assert result["accepted"] == (result["confidence"] >= 0.5) and result["calibrated"]
        assert result["top"][0]["label"] == result["label"] and len(result["top"]) == 5
        assert abs(sum(one["probability"] for one in result["top"]) - 1) < 1e-6 and result["milliseconds"] > 0
    assert "not an image that this browser reads" in told["refused"]["text"]
    assert told["refused"]["nothing"] == "an image of no bytes"
    assert len(set(told["many"])) == 1


def test_a_page_of_another_name_looks_at_sizes_only(browser: Any, served: dict[bool, str]) -> None:
    """Where a page is not secure there is no SHA-256."""
    with_rule = browser.browser_type.launch(
        executable_path=CHROMIUM, args=[*FLAGS, "--host-resolver-rules=MAP phone.test 127.0.0.1"]
    )
    page = with_rule.new_page()
    page.goto(f"{served[False]}/rgb-onnx/bare.html".replace("127.0.0.1", "phone.test"))
    told = page.evaluate("async () => (await import(new URL('index.js', location).href)).selfTest()")
    with_rule.close()
    files = told["checks"][0]
    assert told["passed"] and files["passed"] is None and "not secure" in files["why"]
    assert all(one["passed"] for one in told["checks"][1:])


FORMS = """
const { pixelsOf } = await import(new URL("decode.js", location).href);
const { toCanvas } = await import(new URL("preprocess.js", location).href);
const found = {};
for (const [name, text] of Object.entries(given.files)) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    found[name] = Array.from(toCanvas(await pixelsOf(bytes), given.how));
}
return found;
"""


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def oriented(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = number
    return exif


def swapped() -> bytes:
    """A colour profile in which red and blue have changed places, so that nobody can miss that it was obeyed."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = data.index(b"rXYZ"), data.index(b"bXYZ")
    data[red + 4 : red + 12], data[blue + 4 : blue + 12] = data[blue + 4 : blue + 12], data[red + 4 : red + 12]
    return bytes(data)


def forms() -> dict[str, bytes]:
    """One picture in every way of storing it that goes wrong somewhere."""
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (12, 16, 4)), np.ones((6, 6, 1))).astype(np.uint8)
    pixels[..., 3] = rng.integers(0, 256, pixels.shape[:2])
    rgba, rgb = Image.fromarray(pixels), Image.fromarray(pixels[..., :3].copy())
    gray, color = rgb.convert("L"), tuple(int(value) for value in pixels[0, 0, :3])
    found = {
        "alpha": saved(rgba, "PNG"),
        "gray alpha": saved(rgba.convert("LA"), "PNG"),
        "gray": saved(gray, "PNG"),
        "one bit": saved(gray.convert("1"), "PNG"),
        "palette": saved(rgb.quantize(16), "PNG", transparency=3),
        "one color transparent": saved(rgb, "PNG", transparency=color),
        "profile": saved(rgb, "PNG", icc_profile=swapped()),
        "profile, jpeg": saved(rgb, "JPEG", icc_profile=swapped(), quality=95, subsampling=0),
        "animation": saved(rgb, "PNG", save_all=True, append_images=[rgb.rotate(180)]),
        "webp": saved(rgba, "WEBP", lossless=True, exact=True),
        "bmp": saved(rgb, "BMP"),
        "strips": saved(rgb.resize((2600, 1900), Image.Resampling.NEAREST), "PNG", compress_level=1),
    }
    for number in range(1, 9):
        exif = oriented(number)
        found |= {f"turned {number}, png": saved(rgb, "PNG", exif=exif)}
        found |= {f"turned {number}, webp": saved(rgb, "WEBP", lossless=True, exif=exif)}
        found |= {f"turned {number}, jpeg": saved(rgb, "JPEG", quality=95, subsampling=0, exif=exif)}
    return found


@pytest.mark.parametrize("channels", ["rgb", "gray"])
def test_every_way_of_storing_gives_the_pixels_of_pillow(run: Run, channels: str) -> None:
    files = forms()
    given = {
        "how": {"canvas": 40, "channels": channels, "filter": "bilinear"},
        "files": {name: base64.b64encode(data).decode() for name, data in files.items()},
    }
    for name, found in run("rgb-onnx", FORMS, given).items():
        wanted = preprocess.decode(files[name], 40, channels, "bilinear").ravel().astype(int)
        apart = np.abs(wanted - found)
        allowed = (8, 1.0) if "jpeg" in name else (0, 0.0)
        assert apart.max() <= allowed[0] and apart.mean() <= allowed[1], (name, apart.max(), apart.mean())


def test_without_webgl_colors_under_alpha_lose_one_level_at_most(run: Run) -> None:
    without = "OffscreenCanvas.prototype.getContext = ((get) => function (kind, ...more) {"
    without += (
        "return kind === 'webgl' ? null : get.call(this, kind, ...more); })(OffscreenCanvas.prototype.getContext);"
    )
    data = forms()["alpha"]
    given = {
        "how": {"canvas": 72, "channels": "rgb", "filter": "bilinear"},
        "files": {"alpha": base64.b64encode(data).decode()},
    }
    apart = np.abs(
        preprocess.decode(data, 72, "rgb").ravel().astype(int) - run("rgb-onnx", without + FORMS, given)["alpha"]
    )
    assert apart.max() <= 1, apart.max()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", APPS)
def test_the_demo_answers_a_photo_and_offers_its_self_test(
    browser: Any, served: dict[bool, str], home: Path, name: str, scheme: str, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 780}, color_scheme=scheme, device_scale_factor=2)
    page = context.new_page()
    said: list[str] = []
    # LiteRT.js reports what it does as errors; what the policy of the page refused is one
    page.on("console", lambda message: said.append(message.text) if "Security Policy" in message.text else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{served[True]}/{name}/demo.html")
    page.get_by_text("Ready").wait_for()
    page.set_input_files("#file", home / name / "model/golden/odd-size.png")
    page.locator("#answer dl").wait_for()
    label = json.loads((home / name / "model/golden/golden.json").read_text())["pictures"][0]["answer"]["labels"][0]
    assert label in page.inner_text("#answer p")
    page.get_by_role("button", name="Self-test").click()
    page.get_by_text("Everything is as it was recorded").wait_for(timeout=120_000)
    assert page.locator("#checks li").count() == 10
    with page.expect_download() as download:
        page.get_by_role("link", name="Save selftest.json").click()
    download.value.save_as(tmp_path / "selftest.json")
    assert SelfTest.model_validate_json((tmp_path / "selftest.json").read_text()).passed
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if os.environ.get("EDGEKD_PICTURES"):
        page.screenshot(path=Path(os.environ["EDGEKD_PICTURES"]) / f"{name}-{scheme}.png", full_page=True)
    assert not said
    context.close()


def test_the_demo_of_a_damaged_application_says_so(browser: Any, served: dict[bool, str], home: Path) -> None:
    copy = home / "rgb-onnx-demo"
    shutil.copytree(home / "rgb-onnx", copy, symlinks=True)
    (copy / "model/student.onnx").unlink()
    page = browser.new_page()
    page.goto(f"{served[False]}/{copy.name}/demo.html")
    page.get_by_text("student.onnx cannot be read (404)").wait_for()
    page.get_by_text("Choose a photo").wait_for(state="hidden")
    page.get_by_role("button", name="Self-test").click()
    page.get_by_text("Something is wrong on this device").wait_for()
    assert page.locator("#checks li.bad").count() >= 2
    page.close()


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not here")
@pytest.mark.parametrize("name", ["rgb-onnx", "gray-tflite"])
def test_npm_installs_and_packs_the_folder(home: Path, name: str, tmp_path: Path) -> None:
    app = tmp_path / "application"
    shutil.copytree(home / name, app, ignore=shutil.ignore_patterns("node_modules", "bare.html"))
    package = json.loads((app / "package.json").read_text())
    # its runtime stands in as an empty package of that name and version, so that no registry is asked
    ((dependency, version),) = package["dependencies"].items()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/package.json").write_text(json.dumps({"name": dependency, "version": version}))
    project = {"name": "project", "private": True, "overrides": {dependency: "file:./empty"}}
    (tmp_path / "package.json").write_text(json.dumps(project))

    def npm(*arguments: str, cwd: Path) -> str:
        done = subprocess.run(["npm", *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    npm("install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", "./application", cwd=tmp_path)
    names = (package["name"], f"{package['name']}/model/model.json")
    script = f"console.log({', '.join(f'import.meta.resolve({one!r})' for one in names)})"
    command = ["node", "--input-type=module", "-e", script]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert [Path(one).name for one in found] == ["index.js", "model.json"]
    packed = {one["path"] for one in json.loads(npm("pack", "--dry-run", "--json", cwd=app))[0]["files"]}
    held = {path.relative_to(app).as_posix() for path in app.rglob("*") if path.is_file()}
    assert packed >= {"index.js", "index.d.ts", "engine.js", "model/model.json", "model/golden/alpha.png", "LICENSES"}
    assert held - packed <= {"digests.json", "edgekd.lock.json"}, held - packed


def test_a_model_of_numbers_takes_arrays_and_tells_values_with_units(run: Run, home: Path) -> None:
    told = run("numbers-onnx", SELF_TEST)
    checks = {one["what"]: one["passed"] for one in told["checks"]}
    assert told["passed"] and checks == {"files": True, "model told": True, "answers": None, "pictures": None}
    assert SelfTest.model_validate_json(json.dumps(told)).latency
    script = """
    const model = await app.load();
    const { values, outputs } = await model.classify({ pulse: new Float32Array(6), age: new Float32Array(1) });
    const wrong = await model.classify({ pulse: new Float32Array(6) }).catch((error) => error.message);
    return { values, outputs: Array.from(outputs), wrong };"""
    found = run("numbers-onnx", script)
    assert found["values"] == {
        "pressure": {"value": found["outputs"][0], "unit": "mmHg"},
        "risk": {"value": found["outputs"][1], "unit": ""},
    }
    assert found["wrong"] == "the input age has 1 numbers, not undefined"


@pytest.mark.parametrize("name", APPS)
def test_webgpu_is_held_against_the_processor(browser: Any, served: dict[bool, str], name: str) -> None:
    """By a graphics processor in software, which gives the right outputs and is slower."""
    flags = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
    with_graphics = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    page = with_graphics.new_page()
    page.goto(f"{served[True]}/{name}/bare.html")
    told = page.evaluate("async () => (await import(new URL('index.js', location).href)).selfTest()")
    with_graphics.close()
    (tried,) = told["accelerator"]["tried"]
    if "no WebGPU adapter" in tried["why"]:
        pytest.skip("this Chromium has no graphics processor in software")
    assert told["passed"], failed(told)
    assert tried["kept"] or re.fullmatch(r"[\d.]+ ms a run, the processor takes .+", tried["why"]), tried


def test_the_demo_answers_what_a_camera_sees(browser: Any, served: dict[bool, str]) -> None:
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with_camera = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    page = with_camera.new_page()
    page.goto(f"{served[False]}/gray-onnx/demo.html")
    page.get_by_text("Ready").wait_for()
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="What is this?").click()
    page.locator("#answer dl").wait_for()
    assert page.locator("#answer meter").count() == 5
    with_camera.close()


def test_the_example_names_what_a_camera_sees(browser: Any, served: dict[bool, str], home: Path) -> None:
    """examples/web with the application as its `classifier`, as its README says."""
    example = home / "example"
    shutil.copytree(Path(__file__).parents[2] / "examples/web", example)
    (example / "node_modules").mkdir()
    (example / "node_modules/classifier").symlink_to(home / "gray-onnx")
    (example / "node_modules/onnxruntime-web").symlink_to(home / "gray-onnx/node_modules/onnxruntime-web")
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with_camera = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    page = with_camera.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{served[False]}/example/index.html")
    page.get_by_text("Ready").wait_for()
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_text("ms a frame").wait_for()
    classes = ("T-shirt/top", 'a "quoted" one', "schöner Hut", "Coat", "Bag")
    assert page.locator("#facts").inner_text().startswith(classes) and not errors
    with_camera.close()


def test_a_self_test_without_its_recorded_samples_fails(run: Run, home: Path) -> None:
    copy = home / "gray-onnx-bare"
    shutil.copytree(home / "gray-onnx", copy, symlinks=True)
    (copy / "model/golden/golden.json").unlink()
    told = run(copy.name, SELF_TEST)
    assert not told["passed"] and "golden/golden.json cannot be read (404)" in failed(told)["files"]
    SelfTest.model_validate_json(json.dumps(told))


def test_litert_has_one_thread_where_there_is_no_relaxed_simd(run: Run) -> None:
    without = """
    const known = WebAssembly.instantiate;
    WebAssembly.instantiate = (source, ...more) => (source.byteLength < 1000
        ? Promise.reject(new WebAssembly.CompileError("no relaxed SIMD")) : known(source, ...more));
    """
    told = run("rgb-tflite", without + SELF_TEST, isolated=True)
    assert told["passed"] and told["accelerator"]["threads"] == 1, failed(told)


@pytest.mark.parametrize("name", ["rgb-onnx", "rgb-tflite"])
def test_where_the_runtime_is_not_there_it_is_named(run: Run, name: str) -> None:
    script = "return app.load({ wasm: '/nowhere/' }).then(() => '', (error) => error.message);"
    said = run(name, script)
    assert "/nowhere/" in said or "say where its files are by `wasm`" in said, said
