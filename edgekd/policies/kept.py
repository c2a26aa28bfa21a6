"""What the student kept: the file that ships beside the teacher, once all is chosen. Nothing here chooses anything."""

from collections.abc import Sequence
from typing import Any, TypeVar

from edgekd.errors import EdgekdError, StoreError, Unreachable, WorkerKilled
from edgekd.kept import Appraised, Contrasted, Endured, Explained, Kept, Resemblance, Scratch
from edgekd.policies import outputs
from edgekd.policies.known import Known
from edgekd.policies.race import again
from edgekd.policies.stepdown import Outcome
from edgekd.results import Checkpoint, Compared, Corrupted, Predictions, Role, Row, Terms
from edgekd.spec import EffortName, Part, Target, Value
from edgekd.steps import (
    Appraise,
    Ask,
    Compare,
    Contrast,
    Corrupt,
    Each,
    Endure,
    Explain,
    Policy,
    Predict,
    Resemble,
    Step,
)

# Test samples whose corrupted copies are made, fewer where the teacher would need more multiply-accumulates than this
# for them, but some; and how badly they are spoiled. By effort.
FEWEST, WAYS = 32, 4
MACS: dict[EffortName, float] = {"quick": 3e11, "standard": 3e12, "thorough": 3e13}
SAMPLES: dict[EffortName, int] = {"quick": 256, "standard": 1000, "thorough": 2000}
SEVERITIES: dict[EffortName, tuple[int, ...]] = {
    "quick": (2, 4),
    "standard": (1, 2, 3, 4, 5),
    "thorough": (1, 2, 3, 4, 5),
}
# Samples that are shown where both part, and those of them whose attributions are worked out.
SHOWN = 12
EXPLAINED: dict[EffortName, int] = {"quick": 6, "standard": 12, "thorough": 12}

T = TypeVar("T", bound=Value)


class Looked(Value):
    """What the student kept on the test part, for the report, and on the validation part, for what is warned of."""

    kept: Kept
    validation: Contrasted


def keep(known: Known, outcome: Outcome, corruptions: tuple[str, ...]) -> Policy[Looked | None]:
    """Look at what ships, by `corruptions` too; None where nothing does, or where there are no classes to part on, or
    several heads, each with its own.

    What cannot be had is missing with the reason: a report must not fail for its last sections.
    """
    row = next((row for row in outcome.rows if row.ships and row.artifact), None)
    if row is None or outcome.raced is None or len(known.splits.classes) < 2 or known.splits.heads:
        return None
    judged = yield from _contrasted(known, outcome, row)
    kept, validation = (_given(one) for one in judged)
    if isinstance(kept, str) or isinstance(validation, str):
        return None
    looks = yield from _looks(known, outcome, kept)
    endured, why = yield from _endured(known, outcome, row, corruptions)
    scratch = yield from _scratch(known, outcome)
    found = Kept(contrasted=kept, endured=endured, why_not_endured=why, scratch=scratch, **looks)
    return Looked(kept=found, validation=validation)


def shipped(outcome: Outcome) -> Checkpoint:
    """The trained network behind what ships."""
    return best(outcome, outcome.winner)


def best(outcome: Outcome, role: Role) -> Checkpoint:
    """Of the seeds of distilled student or control the best on the validation part."""
    assert outcome.raced is not None
    seeds = outcome.raced.control if role == "control" else outcome.raced.distilled
    return max(seeds, key=lambda one: (outcome.gauge.good(one.validation_accuracy), -one.seed))


def _contrasted(known: Known, outcome: Outcome, row: Row) -> Policy[Sequence[Contrasted | EdgekdError]]:
    """The student beside the teacher on the test and on the validation part."""
    parts: tuple[Part, ...] = ("test", "validation")
    target, artifact = _target(known, row), row.artifact
    assert artifact is not None
    found: Sequence[Predictions] = yield [outputs.ask(known, target, artifact, part) for part in parts]
    if not outputs.answered(found):
        found = yield [Ask(source=shipped(outcome), splits=known.splits, part=part) for part in parts]
    judged: Sequence[Contrasted | EdgekdError] = yield Each(
        Contrast(
            student=one,
            teacher=known.soft_targets.parts[part],
            splits=known.splits,
            shown=SHOWN if part == "test" else 0,
        )
        for part, one in zip(parts, found, strict=True)
    )
    return judged


def _looks(known: Known, outcome: Outcome, kept: Contrasted) -> Policy[dict[str, Any]]:
    """Layers, attributions and the transfer data, as fields of Kept."""
    network, teacher = shipped(outcome), known.plan.teacher
    assert outcome.raced is not None
    steps: list[Step[Any]] = [
        Resemble(student=network, teacher=teacher, splits=known.splits),
        Appraise(soft_targets=known.soft_targets, temperature=_temperature(outcome.raced.terms)),
    ]
    parted = tuple(one.number for one in kept.parted[: EXPLAINED[known.plan.effort.name]])
    if parted:
        steps.append(Explain(student=network, teacher=teacher, splits=known.splits, samples=parted))
    answers = yield Each(steps)
    resemblance, transfer, *more = (_given(one) for one in answers)
    explained = more[0] if more else "teacher and student answer every sample alike"
    return {
        **_or_why(resemblance, "resemblance", "why_no_resemblance", Resemblance),
        **_or_why(transfer, "transfer", "why_no_transfer", Appraised),
        **_or_why(explained, "explained", "why_not_explained", Explained),
    }


