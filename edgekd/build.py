"""The order of a build, from plan to report. The only file that knows it."""

import datetime
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import get_args

from edgekd import files, jobs, plugins
from edgekd import lock as locks
from edgekd.bundle.bundle import write as write_bundle
from edgekd.errors import EdgekdError, Unreachable, UsageError
from edgekd.lock import Lock, lock
from edgekd.policies.calibrate import calibrate
from edgekd.policies.convey import convey
from edgekd.policies.front import NAMES, pick
from edgekd.policies.kept import Looked, keep
from edgekd.policies.known import Known, Outlook, images
from edgekd.policies.preflight import preflight
from edgekd.policies.search import survey
from edgekd.policies.stepdown import Outcome, choose, member
from edgekd.report.report import PAGES, render
from edgekd.results import DeviceFacts, GoldenSet, Report, Row
from edgekd.runtimes import digests
from edgekd.spec import Choice, Plan, Precision
from edgekd.steps import Check, Count, Golden, Label, Probe, Split
from edgekd.store import Store
from edgekd.verdict import FRONT, counts, distilled, exported

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def build(plan: Plan, store: Store, out: Path) -> Report:
    """Distil, convert, measure and judge; write report, lock and bundles to `out`.

    A missed budget is an answer, not an error: the report says so. Raises UsageError for mistakes in the plan,
    StepFailed where a worker failed, and EdgekdError where a file does not compute what torch computed.
    """
    started = time.monotonic()
    warnings = check(plan, store)
    with reachable(plan, store):
        return _distil(plan, store, out, warnings, started)


def _distil(plan: Plan, store: Store, out: Path, warnings: tuple[str, ...], started: float) -> Report:
    """A build whose plan is right and whose devices can be asked."""
    outlook, remarks = look(plan, store)
    surveyed = store.follow(survey(outlook))
    known: Outlook = outlook
    outcome, members = Outcome(sized=surveyed), dict[str, Outcome]()
    looked: Looked | None = None
    if not surveyed.binds:  # something fits, so the teacher's work is worth its while
        known = learned = learn(outlook, store)
        outcome = store.follow(choose(learned))
        picks = pick(outcome.sized.candidates, outlook.gauge) if plan.pareto else {}
        members = {name: store.follow(member(learned, outcome, one)) for name, one in picks.items()}
        looked = store.follow(keep(learned, outcome, plugins.names("corruptions")))

    def finish(found: Outcome, folder: Path, others: Iterable[str] = ()) -> Report:
        def conclude(made: Lock) -> Report:
            took = time.monotonic() - started
            seen = looked if found is outcome else None
            return distilled(known, told, (*warnings, *remarks), made, took, others, seen)

        told = found.model_copy(update={"rows": store.follow(calibrate(known, found.rows))})
        return _finish(known, told.rows, store, folder, conclude)

    for name in set(NAMES) - members.keys():
        _remove_run(out / FRONT / name)
    for name, found in members.items():
        finish(found, out / FRONT / name)
    return finish(outcome, out, members)


def export(plan: Plan, store: Store, out: Path) -> Report:
    """Convert the plan's teacher as it is, measure and judge it in every precision; write what `build` writes.

    Raises what `build` raises.
    """
    started = time.monotonic()
    warnings = check(plan, store)

    def conclude(made: Lock) -> Report:
        return exported(outlook, judged, (*warnings, *remarks), made, time.monotonic() - started)

    with reachable(plan, store):
        outlook, remarks = look(plan, store)
        judged = store.follow(convey(outlook))
        judged = judged.model_copy(update={"rows": store.follow(calibrate(outlook, judged.rows))})
        return _finish(outlook, judged.rows, store, out, conclude)


def reachable(plan: Plan, store: Store) -> AbstractContextManager[None]:
    """What has to be opened for the plan's devices to be reached, until the end of the block."""
    return jobs.opened((target.device for target in plan.targets), store.note)


def _finish(
    known: Outlook, rows: tuple[Row, ...], store: Store, out: Path, conclude: Callable[[Lock], Report]
) -> Report:
    """Record what bundles replay, and write the run, unless all of it is there already."""
    golden = {row.target: _golden(known, store, row) for row in rows if row.ships}
    made = lock(known.plan, store.records, known.facts)
    before = _same_as_before(out, made)
    if before is not None:
        return before
    report = conclude(made)
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
    facts, absent = probe(plan, store)
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
        ranges={name: format.ranges for name, format in formats.items()},
        routes={name: format.routes for name, format in formats.items()},
        course=_course(plan.scheme),
        single=tuple(
            target.name
            for target in plan.targets
            if target.format in plugins.declared("devices", target.device.reach.name).single
        ),
        gauge=plugins.gauge(plan.data.metric, plan.data.unit),
    )
    wrong = _wrong(plan)
    cleared = store.follow(preflight(outlook.model_copy(update={"refused": wrong})))
    refused = {name: wrong.get(name, {}) | cleared.refused.get(name, {}) for name in {**wrong, **cleared.refused}}
    settled = outlook.model_copy(update={"refused": refused, "settled": cleared.routes})
    return settled, (*absent, *cleared.notes)


def _course(scheme: Choice) -> dict[str, int]:
    """What a scheme wants besides one training: its own settings over what it declares. Check has read the values."""
    declared = plugins.declared("schemes", scheme.name).course
    return {name: int(str(scheme.settings.get(name, usual))) for name, usual in declared.items()}


def _wrong(plan: Plan) -> dict[str, dict[Precision, str]]:
    """Of targets with another runtime than the format's own: the precisions that it runs wrongly, and why."""
    found = {t.name: plugins.alternatives(t.format)[t.runtime].lacks for t in plan.targets if t.runtime}
    return {name: {p: why for p in PRECISIONS if (why := lacks.get(p))} for name, lacks in found.items()}


def probe(plan: Plan, store: Store) -> tuple[dict[str, DeviceFacts], tuple[str, ...]]:
    """The facts of each device by name, and a remark for each one that is not there.

    A device that was reached before may be absent while the store knows all answers that are asked of it: then what it
    was last time stands for it. Raises Unreachable for one that was never reached.
    """
    found: dict[str, DeviceFacts] = {}
    remarks = []
    for device in dict.fromkeys(target.device.name for target in plan.targets):
        step = Probe(device=next(target.device for target in plan.targets if target.device.name == device))
        try:
            (found[device],) = store.do(step)
        except Unreachable as error:
            before = store.last(step)
            if before is None:
                raise
            found[device], when = before
            day = datetime.datetime.fromtimestamp(when).astimezone().strftime("%Y-%m-%d %H:%M")
            remarks.append(f"{found[device].name} was not reached; what is told of it was known on {day}. {error}")
            store.note(remarks[-1])
    return found, tuple(remarks)


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


def _golden(known: Outlook, store: Store, row: Row) -> GoldenSet | None:
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
    return report.model_copy(update=counts(made))


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


def _remove_run(out: Path) -> None:
    """Delete a run that was written before, and no other folder."""
    if (out / locks.NAME).is_file():
        shutil.rmtree(out)


def _remove_bundles(out: Path) -> None:
    """Delete the bundles of the run that was in `out` before: beside a new report they would be taken for its own."""
    try:
        before = Report.model_validate_json((out / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for name in before.bundles.values():
        if (out / name / "digests.json").is_file():
            shutil.rmtree(out / name)
