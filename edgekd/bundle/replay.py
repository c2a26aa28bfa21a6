"""Replay a bundle in a process of its own: python -m edgekd.bundle.replay FOLDER RESULT.json

The model may be damaged, and a runtime that reads it may crash: then only this process is lost. Runs edgekd's own code,
never that of the bundle. Where the model's runtime cannot run here, its operators are evaluated by their definitions if
the format has an evaluator, and what is found then says so.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import NotVerified, UsageError
from edgekd.results import Signature
from edgekd.runtimes import job, replay
from edgekd.runtimes.fault import Fault

Array = NDArray[Any]
MODEL = ("golden samples", "golden images")


class Evaluated:
    """A model that is evaluated by its format's definitions, as the replay wants one of a runtime."""

    batch = 1

    def __init__(self, path: Path, signature: Mapping[str, Any], evaluator: Any) -> None:
        self._signature = Signature.model_validate(signature)
        try:
            self._evaluate = evaluator(path, self._signature)
        except NotVerified as error:
            raise Fault(f"not verified: {error}") from error
        self._inputs: dict[str, Array] = {}
        self._found: Mapping[str, Array] = {}

    def feed(self, arrays: Sequence[Array]) -> None:
        """Keep one array an input."""
        names = [spec.name for spec in self._signature.inputs]
        self._inputs = dict(zip(names, arrays, strict=True))

    def invoke(self) -> None:
        """Evaluate once."""
        self._found = self._evaluate(self._inputs)

    def outputs(self) -> list[Array]:
        """The outputs, in the signature's order."""
        return [np.asarray(self._found[spec.name]) for spec in self._signature.outputs]


class Loader:
    """Finds a runtime; where it cannot run, the format's evaluator stands in, and `by_reference` tells."""

    def __init__(self) -> None:
        self.by_reference = False
        self._evaluator: Any = None

    def __call__(self, format: str) -> Any:
        """A module that loads models. Raises Fault where there is neither."""
        try:
            return job.runtime(format)
        except Fault as error:
            if not plugins.declared("formats", format).reference:
                raise
            try:
                self._evaluator = plugins.find("formats", format).evaluator
            except UsageError as missing:
                raise Fault(f"{error}; to evaluate it by definition: {missing}") from missing
            self.by_reference = True
            return self

    def load(self, path: Path, threads: int, signature: Mapping[str, Any], batch: int) -> Evaluated:
        """Read a model back."""
        return Evaluated(path, signature, self._evaluator)


def main(arguments: Sequence[str]) -> int:
    """Write the findings for the bundle arguments[0] to the file arguments[1]."""
    loader = Loader()
    found = replay.replay(Path(arguments[0]), loader)
    if loader.by_reference:
        found = [one | {"what": f"{one['what']}, by reference"} if _of_model(one) else one for one in found]
    Path(arguments[1]).write_text(json.dumps(found), encoding="utf-8")
    return 0


def _of_model(finding: Mapping[str, Any]) -> bool:
    return str(finding["what"]).startswith(MODEL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
