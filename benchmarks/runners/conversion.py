"""The default student to four targets in float32 and int8: edgekd's workers against the bare tools called by hand.

Both start from the same exported program and the same calibration samples, in fresh processes; the bare tools run in
one process a format, one after the other. edgekd's time is that of the workers and what waits around them, with an
empty store; the other steps (data, export) are done before.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edgekd.policies.known import images
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Program, Splits
from edgekd.runtimes import preprocess
from edgekd.spec import Architecture, Choice
from edgekd.steps import Convert, Export, Split
from edgekd.store import Store

FORMATS = ("tflite", "onnx", "openvino", "coreml")
PEER = Path(__file__).parents[1] / "peers" / "bare_tools.py"


def by_hand(program: Path, calibration: Path, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """What the bare tools took, by format."""
    told = {}
    for name in FORMATS:
        command = [sys.executable, str(PEER), str(program), str(calibration), str(folder / name), name]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        told |= json.loads(done.stdout.strip().splitlines()[-1])
    return told


def calibration(store: Store, splits: Splits, program: Program, path: Path) -> Path:
    """The calibration samples as the program takes them."""
    spec = program.signature.inputs[0]
    assert spec.preprocess is not None
    stored = np.load(store.path(splits.parts["calibration"].inputs[spec.name]))
    np.savez(path, **{spec.name: preprocess.prepare(stored, spec.preprocess.model_dump(mode="json"))})
    return path


def main() -> None:
    """Time both once each; conversions are long against the clock's noise, and take their turn on the machine."""
    plan = load_plan(None, Flags(target=FORMATS))
    with tempfile.TemporaryDirectory() as name, Store(Path(name, "store")) as store:
        (splits,) = store.do(Split(data=plan.data, images=images(plan), seed=plan.seed))
        family = Choice(name="convnet", settings={"width": 12, "depth": 3})
        assert plan.student is not None
        student = Architecture(family=family, image=plan.student.image)
        (program,) = store.do(Export(source=student, splits=splits, seed=0))
        started = time.monotonic()
        lowered = store.do(*(Convert(program=program, format=f, precision="float32", splits=splits) for f in FORMATS))
        store.do(
            *(
                Convert(program=program, format=f, precision="int8", splits=splits, base=file)
                for f, file in zip(FORMATS, lowered, strict=True)
            )
        )
        ours = time.monotonic() - started
        took = {r.key: r.seconds for r in store.records if r.stage == "convert"}
        started = time.monotonic()
        hand = by_hand(store.path(program.file), calibration(store, splits, program, Path(name, "c.npz")), Path(name))
        theirs = time.monotonic() - started
    rows = [
        {"what": "edgekd, 8 files, empty store", "value": f"{ours:.0f}", "unit": "s", "basis": "measured"},
        {"what": "edgekd, sum over workers", "value": f"{sum(took.values()):.0f}", "unit": "s", "basis": "measured"},
        {"what": "the bare tools by hand, 8 files", "value": f"{theirs:.0f}", "unit": "s", "basis": "measured"},
        {"what": "by hand / edgekd", "value": f"{theirs / ours:.2f}", "unit": "x", "basis": "measured"},
    ]
    for format_name, told in hand.items():
        each = ", ".join(
            f"{p} {v['seconds']:.1f}" if "seconds" in v else f"{p} failed" for p, v in told.items() if p != "imports"
        )
        text = f"imports {told['imports']:.1f}, {each}"
        rows.append({"what": f"of these, {format_name}", "value": text, "unit": "s", "basis": "measured"})
    how = (
        "convnet width 12 depth 3, untrained, 256 calibration samples, workers on all cores; tools one after the other."
    )
    print(json.dumps({"rows": rows, "how": how}))


if __name__ == "__main__":
    main()
