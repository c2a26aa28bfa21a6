"""Builds over random latency budgets, each measured again later by another process with no store.

python -m benchmarks.runners.certificate [--builds 30] [--folder runs/certificate]

It may be interrupted and goes on where it was: what each build and each measurement said is kept in the folder.
"""

import argparse
import contextlib
import datetime
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgekd.certificate import Certificate
from edgekd.policies import limits
from edgekd.policies.known import Outlook
from edgekd.policies.known import images as images_of
from edgekd.policies.pricing import price
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Report
from edgekd.steps import Count, Probe, Split
from edgekd.store import Store

ROOT = Path(__file__).parents[2]
SIDES, FORMATS, PRECISIONS = (96, 128, 160), ("tflite", "onnx"), ("float32", "int8")
# Budgets are spread evenly in logarithms between these, in seconds, and below this share of what the largest student
# takes: a budget that all students keep says nothing of the search.
LEAST, MOST, SHARE = 1e-3, 2e-3, 0.95
TRAIN, TEST, VALIDATION = 1000, 400, 200
RECIPE = """
[data]
arrays = "../images.npz"
test = "../images_test.npz"
validation = {validation}
calibration = 64

[teacher]
saved = "../outputs.npz"

[student]
family = "convnet"
image = {{ size = {side} }}

[train]
epochs = 3
train_seconds = 1e6
trial_epochs = 1
views = 1
candidates = 15
distill = [[2.0, 0.9]]
control = [[1.0, 1.0]]
"""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def images(folder: Path) -> None:
    """Real images, larger than they were, and a teacher that knows the labels: neither changes what a network takes."""
    outputs = {}
    for part, name, count in (("train", "images", TRAIN), ("test", "images_test", TEST)):
        path = folder / f"{name}.npz"
        with np.load(ROOT / f"models/data/fashion-mnist/{part}.npz") as data:
            small, labels = data["image"][:count], data["y"][:count].astype(np.int64)
        pixels = np.squeeze(small)
        large = [
            np.asarray(Image.fromarray(one).resize((max(SIDES),) * 2, Image.Resampling.BILINEAR)) for one in pixels
        ]
        np.savez(path, image=np.stack(large)[..., None], y=labels)
        outputs[part] = 6 * np.eye(10, dtype=np.float32)[labels]
    np.savez(folder / "outputs.npz", **outputs)


def recipe(place: Path, side: int) -> Path:
    """The recipe of students for images of so many pixels a side."""
    path = place / "recipe.toml"
    path.write_text(RECIPE.format(side=side, validation=VALIDATION), encoding="utf-8")
    return path


def slowest(folder: Path, side: int, format: str, precision: str) -> float:
    """What the largest student takes that may be trained: its bound of p90, in seconds, or what is known of it."""
    place = folder / f"{side}-{format}-{precision}"
    kept = place / "seconds.json"
    if not kept.is_file():
        place.mkdir(parents=True, exist_ok=True)
        flags = Flags(target=(format,), precision=precision)
        with contextlib.chdir(place), Store(folder.absolute() / "store") as store:
            plan = load_plan(recipe(place.absolute(), side), flags)
            (splits,) = store.do(Split(data=plan.data, images=images_of(plan), seed=plan.seed))
            (facts,) = store.do(Probe(device=plan.targets[0].device))
            (counted,) = store.do(Count(student=plan.student, teacher=None, splits=splits))
            here = {plan.targets[0].device.name: facts}
            known = Outlook(plan=plan, splits=splits, options=counted.options, teacher=None, facts=here)
            largest = [one for one in known.options if not limits.too_large(known, one)][-1]
            (priced,) = store.follow(price(known, [largest], {}))
        kept.write_text(json.dumps(priced.latency[format]), encoding="utf-8")
    return float(json.loads(kept.read_text(encoding="utf-8")))


def drawn(folder: Path, count: int) -> Iterator[tuple[float, int, str, str]]:
    """Random budgets: seconds, pixels a side, format, precision. Ends the run where students are too fast for any."""
    random = np.random.default_rng(0)
    for number in range(count):
        format = FORMATS[number % len(FORMATS)]
        most = {(side, p): SHARE * slowest(folder, side, format, p) for side in SIDES for p in PRECISIONS}
        cases = [case for case, limit in most.items() if limit > LEAST]
        if not cases:
            sys.exit(f"{format}: even the largest student takes less than {1e3 * LEAST:g} ms here: no budget to draw")
        side, precision = cases[random.integers(len(cases))]
        limit = min(MOST, most[side, precision])
        yield float(LEAST * (limit / LEAST) ** random.uniform()), side, format, precision


