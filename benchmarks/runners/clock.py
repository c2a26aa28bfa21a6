"""edgekd's clock against the runtimes' own benchmark tools, on files of about 0.1, 1 and 5 ms.

    python -m benchmarks.runners.clock [ROUNDS]      four at least

Each round is one session of each, in turn; who begins changes from round to round. A/A is edgekd's own sessions in
halves.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgekd import jobs
from edgekd.policies.known import images
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Artifact, Program, Splits
from edgekd.spec import Architecture, Choice, Device, Image
from edgekd.statistics import noise_floor, paired_ratio
from edgekd.steps import Convert, Export, Split
from edgekd.store import Store
from edgekd.turns import Turns

PEER = Path(__file__).parents[1] / "peers" / "own_tools.py"
# What edgekd is compared with, by format: names of tools in the peer, and in words.
TOOLS = {
    "tflite": {"tflite": "litert-benchmark", "interpreter": "a bare loop"},
    "onnx": {"onnx": "a bare loop"},
    "openvino": {"openvino": "benchmark_app"},
}
# Widths and depths of students that take about so many milliseconds.
STUDENTS = {"0.1 ms": (24, 2), "1 ms": (96, 2), "5 ms": (192, 2)}
ROUNDS, SECONDS, LEAST, TIMEOUT = 12, 1.0, 100, 300.0
# What is wanted: a share from a millisecond on, seconds below.
SHARE, BELOW, MILLISECOND = 0.01, 2e-6, 1e-3


class Case(NamedTuple):
    """One file with its job folder."""

    name: str
    tool: str
    artifact: Artifact
    job: jobs.Job
    model: Path
    inputs: dict[str, Any]


def session(case: Case, reached: jobs.Reached, runs: int | None) -> dict[str, Any]:
    """One session of edgekd's clock; with None it chooses its own number of runs."""
    chosen = (
        {"runs": runs, "stride": 1} if runs else {"seconds": SECONDS, "least": LEAST, "longest": 10.0, "most": 10**6}
    )
    return case.job.ask(reached, "clock", TIMEOUT, case.inputs | chosen)


def tool(case: Case, runs: int) -> float:
    """The median that the runtime's own tool finds."""
    (spec,) = case.artifact.signature.inputs
    shape = ",".join(str(max(1, n)) for n in spec.shape)
    model = next(case.model.glob("*.xml")) if case.model.is_dir() else case.model
    command = [sys.executable, str(PEER), case.tool, str(model), str(runs), shape]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1])["median"])


def compare(case: Case, reached: jobs.Reached, rounds: int) -> list[dict[str, str]]:
    """The rows of one file."""
    runs = max(LEAST, session(case, reached, None)["runs"])
    ours, theirs = [], []
    for turn in range(rounds):
        told = [lambda: statistics.median(session(case, reached, runs)["latencies"]), lambda: tool(case, runs)]
        values = {i: told[i]() for i in ((0, 1) if turn % 2 == 0 else (1, 0))}
        ours.append(np.array([values[0]]))
        theirs.append(np.array([values[1]]))
        sys.stderr.write(f"{case.name} {turn + 1}/{rounds}: {values[0] * 1e3:.4f} and {values[1] * 1e3:.4f} ms\n")
    value, low, high = paired_ratio(ours, theirs, 0.5)
    typical = float(np.median(theirs))
    _, down, up = noise_floor(ours, 0.5)
    kept = _kept(typical, value, low, high)
    text = f"{value:.4f} ({low:.4f} to {high:.4f}), A/A {down:.4f} to {up:.4f}"
    micro = [1e6 * typical * (ratio - 1) for ratio in (value, low, high)]
    return [
        {"what": f"{case.name}", "value": f"{typical * 1e3:.4f}", "unit": "ms, median", "basis": "measured"},
        {"what": f"{case.name}: edgekd / it", "value": text, "unit": "x", "basis": "measured, paired"},
        {
            "what": f"{case.name}: edgekd - it",
            "value": f"{micro[0]:.2f} ({micro[1]:.2f} to {micro[2]:.2f}); {kept}",
            "unit": "us",
            "basis": "from the above",
        },
    ]


def _kept(typical: float, value: float, low: float, high: float) -> str:
    """Whether edgekd adds no more than is wanted; open where the interval reaches beyond it."""
    wanted = SHARE if typical >= MILLISECOND else BELOW / typical
    if max(abs(low - 1), abs(high - 1)) <= wanted:
        return "kept"
    if high - 1 <= wanted:
        return "kept: it adds nothing, the tool itself takes longer"
    return "open" if abs(value - 1) <= wanted or low - wanted <= 1 <= high + wanted else "missed"


def cases(store: Store, folder: Path) -> list[Case]:
    """Every size in every format, float32, with a few real samples."""
    plan = load_plan(None, Flags(target=tuple(TOOLS)))
    (splits,) = store.do(Split(data=plan.data, images=images(plan), seed=plan.seed))
    assert plan.student is not None
    found = []
    for size, (width, depth) in STUDENTS.items():
        (program,) = store.do(Export(source=_student(plan.student.image, width, depth), splits=splits, seed=0))
        for name, tools in TOOLS.items():
            case = _case(store, splits, program, name, folder / f"{name}-{width}")
            found += [case._replace(name=f"{name} {size}, {said}", tool=tool) for tool, said in tools.items()]
    return found


def _student(image: Image | None, width: int, depth: int) -> Architecture:
    return Architecture(family=Choice(name="convnet", settings={"width": width, "depth": depth}), image=image)


def _case(store: Store, splits: Splits, program: Program, name: str, folder: Path) -> Case:
    (artifact,) = store.do(Convert(program=program, format=name, precision="float32", splits=splits))
    model = store.path(artifact.file)
    job = jobs.Job(folder, artifact, model)
    part = splits.parts["validation"]
    names = {key: f"input-{i}.npy" for i, key in enumerate(part.inputs)}
    for key, file in part.inputs.items():
        job.save(names[key], np.load(store.path(file), mmap_mode="r")[:32])
    return Case(name, name, artifact, job, model, {"inputs": names})


def main() -> None:
    """Compare every file, one after the other."""
    rounds = max(4, int(sys.argv[1])) if len(sys.argv) > 1 else ROUNDS
    reached, rows = jobs.Reached(Device()), list[dict[str, str]]()
    with tempfile.TemporaryDirectory() as name, Store(Path(name, "store")) as store:
        files = cases(store, Path(name))
        with Turns().take(alone=True, waiting=lambda text: sys.stderr.write(f"{text}\n")):
            for case in files:
                rows += compare(case, reached, rounds)
    how = (
        f"{rounds} rounds, in each one session of edgekd's clock and one of the tool, of about {SECONDS:g} s, one "
        "thread, float32. ONNX Runtime's wheel has no tool: a bare loop stands for it."
    )
    print(json.dumps({"rows": rows, "how": how}))


if __name__ == "__main__":
    main()
