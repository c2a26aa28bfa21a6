"""Does this model, here, through this very code, still answer as was recorded? Then how fast it is.

Each link of the chain is looked at alone, so that a finding names what broke.
"""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from . import answers, engine
from .classifier import Classifier, choose
from .engine import Candidate, Chosen
from .errors import ModelError
from .package import Package, digest
from .runtime import facts
from .runtime.replay import JPEG_LARGEST, JPEG_MEAN, PREPARED
from .samples import Samples
from .timing import latency

Check = dict[str, Any]
Array = np.ndarray[Any, Any]
# Where these run a board's programs, seconds are no board's.
EMULATORS = ("qemu-", "box64", "rosetta", "FEX")


class SelfTest:
    """The checks of a model; `chosen` is what runs it, or nothing with the reason why it cannot be run."""

    def __init__(self, package: Package, chosen: Chosen | None, why: str = "") -> None:
        self.package, self.chosen, self.why = package, chosen, why
        self.samples = Samples(package.signature, package.folder)
        self.difference: float | None = None

    def checks(self, say: Callable[[str], None]) -> list[Check]:
        """Every check in its order; one that raises has failed."""
        found = self._tried("files", self._files)
        pictures = self.package.golden["pictures"]
        for name, check in (("decode", self._decode), ("prepare", self._prepare)):
            for picture in pictures:
                found += self._tried(f"{name} {picture['file']}", partial(check, picture))
        for front in self.package.golden["front_ends"]:
            found += self._tried(f"prepare {front['name']}", partial(self._front, front))
        say("running the model on what was recorded")
        for i, spec in enumerate(self.package.signature["outputs"]):
            found += self._tried(f"model {spec['name']}", partial(self._model, i))
        found += self._tried("answers", self._answers)
        return found + (self._tried("pictures", self._pictures) if pictures else [])

    def _tried(self, what: str, check: Callable[[], tuple[bool | None, str]]) -> list[Check]:
        try:
            return [_check(what, *check())]
        except Exception as error:
            told = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
            return [_check(what, False, " ".join(told.split())[:300])]

    def _files(self) -> tuple[bool, str]:
        """Every file that model.json lists is as it was written."""
        for name, told in self.package.page["files"].items():
            parts = PurePosixPath(name).parts
            if not parts or ".." in parts or name.startswith("/"):
                return False, f"{name!r} is outside the folder model/"
            path = self.package.folder.joinpath(*parts)
            if not path.is_file():
                return False, f"{name} is missing"
            if path.stat().st_size != told["size"]:
                return False, f"{name} has {path.stat().st_size} bytes, written were {told['size']}"
            if digest(path) != told["sha256"]:
                return False, f"the content of {name} is not what was written"
        return True, ""

    def _decode(self, picture: dict[str, Any]) -> tuple[bool, str]:
        """An encoded picture becomes the recorded canvas."""
        canvas, wanted = self.samples.canvas(self.package.encoded(picture)), self.package.canvas(picture)
        if canvas.shape != wanted.shape:
            return False, f"the canvas is {canvas.shape}, recorded was {wanted.shape}"
        gaps = np.abs(canvas.astype(np.int16) - wanted)
        if not gaps.any():
            return True, ""
        why = f"differs by up to {gaps.max()} of 255 levels, {gaps.mean():.2g} on average"
        close = not picture["exact"] and gaps.max() <= JPEG_LARGEST and gaps.mean() <= JPEG_MEAN
        return bool(close), why

    def _prepare(self, picture: dict[str, Any]) -> tuple[bool, str]:
        """A recorded canvas becomes the recorded input."""
        found, wanted = self.samples.prepared(self.package.canvas(picture)), self.package.prepared(picture)
        if found.shape != wanted.shape:
            return False, f"the input is {found.shape}, recorded was {wanted.shape}"
        gap, limit = engine.difference(found, wanted), PREPARED * max(1.0, float(np.abs(wanted).max()))
        return gap <= limit, "" if gap <= limit else f"differs by {gap:.3g}, {limit:.3g} is allowed"

    def _front(self, front: dict[str, Any]) -> tuple[bool, str]:
        """Recorded sounds or texts become the recorded inputs."""
        name = front["name"]
        if front["kind"] == "tokens":
            pairs = [(self.samples.prepare(one["text"])[name][0], np.asarray(one["ids"])) for one in front["texts"]]
        else:
            sounds, inputs = (self.package.array(front[key], front["count"]) for key in ("sound", "input"))
            pairs = [(self.samples.prepare(sounds[i])[name][0], inputs[i]) for i in range(front["count"])]
        for found, wanted in pairs:
            if found.shape != wanted.shape:
                return False, f"the input is {found.shape}, recorded was {wanted.shape}"
            gap, limit = engine.difference(found, wanted), PREPARED * max(1.0, float(np.abs(wanted).max()))
            if not gap <= limit:
                return False, f"differs by {gap:.3g}, {limit:.3g} is allowed"
        return True, ""

    def _running(self) -> Chosen:
        if self.chosen is None:
            raise ModelError(self.why)
        return self.chosen

    def _model(self, number: int) -> tuple[bool | None, str]:
        """Recorded inputs give the recorded outputs."""
        package, model = self.package, self._running().model
        name = package.signature["outputs"][number]["name"]
        if package.golden["missing"]:
            return None, f"no outputs were recorded: {package.golden['missing']}"
        pairs = [(engine.recorded(model, package)[number], package.outputs()[name])]
        for picture in package.golden["pictures"] if number == 0 else ():
            inputs = {package.signature["inputs"][0]["name"]: package.prepared(picture)}
            outputs, _ = engine.run(model, package.signature, inputs)
            pairs.append((outputs[0].reshape(-1), np.asarray(picture["outputs"], np.float32)))
        gaps = [engine.difference(found, wanted) for found, wanted in pairs if found.shape == wanted.shape]
        self.difference = max([*gaps, self.difference or 0.0], key=lambda gap: (math.isnan(gap), gap), default=None)
        why = next(filter(None, (engine.unlike(*pair, package.tolerance) for pair in pairs)), "")
        return not why, why

    def _answers(self) -> tuple[bool | None, str]:
        """Outputs become the recorded answers: recorded outputs to the last bits, the model's own within tolerance."""
        package = self.package
        told = package.golden["answers"]
        if not told:
            return None, "it tells numbers" if package.signature["columns"] else "no answers were recorded"
        outputs = package.outputs()[package.signature["outputs"][0]["name"]]
        for i, one in enumerate(told):
            read = answers.answers(answers.read(package.signature, outputs[i], 0.0))
            why = _unlike(read, one, float(package.page["answer_tolerance"]))
            if why:
                return False, f"sample {i}, of its recorded outputs: {why}"
        own = engine.recorded(self._running().model, package)[0]
        for i, one in enumerate(told):
            read = answers.answers(answers.read(package.signature, own[i], 0.0))
            why = _unlike(read, one, float(package.page["probability_tolerance"]))
            if why:
                return False, f"sample {i}: {why}"
        return True, ""

    def _pictures(self) -> tuple[bool | None, str]:
        """Encoded pictures get the recorded answers by the call that applications use."""
        package = self.package
        told = [one for one in package.golden["pictures"] if one["answer"]]
        if not told:
            return None, "it tells numbers" if package.signature["columns"] else "no answers were recorded"
        classifier = Classifier(package, self._running())
        for picture in told:
            read = answers.answers(classifier.classify(package.encoded(picture)))
            if picture["exact"]:
                why = _unlike(read, picture["answer"], float(package.page["probability_tolerance"]))
                if why:
                    return False, f"{picture['file']}: {why}"
        return True, ""


