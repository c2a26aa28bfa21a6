"""Every precision of every format on networks of several kinds: near torch, and the same when it is replayed."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekd import plugins
from edgekd.results import Artifact
from edgekd.runtimes import replay
from edgekd.workspace import locate
from tests import converted as toy
from tests import every, plugged

ROOT = Path(__file__).parents[2]
NETS = ("images", "words", "attention", "vision", "mobile")
# least signal-to-noise ratio of the outputs against torch's, in decibels
LEAST = {"float32": 90, "float16": 50, "bfloat16": 30, "int8-dynamic": 25, "int8-weights": 25, "int4-weights": 10}
QUANTIZED = 10
# linear layers and embeddings hold next to nothing of this one
MOSTLY_CONVOLUTIONS = {"onnx": {"int8-dynamic", "int4-weights"}, "openvino": {"int4-weights"}}


def run(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, check=False, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr[-2000:]


def decibels(found: np.ndarray, expected: np.ndarray) -> float:
    noise = np.square(found.astype(np.float64) - expected).sum()
    return float(10 * np.log10(np.square(expected.astype(np.float64)).sum() / max(noise, 1e-20)))


def answers(format: str, file: Path, made: Artifact, samples: dict[str, np.ndarray], batch: int) -> np.ndarray:
    """What a replay of the file gives, in the format's own runtime, or by its definitions where that cannot run."""
    if not plugged.runs(format):
        return plugins.find("formats", format).evaluator(file, made.signature)(samples)[made.signature.outputs[0].name]
    signature = made.signature.model_dump(mode="json")
    model = importlib.import_module(f"edgekd.runtimes.{format}").load(file, 1, signature, batch)
    return replay.outputs(model, signature, samples)[0]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("every")
    run("tests.converted", str(folder), "program", *NETS)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("format", plugins.names("formats"))
def test_every_precision_is_near_torch_and_replays(format: str, net: str, programs: Path) -> None:
    run("tests.every", str(programs), format, net)
    unsuited = json.loads((programs / f"unsuited-{format}-{net}.json").read_text())
    if format in MOSTLY_CONVOLUTIONS:
        assert set(unsuited) == (MOSTLY_CONVOLUTIONS[format] if net == "mobile" else set()), unsuited
    reference = np.load(locate(programs / "entries", toy.program(programs, net).reference), allow_pickle=False)
    plain, faults = None, []
    for precision, ranges in every.wanted(format):
        if precision in unsuited:
            continue
        made = every.artifact(programs, format, net, precision, ranges)
        file = locate(programs / "entries", made.file)
        samples = toy.samples(programs, net, made.signature, len(reference))
        found = answers(format, file, made, samples, batch=1)
        ratio = decibels(found, reference)
        if ratio < LEAST.get(precision, QUANTIZED):
            faults.append(f"{precision} {ranges}: {ratio:.1f} dB")
        if precision == "float32":
            plain = found
        elif np.array_equal(found, plain):
            faults.append(f"{precision} {ranges} computes exactly what float32 does")
        np.testing.assert_array_equal(answers(format, file, made, samples, batch=1), found)
    assert not faults
