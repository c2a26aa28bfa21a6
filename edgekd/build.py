"""The order of a build, from plan to report. The only file that knows it."""

import datetime
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from edgekd import files, plugins, units
from edgekd import lock as locks
from edgekd.bundle.bundle import write as write_bundle
from edgekd.errors import EdgekdError, UsageError
from edgekd.lock import Lock, lock
from edgekd.policies.known import Known, Outlook, images
from edgekd.policies.preflight import preflight
from edgekd.policies.ship import LOSS
from edgekd.policies.stepdown import Outcome, choose
from edgekd.report.headline import headline
from edgekd.report.report import PAGES, render
from edgekd.results import GoldenSet, Report, Row
from edgekd.runtimes import digests
from edgekd.spec import Plan
from edgekd.steps import Check, Count, Golden, Label, Probe, Split
from edgekd.store import Store

# Share of mirrored images beyond which a teacher that answers otherwise is worth a word.
MIRROR_LOSS = 0.05


def build(plan: Plan, store: Store, out: Path) -> Report:
    """Distil, convert, measure and judge; write report, lock and bundles to `out`.

    A missed budget is an answer, not an error: the report says so. Raises UsageError for mistakes in the plan,
    StepFailed where a worker failed, and EdgekdError where a file does not compute what torch computed.
    """
    started = time.monotonic()
    warnings = check(plan, store)
    outlook, remarks = look(plan, store)
    known = learn(outlook, store)
    outcome = store.follow(choose(known))
    golden = {row.target: _golden(known, store, row) for row in outcome.rows if row.ships}
    made = lock(plan, store.records, known.facts)
    before = _same_as_before(out, made)
    if before is not None:
        return before
    report = _report(known, outcome, (*warnings, *remarks), made, time.monotonic() - started)
    try:
        _write(report, made, golden, store, out)
    except OSError as error:
        hint = "Make room or give another folder with --out; nothing has to be done again"
        raise EdgekdError(f"cannot write the run to {out}: {error.strerror or error}. {hint}") from error
    return report


def check(plan: Plan, store: Store) -> tuple[str, ...]:
    """Validate everything that can be validated before anything is spent; returns warnings. Raises UsageError."""
    store.want_room()
    (checked,) = store.do(Check(plan=plan))
    if checked.mistakes:
        raise UsageError(*(mistake.problem() for mistake in checked.mistakes))
    return checked.warnings


def look(plan: Plan, store: Store) -> tuple[Outlook, tuple[str, ...]]:
    """Split the data, probe the devices, list the students, and rehearse every file that is wanted, untrained.

    Returns what is known then, and what to know of the rehearsal. Raises UsageError for a file that cannot be.
    """
    (splits,) = store.do(Split(data=plan.data, images=images(plan), skip_bad=plan.skip_bad, seed=plan.seed))
    devices = {target.device.name: target.device for target in plan.targets}
    facts = dict(zip(devices, store.do(*(Probe(device=device) for device in devices.values())), strict=True))
    (counted,) = store.do(Count(student=plan.student, teacher=plan.teacher, splits=splits))
    formats = {target.format: plugins.declared("formats", target.format) for target in plan.targets}
    outlook = Outlook(
        plan=plan,
        splits=splits,
        options=counted.options,
        teacher=counted.teacher,
        no_teacher=counted.no_teacher,
        facts=facts,
        cores=store.cores,
        references=tuple(name for name, format in formats.items() if format.reference),
        offers={name: format.precisions for name, format in formats.items()},
    )
    cleared = store.follow(preflight(outlook))
    return outlook.model_copy(update={"refused": cleared.refused}), cleared.notes