def run(
    folder: Path,
    accelerators: Sequence[str | Candidate] = (),
    threads: int | None = None,
    protocol: str = "look",
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """The result of a self-test, as selftest.json holds it. Raises ModelError where there is nothing to test."""
    package = Package(folder)
    chosen, why = None, ""
    try:
        chosen = choose(package, accelerators, threads)
    except Exception as error:  # its reason is that of the checks that need a model
        why = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
    test = SelfTest(package, chosen, why)
    checks = test.checks(say)
    passed = all(one["passed"] is not False for one in checks)
    gap, here = test.difference, device()
    return {
        "schema_version": 1,
        "kind": "edgekd self-test",
        "app": "python",
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "model": {
            "name": package.page["file"]["name"],
            "sha256": package.sha256(),
            "slug": package.page["slug"],
        },
        "device": here,
        "runtime": {"name": package.page["format"], "version": _version(package)},
        "accelerator": {
            "used": chosen.used if chosen else "none",
            "threads": chosen.threads if chosen else max(1, threads or 1),
            "tried": chosen.tried if chosen else [],
        },
        "passed": passed,
        "checks": checks,
        "difference": gap if gap is not None and math.isfinite(gap) else None,
        "tolerance": package.tolerance,
        "latency": latency(package, chosen, protocol, say) if passed and chosen and not here["emulated"] else None,
    }


def device() -> dict[str, Any]:
    """What this device says of itself."""
    told = facts.run({}, Path())
    return {
        "name": told["model"],
        "system": told["system"],
        "processor": told["processor"],
        "cores": told["cores"],
        "memory": told["memory"] or None,
        "agent": f"Python {told['python']}",
        "emulated": emulator(),
    }


def emulator() -> str:
    """The program that runs programs here in a processor's place, such as qemu-aarch64-static; nothing where none does.

    An emulator shows a process itself as it should look, so the one that started this is looked at.
    """
    try:
        program = Path(f"/proc/{os.getppid()}/exe").readlink().name
    except OSError:
        return ""
    return program if program.startswith(EMULATORS) else ""


def _version(package: Package) -> str:
    try:
        return str(engine.backend(package.page["format"]).version())
    except ModelError:
        return ""


def _check(what: str, passed: bool | None, why: str = "") -> Check:
    return {"what": what, "passed": passed, "why": why}


def _unlike(found: list[answers.Answer], wanted: dict[str, Any], tolerance: float) -> str:
    """Why answers are not the recorded ones; a label counts only where no other is as likely."""
    if len(found) != len(wanted["labels"]):
        return f"{len(found)} answers, recorded were {len(wanted['labels'])}"
    for i, one in enumerate(found):
        if wanted["decided"] and one.label != wanted["labels"][i]:
            return f"the answer is {one.label}, recorded was {wanted['labels'][i]}"
        gap = abs(one.confidence - wanted["probabilities"][i])
        if not gap <= tolerance:
            return f"the probability differs by {gap:.3g}, {tolerance:.3g} is allowed"
    return ""