def _temperature(terms: Terms) -> float:
    """The temperature at which the teacher's own logits taught; 1 for methods that bring them to another scale."""
    scaled = [one.use.settings for one in terms.objectives if one.use.settings.get("standardize")]
    told = terms.settings.get("temperature", 1.0)
    return float(told) if isinstance(told, int | float) and not scaled else 1.0


def _endured(
    known: Known, outcome: Outcome, row: Row, corruptions: tuple[str, ...]
) -> Policy[tuple[Endured | None, str]]:
    """Teacher, control and student on corrupted copies; or why not."""
    if not known.gauge.share:
        return None, f"{known.gauge.name} is no mean over samples, whose copies could be paired"
    effort = known.plan.effort.name
    wanted = Corrupt(
        splits=known.splits,
        among=corruptions,
        samples=_samples(known),
        severities=SEVERITIES[effort],
        seed=known.plan.seed,
    )
    try:
        corrupted: Corrupted
        (corrupted,) = yield [wanted]
        splits = known.splits.model_copy(update={"parts": {**known.splits.parts, "test": corrupted.part}})
        within = known.model_copy(update={"splits": splits})
        files = [_file(within, row, shipped(outcome))]
        other = _control(outcome, row)
        if other is not None:
            files.append(_file(within, other, best(outcome, "control")))
        teacher, student, *control = yield [Ask(source=known.plan.teacher, splits=splits), *files]
        step = Endure(
            corrupted=corrupted,
            teacher=teacher,
            student=student,
            control=control[0] if control else None,
            metric=known.plan.data.metric,
        )
        (endured,) = yield [step]
    except (StoreError, WorkerKilled, Unreachable):
        raise  # which says nothing of these samples
    except EdgekdError as error:
        return None, _given(error)
    return endured, ""


def _samples(known: Known) -> int:
    """How many samples' copies the teacher shall answer."""
    effort = known.plan.effort.name
    if known.teacher is None:
        return SAMPLES[effort]
    copies = 1 + WAYS * len(SEVERITIES[effort])
    return min(SAMPLES[effort], max(FEWEST, int(MACS[effort] / (copies * max(1, known.teacher.macs)))))


def _file(known: Known, row: Row, network: Checkpoint) -> Predict | Ask:
    """A file's outputs of the test part by its runtime on this computer; elsewhere, where that would take long, torch's
    of the network that the file was made of."""
    target = _target(known, row)
    assert row.artifact is not None
    step = outputs.ask(known, target, row.artifact, "test")
    if isinstance(step, Predict) and target.device.reach.name == "local":
        return step
    return Ask(source=network, splits=known.splits)


def _scratch(known: Known, outcome: Outcome) -> Policy[Scratch | None]:
    """What ships beside the same network, trained the same way from random weights; None where it had no others."""
    network = shipped(outcome)
    family = network.architecture.family
    if "weights" not in family.files or outcome.raced is None:
        return None
    kept = {name: value for name, value in family.settings.items() if name not in ("weights", "sha256", "fresh")}
    files = {name: file for name, file in family.files.items() if name != "weights"}
    bare = network.architecture.model_copy(
        update={"family": family.model_copy(update={"settings": kept, "files": files})}
    )
    (trained,) = yield [again(known, outcome.raced, bare, network.seed, outcome.winner != "control")]
    started, scratch = yield [
        Ask(source=one, splits=known.splits, part="test") for one in (network, trained.checkpoints[0])
    ]
    compared: tuple[Compared] = yield [
        Compare(distilled=(started,), control=(scratch,), splits=known.splits, metric=known.plan.data.metric)
    ]
    gain = compared[0].gain
    return Scratch(started=gain.distilled[0], scratch=gain.control[0], difference=gain.difference)


def _control(outcome: Outcome, row: Row) -> Row | None:
    """The control's file on the same target, in the same precision or else in float32; None where it is what ships."""
    rows = [one for one in outcome.rows if (one.role, one.target) == ("control", row.target) and one.artifact]
    same = [one for one in rows if one.precision == row.precision] or rows
    return same[0] if same and row.role != "control" else None


def _target(known: Known, row: Row) -> Target:
    return next(target for target in known.plan.targets if target.name == row.target)


def _given(answer: Any) -> Any:
    """An answer, or in words why there is none."""
    return str(answer).partition("\n")[0] if isinstance(answer, EdgekdError) else answer


def _or_why(found: Any, name: str, why: str, kind: type[T]) -> dict[str, T | str]:
    """One of two fields: what was found, or why nothing was."""
    return {name: found} if isinstance(found, kind) else {why: str(found)}
