"""A bundle on a device that it was not built for: does it compute there what was recorded, and how well does it do?"""

import datetime
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import files, jobs
from edgekd import lock as locks
from edgekd.commands.subjects import BROKEN, TIMEOUT, Subject, artifact, fill
from edgekd.report.report import render
from edgekd.results import Elsewhere, Interval, Measurement, PartFiles, Replayed, Report
from edgekd.statistics import mean_interval
from edgekd.workspace import locate

# Samples of the test part that a device predicts: enough to see a wrong preparation, few enough for a phone.
SAMPLES = 512
OUTPUTS = "outputs.npy"


@dataclass(frozen=True)
class Sample:
    """Samples that the run of a bundle was judged on, as stored: inputs, labels, and what its own runtime gave."""

    inputs: Mapping[str, NDArray[Any]]
    labels: NDArray[np.int64]
    outputs: NDArray[np.float32]


def run_of(bundle: Path) -> Path | None:
    """The run folder that a bundle lies in, if it is one of that run's."""
    report = _report(bundle.absolute().parent)
    return bundle.absolute().parent if report and bundle.absolute().name in report.bundles.values() else None


def sample(bundle: Path, subject: Subject, store: Path) -> Sample | str:
    """Every so many-th sample of the test part that the run was judged on, or why there are none."""
    run = run_of(bundle)
    lock = locks.read(run) if run else None
    if lock is None:
        return "the bundle is not in the folder of its run, so its test samples are not known"
    digest = files.digest(subject.model)
    for step in lock.steps:
        asked = step.asked
        if step.stage == "predict" and asked["part"] == "test" and asked["artifact"]["file"]["sha256"] == digest:
            break
    else:
        return "the run predicted no test part with this file"
    entries = store.absolute() / "entries"
    part = PartFiles.model_validate(asked["splits"]["parts"]["test"])
    try:
        arrays = {name: _load(locate(entries, file)) for name, file in part.inputs.items()}
        labels, outputs = _load(locate(entries, part.labels)), _load(entries / step.key[:2] / step.key / OUTPUTS)
    except BROKEN:
        return f"the test samples are no longer in the store at {store}; the same build brings them back"
    rows = np.unique(np.linspace(0, len(labels) - 1, min(SAMPLES, len(labels))).astype(np.int64))
    chosen = {name: np.ascontiguousarray(array[rows]) for name, array in arrays.items()}
    return Sample(chosen, np.asarray(labels[rows], np.int64), np.asarray(outputs[rows], np.float32))


def replay(bundle: Path, subject: Subject, reached: jobs.Reached, runtime: str, store: Path | None) -> Replayed | None:
    """Run golden samples, and with a store test samples, on a device; None where nothing was recorded.

    `runtime` is what a job wants to know of it. Raises DeviceError.
    """
    golden = json.loads((bundle / "golden/golden.json").read_text(encoding="utf-8"))
    if golden.get("missing"):
        return None
    with np.load(bundle / "golden/golden.npz", allow_pickle=False) as stored:
        recorded = {spec.name: stored[f"runtime:{spec.name}"] for spec in subject.signature.outputs}
    found = _predict(subject, reached, subject.samples, runtime)
    gaps = [float(np.abs(found[name] - wanted).max()) for name, wanted in recorded.items()]
    told = Replayed(difference=max(gaps), tolerance=float(golden["tolerance"]))
    if store is None or not told.passed:
        return told
    tests = sample(bundle, subject, store)
    if isinstance(tests, str):
        return told.model_copy(update={"why": tests})
    outputs = _predict(subject, reached, tests.inputs, runtime)[subject.signature.outputs[0].name]
    return told.model_copy(update=_judged(outputs, tests, bool(subject.signature.classes)))


def _predict(
    subject: Subject, reached: jobs.Reached, inputs: Mapping[str, NDArray[Any]], runtime: str
) -> dict[str, NDArray[Any]]:
    """Outputs of the bundle's file there."""
    seconds = TIMEOUT + 2.0 * len(next(iter(inputs.values())))
    with (
        tempfile.TemporaryDirectory(prefix="edgekd-") as name,
        jobs.Job(Path(name) / "job", artifact(subject), subject.model, runtime=runtime) as job,
    ):
        return job.outputs(reached, fill(job, replace(subject, samples=dict(inputs))), seconds)


def _judged(outputs: NDArray[Any], tests: Sample, classes: bool) -> dict[str, Any]:
    """What test samples say: of classes the accuracy there and in the run, and how often both name the same one."""
    told: dict[str, Any] = {"samples": len(outputs)}
    if not classes:
        return told | {"test_difference": float(np.abs(outputs - tests.outputs).max())}
    there, here = outputs.argmax(1), tests.outputs.argmax(1)
    known = tests.labels >= 0
    told |= {"agreement": float((there == here).mean())}
    if not known.any():
        return told
    value, low, high = mean_interval((there == tests.labels)[known].astype(np.float64))
    accuracy = Interval(value=value, low=low, high=high)
    return told | {"accuracy": accuracy, "before": float((here == tests.labels)[known].mean())}


def add(bundle: Path, measurement: Measurement, replayed: Replayed | None) -> Path | None:
    """Put a row into the report of a bundle's run; returns the report's page, None where there is none."""
    run = run_of(bundle)
    report = _report(run) if run else None
    if run is None or report is None:
        return None
    target = next(name for name, folder in report.bundles.items() if folder == bundle.absolute().name)
    when = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    row = Elsewhere(target=target, measurement=measurement, replayed=replayed, created=when)
    render(report.model_copy(update={"elsewhere": (*report.elsewhere, row)}), run)
    return run / "report.html"


def _report(run: Path) -> Report | None:
    try:
        return Report.model_validate_json((run / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _load(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
