"""The terms of a training's loss: each objective with its weight, its inner values, and what it learns by the way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from edgekd import plugins
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import Gather
from edgekd.nets import inner, networks
from edgekd.nets.inner import LOGITS, Kind, Survey
from edgekd.plugins import Batch
from edgekd.spec import Objective

Outputs = Mapping[str, Tensor]
Term = Callable[[Outputs, Batch], Tensor]


@dataclass(frozen=True)
class Sides:
    """What there is to learn from: whether there are the teacher's logits, and the inner values of both networks.

    `student` is None where several networks are trained together, `teacher` where it does not run beside the student.
    """

    logits: bool
    student: Survey | None = None
    teacher: Survey | None = None


@dataclass(frozen=True)
class Terms:
    """Weighted terms, the parts of them that learn, and the names of the inner values that they look at."""

    terms: tuple[Term, ...]
    parts: nn.ModuleList
    student: tuple[str, ...]
    teacher: tuple[str, ...]


class Matched:
    """A term that compares inner values; in float32, whatever the networks compute in.

    Without values of a teacher the student's own logits stand in their place.
    """

    def __init__(self, weight: float, matcher: nn.Module, student: Sequence[str], teacher: Sequence[str] = ()) -> None:
        self.weight, self.matcher, self.student, self.teacher = weight, matcher, tuple(student), tuple(teacher)

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        with torch.autocast(batch.labels.device.type, enabled=False):
            mine = [outputs[name].float() for name in self.student]
            given = [_given(batch, name).float() for name in self.teacher] or [outputs[LOGITS].float()]
            return self.weight * cast(Tensor, self.matcher(mine, given, batch))


def _given(batch: Batch, name: str) -> Tensor:
    """An inner value of the teacher; its logits are those that all other terms see."""
    return batch.teacher if name == LOGITS and batch.teacher is not None else batch.inner[name]


def make(objectives: Sequence[Objective], sides: Sides, where: str = "train.objectives") -> Terms:
    """All terms with a weight; raises UsageError with every mistake, such as a value or a teacher that is not there."""
    gather, terms = Gather(), []
    for number, objective in enumerate(objectives):
        if objective.weight:
            terms.append(gather.attempt(_term, objective, sides, f"{where}[{number}]"))
    if not terms:
        gather.problems.append(Problem(where, "there is nothing to learn from", "Weigh one above zero"))
    gather.check()
    found = [term for term in terms if term is not None]
    matched = [term for term in found if isinstance(term, Matched)]
    return Terms(
        terms=tuple(found),
        parts=nn.ModuleList(term.matcher for term in matched),
        student=tuple(dict.fromkeys(name for term in matched for name in term.student)),
        teacher=tuple(dict.fromkeys(name for term in matched for name in term.teacher)),
    )


def looks_inside(objectives: Sequence[Objective]) -> bool:
    """Whether any of these compares inner values, if only the logits."""
    return any(plugins.declared("objectives", one.use.name).inner for one in objectives if one.weight)


def _term(objective: Objective, sides: Sides, where: str) -> Term:
    name = objective.use.name
    kind, settings = networks.configured("objectives", objective.use, where)
    if kind.NEEDS == (LOGITS,) and not sides.logits:
        hint = "Train it with soft targets, or leave this objective out"
        raise UsageError(Problem(where, f"{name} needs a teacher, and there is none", hint))
    if not plugins.declared("objectives", name).inner:
        return partial(_weighted, objective, partial(kind.loss, settings))
    try:
        return _matched(objective, kind, settings, sides)
    except UsageError as error:
        problems = (
            Problem(f"{where}.{one.where}".rstrip("."), f"{name}: {one.message}", one.hint) for one in error.problems
        )
        raise UsageError(*problems) from error


def _weighted(objective: Objective, loss: Term, outputs: Outputs, batch: Batch) -> Tensor:
    """The term, of several heads the mean of theirs, or that of the one head that is meant."""
    found = [loss(*alone) for alone in batch.each(outputs, objective.head)]
    return objective.weight * torch.stack(found).mean() if len(found) > 1 else objective.weight * found[0]


def _matched(objective: Objective, kind: ModuleType, settings: Any, sides: Sides) -> Matched:
    """A term of inner values, once names and shapes are known to suit."""
    if sides.student is None:
        raise UsageError(Problem("", "compares the inner values of one network, and several are trained together"))
    count = sides.student.shapes[LOGITS][0]
    if "inner" not in kind.NEEDS:
        mine = inner.choose(sides.student, settings.student, kind.INNER, "student")
        shapes = _shapes(sides.student, mine, count, "student")
        return Matched(objective.weight, kind.term(settings, shapes, [sides.student.shapes[LOGITS]]), mine)
    teacher = sides.teacher
    if teacher is None:
        if plugins.live(objective) or not sides.logits:
            hint = "Train it with the teacher beside it, or name the logits" if sides.logits else ""
            raise UsageError(Problem("", "needs a teacher that runs beside the student, and there is none", hint))
        teacher = Survey({LOGITS: sides.student.shapes[LOGITS]}, frozenset({LOGITS}), ())
    mine, given = _names(kind, settings, sides.student, teacher)
    both = _shapes(sides.student, mine, count, "student"), _shapes(teacher, given, count, "teacher")
    return Matched(objective.weight, kind.term(settings, *both), mine, given)


def _names(kind: ModuleType, settings: Any, student: Survey, teacher: Survey) -> tuple[list[str], list[str]]:
    """The values of both sides, as many of one as of the other."""
    usual = (LOGITS,) if LOGITS in kind.NEEDS else ()
    of_student, of_teacher = settings.student or usual, settings.teacher or usual
    gather = Gather()
    mine = gather.attempt(inner.choose, student, of_student, kind.INNER, "student") or []
    given = gather.attempt(inner.choose, teacher, of_teacher, kind.INNER, "teacher") or []
    gather.check()
    if not of_student and len(mine) > len(given):
        mine = _fewer(mine, len(given), kind.INNER)
    if not of_teacher and len(given) > len(mine):
        given = _fewer(given, len(mine), kind.INNER)
    if len(mine) != len(given):
        message = f"{len(mine)} inner values of the student ({', '.join(mine)}) stand against {len(given)} of the"
        raise UsageError(Problem("", f"{message} teacher ({', '.join(given)})", "Name as many of both"))
    return mine, given


def _fewer(names: list[str], count: int, kind: Kind) -> list[str]:
    """Of hidden states an even choice, first and last among them; of all others the last."""
    if kind != "sequences" or count < 2:
        return names[-count:]
    return [names[round(place * (len(names) - 1) / (count - 1))] for place in range(count)]


def _shapes(survey: Survey, names: Sequence[str], count: int, who: str) -> list[inner.Shape]:
    shapes = [survey.shapes[name] for name in names]
    wrong = [name for name, shape in zip(names, shapes, strict=True) if len(shape) < 2 or shape[0] != count]
    if wrong:
        message = f"the first dimension of {wrong[0]!r} {list(survey.shapes[wrong[0]])} is not the sample"
        raise UsageError(Problem(who, message, f"Name a value of (samples, ...). {survey.hint('')}"))
    return shapes
