"""Where the names of marks stand in a picture so that they cover neither marks nor each other."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

# sizes in points: of a mark, of a letter of 8.5 point text on average, and of a line of it
MARK, LETTER, LINE = 9.0, 4.9, 10.0
# the two places that look best: beside the mark
BESIDE = ((1, 0), (-1, 0))
# then above or below it, ever farther away
AROUND = tuple((side, rise) for rise, side in product((1, -1, 2, -2, 3, -3), (0, 1, -1)))


@dataclass(frozen=True)
class Box:
    """A rectangle in points."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: "Box") -> bool:
        """Whether two rectangles have a point in common."""
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def shared(self, other: "Box") -> float:
        """The area that two rectangles have in common."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, wide) * max(0.0, high)

    def holds(self, other: "Box") -> bool:
        """Whether the other lies wholly inside."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.bottom <= other.bottom
            and other.top <= self.top
        )


def together(marks: Sequence[tuple[tuple[float, float], str]]) -> list[list[tuple[float, float]]]:
    """Places of marks of one kind that cover each other, in the order of each group's first."""
    groups: list[tuple[str, list[tuple[float, float]]]] = []
    for at, kind in marks:
        own = next((group for k, group in groups if k == kind and math.dist(group[0], at) < MARK), None)
        if own is None:
            groups.append((kind, [at]))
        else:
            own.append(at)
    return [group for _, group in groups]


def place(
    marks: Sequence[tuple[float, float]],
    names: Sequence[str],
    frame: Box,
    taken: Sequence[Box] = (),
    unnamed: Sequence[tuple[float, float]] = (),
) -> list[Box]:
    """A box for each name beside its mark (x, y): inside `frame`, on no mark, no other name and nothing `taken`.

    Earlier names choose first. Where no free place is left a name stands where it covers the least, of other names
    before all. `unnamed` are further marks.
    """
    blocked = [*taken, *(_around(x, y) for x, y in (*marks, *unnamed))]
    boxes: list[Box] = []
    for (x, y), name in zip(marks, names, strict=True):
        tried = list(_places(x, y, LETTER * len(name)))
        free = (box for box in tried if frame.holds(box) and not any(box.meets(other) for other in (*blocked, *boxes)))
        inside = [box for box in tried if frame.holds(box)] or tried
        boxes.append(next(free, None) or min(inside, key=lambda box: (_covered(box, boxes), _covered(box, blocked))))
    return boxes


def _covered(box: Box, others: Sequence[Box]) -> float:
    return sum(box.shared(other) for other in others)


def _around(x: float, y: float) -> Box:
    return Box(x - MARK / 2, y - MARK / 2, x + MARK / 2, y + MARK / 2)


def _places(x: float, y: float, width: float) -> Iterator[Box]:
    """Places for a name of this width, best first."""
    for side, rise in (*BESIDE, *AROUND):
        left = x - width / 2 if side == 0 else x + 7 if side > 0 else x - 7 - width
        bottom = y - LINE / 2 + rise * (LINE + 1)
        yield Box(left, bottom, left + width, bottom + LINE)
