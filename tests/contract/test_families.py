"""Students for signals, sounds and words in every format: the file gives what torch gives, in its own runtime."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekd import plugins
from edgekd.results import Signature
from edgekd.runtimes import replay
from edgekd.runtimes.fault import Fault
from tests import families, plugged

TOLERANCE = {"float32": 1e-4, "int8": 0.12}
# Files that their runtime refuses, which the rehearsal of a build says before anything is trained.
REFUSED = {("executorch", "conv1d", "int8"): "Init failed for backend XnnpackBackend"}


def test_every_family_without_images_is_among_them() -> None:
    without = {name for name in plugins.names("students") if plugins.declared("students", name).takes != "image"}
    assert without == set(families.SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("format", plugins.names("formats"))
def test_its_files_compute_what_torch_does(format: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.families", str(tmp_path), format]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]
    for family in families.SMALL:
        for precision, tolerance in TOLERANCE.items():
            work = tmp_path / f"{family}-{precision}"
            with np.load(work / "samples.npz") as arrays:
                rows = {name: arrays[name] for name in arrays.files}
            expected = rows.pop("expected")
            if says := REFUSED.get((format, family, precision)):
                with pytest.raises(Fault, match=says):
                    answers(format, work, rows)
                continue
            found = answers(format, work, rows)
            assert found.shape == expected.shape
            gap = np.abs(found - expected).max() / np.abs(expected).max()
            assert gap <= tolerance, f"{family} as {precision}: {gap:.2g} of the largest output"


def answers(format: str, work: Path, rows: dict[str, np.ndarray]) -> np.ndarray:
    """Outputs by the format's runtime, or by its evaluator where that cannot run."""
    file, signature = work / (work / "name.txt").read_text(), json.loads((work / "signature.json").read_text())
    if plugged.runs(format):
        model = importlib.import_module(f"edgekd.runtimes.{format}").load(file, 1, signature, 1)
        return replay.outputs(model, signature, rows)[0]
    evaluate = plugins.find("formats", format).evaluator(file, Signature.model_validate(signature))
    return evaluate(rows)["logits"]
