"""Which networks convert to what, how exactly, how fast? Every network of the zoo in every format, float32 and int8.

It may be interrupted and goes on where it was: answers and failures are kept in a store of its own. Needs every format
installed, transformers, and the packages that zoo.toml names; what is missing is "not run", with the pip line.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.zoo.asking import Asked
from benchmarks.zoo.cells import Cell, Cells
from benchmarks.zoo.entries import entries
from benchmarks.zoo.summary import answer
from edgekd import plugins
from edgekd.jobs import Reached
from edgekd.spec import Device
from edgekd.store import Store

PLACE = Path(__file__).parents[2] / "runs" / "zoo-store"


def arguments() -> argparse.Namespace:
    """What to do: all of it, if nothing is said."""
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--store", type=Path, default=PLACE)
    read.add_argument("--cores", type=int, default=None)
    read.add_argument("--model", action="append", default=[])
    read.add_argument("--format", action="append", default=[])
    read.add_argument("--precision", action="append", default=[])
    read.add_argument("--no-profile", action="store_true", help="do not look where operators run")
    read.add_argument("--seconds", type=float, default=None, help="begin nothing new after so many seconds")
    return read.parse_args()


def main() -> None:
    """Fill the cells, float32 first, telling each on standard error."""
    given = arguments()
    facts = Reached(Device()).facts()
    chosen = [one for one in entries() if not given.model or one.name in given.model]
    formats = given.format or plugins.names("formats")
    precisions = given.precision or ["float32", "int8"]
    wanted = [(one, format, precision) for precision in precisions for one in chosen for format in formats]
    found: list[Cell] = []
    with Store(given.store, cores=given.cores) as store:
        cells = Cells(Asked(store, given.seconds), facts, not given.no_profile)
        for number, (entry, format, precision) in enumerate(wanted, 1):
            cell = cells.fill(entry, format, precision)
            found.append(cell)
            share = "" if cell.decibels is None else f" {cell.decibels:.0f} dB"
            line = f"{number}/{len(wanted)} {entry.name} {format} {precision}: {cell.state}{share} {cell.why}"
            print(line.strip(), file=sys.stderr, flush=True)
    print(json.dumps(answer(chosen, found)))


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