def learn(outlook: Outlook, store: Store) -> Known:
    """Have the teacher label the training images once."""
    plan = outlook.plan
    (soft_targets,) = store.do(
        Label(
            teacher=plan.teacher,
            splits=outlook.splits,
            views=plan.effort.views,
            augment=plan.augment,
            mirror=plan.mirror,
            seed=plan.seed,
        )
    )
    return Known(**{name: getattr(outlook, name) for name in Outlook.model_fields}, soft_targets=soft_targets)


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
    """The report that is in `out` already, if it was made from the same answers and all of the run is still there."""
    before = locks.read(out)
    if before is None or not made.same_answers(before):
        return None
    try:
        report = Report.model_validate_json((out / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not all((out / name).is_file() for name in PAGES):
        return None
    if any(not one["passed"] for folder in report.bundles.values() for one in digests.check(out / folder)):
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
        binds=_binds(outcome, ships),
        rows=outcome.rows,
        gain=outcome.gain,
        terms=raced.terms if raced else None,
        trials=raced.trials if raced else (),
        candidates=sized.candidates,
        student=sized.chosen.architecture if sized.chosen else known.options[0].architecture,
        chosen=_recipe(outcome),
        teacher_already_fits=_teacher_fits(plan, teachers),
        notes=_notes(known, outcome),
        caveats=(*known.splits.caveats, *warnings, *_caveats(known, seconds)),
        seconds=seconds,
        bundles={row.target: row.target.replace("@", "-at-") for row in ships},
        **_counts(made),
    )


def _status(ships: list[Row]) -> str:
    """missed if any file that ships misses a budget (or nothing ships), inconclusive if any could not be judged."""
    if not ships or any(row.fits is False for row in ships):
        return "missed"
    return "inconclusive" if any(row.fits is None for row in ships) else "fits"


def _binds(outcome: Outcome, ships: list[Row]) -> str:
    """What keeps the student from being larger; where a budget was missed, by what, and what could be kept."""
    missed = [f"{row.target} {reason}" for row in ships for reason in row.missed]
    if missed:
        told = f'{"; ".join(missed)} (the smallest budgets that this student keeps are the figures before "over")'
        return "; ".join(filter(None, (told, outcome.sized.nearest)))
    sized = outcome.sized
    return sized.binds if ships else "; ".join(filter(None, (sized.binds, sized.nearest)))


def _teacher_fits(plan: Plan, teachers: list[Row]) -> bool:
    """Whether a budget was set and, on every target, a file of the teacher keeps it without loss by quantization."""
    budgets = [target.budget for target in plan.targets]
    if not any(limit is not None for budget in budgets for limit in budget.model_dump().values()):
        return False
    whole = {row.target: row.score.accuracy.value for row in teachers if row.role == "teacher" and row.score}
    fitting = {
        row.target
        for row in teachers
        if row.fits and row.score and whole.get(row.target, 1.0) - row.score.accuracy.value <= LOSS
    }
    return bool(teachers) and {target.name for target in plan.targets} == fitting


def _recipe(outcome: Outcome) -> str:
    """In words: how the network that ships was trained."""
    if outcome.raced is None:
        return ""
    if outcome.winner == "control":
        return "labels alone"
    terms = outcome.raced.terms
    return f"distilled at temperature {terms.temperature:g}, teacher weight {terms.teacher_weight:g}"


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
    soft = known.soft_targets
    if soft.mirror_loss is not None and soft.mirror_loss > MIRROR_LOSS:
        found.append(
            f"of 100 images the teacher takes {100 * soft.mirror_loss:.0f} more for another class when mirrored than "
            "when shifted: left and right seem to matter in these data; write mirror = false under [train]"
        )
    found += known.refusals()
    took = units.show_seconds(soft.seconds_per_view)
    found.append(f"the teacher labelled each view of the training part once, in {took}")
    return tuple(found)


def _caveats(known: Known, seconds: float) -> tuple[str, ...]:
    plan, found = known.plan, []
    if plan.effort.seeds == 1:
        found.append("one seed was run: the gain's interval is over samples only; --effort standard runs 3")
    if known.no_teacher:
        found.append("the teacher's size is not known, so the student was not held to a share of it")
    if plan.max_time is not None and seconds > plan.max_time:
        found.append(
            f"the build took {units.show_seconds(seconds)}, more than --max-time {units.show_seconds(plan.max_time)}: "
            "that flag sizes the training, it does not stop a build"
        )
    return tuple(found)


def _write(report: Report, made: Lock, golden: Mapping[str, GoldenSet | None], store: Store, out: Path) -> None:
    """Write bundles first and the lock last, so that a lock means that all of the run is there."""
    out.mkdir(parents=True, exist_ok=True)
    (out / locks.NAME).unlink(missing_ok=True)
    _remove_bundles(out)
    for row in report.rows:
        recorded = golden.get(row.target)
        if row.ships and recorded is not None:
            write_bundle(report, row, recorded, store.entries, out / report.bundles[row.target], made)
    render(report, out)
    files.write(out / locks.NAME, made.model_dump_json(indent=1))


def _remove_bundles(out: Path) -> None:
    """Delete the bundles of the run that was in `out` before: beside a new report they would be taken for its own."""
    try:
        before = Report.model_validate_json((out / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for name in before.bundles.values():
        if (out / name / "digests.json").is_file():
            shutil.rmtree(out / name)
