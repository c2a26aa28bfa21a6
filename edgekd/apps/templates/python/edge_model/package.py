"""The folder model/: the file, what to know of it, and what was recorded with it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ModelError

Array = np.ndarray[Any, Any]
HOME = Path(__file__).absolute().parent.parent / "model"


class Package:
    """What model.json and golden/golden.json say, and arrays that lie beside them. Raises ModelError."""

    def __init__(self, folder: Path = HOME) -> None:
        self.folder = folder
        self.page = _read(folder / "model.json")
        self.golden = _read(folder / "golden" / "golden.json")
        self.signature: dict[str, Any] = self.page["signature"]
        self.tolerance = float(self.page["tolerance"])

    def file(self) -> Path:
        """The model's file. Raises ModelError where it is not there."""
        path = self.folder / str(self.page["file"]["name"])
        if not path.exists():
            raise ModelError(f"{path} is missing: copy the whole folder model/")
        return path

    def sha256(self) -> str:
        """The digest of the model's file as it is here; what model.json says where it is a folder or is not there."""
        path = self.folder / str(self.page["file"]["name"])
        return digest(path) if path.is_file() else str(self.page["file"]["sha256"])

    def inputs(self) -> dict[str, Array]:
        """Recorded inputs by name, sample first."""
        return {one["name"]: self.array(one, self.golden["count"]) for one in self.golden["inputs"]}

    def outputs(self) -> dict[str, Array]:
        """Recorded outputs by name, sample first; nothing where none were recorded."""
        return {one["name"]: self.array(one, self.golden["count"]) for one in self.golden["outputs"]}

    def canvas(self, picture: dict[str, Any]) -> Array:
        """The recorded canvas of a picture, uint8 (canvas, canvas, 1 or 3)."""
        how = self.signature["inputs"][0]["preprocess"]
        values = np.fromfile(self.folder / "golden" / picture["canvas"], np.uint8)
        return values.reshape(how["canvas"], how["canvas"], -1)

    def prepared(self, picture: dict[str, Any]) -> Array:
        """The recorded input of a picture, with the batch first."""
        values = np.fromfile(self.folder / "golden" / picture["input"], "<f4").astype(np.float32)
        return values.reshape(1, *self.signature["inputs"][0]["shape"][1:])

    def encoded(self, picture: dict[str, Any]) -> bytes:
        """The bytes of a recorded picture."""
        return (self.folder / "golden" / str(picture["file"])).read_bytes()

    def array(self, told: dict[str, Any], count: int) -> Array:
        """An array of so many samples."""
        dtype: np.dtype[Any] = np.dtype(told["dtype"])
        values = np.fromfile(self.folder / "golden" / told["file"], dtype.newbyteorder("<")).astype(dtype)
        return values.reshape(int(count), *told["shape"])


def digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        page = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): copy the whole folder model/") from None
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}): copy the whole folder model/") from None
    if not isinstance(page, dict) or page.get("schema_version") != 1:
        raise ModelError(f"{path} is of another version than this application")
    return page
