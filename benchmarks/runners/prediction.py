"""Latencies of random students that were never measured, predicted from at most 15 others of their family.

python prediction.py [--held-out 20] [--families convnet,resnet] [--formats tflite,onnx] [--store STORE]
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from edgekd import files
from edgekd.policies.explore import fill, recheck, work_of
from edgekd.policies.known import Outlook, images
from edgekd.policies.pricing import cheaper, price
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Candidate, Estimate, Option, Series, Splits
from edgekd.spec import Choice, Image, Plan, Student, UserFile
from edgekd.steps import Count, Foretell, Measure, Probe, Split
from edgekd.store import Event, Store

SIDES, CLASSES, SAMPLES = (96, 128, 160), 10, 200
MEASURED = 15
# Which students are held out. The law was made on others; with a new law, take a new number.
UNSEEN = 2
# Multiply-accumulates of the networks looked at: some 1 to 60 ms on a core of today.
LEAST, MOST = 8_000_000, 400_000_000


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def made_up(folder: Path) -> Choice:
    """Images of noise: what is in them does not change how long a network takes."""
    path = folder / "noise.npz"
    if not path.is_file():
        random = np.random.default_rng(0)
        pictures = random.integers(0, 256, (SAMPLES, max(SIDES), max(SIDES), 3), dtype=np.uint8)
        np.savez(path, image=pictures, y=np.arange(SAMPLES) % CLASSES)
    return Choice(
        name="arrays",
        settings={"train": str(path)},
        files={"train": UserFile(path=str(path), sha256=files.digest(path))},
    )


def outlook(store: Store, plan: Plan, family: str) -> Outlook:
    """All students of a family at three resolutions, and what the devices are."""
    student = Student(family=Choice(name=family), image=Image(size=max(SIDES)))
    plan = plan.model_copy(update={"student": student})
    (splits,) = store.do(Split(data=plan.data, images=images(plan), seed=plan.seed))
    (facts,) = store.do(Probe(device=plan.targets[0].device))
    counted = store.do(*(_count(family, side, splits) for side in SIDES))
    options = [one for each in counted for one in each.options if LEAST <= one.size.macs <= MOST]
    options.sort(key=lambda one: one.size.macs)
    here = {target.device.name: facts for target in plan.targets}
    return Outlook(plan=plan, splits=splits, options=tuple(options), teacher=None, facts=here)


def _count(family: str, side: int, splits: Splits) -> Count:
    return Count(student=Student(family=Choice(name=family), image=Image(size=side)), teacher=None, splits=splits)


def errors(store: Store, known: Outlook, held_out: int) -> Iterator[tuple[str, Estimate, list[float], list[float]]]:
    """For each target and precision: the estimate, and of students held out the errors and quiet latencies."""
    chosen = fill(known.options, MEASURED)
    rest = [one for one in known.options if one not in chosen]
    picks = np.random.default_rng(UNSEEN).permutation(len(rest))[:held_out]
    others: list[Option] = [rest[i] for i in sorted(picks)]
    priced: Sequence[Candidate] = store.follow(price(known, chosen, {}))
    priced = store.follow(recheck(known, priced, {}, set()))
    # all of these twice, whatever is predicted of them
    first, second = (store.follow(price(known, others, {}, attempt)) for attempt in (0, 1))
    truth: Sequence[Candidate] = [cheaper(known, *pair, {}) for pair in zip(first, second, strict=True)]
    for target in known.plan.targets:
        for precision in known.priced(target):
            values = tuple(_quiet(one, target.name, precision) for one in priced)
            series = Series(target=target.name, precision=precision, cost="latency", values=values)
            asked = Foretell(measured=tuple(map(work_of, priced)), series=(series,), others=tuple(map(work_of, truth)))
            (estimate,) = store.do(asked)[0].estimates
            real = [_quiet(one, target.name, precision) for one in truth]
            off = [abs(value / guess - 1) for value, guess in zip(real, estimate.values, strict=True)]
            yield f"{target.name} {precision}", estimate, off, real


def _quiet(one: Candidate, target: str, precision: str) -> float:
    (cost,) = [c for c in one.costs if (c.target, c.precision) == (target, precision)]
    assert cost.quiet is not None
    return cost.quiet


def row(what: str, off: Sequence[float], basis: str) -> dict[str, str]:
    """A line of the table: how far predictions were off."""
    within = sum(one <= 0.1 for one in off) / len(off)
    value = f"{100 * mean(off):.1f} % mean, {100 * max(off):.1f} % at most, {100 * within:.0f} % within 10 %"
    return {"what": what, "value": value, "unit": f"{len(off)} held out", "basis": basis}


def again(store: Store, steps: Sequence[Measure]) -> list[float]:
    """Differences of quiet latencies when the same files are measured once more."""
    both = [(store.do(step)[0], store.do(step.model_copy(update={"attempt": 1}))[0]) for step in steps]
    pairs = [[told.measurements[0].latency for told in pair] for pair in both]
    return [abs(b.quiet / a.quiet - 1) for a, b in pairs if a and b]


class Watched(Store):
    """A store that remembers which prices were asked."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, _tell)
        self.prices: list[Measure] = []

    def do(self, *asked):  # type: ignore[no-untyped-def]
        self.prices += [step for step in asked if isinstance(step, Measure) and not step.attempt]
        return super().do(*asked)


def _tell(event: Event) -> None:
    if event.kind == "done" and event.stage in ("count", "measure"):
        say(f"{event.stage} {event.seconds:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--held-out", type=int, default=20)
    parser.add_argument("--families", default="convnet,resnet")
    parser.add_argument("--formats", default="tflite,onnx")
    parser.add_argument("--store", type=Path)
    asked = parser.parse_args()
    rows: list[dict[str, str]] = []
    every: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        root = asked.store or Path(folder)
        root.mkdir(exist_ok=True)
        plan = load_plan(None, Flags(target=tuple(asked.formats.split(","))))
        data = plan.data.model_copy(
            update={"source": made_up(root), "labels": None, "validation": 40, "calibration": 16}
        )
        plan = plan.model_copy(update={"data": data})
        with Watched(root / "store") as store:
            for family in asked.families.split(","):
                for name, estimate, off, real in errors(store, outlook(store, plan, family), asked.held_out):
                    every += off
                    span = f"{1000 * min(real):.2g} to {1000 * max(real):.2g} ms"
                    left_out = mean(abs(one) for one in estimate.errors)
                    basis = f"measured; {span}; leave-one-out said {100 * left_out:.1f} %"
                    rows.append(row(f"{family}, {name}", off, basis))
                    say(json.dumps(rows[-1]))
            floor = again(store, store.prices[:: max(1, len(store.prices) // 30)])
    rows.append(row("all of these", every, "from the above; wanted: 5 % mean, 95 % within 10 %"))
    value = f"{100 * mean(floor):.1f} % mean, {100 * max(floor):.1f} % at most"
    rows.append(
        {"what": "the same file again (A/A)", "value": value, "unit": f"{len(floor)} files", "basis": "measured"}
    )
    how = f"quiet latency by the quick protocol, {MEASURED} students measured a family, 96 to 160 pixels, one thread; "
    how += "what takes far longer than the others say is measured again, as in a search, and all held out are twice"
    print(json.dumps({"rows": rows, "how": how}))


if __name__ == "__main__":
    main()
