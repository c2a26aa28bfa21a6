"""The model as one object: samples in, typed answers out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import answers, engine
from .accelerators import found
from .engine import Candidate, Chosen
from .errors import ModelError
from .package import HOME, Package
from .result import Result
from .samples import Samples

Array = np.ndarray[Any, Any]


class Classifier:
    """A loaded model. `used` is what runs it, `tried` which accelerators were tried and why they were not kept."""

    def __init__(self, package: Package, chosen: Chosen) -> None:
        self.signature = package.signature
        self.samples = Samples(package.signature, package.folder)
        self.chosen, self.used, self.tried = chosen, chosen.used, chosen.tried
        self.calibrated = bool(package.signature["confidence"])
        self._alone = threading.Lock()

    def classify(self, sample: Any) -> Result:
        """The model's answer to one sample.

        A picture is a path, the bytes of an image file, or a frame: numpy uint8 (height, width, 3) in the order red,
        green, blue, or (height, width) gray. A sound is the path of a WAV file, a text a string, and anything else a
        dictionary with an array for each input. Raises ValueError or OSError for what cannot be read.
        """
        result: Result = self.infer(self.samples.prepare(sample))
        return result

    def infer(self, inputs: dict[str, Array]) -> Any:
        """The answer to one sample that is prepared already, with the batch first."""
        with self._alone:  # a session has one set of tensors
            outputs, seconds = engine.run(self.chosen.model, self.signature, inputs)
        return answers.read(self.signature, outputs[0], seconds * 1e3)


def load(accelerators: Sequence[str | Candidate] = (), threads: int | None = None, folder: Path = HOME) -> Classifier:
    """Load the model and hold it against what was recorded with it. Raises ModelError where it gives something else.

    `accelerators` are tried in their order: names that the runtime knows, "auto" for all that are here, or candidates
    of your own. One is kept if it gives what was recorded and is faster than the CPU. `threads` of the CPU; none: 1.
    """
    package = Package(folder)
    chosen = choose(package, accelerators, threads)
    if chosen.wrong:
        raise ModelError(f"{package.file().name} does not give what was recorded with it: {chosen.wrong}")
    return Classifier(package, chosen)


def choose(package: Package, accelerators: Sequence[str | Candidate], threads: int | None) -> Chosen:
    """What is to run the model; accelerators by name are looked up. Raises ModelError."""
    candidates: list[Candidate] = []
    module = engine.backend(package.page["format"]) if accelerators else None
    for one in accelerators:
        candidates += [one] if isinstance(one, Candidate) else found(module, one)
    return engine.choose(package, candidates, max(1, threads or 1))
