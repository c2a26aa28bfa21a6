"""From what an application has (pictures, frames, sounds, texts, arrays) to the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .runtime import logmel, preprocess, replay, tokens

Array = np.ndarray[Any, Any]


class Samples:
    """Prepares samples as the model was trained; `kind` is "image", "pixels", "sound", "text" or "arrays"."""

    def __init__(self, signature: Mapping[str, Any], folder: Path) -> None:
        self.specs = signature["inputs"]
        self.kind = _kind(self.specs)
        self._folder = folder
        self._tokenizer: Any = None

    def prepare(self, sample: Any) -> dict[str, Array]:
        """Inputs by name for one sample. Raises ValueError, OSError, or ModuleNotFoundError without what it takes."""
        if isinstance(sample, Mapping):
            return self._arrays(sample)
        if self.kind in ("image", "pixels"):
            return {self.specs[0]["name"]: self.prepared(self.canvas(sample))}
        if self.kind == "sound":
            return self._sound(sample)
        if self.kind == "text":
            return self._text(sample)
        names = ", ".join(spec["name"] for spec in self.specs)
        raise ValueError(f"the model takes arrays by name: a dictionary with {names}")

    def canvas(self, image: Any) -> Array:
        """The central square of a picture, uint8 (canvas, canvas, 1 or 3).

        `image` is a path, the bytes of a PNG, JPEG, WebP or BMP file, or a frame, uint8 (height, width, 3) in the order
        red, green, blue, or (height, width) gray.
        """
        how = self._how()
        if not isinstance(image, np.ndarray):
            return preprocess.decode(image, how["canvas"], replay.channels(how), how["filter"])
        frame = image[:, :, None] if image.ndim == 2 else image
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3) or not frame.size:
            raise ValueError(f"frames are uint8 (height, width, 3) or (height, width), not {image.dtype} {image.shape}")
        stored = preprocess.ordered(frame[None], replay.channels(how))[0]
        return preprocess.square(stored, how["canvas"], how["filter"])

    def prepared(self, canvas: Array) -> Array:
        """A canvas as the network takes it, with the batch first."""
        how = self._how()
        if self.kind == "pixels":  # the graph does the rest
            return preprocess.ordered(canvas[None], replay.channels(how))
        return preprocess.prepare(canvas[None], how)

    def _how(self) -> dict[str, Any]:
        """How pictures are prepared."""
        how = self.specs[0].get("preprocess") or self.specs[0].get("inside")
        if self.kind == "pixels":
            gray = self.specs[0]["shape"][3] == 1
            return {**how, "canvas": self.specs[0]["shape"][1], "channels": "gray" if gray else "rgb"}
        return dict(how)

    def _arrays(self, sample: Mapping[str, Any]) -> dict[str, Array]:
        missing = [spec["name"] for spec in self.specs if spec["name"] not in sample]
        if missing:
            raise ValueError(f"there is no array for the input {', '.join(missing)}")
        return {spec["name"]: np.asarray(sample[spec["name"]])[None] for spec in self.specs}

    def _sound(self, sample: Any) -> dict[str, Array]:
        """A WAV file by its path, or int16 samples at the model's rate."""
        how = self.specs[0]["front_end"]
        if isinstance(sample, np.ndarray):
            sound, rate = sample, how["rate"]
        else:
            sound, rate = logmel.read(sample)
        if rate != how["rate"]:
            raise ValueError(f"it has {rate} samples a second, the model takes {how['rate']}")
        return {self.specs[0]["name"]: logmel.prepare(logmel.cut(sound, how["samples"])[None], how)}

    def _text(self, sample: Any) -> dict[str, Array]:
        spec = next(spec for spec in self.specs if spec["front_end"])
        how = spec["front_end"]
        if self._tokenizer is None:
            self._tokenizer = tokens.load(self._folder / "golden" / Path(how["file"]).name)
        ids, mask = tokens.encode(self._tokenizer, [str(sample)], how["length"], how["padding"])
        return {spec["name"]: ids, how["mask"]: mask}


def _kind(specs: list[dict[str, Any]]) -> str:
    """What the inputs are made of, where that is known."""
    fronts = {(spec.get("front_end") or {}).get("kind") for spec in specs}
    if "log-mel" in fronts and len(specs) == 1:
        return "sound"
    if "tokens" in fronts:
        return "text"
    if len(specs) == 1 and specs[0].get("preprocess"):
        return "image"
    return "pixels" if len(specs) == 1 and specs[0].get("inside") else "arrays"
