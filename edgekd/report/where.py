"""Where the operators of files run and how much of the time each takes, as cells and sentences of a report."""

from collections import Counter
from collections.abc import Sequence

from edgekd import units
from edgekd.report import text
from edgekd.report.text import Cell
from edgekd.report.view import Table
from edgekd.results import Placement, Profiled, Report, Row

# operators of a file that are shown, and kinds that a sentence names
MOST, NAMED = 15, 3
FALLS, CONVERTS = "falls back", "conversion"


def placed(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows of files that were looked into."""
    return tuple(row for row in rows if row.placement is not None)


def shares(rows: Sequence[Row]) -> Table:
    """For every file that was looked into, how much of it falls back, by operators and by their time."""
    header = ("", "operators", "fall back", "of the time", "conversions", "parts of the delegate", "how")
    several, looked = len(text.targets(rows)) > 1, placed(rows)
    body = tuple((Cell(text.label(row), row.target if several else ""), *_shares(row.placement)) for row in looked)
    strong = frozenset(i for i, row in enumerate(looked) if row.ships)
    return Table(header, body, strong, frozenset({0, 6}))


def _shares(found: Profiled | None) -> tuple[Cell, ...]:
    none = Cell(text.NONE)
    if found is None or found.fallback is None:
        return (*(none for _ in range(5)), Cell("not measured", found.why if found else ""))
    count, off = len(found.placements), sum(not one.wanted for one in found.placements)
    return (
        Cell(str(count)),
        Cell(text.share(found.fallback), f"{off} of {count}" if off else ""),
        Cell("not told", found.untimed) if found.fallback_time is None else Cell(text.share(found.fallback_time)),
        Cell(str(sum(one.conversion for one in found.placements))),
        none if found.partitions is None else Cell(str(found.partitions)),
        Cell(found.basis, found.why),
    )


def operators(found: Profiled) -> Table:
    """The operators that take longest; where nothing tells how long they take, those that fall back."""
    timed, total = _timed(found), sum(one.seconds or 0.0 for one in found.placements)
    longest = sorted(found.placements, key=lambda one: -(one.seconds or 0.0)) if timed else _off(found)
    header = ("", "operator", "kernel", *(("time", "share") if timed else ()), "where")
    body = []
    for one in longest[:MOST]:
        seconds = one.seconds or 0.0
        numbers = (Cell(_seconds(seconds)), Cell(text.share(seconds / total))) if timed else ()
        where = Cell(FALLS, one.why) if not one.wanted else Cell(CONVERTS if one.conversion else "", one.why)
        body.append((Cell(one.layer or one.name), Cell(one.kind), Cell(one.kernel or text.NONE), *numbers, where))
    return Table(header, tuple(body), words=frozenset({0, 1, 2, len(header) - 1}))


def details(report: Report) -> tuple[tuple[str, str, Table], ...]:
    """For every file that ships: what its table of operators shows, what to know of it, and the table."""
    found = []
    for row in report.rows:
        placement = row.placement
        if row.ships and placement is not None and placement.fallback is not None:
            table = operators(placement)
            if table.body:
                found.append((_title(row, placement, len(table.body)), _remark(placement), table))
    return tuple(found)


def _title(row: Row, placement: Profiled, shown: int) -> str:
    name = f"{row.target} {row.precision}"
    if not _timed(placement):
        return f"{name}: what falls back"
    rest = len(placement.placements) - shown
    return f"{name}: where the time goes" + (f" ({rest} operators that take less are left out)" if rest else "")


def _remark(placement: Profiled) -> str:
    """How to take the seconds of a table."""
    if not _timed(placement):
        return f"There is no time for each operator: {placement.untimed}."
    return (
        "Seconds of a run that its runtime watches, which slows it: for shares and for comparing operators, no latency."
    )


def _timed(found: Profiled) -> bool:
    """Whether any operator took as long as its runtime can tell."""
    return any(one.seconds for one in found.placements)


def fallbacks(report: Report) -> tuple[str, ...]:
    """A sentence for each file that ships and in which something falls back."""
    found = []
    for row in report.rows:
        placement = row.placement
        off = _off(placement) if placement is not None else []
        if row.ships and placement is not None and off:
            time = "" if placement.fallback_time is None else f" ({text.share(placement.fallback_time)} of the time)"
            basis = "" if placement.basis == "measured" else f", by {placement.basis}"
            count = f"{len(off)} of {len(placement.placements)} operators fall back{time}{basis}"
            found.append(f"{row.target} {row.precision}: {count}: {_kinds(off)}")
    return tuple(found)


def _off(found: Profiled) -> list[Placement]:
    return [one for one in found.placements if not one.wanted]


def _kinds(off: Sequence[Placement]) -> str:
    """Kinds of operators, the most frequent first."""
    counts = Counter(one.kind for one in off).most_common()
    named = [kind if count == 1 else f"{count} {kind}" for kind, count in counts[:NAMED]]
    return ", ".join([*named, *(["..."] if len(counts) > NAMED else [])])


def _seconds(seconds: float) -> str:
    return units.show_seconds(seconds) if seconds else "under 1 µs"
