"""From what a build found to its report: status, what binds, and what to know before believing a number."""

import datetime
from collections.abc import Iterable

from edgekd import units
from edgekd.lock import Lock
from edgekd.policies.items import LOSS
from edgekd.policies.judge import Judged
from edgekd.policies.kept import Looked
from edgekd.policies.known import Known, Outlook
from edgekd.policies.stepdown import Outcome
from edgekd.policies.warn import concerns
from edgekd.report.headline import headline
from edgekd.report.text import show_setting
from edgekd.results import Report, Row, Rung, Score
from edgekd.spec import Plan

# Folder of the runs of several students of the front.
FRONT = "front"
# Share of mirrored images beyond which a teacher that answers otherwise is worth a word.
MIRROR_LOSS = 0.05


def distilled(
    known: Outlook,
    outcome: Outcome,
    warnings: tuple[str, ...],
    made: Lock,
    seconds: float,
    members: Iterable[str] = (),
    looked: Looked | None = None,
) -> Report:
    """The report of a build that trained a student, or found none to train; `looked` is what the student kept."""
    plan, sized, raced = known.plan, outcome.sized, outcome.raced
    ships = [row for row in outcome.rows if row.ships]
    teachers = [row for row in outcome.rows if row.role in ("teacher", "teacher-int8") and row.artifact is not None]
    return Report(
        edgekd=made.edgekd,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        plan=plan,
        status=_status(ships),
        gauge=known.gauge,
        headline=headline(outcome.rows, outcome.gain) if outcome.rows else f"No student fits: {sized.binds}.",
        binds=_binds(outcome, ships),
        rows=outcome.rows,
        gain=outcome.gain,
        terms=raced.terms if raced else None,
        trials=raced.trials if raced else (),
        lessons=raced.lessons if raced else (),
        candidates=sized.candidates,
        predictors=sized.predictors,
        rungs=_timed(outcome.rungs, made),
        student=sized.chosen.architecture if sized.chosen else known.options[0].architecture,
        chosen=_recipe(outcome),
        teacher_already_fits=_teacher_fits(plan, teachers),
        notes=_notes(known, outcome, reasoned=looked is not None),
        caveats=(*known.splits.caveats, *warnings, *_caveats(known, seconds)),
        kept=looked.kept if looked else None,
        concerns=concerns(known, outcome, looked) if looked and isinstance(known, Known) else (),
        seconds=seconds,
        bundles=_bundles(ships),
        members={name: f"{FRONT}/{name}" for name in members},
        **counts(made),
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
    whole = {row.target: row.score for row in teachers if row.role == "teacher" and row.score}
    fitting = {
        row.target for row in teachers if row.fits and row.score and _loses_little(row.score, whole.get(row.target))
    }
    return bool(teachers) and {target.name for target in plan.targets} == fitting


def _loses_little(score: Score, whole: Score | None) -> bool:
    """Whether a file of the teacher is nearly as good as its float32 one; where there is none, as good as can be."""
    if whole is None:
        return score.gauge.share and 1.0 - score.accuracy.value <= LOSS
    return score.gauge.lost(score.accuracy.value, whole.accuracy.value) <= LOSS


def _recipe(outcome: Outcome) -> str:
    """In words: how the network that ships was trained."""
    if outcome.raced is None:
        return ""
    if outcome.winner == "control":
        return "labels alone"
    terms = outcome.raced.terms
    told = ", ".join(f"{name.replace('_', ' ')} {show_setting(value)}" for name, value in terms.settings.items())
    return f"distilled by {terms.method}: {told}"


def _notes(known: Outlook, outcome: Outcome, reasoned: bool) -> tuple[str, ...]:
    """What a reader should know of how the choice came about; `reasoned` where concerns say why the control won."""
    found = []
    if outcome.rounds > 1:
        found.append(f"a larger student missed the budget when its file was measured; this is round {outcome.rounds}")
    if outcome.winner == "control" and not reasoned:
        found.append("the student without teacher was better on the validation part and is what ships")
    soft = known.soft_targets if isinstance(known, Known) else None
    if soft and soft.mirror_loss is not None and soft.mirror_loss > MIRROR_LOSS:
        found.append(
            f"of 100 images the teacher takes {100 * soft.mirror_loss:.0f} more for another class when mirrored than "
            "when shifted: left and right seem to matter in these data; write mirror = false under [train]"
        )
    found += known.refusals()
    if outcome.raced and outcome.raced.terms.live:
        terms, spent = outcome.raced.terms, sum(one.seconds for one in outcome.raced.distilled)
        found.append(
            f"{terms.method} needs the teacher beside the student: it took {units.show_seconds(terms.teacher_seconds)} "
            f"of the {units.show_seconds(spent)} of full training"
        )
    if soft:
        took = units.show_seconds(soft.seconds_per_view)
        found.append(f"the teacher labelled each view of the training part once, in {took}")
    return tuple(found)


def _caveats(known: Outlook, seconds: float) -> tuple[str, ...]:
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


def counts(made: Lock) -> dict[str, int]:
    """How many steps were run and how many were known; asking a device what it is counts as neither."""
    asked = [step for step in made.steps if step.stage != "probe"]
    return {"steps_run": sum(not step.cached for step in asked), "steps_cached": sum(step.cached for step in asked)}


def exported(known: Outlook, judged: Judged, warnings: tuple[str, ...], made: Lock, seconds: float) -> Report:
    """The report of a network that was converted as it is."""
    rows = judged.rows
    ships = [row for row in rows if row.ships]
    return Report(
        edgekd=made.edgekd,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        plan=known.plan,
        status=_status(ships),
        gauge=known.gauge,
        headline=headline(rows, None),
        binds="; ".join(f"{row.target} {reason}" for row in ships for reason in row.missed),
        rows=rows,
        rungs=_timed(judged.rungs, made),
        student=None,
        notes=known.refusals(),
        caveats=(*known.splits.caveats, *warnings),
        seconds=seconds,
        bundles=_bundles(ships),
        **counts(made),
    )


def _bundles(ships: list[Row]) -> dict[str, str]:
    """The folder of each target's bundle."""
    return {row.target: row.target.replace("@", "-at-") for row in ships}


def _timed(rungs: tuple[Rung, ...], made: Lock) -> tuple[Rung, ...]:
    """Rungs with the seconds that the answers behind them took when they were found."""
    took = {step.key: step.seconds for step in made.steps}
    return tuple(rung.model_copy(update={"seconds": sum(took.get(key, 0.0) for key in rung.entries)}) for rung in rungs)