def run(arguments: list[str], folder: Path) -> tuple[int, dict[str, Any]]:
    """One command of edgekd: its exit status, process id, start and seconds, beside what it printed as JSON."""
    started = datetime.datetime.now(datetime.UTC)
    command = [sys.executable, "-m", "edgekd", *arguments, "--json"]
    with (folder / "said.txt").open("a") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=said, text=True)
        printed, _ = process.communicate()
    taken = (datetime.datetime.now(datetime.UTC) - started).total_seconds()
    told = {"pid": process.pid, "started": started.isoformat(timespec="seconds"), "seconds": round(taken, 1)}
    return process.returncode, told | {"status": process.returncode, "told": json.loads(printed)}


def build(folder: Path, number: int, budget: float, side: int, format: str, precision: str) -> dict[str, Any]:
    """One build, or what is known of it. What 8 bits cost is another question, so nothing is won back here."""
    place = folder / f"{number:02}"
    kept = place / "build.json"
    if kept.is_file():
        known: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return known
    place.mkdir(exist_ok=True)
    recipe(place, side)
    asked = ["build", "recipe.toml", "--target", format, "--max-latency", f"{1e6 * budget:.0f}us"]
    asked += ["--precision", precision, "--max-quantization-loss", "100%"]
    status, told = run([*asked, "--store", str(folder.absolute() / "store"), "--out", "run"], place)
    report = told.pop("told")
    told |= {"number": number, "budget": budget, "side": side, "format": format, "precision": precision}
    if status in (0, 3, 4):
        told |= outcome(Report.model_validate(report)) | costs(place / "run/edgekd.lock.json")
    kept.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return told


def outcome(report: Report) -> dict[str, Any]:
    """What a build shipped, and how much of its budget that uses."""
    fitting = [max(one.latency.values()) for one in report.candidates if one.fits and one.latency]
    lock = {"priced": len(report.candidates), "binds": report.binds, "found": max(fitting, default=None)}
    shipped = [row for row in report.rows if row.ships and row.measurement.latency]
    if not shipped:
        return lock | {"shipped": False}
    latency = shipped[0].measurement.latency
    assert latency is not None
    return lock | {
        "shipped": True,
        "p90": latency.p90,
        "bound": latency.bound,
        "stable": latency.stable,
        "floor": latency.noise.p90.margin if latency.noise else None,
        "macs": shipped[0].size.macs if shipped[0].size else None,
    }


def costs(lock: Path) -> dict[str, float]:
    """Seconds of the search (all before the teacher labels but the rehearsal) and of the longest training."""
    steps = json.loads(lock.read_text(encoding="utf-8"))["steps"]
    stages = [step["stage"] for step in steps]
    last = stages.index("label") if "label" in stages else len(steps)
    aside = ("check", "split", "probe", "rehearse")
    search = [one["seconds"] for one in steps[:last] if one["stage"] not in aside and not one["cached"]]
    training = [one["seconds"] for one in steps if one["stage"] == "train"]
    return {"search": sum(search), "training": max(training, default=0.0)}


def again(folder: Path, number: int) -> dict[str, Any]:
    """One measurement anew, or what is known of it."""
    place = folder / f"{number:02}"
    kept = place / "again.json"
    if kept.is_file():
        known: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return known
    (bundle,) = (path.parent for path in (place / "run").glob("*/certificate.json"))
    _, told = run(["verify", str(bundle.relative_to(place)), "--at", "this-computer"], place)
    (served,) = told.pop("told")
    (found,) = served["tried"]
    certificate = Certificate.model_validate_json((bundle / "certificate.json").read_text(encoding="utf-8"))
    term = found["terms"][0]
    told |= {
        "verdict": found["verdict"],
        "held": term["held"],
        "found": term["found"],
        "certified": certificate.verdict,
    }
    latency = found["measurement"]["latency"]
    told |= {"stable": latency["stable"], "floor": latency["noise"]["p90"]} if latency else {}
    kept.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return told


