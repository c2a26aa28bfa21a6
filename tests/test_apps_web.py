"""The application bundle for browsers without one: its pixels under Node.js, and what its files say."""

import base64
import fnmatch
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgekd.apps
from edgekd import plugins
from edgekd.apps import web
from edgekd.bundle.content import Content
from edgekd.devices import _npm
from edgekd.runtimes import preprocess, tensors

TEMPLATES = Path(edgekd.apps.__file__).parent / "templates/web"
NODE = shutil.which("node")
RNG = np.random.default_rng(14)
RUN = """
import { readFileSync } from "node:fs";
const { toCanvas, prepare } = await import(process.argv[1]);
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const text = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");
const answers = JSON.parse(readFileSync(0, "utf8")).map(({ how, width, height, rgba }) => {
    const canvas = toCanvas({ data: bytes(rgba), width, height }, how);
    return [text(canvas), text(prepare(canvas, how))];
});
process.stdout.write(JSON.stringify(answers));
"""
node = pytest.mark.skipif(NODE is None and not os.environ.get("EDGEKD_NODE"), reason="Node.js is not here")


def how(**changed: Any) -> dict[str, Any]:
    asked = {"canvas": 28, "size": 28, "channels": "rgb", "filter": "bilinear", "layout": "NCHW"}
    return {**asked, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], **changed}


def picture(width: int, height: int, alpha: bool = False) -> Image.Image:
    """Noise, which no filter treats lightly, with a large gradient below it."""
    ramp = np.linspace(0, 255, width * height * 4).reshape(height, width, 4)
    pixels = (0.5 * ramp + RNG.uniform(0, 127.9, ramp.shape)).astype(np.uint8)
    pixels[..., 3] = RNG.integers(0, 256, (height, width)) if alpha else 255
    return Image.fromarray(pixels)


def by_node(cases: list[tuple[Image.Image, dict[str, Any]]]) -> list[tuple[bytes, bytes]]:
    """Canvas and input that the template gives."""
    asked = [
        {"how": one, "width": image.width, "height": image.height, "rgba": base64.b64encode(image.tobytes()).decode()}
        for image, one in cases
    ]
    return [(base64.b64decode(one), base64.b64decode(two)) for one, two in in_node(RUN, "preprocess.js", asked)]


def in_node(script: str, module: str, given: Any) -> Any:
    """What a script prints as JSON; it finds a template's path in argv, and JSON on its standard input."""
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-e", script, str(TEMPLATES / module)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def by_pillow(image: Image.Image, one: dict[str, Any], folder: Path) -> tuple[bytes, bytes]:
    file = folder / "one.png"
    image.save(file, compress_level=0)
    canvas = preprocess.decode(file, one["canvas"], "gray" if one["channels"] == "gray" else "rgb", one["filter"])
    return canvas.tobytes(), preprocess.prepare(canvas[None], one).tobytes()


def equal(cases: list[tuple[Image.Image, dict[str, Any]]], folder: Path) -> None:
    for (image, one), found in zip(cases, by_node(cases), strict=True):
        wanted = by_pillow(image, one, folder)
        assert found[0] == wanted[0], (image.size, one)
        assert found[1] == wanted[1], (image.size, one)


@node
@pytest.mark.parametrize("filter", preprocess.FILTERS)
def test_pixels_are_those_of_pillow_to_the_byte(filter: str, tmp_path: Path) -> None:
    cases = []
    for width, height in [*RNG.integers(1, 150, (12, 2)), (28, 28), (56, 28), (27, 29), (1, 1), (3, 300), (640, 481)]:
        canvas, size = (int(side) for side in RNG.integers(8, 64, 2))
        channels = str(RNG.choice(["gray", "rgb", "bgr"]))
        spread = {"mean": [0.286], "std": [0.353]} if channels == "gray" else {}
        layout = str(RNG.choice(["NCHW", "NHWC"]))
        asked = how(canvas=canvas, size=size, channels=channels, filter=filter, layout=layout, **spread)
        cases.append((picture(int(width), int(height)), asked))
    equal(cases, tmp_path)


