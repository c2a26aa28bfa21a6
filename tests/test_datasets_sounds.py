"""Sounds in folders: clips, energies, groups, the front end, and every file that is none."""

import io
import wave
from pathlib import Path

import numpy as np
import pytest

from edgekd.datasets import sounds
from edgekd.errors import UsageError
from edgekd.plugins import Source
from edgekd.runtimes import logmel


def write(path: Path, samples: int, rate: int = 4000, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.random.default_rng(seed).integers(-999, 999, samples).astype("<i2").tobytes())
    return path


def read(folder: Path, skip: bool = False, **more: object) -> Source:
    settings = sounds.Settings(**({"folder": "sounds", "seconds": 0.5, "mels": 8} | more))
    named = {key: folder / str(more[key]) for key in ("test", "unlabelled") if key in more}
    return sounds.read(settings, {"folder": folder / "sounds"} | named, None, skip)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "sounds/a/long.wav", 5500, seed=1)  # two clips and a rest of three quarters
    write(tmp_path / "sounds/a/deep/short.WAV", 500, seed=2)
    write(tmp_path / "sounds/b/one.wav", 2900, seed=3)  # a rest of less than half a clip is left out
    (tmp_path / "sounds/b/notes.txt").write_text("no sound")
    return tmp_path


def test_files_become_clips_that_stay_together(folder: Path) -> None:
    source = read(folder)
    assert source.classes == ("a", "b") and source.train.inputs["sound"].shape == (5, 30, 8)
    assert source.train.labels.tolist() == [0, 0, 0, 0, 1]
    of = ["a/deep/short.WAV", *["a/long.wav"] * 3, "b/one.wav"]
    assert source.train.groups is not None and source.train.groups.tolist() == [f"folder/{name}" for name in of]
    sound, _ = logmel.read(folder / "sounds/a/long.wav")
    expected = logmel.prepare(sound[None, 2000:4000], source.front_ends["sound"].model_dump())
    np.testing.assert_array_equal(source.train.inputs["sound"][2:3], expected)


def test_the_front_end_is_named_and_has_examples(folder: Path) -> None:
    source = read(folder, window=0.02)
    how = source.front_ends["sound"]
    assert (how.rate, how.samples, how.window, how.hop, how.fft, how.high) == (4000, 2000, 80, 64, 128, 2000.0)
    with np.load(io.BytesIO(source.attached["sounds.npz"])) as stored:
        np.testing.assert_array_equal(logmel.prepare(stored["sound"], how.model_dump()), stored["input"])
        assert len(stored["sound"]) == 4


def test_other_folders_are_the_test_and_the_transfer_set(folder: Path) -> None:
    write(folder / "held/a/x.wav", 2000, seed=4)
    write(folder / "held/b/y.wav", 2000, seed=5)
    write(folder / "wild/z.wav", 4000, seed=6)
    source = read(folder, test="held", unlabelled="wild")
    assert source.test is not None and source.test.labels.tolist() == [0, 1]
    assert source.train.labels.tolist() == [0, 0, 0, 0, 1, -1, -1]


def test_bad_files_are_named_or_left_out(folder: Path) -> None:
    (folder / "sounds/b/broken.wav").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"broken\.wav.*not a readable WAV"):
        read(folder)
    assert [Path(name).name for name in read(folder, skip=True).skipped] == ["broken.wav"]


def test_what_does_not_fit_is_said(folder: Path) -> None:
    (folder / "held/a").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"sub-folders of .*held are a, not a, b"):
        read(folder, test="held")
    with pytest.raises(UsageError, match="narrower than what windows of 16 samples"):
        read(folder, window=0.004, mels=40)
    write(folder / "sounds/b/fast.wav", 3000, rate=8000)
    with pytest.raises(UsageError, match=r"rates differ: .*4000 Hz.*8000 Hz"):
        read(folder)
