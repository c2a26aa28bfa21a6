"""The order of a build, from plan to report. The only file that knows it."""

import datetime
import time
from collections.abc import Mapping
from pathlib import Path

from edgekd import files, units
from edgekd import lock as locks
from edgekd.bundle.bundle import write as write_bundle
from edgekd.errors import UsageError
from edgekd.lock import Lock, lock
from edgekd.policies.known import Known, images
from edgekd.policies.stepdown import Outcome, choose
from edgekd.report.headline import headline
from edgekd.report.report import render
from edgekd.results import GoldenSet, Report, Row
from edgekd.spec import Plan
from edgekd.steps import Check, Count, Golden, Label, Probe, Split
from edgekd.store import Store


def build(plan: Plan, store: Store, out: Path) -> Report:
    """Distil, convert, measure and judge; write report, lock and bundles to `out`.

    A missed budget is an answer, not an error: the report says so. Raises UsageError for mistakes in the plan,
    StepFailed where a worker failed, and EdgekdError where a file does not compute what torch computed.
    """
    started = time.monotonic()
    warnings = check(plan, store)
    known = learn(plan, store)
    outcome = store.follow(choose(known))
    golden = {row.target: _golden(known, store, row) for row in outcome.rows if row.ships}
    made = lock(plan, store.records, known.facts)
    before = _same_as_before(out, made)
    if before is not None:
        return before
    report = _report(known, outcome, warnings, made, time.monotonic() - started)
    _write(report, made, golden, store, out)
    return report


def check(plan: Plan, store: Store) -> tuple[str, ...]:
    """Validate everything that can be validated before anything is spent; returns warnings. Raises UsageError."""
    (checked,) = store.do(Check(plan=plan))
    if checked.mistakes:
        raise UsageError(*(mistake.problem() for mistake in checked.mistakes))
    return checked.warnings


def learn(plan: Plan, store: Store) -> Known:
    """Split the data, probe the devices, list the students, and have the teacher label the training images once."""
    (splits,) = store.do(Split(data=plan.data, images=images(plan), skip_bad=plan.skip_bad, seed=plan.seed))
    devices = {target.device.name: target.device for target in plan.targets}
    facts = dict(zip(devices, store.do(*(Probe(device=device) for device in devices.values())), strict=True))
    (counted,) = store.do(Count(student=plan.student, teacher=plan.teacher, splits=splits))
    (soft_targets,) = store.do(
        Label(teacher=plan.teacher, splits=splits, views=plan.effort.views, augment=plan.augment, seed=plan.seed)
    )
    return Known(
        plan=plan,
        splits=splits,
        soft_targets=soft_targets,
        options=counted.options,
        teacher=counted.teacher,
        facts=facts,
    )


def _golden(known: Known, store: Store, row: Row) -> GoldenSet | None:
    """What the bundle of a row replays."""
    if row.artifact is None:
        return None
    target = next(target for target in known.plan.targets if target.name == row.target)
    (golden,) = store.do(
        Golden(
            artifact=row.artifact,
            splits=known.splits,
            device=target.device,
            fingerprint=known.facts[target.device.name].fingerprint,
            runtime=known.runtime(target),
        )
    )
    return golden


def _same_as_before(out: Path, made: Lock) -> Report | None:
    """The report that is in `out` already, if it was made from the same answers."""
    before = locks.read(out)
    if before is None or not made.same_answers(before):
        return None
    try:
        report = Report.model_validate_json((out / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not all((out / folder / "digests.json").is_file() for folder in report.bundles.values()):
        return None
    return report.model_copy(update=_counts(made))


def _counts(made: Lock) -> dict[str, int]:
    """How many steps were run and how many were known; asking a device what it is counts as neither."""
    asked = [step for step in made.steps if step.stage != "probe"]
    return {"steps_run": sum(not step.cached for step in asked), "steps_cached": sum(step.cached for step in asked)}


def _report(known: Known, outcome: Outcome, warnings: tuple[str, ...], made: Lock, seconds: float) -> Report:
    plan, sized, raced = known.plan, outcome.sized, outcome.raced
    ships = [row for row in outcome.rows if row.ships]
    teachers = [row for row in outcome.rows if row.role in ("teacher", "teacher-int8") and row.artifact is not None]
    return Report(
        edgekd=made.edgekd,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        plan=plan,
        status=_status(ships),
        headline=headline(outcome.rows, outcome.gain) if outcome.rows else f"No student fits: {sized.binds}.",
        binds=sized.binds if ships else f"{sized.binds}; {sized.nearest}",
        rows=outcome.rows,
        gain=outcome.gain,
        trials=raced.trials if raced else (),
        candidates=sized.candidates,
        student=sized.chosen.architecture if sized.chosen else known.options[0].architecture,
        chosen=_recipe(outcome),
        teacher_already_fits=_teacher_fits(plan, teachers),
        notes=_notes(known, outcome),
        caveats=(*known.splits.caveats, *warnings, *_caveats(plan)),
        seconds=seconds,
        bundles={row.target: row.target.replace("@", "-at-") for row in ships},
        **_counts(made),
    )


def _status(ships: list[Row]) -> str:
    """missed if any file that ships misses a budget (or nothing ships), inconclusive if any could not be judged."""
    if not ships or any(row.fits is False for row in ships):
        return "missed"
    return "inconclusive" if any(row.fits is None for row in ships) else "fits"


def _teacher_fits(plan: Plan, teachers: list[Row]) -> bool:
    """Whether some file of the teacher keeps the budget of every target."""
    wanted = {target.name for target in plan.targets}
    return bool(teachers) and wanted == {row.target for row in teachers if row.fits}


def _recipe(outcome: Outcome) -> str:
    """In words: how the network that ships was trained."""
    if outcome.raced is None:
        return ""
    if outcome.winner == "control":
        return "labels alone"
    return f"distilled at temperature {outcome.raced.temperature:g}, teacher weight {outcome.raced.teacher_weight:g}"


def _notes(known: Known, outcome: Outcome) -> tuple[str, ...]:
    """What a reader should know of how the choice came about."""
    found = []
    if outcome.rounds > 1:
        found.append(f"a larger student missed the budget when its file was measured; this is round {outcome.rounds}")
    if outcome.winner == "control":
        found.append(
            "the student without teacher was better on the validation part and is what ships; the teacher may be too "
            "weak or too sharp, the student too small, or labels plenty"
        )
    views = known.soft_targets.seconds_per_view
    found.append(f"the teacher labelled each view of the training part once, in {units.show_seconds(views)}")
    return tuple(found)


def _caveats(plan: Plan) -> tuple[str, ...]:
    if plan.effort.seeds > 1:
        return ()
    return ("one seed was run (effort quick): the gain's interval is over samples only; --effort standard runs 3",)


def _write(report: Report, made: Lock, golden: Mapping[str, GoldenSet | None], store: Store, out: Path) -> None:
    """Write bundles first and the lock last, so that a lock means that all of the run is there."""
    out.mkdir(parents=True, exist_ok=True)
    (out / locks.NAME).unlink(missing_ok=True)
    for row in report.rows:
        recorded = golden.get(row.target)
        if row.ships and recorded is not None:
            write_bundle(report, row, recorded, store.entries, out / report.bundles[row.target], made)
    render(report, out)
    files.write(out / locks.NAME, made.model_dump_json(indent=1))
