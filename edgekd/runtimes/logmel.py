"""From sound to log-mel energies: the one implementation for data sets, devices and bundles. Needs numpy.

Frames under a Hann window, squares of the FFT, triangles on the mel scale, logarithm; `how` has the fields of
results.LogMel. Source: Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word
recognition", IEEE ASSP 28(4), 1980; the mel scale is O'Shaughnessy's, 2595 log10(1 + Hz / 700).
"""

from __future__ import annotations

import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# frames that are worked on at a time, so that an hour of sound does not want gigabytes
CHUNK = 4096


def read(path: Path | str) -> tuple[np.ndarray[Any, Any], int]:
    """A WAV file of 16 bits as int16 (samples,), channels averaged, and its samples a second.

    Raises ValueError for other files, OSError if it cannot be read.
    """
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            content = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a readable WAV file ({type(error).__name__}: {error})") from error
    if width != 2:
        raise ValueError(f"{8 * width} bits a sample; 16 are read")
    sound = np.frombuffer(content[: len(content) // (2 * channels) * 2 * channels], "<i2").reshape(-1, channels)
    mono = sound[:, 0] if channels == 1 else np.rint(sound.mean(1))
    return mono.astype(np.int16), rate


def steps(how: Mapping[str, Any]) -> int:
    """How many frames a clip of `how["samples"]` samples has."""
    return 1 + (int(how["samples"]) - int(how["window"])) // int(how["hop"])


def cut(sound: np.ndarray[Any, Any], samples: int) -> np.ndarray[Any, Any]:
    """One clip of int16 (samples,) out of the middle of a sound; a shorter one gets silence on both sides."""
    if len(sound) >= samples:
        start = (len(sound) - samples) // 2
        return sound[start : start + samples]
    before = (samples - len(sound)) // 2
    return np.pad(sound, (before, samples - len(sound) - before))


def prepare(clips: np.ndarray[Any, Any], how: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Clips, int16 (N, samples) -> float32 (N, steps, mels); each alone or in any batch alike.

    Raises ValueError where the clips are of another type or length.
    """
    if clips.dtype != np.int16 or clips.ndim != 2 or clips.shape[1] != how["samples"]:
        raise ValueError(f"clips must be int16 (N, {how['samples']}), not {clips.dtype} {clips.shape}")
    count, window = steps(how), int(how["window"])
    places = np.arange(count)[:, None] * int(how["hop"]) + np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    weights = triangles(how)
    result = np.empty((len(clips), count, int(how["mels"])), np.float32)
    step = max(1, CHUNK // count)
    for start in range(0, len(clips), step):
        frames = clips[start : start + step][:, places] / 32768.0 * hann
        power = np.abs(np.fft.rfft(frames, int(how["fft"]))) ** 2
        result[start : start + step] = np.log(power @ weights + float(how["floor"]))
    return result


def triangles(how: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Weights of the FFT's frequencies in each mel band, (fft / 2 + 1, mels) float64."""
    edges = 700 * (10 ** (np.linspace(_mel(how["low"]), _mel(how["high"]), int(how["mels"]) + 2) / 2595) - 1)
    frequencies = np.arange(int(how["fft"]) // 2 + 1)[:, None] * float(how["rate"]) / int(how["fft"])
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    weights: np.ndarray[Any, Any] = np.maximum(0.0, np.minimum(rising, falling))
    return weights


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + float(hertz) / 700))
