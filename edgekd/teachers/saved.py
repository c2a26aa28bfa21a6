"""Outputs that a teacher gave earlier, in an .npz file: for teachers that cannot run here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import Problem, UsageError
from edgekd.nets import inference
from edgekd.nets.weights import check_sha256
from edgekd.plugins import Oracle
from edgekd.results import Signature
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy",)
EXTRA = "train"
FILES = ("file",)

Array = NDArray[Any]
MADE_SO = "Write it so: numpy.savez('outputs.npz', train=outputs), with test=... too where the data has test samples"


class Settings(Value):
    """`file` is the .npz, `sha256` its checksum, `activation` whether it holds logits or probabilities.

    Its array `train` is (samples, classes) in the order of the data's own samples; `test` likewise, where the data has
    test samples of its own.
    """

    file: str
    sha256: str = ""
    activation: inference.Activation = "logits"


def load(settings: Settings, files: Mapping[str, Path], signature: Signature, trust: bool) -> Oracle:
    """Read the outputs; they answer for samples as they are, not for augmented ones. Raises UsageError for misfits."""
    path = files.get("file", Path(settings.file))
    check_sha256(path, settings.sha256)
    saved = _read(path)
    if settings.activation == "probabilities":
        saved = {name: inference.log_probabilities(values) for name, values in saved.items()}

    def outputs(batch: Mapping[str, Array], rows: Array, part: str) -> NDArray[np.float32]:
        name = "test" if part == "test" and "test" in saved else "train"
        if len(rows) and int(rows.max()) >= len(saved[name]):
            message = (
                f"{path} has {len(saved[name])} outputs of {name}, but the data has at least {int(rows.max()) + 1}"
            )
            raise UsageError(Problem("file", message, MADE_SO))
        return saved[name][rows]

    why = "saved outputs are not a network"
    return Oracle(outputs=outputs, why_no_module=why, live=False, count=sum(len(values) for values in saved.values()))


def _read(path: Path) -> dict[str, NDArray[np.float32]]:
    """The arrays `train` and, where there is one, `test`."""
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise UsageError(Problem("file", f"{path} is one array, not an .npz", MADE_SO))
        with found as archive:
            names = [name for name in ("train", "test") if name in archive.files]
            saved = {name: np.asarray(archive[name], np.float32) for name in names}
            others = archive.files
    except (BadZipFile, ValueError, OSError, EOFError) as error:
        raise UsageError(Problem("file", f"{path} is not an .npz of numbers ({error})", MADE_SO)) from error
    if "train" not in saved:
        raise UsageError(Problem("file", f"{path} has no array 'train' (only: {', '.join(others)})", MADE_SO))
    wrong = [f"{name} is {values.shape}" for name, values in saved.items() if values.ndim != 2]
    if wrong:
        raise UsageError(Problem("file", f"in {path} {'; '.join(wrong)}, not (samples, classes)", MADE_SO))
    return saved
