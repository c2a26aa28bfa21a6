"""From a teacher's answers under several guesses to what is found: only what is better beyond chance is proposed.

A guess is better than another where an exact test over the same samples says so (McNemar), at 5 % divided by the number
of guesses (Bonferroni), since the best of many always looks good.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgekd.results import Attempt, Finding, Interval
from edgekd.samples.classes import Whole, luck, order, reordered
from edgekd.samples.guesses import Guess
from edgekd.statistics import at_least, share_interval, sign_test

LEVEL = 0.05
# An order of classes is believed where it makes surely so many samples right.
KNOWN = 0.6
# With fewer samples of each class than this, the order of classes is not looked for.
FOR_ORDER = 4
NAMED = 20


@dataclass(frozen=True, eq=False)
class Answers:
    """What a teacher says under one guess: the output that leads for each of the first samples, -1 where none does."""

    guess: Guess
    predicted: Whole
    labels: Whole
    classes: int

    @cached_property
    def plain(self) -> NDArray[np.bool_]:
        return np.equal(self.predicted, self.labels)

    @cached_property
    def reordered(self) -> NDArray[np.bool_] | None:
        if len(self.labels) < FOR_ORDER * self.classes:
            return None
        return reordered(self.predicted, self.labels, self.classes)

    def right(self, in_order: bool) -> NDArray[np.bool_]:
        """Which samples are right, with the classes as they are or put in order."""
        return self.plain if in_order or self.reordered is None else self.reordered

    def attempt(self) -> Attempt:
        other = self.reordered
        return Attempt(
            name=self.guess.title,
            image=self.guess.image,
            samples=len(self.labels),
            accuracy=interval(self.plain),
            reordered=None if other is None else interval(other),
        )


@dataclass(frozen=True)
class Verdict:
    """The guess to go on with, whether the classes are in order, whether anything was better than chance, and others
    that are as good."""

    chosen: Answers
    in_order: bool
    skilled: bool
    alike: tuple[Answers, ...]


def interval(right: NDArray[np.bool_]) -> Interval:
    value, low, high = share_interval(int(right.sum()), len(right))
    return Interval(value=value, low=low, high=high)


def shortlist(screened: Sequence[Answers]) -> list[int]:
    """Which guesses deserve all samples: the first, the best two, the best with classes put in order, and for these
    what remains when only the channels or only mean and std are changed."""
    by_plain = sorted(range(len(screened)), key=lambda i: -screened[i].plain.mean())
    by_other = max(range(len(screened)), key=lambda i: screened[i].right(in_order=False).mean())
    leaders = (by_plain[0], by_plain[1], by_other)
    steps = [i for leader in leaders for i in _between(screened, leader)]
    return sorted({0, *leaders, *steps})


def _between(answers: Sequence[Answers], leader: int) -> list[int]:
    """Guesses that share the channels with the first and the way with the leader, or the other way round."""
    first, last = answers[0].guess, answers[leader].guess
    wanted = {(first.channels, last.name), (last.channels, first.name)} - {(last.channels, last.name)}
    return [i for i, other in enumerate(answers) if (other.guess.channels, other.guess.name) in wanted]


def decide(answers: Sequence[Answers], guesses: int) -> Verdict:
    """Choose among guesses that were tried on the same samples; the first is given. `guesses` were tried in all."""
    level = LEVEL / guesses
    plain, other = (max(answers, key=lambda a: a.right(kept).mean()) for kept in (True, False))
    # A network that learnt nothing sorts samples somehow, and some order always suits it a little.
    known = interval(other.right(False)).low >= KNOWN
    in_order = not (known and _better(other.right(False), plain.plain, level))
    best = plain if in_order else other
    first = answers[0]
    chosen = first
    if _better(best.right(in_order), first.right(in_order), level):
        steps = [answers[i] for i in _between(answers, list(answers).index(best))]
        simpler = [a for a in steps if not _better(best.right(in_order), a.right(in_order), level)]
        chosen = max((a for a in simpler if a is not best), key=lambda a: a.right(in_order).mean(), default=best)
    right = chosen.right(in_order)
    chance = np.bincount(chosen.labels).max() / len(chosen.labels)
    skilled = at_least(int(right.sum()), len(right), float(chance)) < level / 2 and not (
        in_order and _lucky(chosen, level)
    )
    alike = (a for a in answers if a is not chosen and not _better(right, a.right(in_order), level))
    return Verdict(chosen, in_order, skilled, tuple(alike) if skilled else ())


def _lucky(answers: Answers, level: float) -> bool:
    """Might a network that learnt nothing be as good? With few classes the best of all orders of them is asked for."""
    return luck(answers.predicted, answers.labels, answers.classes) > max(level, 1 / math.factorial(answers.classes))


def _better(one: NDArray[np.bool_], two: NDArray[np.bool_], level: float) -> bool:
    return bool(one.mean() > two.mean()) and sign_test(one, two) < level


def about_images(first: Answers, verdict: Verdict, fix: str) -> list[Finding]:
    """What is wrong with mean and std, and with the order of channels; `fix` is what to write instead."""
    chosen, in_order, found = verdict.chosen, verdict.in_order, []
    if chosen is first or chosen.guess.image is None or first.guess.image is None:
        return []
    before, after = told(first.right(in_order)), told(chosen.right(in_order))
    if chosen.guess.name != first.guess.name:
        message = (
            f"mean and std are not right: with {first.guess.name} {before} of the samples are right, "
            f"with {chosen.guess.name} {after}"
        )
        found.append(Finding(about="mean and std", message=message, fix=fix, settled=True))
    if chosen.guess.channels != first.guess.channels:
        message = f"channels are {chosen.guess.channels}: with {first.guess.channels} {before} of the samples are right"
        message += f", with {chosen.guess.channels} {after}"
        found.append(Finding(about="channels", message=message, fix=fix, settled=True))
    return found


def told(right: NDArray[np.bool_]) -> str:
    """A share with its interval: 93 % (90 to 95)."""
    value = interval(right)
    return f"{100 * value.value:.0f} % ({100 * value.low:.0f} to {100 * value.high:.0f})"


def about_classes(answers: Answers, classes: Sequence[str], renaming: bool) -> tuple[tuple[str, ...], Finding]:
    """The classes in the order of the teacher's outputs, and the finding that says so.

    `renaming` says that data can be told the order by `classes = [...]`; else the labels must be numbered anew.
    """
    stands_for = order(answers.predicted, answers.labels, answers.classes)
    named = tuple(classes[row] for row in np.argsort(stands_for).tolist())
    before, after = told(answers.plain), told(answers.right(in_order=False))
    message = f"classes are in another order: as they are {before} of the samples are right, put in order {after}"
    moved = [(classes[i], named[i]) for i in range(len(classes)) if classes[i] != named[i]]
    pairs = "; ".join(f"output {classes.index(old)} is {new!r}, not {old!r}" for old, new in moved[:NAMED])
    message += f": {pairs}" + (f", and {len(moved) - NAMED} more" if len(moved) > NAMED else "")
    if list(named) == sorted(classes, key=_as_numbers):
        message += ". The teacher has them by number, the data by the letters of their names"
    hits = np.bincount(answers.labels[stands_for[answers.labels] == answers.predicted], minlength=len(classes))
    unsure = [classes[i] for i in range(len(classes)) if not hits[i]]
    message += f". Not sure about: {', '.join(unsure[:NAMED])}" if unsure else ""
    if renaming:
        fix = f"Write classes = {_listed(named)} in [data]"
        return named, Finding(about="classes", message=message, fix=fix, settled=True)
    anew = f"y = numpy.where(y < 0, y, numpy.array({stands_for.tolist()})[y])"
    fix = f"Number the labels anew: {anew}, with classes = {_listed(named)}"
    return named, Finding(about="classes", message=message, fix=fix)


def _listed(names: Sequence[str]) -> str:
    return json.dumps(list(names), ensure_ascii=False)


def _as_numbers(name: str) -> tuple[int, str]:
    return (int(name) if name.isdecimal() else -1, name)
