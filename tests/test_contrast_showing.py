"""What a page shows of a sample is the sample."""

import base64
import io

import numpy as np
from PIL import Image

from edgekd.contrast import showing


def opened(uri: str) -> np.ndarray:
    start = "data:image/png;base64,"
    assert uri.startswith(start)
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix(start)))) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_a_small_image_is_shown_as_it_is_and_a_large_one_smaller() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    assert (opened(showing.picture(pixels)) == pixels).all()
    assert (opened(showing.picture(pixels[..., :1])) == pixels[..., 0]).all()
    assert opened(showing.picture(np.zeros((200, 200, 1), np.uint8))).shape == (showing.SIDE, showing.SIDE)


def test_paint_is_where_the_weights_are() -> None:
    weights = np.zeros((6, 6))
    weights[:3, :3] = 1.0
    found = opened(showing.painted(np.full((12, 12, 1), 200, np.uint8), weights)).astype(int)
    red = found[..., 0] - found[..., 2]
    assert found.shape == (12, 12, 3) and red[1, 1] > 150 and red[10, 10] == 0
    assert (opened(showing.painted(np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4)))) < 255).all()


def test_words_are_those_that_no_mask_hides() -> None:
    sample = {"mask": np.array([1, 1, 0]), "ids": np.array([7, 0, 5])}
    assert showing.shown(sample) == ("", ("7", "0"))
    words_of = {"ids": {7: "seven", 0: "none", 5: "five"}.__getitem__}
    assert showing.shown(sample, words_of) == ("", ("seven", "none")), "a mask has no words"
    picture, words = showing.shown({"x": np.arange(2, 42)})
    assert not picture and len(words) == showing.WORDS + 1 and words[0] == "2" and words[-1] == "…"
    assert showing.shown({"x": np.array([0.25, -1.0, 3.14159], np.float32)})[1] == ("0.25", "-1", "3.14")


def test_a_series_is_a_curve_over_what_counts() -> None:
    steps = np.linspace(0, 6, 100).astype(np.float32)
    uri, words = showing.shown({"motion": np.stack([np.sin(steps), np.cos(steps)], 1)})
    plain = opened(uri)
    assert not words and plain.shape == (72, 264, 4)
    seen = {tuple(pixel[:3]) for pixel in plain.reshape(-1, 4) if pixel[3]}
    assert seen == set(showing.LINES[:2]), "a colour for each channel and nothing else"
    weights = np.zeros(10)
    weights[8:] = 1.0  # of ten moments the last two
    over = opened(showing.curves(np.sin(steps), weights)).astype(int)
    assert (over[:, 250:, 3] > 0).all() and (over[:, :150, 3] > 0).mean() < 0.1
    assert showing.is_series(np.zeros(20, np.int16)) and not showing.is_series(np.zeros((4, 4, 1), np.uint8))
    assert opened(showing.curves(np.zeros(30))).shape == (72, 264, 4)
