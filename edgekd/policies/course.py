"""Who teaches on the way: assistants between teacher and student, and generations after the first student.

Both are courses of whole trainings, each taught by the answers of the one before; a scheme declares which it is.
"""

import math
from collections.abc import Callable, Sequence
from statistics import mean

from edgekd.errors import Problem, UsageError
from edgekd.policies.known import Known
from edgekd.results import Checkpoint, Lesson, Option, SoftTargets, Trained
from edgekd.spec import Architecture, Value
from edgekd.steps import Label, Policy, Train

# A whole distilled training of a network with a seed, from the soft targets that are known.
Training = Callable[[Known, Architecture, int], Train]


class Assisted(Value):
    """What is known with the last assistant's soft targets in the place of the teacher's, and what that took."""

    known: Known
    lessons: tuple[Lesson, ...] = ()


class Descended(Value):
    """The generation that is best on the validation part, one checkpoint a seed, and what all of them took."""

    checkpoints: tuple[Checkpoint, ...]
    lessons: tuple[Lesson, ...] = ()


def assisted(known: Known, network: Architecture, train: Training) -> Policy[Assisted]:
    """Train assistants, largest first, each taught by the one before; the last one's answers teach the student.

    Raises UsageError where the student's family has no size between.
    """
    count = known.course.get("assistants", 0)
    lessons = []
    for option in assistants(known, network, count) if count else ():
        trained: tuple[Trained] = yield [train(known, option.architecture, known.plan.seed)]
        (checkpoint,) = trained[0].checkpoints
        known = yield from taught_by(known, checkpoint)
        lessons.append(_lesson("assistant", [checkpoint], option.size.params))
    return Assisted(known=known, lessons=tuple(lessons))


def descended(known: Known, first: Sequence[Checkpoint], train: Training) -> Policy[Descended]:
    """Train generations, each from new initial weights on the answers of the one before, a line for each seed."""
    count = known.course.get("generations", 0)
    lines, lessons = [tuple(first)], []
    for _ in range(count):
        following = []
        for parent in lines[-1]:
            child = yield from taught_by(known, parent)
            trained: tuple[Trained] = yield [train(child, parent.architecture, parent.seed)]
            following.append(trained[0].checkpoints[0])
        lines.append(tuple(following))
    if count:
        lessons = [_lesson("generation", line, None) for line in lines]
    # the earlier of equals: a generation more that adds nothing is not worth believing in
    best = max(range(len(lines)), key=lambda i: (known.gauge.good(mean(c.validation_accuracy for c in lines[i])), -i))
    told = tuple(lesson.model_copy(update={"ships": i == best}) for i, lesson in enumerate(lessons))
    return Descended(checkpoints=lines[best], lessons=told)


def taught_by(known: Known, student: Checkpoint) -> Policy[Known]:
    """What is known, with a trained student's soft targets in the place of the teacher's."""
    plan, before = known.plan, known.soft_targets
    answers: tuple[SoftTargets] = yield [
        Label(
            teacher=student,
            splits=known.splits,
            views=before.views,
            augment=plan.augment,
            mirror=before.mirror,
            seed=before.seed,
        )
    ]
    return known.model_copy(update={"soft_targets": answers[0]})


def assistants(known: Known, network: Architecture, count: int) -> list[Option]:
    """Students of the network's family, largest first, whose parameters lie evenly between teacher and student.

    Even in the logarithm: that is where each step is the same gap. Raises UsageError where there are too few between.
    """
    own = next(option.size.params for option in known.options if option.architecture == network)
    family = [o for o in known.options if o.architecture.family.name == network.family.name and o.size.params > own]
    family = [option for option in family if option.architecture.image == network.image]
    largest = known.teacher.params if known.teacher else max((option.size.params for option in family), default=own)
    between = [option for option in family if option.size.params < largest] if known.teacher else family
    found: list[Option] = []
    for step in range(count, 0, -1):
        wanted = math.log(own) + (math.log(largest) - math.log(own)) * step / (count + 1)
        left = [option for option in between if not found or option.size.params < found[-1].size.params]
        if not left:
            raise UsageError(_too_few(network, len(found), count))
        found.append(min(left, key=lambda option: abs(math.log(option.size.params) - wanted)))
    return found


def _too_few(network: Architecture, found: int, count: int) -> Problem:
    name = network.family.name
    message = f"{count} assistants were asked for, and {name} has sizes for {found} between teacher and student"
    hint = "Ask for fewer, take a family with more sizes (edgekd list students), or leave the scheme out"
    return Problem("[train] scheme", message, hint)


def _lesson(what: str, line: Sequence[Checkpoint], params: int | None) -> Lesson:
    return Lesson.model_validate(
        {
            "what": what,
            "params": params,
            "validation": tuple(checkpoint.validation_accuracy for checkpoint in line),
            "seconds": sum(checkpoint.seconds for checkpoint in line),
            "steps": line[0].steps,
        }
    )