@node
def test_every_color_is_mixed_with_white_by_every_alpha_as_pillow_does(tmp_path: Path) -> None:
    pixels = np.zeros((256, 256, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = np.arange(256), np.arange(256)[:, None]
    pixels[..., 1], pixels[..., 2] = 255 - pixels[..., 0], pixels[..., 0] // 2
    equal([(Image.fromarray(pixels), how(canvas=256, size=256))], tmp_path)
    equal([(picture(61, 83, alpha=True), how(canvas=40, size=32, filter="lanczos"))], tmp_path)


@node
def test_sides_that_fall_between_two_numbers_are_rounded_to_the_even_one(tmp_path: Path) -> None:
    # 4 x 5, 6, 7 ... of canvas 2 and 10: halves above odd and even numbers
    cases = [(picture(4, side), how(canvas=canvas, size=8)) for side in range(5, 33) for canvas in (2, 10, 14)]
    equal(cases, tmp_path)


@node
def test_an_unknown_filter_is_named() -> None:
    with pytest.raises(AssertionError, match=r"no resize filter .*nearest"):
        by_node([(picture(9, 9), how(filter="nearest"))])


LABELS = ("T-shirt/top", 'a "quoted" one', "schöner Hut <b>", "C:\\new")
HEADS = [
    {"name": "kind", "start": 0, "classes": ["a", "b"]},
    {"name": "season", "start": 2, "classes": ["x", "y", "z"]},
]
COLUMNS = [{"name": "pressure", "unit": "mmHg", "mean": 1.0, "deviation": 2.0}]


def tensor(name: str, *shape: int, **more: Any) -> dict[str, Any]:
    bare = {
        "dtype": "float32",
        "scale": None,
        "zero_point": None,
        "preprocess": None,
        "inside": None,
        "front_end": None,
    }
    return {"name": name, "shape": [1, *shape], **bare, **more}


def held(format: str = "onnx", title: str = "clothes for onnx", **said: Any) -> Content:
    """What the common part knows of a model: of images with LABELS, but for what is said."""
    signature = {
        "inputs": [tensor("image", 3, 32, 32, preprocess=how())],
        "outputs": [tensor("logits", len(LABELS))],
        "classes": list(LABELS),
        "columns": [],
        "heads": [],
        "confidence": [],
        **said,
    }
    return Content(
        title=title,
        slug="clothes-onnx",
        edgekd="0.1.0",
        model={"format": format, "signature": signature},
        golden={},
        steps={},
        tensors={one["name"]: f"`{one['name']}`" for one in (*signature["inputs"], *signature["outputs"])},
        facts=("Accuracy: 91.2 % (90.1 % to 92.3 %) on the test split", "Size: 18.3 KiB, float32"),
        image=bool(signature["inputs"][0]["preprocess"]),
        bundle=Path(),
    )


KINDS: dict[str, dict[str, Any]] = {
    "classes": {},
    "heads": {"heads": HEADS, "classes": ["kind: a", "kind: b", "season: x", "season: y", "season: z"]},
    "numbers": {"columns": COLUMNS, "classes": [], "inputs": [tensor("pulse", 6), tensor("ids", 4, dtype="int64")]},
    "outputs alone": {"classes": []},
}
each = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(params=web.FORMATS)
def format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@each
def test_an_application_is_a_whole_package(format: str, kind: str) -> None:
    found = web.files(held(format, **KINDS[kind]))
    assert found == web.files(held(format, **KINDS[kind]))
    package = json.loads(found["package.json"])
    own = next(one for one in _npm.PACKAGES if one.runtime == format)
    assert package["name"] == "clothes-onnx" and package["type"] == "module"
    assert package["dependencies"] == {own.name: own.version}
    assert package["exports"]["."] == {"types": "./index.d.ts", "default": "./index.js"}
    assert {"index.js", "index.d.ts", "engine.js", "preprocess.js", "runtime.js", "selftest.js"} <= found.keys()
    assert all(any(fnmatch.fnmatch(name, pattern) for pattern in package["files"]) for name in found.keys() - KEPT)
    assert "jinja" not in "".join(found) and not any("{{" in text or "{%" in text for text in found.values())


# What npm packs of its own accord.
KEPT = {"package.json", "README.md"}


@each
def test_files_import_what_is_there_and_reach_no_other_host(format: str, kind: str) -> None:
    found = web.files(held(format, **KINDS[kind]))
    bare = set()
    for name, text in found.items():
        assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text), name
        if name.endswith(".js"):
            imported = re.findall(r"""(?:from|import\(|resolve\()\s*"([^"]+)\"""", text)
            assert {one[2:] for one in imported if one.startswith("./")} <= found.keys(), name
            bare |= {one for one in imported if not one.startswith(".")}
    assert bare <= web.IMPORTS[format].keys()
    mapped = re.search(r'<script type="importmap">(.*?)</script>', found["demo.html"], re.S)
    assert mapped and json.loads(mapped[1])["imports"] == web.IMPORTS[format]
    digest = base64.b64encode(hashlib.sha256(mapped[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in found["demo.html"]


@each
def test_the_first_page_fits_a_screen(format: str, kind: str) -> None:
    page = web.files(held(format, **KINDS[kind]))["README.md"]
    assert len(page.splitlines()) <= 40 and max(map(len, page.splitlines())) <= 160
    for told in ("npm install ./clothes-onnx", "91.2 %", "edgekd report RUN --add selftest.json", "await load()"):
        assert told in page


def test_labels_are_types() -> None:
    types = web.files(held())["index.d.ts"]
    for label in LABELS:
        assert f"    | {json.dumps(label, ensure_ascii=False)}" in types
    assert types.count("    | ") == len(LABELS) + 1 and "extends Answer<Label>" in types
    heads = web.files(held(**KINDS["heads"]))["index.d.ts"]
    assert (
        '"season": Answer<Label2>;' in heads
        and '    | "z";' in heads
        and "extends" not in heads.split("Result")[1][:20]
    )
    numbers = web.files(held(**KINDS["numbers"]))["index.d.ts"]
    assert '"pressure": { value: number; unit: "mmHg" };' in numbers and '"ids": BigInt64Array;' in numbers


def test_a_title_is_text_on_the_page() -> None:
    page = web.files(held(title='<script>alert(1)</script> & "more"'))["demo.html"]
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in page
    assert 'type="file"' in page and 'type="file"' not in web.files(held(**KINDS["numbers"]))["demo.html"]


def test_files_that_no_browser_runs_are_refused() -> None:
    assert plugins.declared("apps", "web").formats == web.FORMATS
    assert not web.unfit(held()) and not web.unfit(held("tflite"))
    loose = {"inputs": [{**tensor("image", 3, 32, 32), "shape": [-1, 3, 32, 32]}]}
    assert "one sample at a time" in web.unfit(held("tflite", **loose))[0] and not web.unfit(held(**loose))
    small = {"inputs": [tensor("image", 3, 32, 32, dtype="int8", scale=0.1)]}
    assert "no int8 tensors" in web.unfit(held("tflite", **small))[0] and not web.unfit(held(**small))
    assert "float16" in web.unfit(held(inputs=[tensor("image", 3, dtype="float16")]))[0]


@node
@each
def test_every_script_is_javascript(format: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for name, text in web.files(held(format, **KINDS[kind])).items():
        if name.endswith(".js"):
            (tmp_path / name).write_text(text)
            done = subprocess.run([str(NODE), "--check", tmp_path / name], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


ANSWER = """
import { readFileSync } from "node:fs";
const { answer, told } = await import(process.argv[1]);
const { outputs, signature } = JSON.parse(readFileSync(0, "utf8"));
const found = answer(Float32Array.from(outputs), signature);
process.stdout.write(JSON.stringify([found, told(found)]));
"""


def answered(outputs: list[float], **said: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    found = in_node(ANSWER, "answer.js", {"outputs": outputs, "signature": held(**said).model["signature"]})
    return found[0], found[1]


@node
def test_answers_are_calibrated_and_refused_below_the_threshold() -> None:
    plain, _ = answered([1, 3, 2, -1])
    assert plain["label"] == LABELS[1] and plain["index"] == 1 and plain["accepted"] and not plain["calibrated"]
    assert [one["label"] for one in plain["top"]] == [LABELS[i] for i in (1, 2, 0, 3)]
    assert math.isclose(plain["confidence"], math.e**3 / sum(math.e**i for i in (1, 3, 2, -1)))
    warm, _ = answered([1, 3, 2, -1], confidence=[{"temperature": 2.0, "threshold": 0.6}])
    assert math.isclose(warm["confidence"], math.e**1.5 / sum(math.e ** (i / 2) for i in (1, 3, 2, -1)))
    assert warm["calibrated"] and not warm["accepted"]
    sure, _ = answered([1000, 3, 2, -1], confidence=[{"temperature": 2.0, "threshold": None}])
    assert sure["confidence"] == 1.0 and sure["accepted"]


@node
def test_heads_and_numbers_are_told_by_name() -> None:
    both = [{"temperature": 1.0, "threshold": None}, {"temperature": 4.0, "threshold": 0.9}]
    found, told = answered([0, 1, 5, 0, 0], **KINDS["heads"], confidence=both)
    assert found["heads"]["kind"]["label"] == "b" and found["heads"]["season"]["label"] == "x"
    assert found["heads"]["kind"]["accepted"] and not found["heads"]["season"]["accepted"]
    assert told["labels"] == ["b", "x"]
    assert answered([7.5], **KINDS["numbers"])[0] == {"values": {"pressure": {"value": 7.5, "unit": "mmHg"}}}
    assert answered([7.5], classes=[])[0] == {}


LATENCY = """
import { readFileSync } from "node:fs";
const { latency } = await import(process.argv[1]);
const { protocol, milliseconds, step } = JSON.parse(readFileSync(0, "utf8"));
let now = 0, looked = 0, done = 0;
Object.defineProperty(globalThis, "performance", { value: { now: () => {
    now += 0.001;
    return Math.floor(now / step) * step;
} } });
const run = async () => { now += milliseconds; };
const found = await latency(run, protocol, (share) => { done = Math.max(done, share); });
process.stdout.write(JSON.stringify({ ...found, now, done }));
"""


@node
def test_times_are_means_of_as_many_runs_as_the_clock_needs() -> None:
    look = in_node(LATENCY, "latency.js", {"protocol": "look", "milliseconds": 0.02, "step": 0.1})
    assert len(look["seconds"]) == 50 and 200 <= look["means"] <= 300 and look["warmup"] >= 32
    assert all(abs(one - 0.02e-3) < 1e-6 for one in look["seconds"])
    number = in_node(LATENCY, "latency.js", {"protocol": "number", "milliseconds": 2, "step": 0.005})
    assert 2500 <= len(number["seconds"]) <= 5000 and number["means"] == 8 and number["done"] > 0.9
    assert 60_000 <= number["now"] < 61_000 and all(abs(one - 2e-3) < 1e-5 for one in number["seconds"])
    slow = in_node(LATENCY, "latency.js", {"protocol": "number", "milliseconds": 100, "step": 0.005})
    assert len(slow["seconds"]) == 1024 and slow["means"] == 1


# An engine that gives its input back, for the file's own numbers.
MIRROR = """
export const RUNTIME = { name: "mirror", version: "1" };
const open = async () => ({ threads: 1, run: async ([array]) => [array], close() {} });
export const CPU = { name: "wasm", open }, OTHERS = [];
"""
QUANTIZED = """
import { readFileSync } from "node:fs";
const { choose } = await import(process.argv[1]);
const { values, signature } = JSON.parse(readFileSync(0, "utf8"));
const golden = { inputs: [[new Float32Array(values.length)]], outputs: [[new Float32Array(values.length)]] };
const { engine } = await choose({ signature }, { tolerance: 0.5, file: {} }, golden);
const [found] = await engine.run([Float32Array.from(values)]);
const wrong = await engine.run([new Float32Array(3)]).catch((error) => error.message);
process.stdout.write(JSON.stringify([Array.from(found), wrong]));
"""


@node
@pytest.mark.parametrize(("dtype", "zero"), [("int8", -3), ("uint8", 128), ("int16", 0)])
def test_quantized_inputs_and_outputs_are_coded_as_on_other_devices(dtype: str, zero: int, tmp_path: Path) -> None:
    (tmp_path / "engine.js").write_text(MIRROR)
    shutil.copy(TEMPLATES / "runtime.js", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    scale = 0.05
    edges = np.arange(-40, 40) * scale / 2  # halves between levels
    values = np.concatenate((edges, RNG.normal(0, 3, 200), [1e9, -1e9])).astype(np.float32)
    spec = tensor("x", len(values), dtype=dtype, scale=scale, zero_point=zero)
    found, wrong = in_node(
        QUANTIZED,
        str(tmp_path / "runtime.js"),
        {"values": values.tolist(), "signature": {"inputs": [spec], "outputs": [spec]}},
    )
    wanted = tensors.decode(tensors.encode(values[None], spec), spec)[0]
    assert np.allclose(found, wanted, rtol=1e-6, atol=0)
    assert wrong == f"the input x has {len(values)} numbers, not 3"
