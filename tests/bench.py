"""Artifacts of tests/tiny.py and their samples as earlier steps would have left them, for tests of device stages."""

from pathlib import Path

import numpy as np

from edgekd.results import Artifact, File, PartFiles, Signature, Splits
from edgekd.spec import Device
from edgekd.workspace import Workspace
from tests import tiny as tiny_files

KEY, DATA = "ab" + "0" * 62, "cd" + "0" * 62
DEVICE = Device()


class Bench:
    """Artifacts and splits as earlier steps would have left them, and a workspace to measure in."""

    def __init__(self, folder: Path, tiny: Path) -> None:
        self._tiny, self._folder = tiny, folder
        self.out = Workspace(folder / "work", folder / "entries", KEY)
        self.out.folder.mkdir()
        self._entry = folder / "entries" / DATA[:2] / DATA
        self._entry.mkdir(parents=True)

    def file(self, name: str) -> File:
        return File(entry=DATA, name=name, sha256="", size=0)

    def artifact(self, name: str, kind: str, batch: int = -1, ids: str = "int64") -> Artifact:
        (self._entry / name).symlink_to(self._tiny / name)
        return Artifact(
            file=self.file(name),
            format=name.rpartition(".")[2],
            precision="float32",
            signature=Signature.model_validate(tiny_files.signature(kind, batch, ids)),
            golden=self.file("golden.npz"),
            size=1,
            graph="",
            made_by="",
        )

    def splits(self, *inputs: str) -> Splits:
        for name in inputs:
            np.save(self._entry / f"{name}.npy", tiny_files.samples()[name])
        part = PartFiles(
            inputs={name: self.file(f"{name}.npy") for name in inputs},
            labels=self.file("labels.npy"),
            count=7,
            labelled=7,
            digest="",
        )
        return Splits(parts={"validation": part, "test": part}, classes=tuple(tiny_files.CLASSES))
