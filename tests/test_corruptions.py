"""Each corruption does what it is named after."""

import numpy as np
import pytest

from edgekd.corruptions import pixels, series, tokens, typos

RANDOM = np.random.default_rng(0)


def test_images_are_shifted_whole_pixels_and_edges_are_repeated() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(1, 10, 10, 1)
    found = pixels.corrupt({"x": image}, "shift", 5, np.random.default_rng(3))["x"][0, :, :, 0]
    options = [
        image[0, np.clip(np.arange(10) + 2 * y, 0, 9)][:, np.clip(np.arange(10) + 2 * x, 0, 9), 0]
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
        if x or y
    ]
    assert any((found == one).all() for one in options)


def test_noise_blur_and_contrast_are_those_of_the_paper() -> None:
    gray = np.full((1, 32, 32, 1), 128, np.uint8)
    noisy = pixels.corrupt({"x": gray}, "noise", 3, np.random.default_rng(0))["x"].astype(float) / 255
    assert noisy.std() == pytest.approx(0.08, rel=0.1)
    halves = gray.copy()
    halves[:, :, 16:] = 64
    flat = pixels.corrupt({"x": halves}, "contrast", 2, RANDOM)["x"].astype(int)
    assert int(flat.max()) - int(flat.min()) == pytest.approx(32, abs=1), "half of the contrast is left"
    blurred = pixels.corrupt({"x": halves}, "blur", 5, RANDOM)["x"][0, 0, :, 0].astype(int)
    assert (np.diff(blurred) <= 0).all() and 64 < blurred[16] < 128


def test_large_images_are_spoiled_as_imagenet_was() -> None:
    gray = np.full((1, 128, 128, 3), 128, np.uint8)
    noisy = pixels.corrupt({"x": gray}, "noise", 3, np.random.default_rng(0))["x"].astype(float) / 255
    assert noisy.std() == pytest.approx(0.18, rel=0.1)


def test_sensors_drift_stick_and_lose_their_gain() -> None:
    values = RANDOM.normal(0, 2, (40, 30, 3))
    scale = values.std(axis=(0, 1))
    drift = series.corrupt({"x": values}, "drift", 3, np.random.default_rng(0))["x"] - values
    assert np.abs(drift[:, 0]).max() == 0 and np.allclose(np.abs(drift[:, -1]), scale)
    gain = series.corrupt({"x": values}, "gain", 5, np.random.default_rng(0))["x"] / values
    assert np.allclose(np.minimum(np.abs(gain - 0.5), np.abs(gain - 1.5)), 0)
    stuck = series.corrupt({"x": values}, "stuck", 5, np.random.default_rng(0))["x"]
    assert ((np.diff(stuck, axis=1) == 0).sum(axis=1) == 15).all()


def test_sound_stays_within_its_integers() -> None:
    loud = np.array([[32767, -32768] * 10] * 4, np.int16)
    found = series.corrupt({"x": loud}, "gain", 5, np.random.default_rng(0))["x"]
    assert found.dtype == np.int16 and found.max() > 0 > found.min()


def test_words_are_replaced_by_words_swapped_and_doubled_within_the_mask() -> None:
    ids = RANDOM.integers(5, 50, (200, 20))
    ids[:, 0] = 1  # a mark of the beginning
    mask = (np.arange(20) < 15).astype(np.int64)[None].repeat(200, 0)
    for kind in tokens.KINDS:
        found = tokens.corrupt({"ids": ids, "mask": mask}, kind, 5, np.random.default_rng(0))
        changed = found["ids"] != ids
        assert not changed[:, 0].any() and not changed[:, 15:].any() and (found["mask"] == mask).all()
        assert 0.2 < changed[:, 1:15].mean() < 0.6 and np.isin(found["ids"], ids).all()
        if kind == "swapped":
            assert (np.sort(found["ids"], axis=1) == np.sort(ids, axis=1)).all()


def test_a_mask_alone_or_a_picture_is_no_text() -> None:
    assert not tokens.suits({"mask": np.array([[0, 1], [1, 1]])}, None)
    assert not series.suits({"x": np.zeros((3, 4, 4, 1), np.uint8)}, 4)
    assert not pixels.suits({"ids": np.array([[4, 5]])}, None)


def test_typos_touch_letters_only_and_each_in_its_way() -> None:
    text = "Wonderful acting 1999, wonderful music!" * 20
    random = np.random.default_rng(0)
    found = {
        kind: str(typos.corrupt({"ids": np.array([text], object)}, kind, 5, random)["ids"][0]) for kind in typos.KINDS
    }
    letters = sum(letter.isalpha() for letter in text)
    signs = [letter for letter in text if not letter.isalpha()]
    assert all([letter for letter in told if not letter.isalpha()] == signs for told in found.values())
    swapped, dropped, doubled, beside = (found[kind] for kind in typos.KINDS)
    assert sorted(swapped) == sorted(text) and swapped != text
    assert 0.04 < (len(text) - len(dropped)) / letters < 0.18 and 0.04 < (len(doubled) - len(text)) / letters < 0.18
    pairs = [(a.lower(), b.lower()) for a, b in zip(text, beside, strict=True) if a != b]
    assert pairs and all(any(a + b in keys or b + a in keys for keys in typos.KEYS) for a, b in pairs)
    assert all(a.isupper() == b.isupper() for a, b in zip(text, beside, strict=True))


def test_letters_without_a_key_and_texts_without_letters_stay() -> None:
    texts = np.array(["日本語 12!", "", "..."], object)
    assert (typos.corrupt({"ids": texts}, "keys beside", 5, np.random.default_rng(0))["ids"] == texts).all()
    assert not typos.suits({"ids": np.zeros((3, 4), np.int64)}, None) and typos.suits({"ids": texts}, None)
