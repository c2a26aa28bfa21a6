"""tflite-runtime, the interpreter before LiteRT: which of our files it runs, and which ones wrongly without an error.

Its last version wants numpy 1 and Python 3.11 or older, so it lives in a folder of its own beside the tests' packages.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from edgekd import jobs, plugins
from edgekd.errors import DeviceError, UsageError
from edgekd.policies.known import Outlook
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import DeviceFacts, Splits
from edgekd.runtimes import facts
from edgekd.spec import Device
from edgekd.stages import golden
from edgekd.workspace import locate
from tests import board
from tests import converted as toy

VERSION = "2.14.0"
RUNTIME = f"tflite-runtime {VERSION}"
PACKAGES = (f"tflite-runtime=={VERSION}", "numpy<2")
# The shipped families, and what the toys have beyond them.
FAMILIES = ("convnet", "squeezed", "resnet")
NETS = (*FAMILIES, "words")
PRECISIONS = ("float16", "int8", "int8-full", "int8-dynamic", "int8-weights", "int4-weights")
SAMPLES = 16
# What it refuses aloud: integer division, which LiteRT has.
REFUSED = {("words", "int8-full"): "Div only supports"}


def installed() -> Path:
    """The folder with the packages, made once; skips where there are none."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the runtime before LiteRT has wheels for Python 3.11 and older only")
    folder = board.home() / f"tflite-runtime-{VERSION}-{sys.platform}"
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            new = folder.with_name(f"{folder.name}.new")
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target", str(new)]
            if subprocess.run([*command, *PACKAGES], capture_output=True, check=False).returncode:
                pytest.skip("the runtime before LiteRT cannot be installed here: pip found no wheels")
            new.rename(folder)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every network in every precision that it can have."""
    folder = tmp_path_factory.mktemp("files")
    names = [f"{net}-float32" for net in NETS]
    names += [f"{net}-{precision}@base" for net in NETS for precision in PRECISIONS]
    for wanted in (("program", *NETS), ("tflite", *_possible(names))):
        command = [sys.executable, "-m", "tests.converted", str(folder), *wanted]
        made = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr[-2000:]
    return folder


def _possible(names: list[str]) -> list[str]:
    """Precisions that do something for a network: nothing of these is large enough for ranges at run time but words."""
    return [name for name in names if not (name.startswith(FAMILIES) and "int4" in name)]


def outputs(folder: Path, name: str, place: Path, runtime: str) -> np.ndarray:
    net, _, precision = name.partition("-")
    artifact = toy.artifact(folder, "tflite", net, precision)
    inputs = toy.samples(folder, net, artifact.signature, count=SAMPLES)
    model = locate(folder / "entries", artifact.file)
    with jobs.Job(place / (runtime or "litert").replace(" ", "-"), artifact, model, runtime=runtime) as job:
        found = job.predict(jobs.Reached(Device()), inputs, 60.0, prepared=True)
    return found[artifact.signature.outputs[0].name]


@pytest.mark.slow
def test_our_files_run_in_it_but_for_those_that_are_refused(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a step of their quantization; what is refused at plan time is wrong there indeed, without an error."""
    monkeypatch.setenv("PYTHONPATH", str(installed()))
    lacks, wrong, right = plugins.alternatives("tflite")["tflite-runtime"].lacks, set(), set()
    for file in sorted(files.glob("tflite-*-*.json")):
        name = file.stem.removeprefix("tflite-")
        net, _, precision = name.partition("@")[0].partition("-")
        ours = outputs(files, name, tmp_path / name, "")
        if (net, precision) in REFUSED:
            with pytest.raises(DeviceError, match=REFUSED[net, precision]):
                outputs(files, name, tmp_path / name, RUNTIME)
            continue
        gap = float(np.abs(outputs(files, name, tmp_path / name, RUNTIME) - ours).max())
        step = golden._step(ours, float(np.abs(ours).max()))[0]
        limit = 1.01 * step if precision.startswith("int8") else 2e-3 * float(np.abs(ours).max())
        (right if gap <= limit else wrong).add((net, precision))
    assert {precision for _, precision in wrong} == set(lacks) & {precision for _, precision in right | wrong}
    assert {(net, precision) for net in FAMILIES for precision in ("float32", "float16", "int8")} <= right


@pytest.mark.slow
def test_it_is_found_beside_what_is_not_there(tmp_path: Path) -> None:
    """A board with tflite-runtime alone says how to use it."""
    code = "from edgekd.runtimes import facts; print(facts.runtimes())"
    root = Path(__file__).parents[1]
    environment = {"PYTHONPATH": f"{root}:{installed()}", "PATH": os.environ["PATH"]}
    told = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = [{str(root)!r}, {str(installed())!r}]; {code}"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    ).stdout
    assert "'tflite_runtime': '2.14.0'" in told
    assert "but tflite-runtime 2.14.0 is: ask for it with --runtime tflite-runtime" in told


@pytest.mark.parametrize("precision", ["int8-dynamic", "int4-weights"])
def test_what_it_runs_wrongly_is_refused_at_plan_time(precision: str) -> None:
    with pytest.raises(UsageError, match=r"--runtime: tflite-runtime 2\.14 computes wrong numbers .* ask for int8"):
        load_plan(None, Flags(target=("tflite",), runtime="tflite-runtime", precision=precision))


def test_a_runtime_is_one_of_the_formats_own_or_nothing() -> None:
    plan = load_plan(None, Flags(target=("tflite",), runtime="tflite-runtime"))
    assert plan.targets[0].runtime == "tflite-runtime"
    assert load_plan(None, Flags(target=("tflite",), runtime="ai-edge-litert")).targets[0].runtime == ""
    for target, runtime in (("onnx", "tflite-runtime"), ("tflite", "tflite-runtimes")):
        with pytest.raises(UsageError, match=f"--runtime: nothing of edgekd runs {target} by '{runtime}'"):
            load_plan(None, Flags(target=(target,), runtime=runtime))


def test_the_question_of_the_usual_runtime_is_the_one_that_was_asked_before_there_was_another() -> None:
    (usual,) = load_plan(None, Flags(target=("tflite",))).targets
    assert "runtime" not in usual.model_dump(context={"for": "store key"})


def test_the_runtime_of_a_target_is_told_by_name_and_version() -> None:
    device = DeviceFacts(
        name="pi",
        fingerprint="f",
        model="m",
        system="s",
        processor="p",
        cores=4,
        memory=1,
        python="3.11",
        runtimes={"tflite": "2.3.0", "tflite_runtime": VERSION},
    )
    plan = load_plan(None, Flags(target=("tflite",), runtime="tflite-runtime"))
    known = Outlook(
        plan=plan,
        splits=Splits(parts={}, classes=()),
        options=(),
        teacher=None,
        facts={plan.targets[0].device.name: device},
    )
    assert known.runtime(plan.targets[0]) == RUNTIME
    assert jobs.module("tflite", RUNTIME) == "tflite_runtime"
    assert jobs.module("tflite", "2.3.0") == "tflite"
    assert jobs.cannot_run(device, "f", "tflite", RUNTIME) == ""
    with pytest.raises(DeviceError, match="but the build began with"):
        jobs.cannot_run(device, "f", "tflite", "tflite-runtime 2.13.0")


def test_a_python_of_32_bits_is_told_to_use_64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts.sys, "maxsize", 2**31 - 1)
    monkeypatch.setattr(facts.sys, "platform", "linux")
    assert "use a 64-bit system" in facts.elsewhere(facts.declared("tflite"))
    assert facts.elsewhere(facts.declared("tflite_runtime")) == ""
