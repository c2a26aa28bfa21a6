"""Log-mel energies against the formula written out, and files that are no sound."""

import math
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.runtimes import logmel

HOW: dict[str, Any] = {
    "rate": 8000, "samples": 800, "window": 200, "hop": 100, "fft": 256,
    "mels": 12, "low": 20.0, "high": 4000.0, "floor": 1e-6,
}  # fmt: skip


def noise(count: int = 3, samples: int = 800) -> np.ndarray:
    return np.random.default_rng(0).integers(-9999, 9999, (count, samples)).astype(np.int16)


def by_hand(clip: np.ndarray, frame: int, band: int) -> float:
    """One number of the result, by a slow Fourier sum."""
    mel = lambda hertz: 2595 * math.log10(1 + hertz / 700)  # noqa: E731
    edges = [700 * (10 ** ((mel(20) + (mel(4000) - mel(20)) * i / 13) / 2595) - 1) for i in (band, band + 1, band + 2)]
    piece = clip[100 * frame : 100 * frame + 200] / 32768 * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(200) / 200))
    total = 0.0
    for k in range(129):
        hertz = k * 8000 / 256
        weight = min((hertz - edges[0]) / (edges[1] - edges[0]), (edges[2] - hertz) / (edges[2] - edges[1]))
        power = abs(np.sum(piece * np.exp(-2j * np.pi * k * np.arange(200) / 256))) ** 2
        total += max(0.0, weight) * power
    return math.log(total + 1e-6)


def test_it_is_the_formula_that_the_signature_names() -> None:
    clips = noise()
    found = logmel.prepare(clips, HOW)
    assert found.shape == (3, 7, 12) == (3, logmel.steps(HOW), 12) and found.dtype == np.float32
    for row, frame, band in ((0, 0, 0), (1, 3, 5), (2, 6, 11)):
        assert found[row, frame, band] == pytest.approx(by_hand(clips[row], frame, band), abs=1e-5)


def test_a_clip_alone_is_what_it_is_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    together = logmel.prepare(noise(5), HOW)
    monkeypatch.setattr(logmel, "CHUNK", 8)
    np.testing.assert_array_equal(together, logmel.prepare(noise(5), HOW))
    np.testing.assert_array_equal(together[2:3], logmel.prepare(noise(5)[2:3], HOW))


def test_a_tone_is_loudest_in_its_band() -> None:
    for band in (2, 6, 10):
        weights = logmel.triangles(HOW)
        hertz = weights[:, band].argmax() * 8000 / 256
        tone = (9000 * np.sin(2 * np.pi * hertz * np.arange(800) / 8000)).astype(np.int16)
        assert logmel.prepare(tone[None], HOW)[0].mean(0).argmax() == band


def test_silence_is_the_floor() -> None:
    assert logmel.prepare(np.zeros((1, 800), np.int16), HOW) == pytest.approx(math.log(1e-6))


@pytest.mark.parametrize("clips", [noise(2, 799), noise().astype(np.float32), noise()[0]])
def test_other_clips_are_refused(clips: np.ndarray) -> None:
    with pytest.raises(ValueError, match="clips must be int16"):
        logmel.prepare(clips, HOW)


def test_clips_are_cut_from_the_middle_or_stand_in_silence() -> None:
    assert logmel.cut(np.arange(10, dtype=np.int16), 4).tolist() == [3, 4, 5, 6]
    assert logmel.cut(np.array([7, 8], np.int16), 5).tolist() == [0, 7, 8, 0, 0]


def write(path: Path, values: np.ndarray, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, 8000, 0, "NONE", ""))
        file.writeframes(values.astype("<i2" if width == 2 else np.uint8).tobytes())
    return path


def test_files_are_read_and_channels_averaged(tmp_path: Path) -> None:
    sound, rate = logmel.read(write(tmp_path / "a.wav", np.array([1, -2, 3])))
    assert sound.tolist() == [1, -2, 3] and rate == 8000 and sound.dtype == np.int16
    assert logmel.read(write(tmp_path / "b.wav", np.array([[10, 20], [-5, 5]]), 2))[0].tolist() == [15, 0]


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_bytes(b"RIFF no sound at all")
    with pytest.raises(ValueError, match="not a readable WAV"):
        logmel.read(tmp_path / "no.wav")
    with pytest.raises(ValueError, match="8 bits a sample; 16 are read"):
        logmel.read(write(tmp_path / "8.wav", np.array([1, 2]), 1, 1))
