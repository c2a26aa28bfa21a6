"""The application bundle for browsers without one: its pixels under Node.js, and what its files say."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgekd.apps
from edgekd.runtimes import preprocess

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
    script = (TEMPLATES / "preprocess.js").as_uri().replace("file://", "")
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-e", RUN, script],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(base64.b64decode(one), base64.b64decode(two)) for one, two in json.loads(done.stdout)]


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
    with pytest.raises(AssertionError, match="no resize filter .*nearest"):
        by_node([(picture(9, 9), how(filter="nearest"))])
