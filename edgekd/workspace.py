"""The folder that a stage works in: where its files go, and where the files of earlier steps are."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd import files
from edgekd.results import File


class Workspace:
    """A stage's own folder, private until the step is done; then it becomes the store entry `key`, whole or not at all.

    `resumed` is True when a killed worker of the same step left its files here (only for stages with RESUMES = True).
    """

    def __init__(self, folder: Path, entries: Path, key: str, resumed: bool = False) -> None:
        self.folder, self.entries, self.key, self.resumed = folder, entries, key, resumed

    def path(self, name: str) -> Path:
        """Where to write the output file or folder `name`."""
        return self.folder / name

    def file(self, name: str) -> File:
        """Describe an output that has been written under `name`."""
        path = self.folder / name
        return File(entry=self.key, name=name, sha256=files.digest(path), size=files.size(path))

    def save(self, name: str, array: NDArray[np.generic]) -> File:
        """Write an array as .npy and describe it."""
        np.save(self.folder / name, array, allow_pickle=False)
        return self.file(name)

    def locate(self, file: File) -> Path:
        """Where an input file of an earlier step is. Read it, never write it."""
        return locate(self.entries, file)

    def load(self, file: File) -> NDArray[np.generic]:
        """Memory-map an .npy of an earlier step, read-only."""
        array: NDArray[np.generic] = np.load(self.locate(file), mmap_mode="r", allow_pickle=False)
        return array

    def progress(self, done: float, text: str = "") -> None:
        """Say how far the stage is: a share of one, and a few words. Call it a few times a second at most."""
        files.write(self.folder / "progress.json", json.dumps({"done": done, "text": text}))


def locate(entries: Path, file: File) -> Path:
    """The path of a file in the store's `entries` folder."""
    return entries / file.entry[:2] / file.entry / file.name