def rows(builds: list[dict[str, Any]], measured: dict[int, dict[str, Any]]) -> list[dict[str, str]]:
    """Totals."""
    certified = {n: one for n, one in measured.items() if one["certified"] == "holds"}
    verdicts = [one["verdict"] for one in certified.values()]
    # a larger student is better wherever it is the budget that keeps the student from being larger
    bound = [one for one in builds if one.get("shipped") and "latency" in one["binds"] and one["status"] == 0]
    used = [one["bound"] / one["budget"] for one in bound]
    enough = sum(share >= 0.85 for share in used)
    found = [one["found"] / one["budget"] for one in builds if one.get("found")]
    full = sum(share >= 0.85 for share in found)
    floors = [one["floor"]["high"] - 1 for one in measured.values() if one.get("floor")]
    told = [
        ("builds", f"{len(builds)}: {_statuses(builds)}", "", "counted"),
        ("certified, then measured again", f"{len(certified)}: {_counts(verdicts)}", "bundles", "measured"),
        ("budget used by the bound, where a larger student is better", _spread(used), "of the budget", "measured"),
        ("of these at least 0.85", f"{enough} of {len(used)}", "builds", "measured"),
        ("budget used by the slowest student that a search found to fit", _spread(found), "of the budget", "measured"),
        ("of these at least 0.85", f"{full} of {len(found)}", "builds", "measured"),
        ("A/A noise floor of p90 when measured again", _spread(floors), "of p90", "measured"),
        (
            "priced by a build",
            _spread([float(one["priced"]) for one in builds if "priced" in one]),
            "students",
            "counted",
        ),
        (
            "search of a build",
            _spread([one["search"] for one in builds if "search" in one]),
            "s of workers",
            "measured",
        ),
        (
            "longest training of a build",
            _spread([one["training"] for one in builds if "training" in one]),
            "s",
            "measured",
        ),
        ("one build, all of it", _spread([one["seconds"] for one in builds]), "s", "measured"),
    ]
    return [dict(zip(("what", "value", "unit", "basis"), one, strict=True)) for one in told]


def _statuses(builds: list[dict[str, Any]]) -> str:
    words = {0: "fit", 3: "missed", 4: "inconclusive"}
    return _counts([words.get(one["status"], "failed") for one in builds])


def _counts(words: list[str]) -> str:
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)) or "none"


def _spread(values: list[float]) -> str:
    if not values:
        return "none"
    low, middle, high = (float(np.quantile(values, share)) for share in (0, 0.5, 1))
    return f"median {middle:.3g} ({low:.3g} to {high:.3g})"


COLUMNS = (
    *("number", "format", "precision", "pixels", "budget", "exit"),
    *("p90, at most", "again: p90, at most", "verdict", "built by, at", "measured by, at"),
)


def page(builds: list[dict[str, Any]], measured: dict[int, dict[str, Any]]) -> str:
    """Every build and what it was when it was measured again."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for one in builds:
        new = measured.get(one["number"], {})
        cells = (
            one["number"],
            one["format"],
            one["precision"],
            one["side"],
            f"{1e3 * one['budget']:.2f} ms",
            one["status"],
            f"{1e3 * one['p90']:.2f}, {1e3 * one['bound']:.2f} ms" if one.get("shipped") else "–",
            f"{1e3 * new['found']['value']:.2f}, {1e3 * new['held']:.2f} ms" if new.get("held") else "–",
            new.get("verdict", "–") + ("" if new.get("stable", True) else ", unstable"),
            f"{one['pid']}, {one['started']}",
            f"{new['pid']}, {new['started']}" if new else "–",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--builds", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs/certificate")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if not (asked.folder / "outputs.npz").is_file():
        images(asked.folder)
    builds = []
    for number, (budget, side, format, precision) in enumerate(drawn(asked.folder, asked.builds)):
        builds.append(build(asked.folder, number, budget, side, format, precision))
        what = f"{format} {precision} {side} px {1e3 * budget:.2f} ms"
        say(f"{number + 1}/{asked.builds} {what}: exit {builds[-1]['status']}")
    measured = {}
    for one in builds:
        if one.get("shipped"):
            measured[one["number"]] = again(asked.folder, one["number"])
            say(f"again {one['number']}: {measured[one['number']]['verdict']}")
    how = "`edgekd build --max-latency` with a shortened training, then `edgekd verify --at this-computer`, one thread."
    print(json.dumps({"rows": rows(builds, measured), "how": how, "page": page(builds, measured)}))


if __name__ == "__main__":
    main()
