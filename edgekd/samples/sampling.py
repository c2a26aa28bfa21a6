"""Who goes into which part of a split: seeded, stratified by class, and copies of a sample never in two parts.

Where samples have groups, validation and a held-out test part take whole ones, which stand in no other part.
Calibration takes samples of the training groups: nothing is judged on it.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import Problem
from edgekd.plugins import Pool, Source
from edgekd.samples import groups
from edgekd.spec import Data, Part

Rows = NDArray[np.int64]
# Labelled samples below which a validation part says nothing, and the least that the golden rows need.
NEEDED, GOLDEN = 50, 8
# Out of the samples that are there, at most one in so many becomes validation or calibration.
SHARE = 5
FEW = 200
NAMED = 5


@dataclass(frozen=True)
class Twins:
    """Exact copies: for each training sample the one that stands for it, and (training, test) pairs that are equal."""

    first: Rows
    shared: tuple[tuple[int, int], ...]

    @property
    def distinct(self) -> Rows:
        """Training samples that stand for themselves."""
        return np.flatnonzero(self.first == np.arange(len(self.first)))


@dataclass(frozen=True)
class Chosen:
    """Samples of a pool that make a part, in order, with the labels that they keep."""

    pool: Pool
    rows: Rows
    labels: Rows


@dataclass(frozen=True)
class Drawn:
    """The parts of a split, and what to know before believing a number that was measured on them."""

    parts: Mapping[Part, Chosen]
    caveats: tuple[str, ...]


def twins(source: Source) -> Twins:
    """Find samples whose inputs are equal, byte by byte. Of equal training samples a labelled one stands for all."""
    digests = _digests(source.train)
    leader: dict[bytes, int] = {}
    for row in np.argsort(source.train.labels < 0, kind="stable").tolist():
        leader.setdefault(digests[row], row)
    test = [] if source.test is None else _digests(source.test)
    shared = tuple((leader[digest], row) for row, digest in enumerate(test) if digest in leader)
    return Twins(np.array([leader[digest] for digest in digests], np.int64), shared)


def _digests(pool: Pool) -> list[bytes]:
    inputs = [pool.inputs[name] for name in sorted(pool.inputs)]
    return [
        hashlib.blake2b(b"".join(array[row].tobytes() for array in inputs), digest_size=16).digest()
        for row in range(len(pool.labels))
    ]


def overlaps(source: Source, twins: Twins) -> list[Problem]:
    """Test samples that are also training samples; accuracy on them would prove nothing."""
    if source.test is None or not twins.shared:
        return []
    test = source.test
    pairs = [f"{_name(source.train, a, 'training')} = {_name(test, b, 'test')}" for a, b in twins.shared[:NAMED]]
    more = f" and {len(twins.shared) - NAMED} more" if len(twins.shared) > NAMED else ""
    message = f"{len(twins.shared)} test samples are also among the training samples: {', '.join(pairs)}{more}"
    return [Problem("data.test", message, "Remove them from one of the two")]


def _name(pool: Pool, row: int, part: str) -> str:
    return pool.names[row] if pool.names else f"{part} sample {row}"


def shortcomings(source: Source, twins: Twins, data: Data) -> list[Problem]:
    """Why these samples cannot be split as `data` wants."""
    labels, problems = source.train.labels[twins.distinct], [*_wishes(source, data), *groups.problems(source)]
    if source.train.targets is not None:
        problems += _number_problems(source.train.targets[twins.distinct], data)
    elif len(source.classes) < 2:
        problems.append(Problem("data", f"there is {len(source.classes)} class, and a choice needs at least 2"))
    elif empty := _absent(source, source.train, twins.distinct):
        shown = ", ".join(empty[:20]) + ", ..." * (len(empty) > 20)
        hint = "Label some of it, or leave the class out"
        problems.append(Problem("data", f"{len(empty)} classes have no labelled training sample: {shown}", hint))
    share = 0.0 if source.test is not None else min(max(data.test_share, 0.0), 0.9)
    needed, labelled = math.ceil(NEEDED / (1 - share)), int((labels >= 0).sum())
    if labelled < needed:
        message = f"there are {labelled} different labelled training samples; at least {needed} are needed"
        problems.append(Problem("data", message, "Training, validation and calibration are taken from them"))
    if source.test is not None and ((source.test.labels < 0).any() or not len(source.test.labels)):
        problems.append(Problem("data.test", "there must be test samples, and all must have a label"))
    return problems


def _number_problems(targets: NDArray[np.float64], data: Data) -> list[Problem]:
    """Why these numbers, (N, columns), cannot be learned."""
    problems, columns = [], targets.shape[1]
    if data.targets and len(data.targets) != columns:
        message = f"{len(data.targets)} names for {columns} column{'s' if columns > 1 else ''} of y"
        problems.append(Problem("data.targets", message, "Name each of them, or none"))
    known = targets[np.isfinite(targets).all(axis=1)]
    if len(known) and (np.ptp(known, axis=0) == 0).any():
        column = int(np.flatnonzero(np.ptp(known, axis=0) == 0)[0])
        message = f"column {column} of y is {known[0, column]:g} for every sample, so there is nothing to learn"
        problems.append(Problem("data", message, "Leave that column out"))
    return problems


def _wishes(source: Source, data: Data) -> Iterable[Problem]:
    """Numbers in `data` that cannot be."""
    if data.validation < GOLDEN:
        yield Problem("data.validation", f"{data.validation} is too few", f"At least {GOLDEN}, better {FEW} or more")
    if data.calibration < 1:
        yield Problem("data.calibration", f"{data.calibration} is too few", "At least 1, better 100 or more")
    if data.labels is not None and data.labels < len(source.classes):
        message = f"{data.labels} labels are too few for {len(source.classes)} classes"
        yield Problem("data.labels", message, "At least one for each class, or leave it out to keep all")
    if source.test is None and not 0 < data.test_share < 0.9:
        yield Problem("data.test_share", f"{data.test_share} must be between 0 and 0.9", "For example 0.2")


def draw(source: Source, twins: Twins, data: Data, seed: int) -> Drawn:
    """Choose the samples of each part. Each part has random numbers of its own, so that it changes only if it must."""
    train, caveats = source.train, list[str]()
    free = _Free(train, twins)
    parts: dict[Part, Chosen] = {}
    if source.test is None:
        count = round(data.test_share * len(free.labelled()))
        rows = free.hold(count, 2, np.random.default_rng([seed, 0]))
        test = Chosen(train, rows, train.labels[rows])
        caveats.append(
            f"no test set was given: {len(rows)} samples were held out, and the teacher may have seen them in its "
            "training, so accuracies may be too high, the teacher's above all"
        )
    else:
        test = Chosen(source.test, np.arange(len(source.test.labels)), source.test.labels)
    count = min(data.validation, len(free.labelled()) // SHARE)
    rows = free.hold(count, 1, np.random.default_rng([seed, 1]))
    parts["validation"] = Chosen(train, rows, train.labels[rows])
    rows = free.take(_calibration(free, train.labels, data.calibration, np.random.default_rng([seed, 2])))
    parts["calibration"] = Chosen(train, rows, train.labels[rows])
    rows = free.rest()
    labels = _kept(rows, train.labels, data.labels, np.random.default_rng([seed, 3]))
    ordered: dict[Part, Chosen] = {"train": Chosen(train, rows, labels), **parts, "test": test}
    return Drawn(ordered, (*caveats, *_caveats(source, twins, data, ordered)))


class _Free:
    """Which training samples are in no other part yet."""

    def __init__(self, pool: Pool, twins: Twins) -> None:
        self._labels, self._groups, self._twins = pool.labels, pool.groups, twins
        self._taken = np.zeros(len(pool.labels), np.bool_)

    def distinct(self) -> Rows:
        """Free samples that stand for themselves."""
        rows = self._twins.distinct
        return rows[~self._taken[rows]]

    def labelled(self) -> Rows:
        rows = self.distinct()
        return rows[self._labels[rows] >= 0]

    def take(self, rows: Rows) -> Rows:
        self._taken[rows] = True
        return rows

    def hold(self, count: int, leave: int, random: np.random.Generator) -> Rows:
        """Take about `count` labelled samples to judge on; if there are groups, whole ones, so that `leave` stay."""
        rows = self.labelled()
        if self._groups is None:
            return self.take(_stratified(rows, self._labels, count, random))
        held = groups.chosen(self._groups[rows], self._labels[rows], count, leave, random)
        self.take(np.flatnonzero(np.isin(self._groups, held)))
        return random.permutation(rows[np.isin(self._groups[rows], held)])

    def rest(self) -> Rows:
        """Everything else but the copies of what is taken."""
        return np.flatnonzero(~self._taken & ~self._taken[self._twins.first])


def _stratified(
    rows: Rows, labels: Rows, count: int, random: np.random.Generator, spare: bool = True, least: int = 0
) -> Rows:
    """`count` of the rows, each class in its proportion, shuffled.

    `spare` leaves each class at least one row; `least` of each class are taken before proportions count.
    """
    names, sizes = np.unique(labels[rows], return_counts=True)
    quotas = _quotas(sizes - int(spare) - least, max(count - least * len(names), 0)) + least
    taken = [random.permutation(rows[labels[rows] == n])[:q] for n, q in zip(names, quotas, strict=True)]
    return random.permutation(np.concatenate([*taken, np.empty(0, np.int64)])).astype(np.int64)


def _quotas(sizes: Rows, count: int) -> Rows:
    """Divide `count` in proportion to sizes, by largest remainders; no more than there are."""
    total = int(sizes.sum())
    if count >= total:
        return sizes
    whole, rest = np.divmod(sizes * count, total)
    order = np.argsort(-rest, kind="stable")[: count - int(whole.sum())]
    whole[order] += 1
    return whole


def _calibration(free: _Free, labels: Rows, wanted: int, random: np.random.Generator) -> Rows:
    """Unlabelled samples first, since labels are dear; then labelled ones."""
    rows = free.distinct()
    count = min(wanted, max(len(rows) // SHARE, 1))
    unlabelled = random.permutation(rows[labels[rows] < 0])[:count]
    labelled = _stratified(free.labelled(), labels, count - len(unlabelled), random)
    return random.permutation(np.concatenate([unlabelled, labelled]))


def _kept(rows: Rows, labels: Rows, wanted: int | None, random: np.random.Generator) -> Rows:
    """The labels of the training part, of which `wanted` are kept and the others become -1."""
    known = rows[labels[rows] >= 0]
    if wanted is None or wanted >= len(known):
        return labels[rows]
    kept = _stratified(known, labels, wanted, random, spare=False, least=1)
    return np.where(np.isin(rows, kept), labels[rows], -1)


def _caveats(source: Source, twins: Twins, data: Data, parts: Mapping[Part, Chosen]) -> Iterable[str]:
    """What is not as one would wish, in words for the report."""
    validation, calibration = len(parts["validation"].rows), len(parts["calibration"].rows)
    if validation < FEW:
        yield f"only {validation} samples were set aside for validation, so what is chosen on them is uncertain"
    if calibration < data.calibration:
        yield f"only {calibration} samples could be set aside for calibration instead of {data.calibration}"
    labelled = int((parts["train"].labels >= 0).sum())
    if data.labels is not None and labelled < data.labels:
        yield f"only {labelled} labelled samples are left for training instead of {data.labels}"
    for part in ("train", "validation", "test"):
        missing = _absent(source, parts[part].pool, parts[part].rows, parts[part].labels)
        if missing:
            yield f"the {part} part has no sample of: {', '.join(missing)}"
    own = [chosen for chosen in parts.values() if chosen.pool is source.train]
    left_out = len(source.train.labels) - sum(len(chosen.rows) for chosen in own)
    if left_out:
        kinds = "exact copies" if source.train.groups is None else "copies, or unlabelled samples of the groups,"
        yield f"{left_out} {kinds} of validation, calibration or test samples were left out of training"
    yield from _of_groups(source, parts)
    labels = source.train.labels
    differing = int(((labels >= 0) & (labels != labels[twins.first])).sum())
    if differing:
        yield f"{differing} training samples are exact copies of others with another label"


def _of_groups(source: Source, parts: Mapping[Part, Chosen]) -> Iterable[str]:
    """Which groups were held out, and over what intervals are."""
    if source.train.groups is None:
        return
    for part in ("validation", "test"):
        if parts[part].pool is source.train:
            held = np.unique(source.train.groups[parts[part].rows])
            yield f"the {part} part is of {len(held)} groups that no other part has: {groups.named(held)}"
    judged = parts["test"]
    if judged.pool.groups is not None:
        count = len(np.unique(judged.pool.groups[judged.rows]))
        over = (
            f"intervals are over the {count} groups of the test part"
            if count > 1
            else "no interval tells how groups differ"
        )
        yield f"samples of a group are alike, so {over}"


def _absent(source: Source, pool: Pool, rows: Rows, labels: Rows | None = None) -> list[str]:
    """Classes without a sample among the rows, of which `labels` are those that are kept (without them: all)."""
    found = pool.labels[rows] if labels is None else labels
    if pool.heads is not None:
        known = pool.heads[rows][found >= 0]
        columns = [known[:, i][known[:, i] >= 0] + head.start for i, head in enumerate(source.heads)]
        found = np.concatenate(columns)
    return [name for i, name in enumerate(source.classes) if not (found == i).any()]
