"""An emulated board, arm64 under qemu: what is sent runs there and gives what the host gives; no time is believed."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgekd import jobs, plugins
from edgekd.commands import boards
from edgekd.devices import ssh
from edgekd.errors import DeviceError
from edgekd.results import Artifact
from edgekd.spec import Choice, Device
from edgekd.stages import golden
from edgekd.workspace import locate
from tests import board
from tests import converted as toy
from tests.test_cli import run

pytestmark = pytest.mark.slow
DEVICE = Device(name="board", reach=Choice(name="ssh"), address="board")
FORMATS = [name for name in plugins.names("formats") if "linux-aarch64" in plugins.declared("runtimes", name).platforms]
FORMATS = [name for name in FORMATS if plugins.declared("runtimes", name).extra.endswith("-run")]
SAMPLES = 8
TRIED = ("float32", "int8", "int8-full@base", "int8-dynamic@base")
# OpenVINO 2026.4.1 refuses convolutions of 8 bits on a processor without dot products (ARMv8.0), with an error.
REFUSED = [("openvino", "images-int8")]
# Its outputs are float and on no grid: one step of an inner layer is up to two of 8 bits over their range.
STEPS = {("openvino", "words-int8"): 2}


@contextmanager
def running(folder: Path, processor: str) -> Iterator[board.Board]:
    """A board that runs, with all runtimes that there are for it."""
    started = board.Board(folder, processor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKD_SSH_CONFIG", str(started.config))
        started.start()
        try:
            assert set(boards.provision(DEVICE, lambda _: None)) >= set(FORMATS)
            yield started
        finally:
            ssh.leave(DEVICE)
            started.stop()


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[board.Board]:
    """A Cortex-A72, as a Raspberry Pi 4 has it."""
    if board.absent():
        pytest.skip(board.absent())
    with board.alone(), running(tmp_path_factory.mktemp("board"), "cortex-a72") as started:
        yield started


def test_it_is_another_processor_and_says_that_it_is_no_device(emulated: board.Board) -> None:
    facts = jobs.Reached(DEVICE).facts()
    assert facts.emulated == "its programs run in qemu-aarch64-static"
    assert "EMULATED" in facts.name
    hello = ssh.session(ssh.Settings(), DEVICE).hello
    assert (hello["machine"], hello["bits"]) == ("aarch64", 64)


def test_every_file_gives_what_the_host_gives(
    emulated: board.Board, converted: Callable[[str], Path], tmp_path: Path
) -> None:
    """Float to rounding, integers to one step of theirs."""
    for format in FORMATS:
        names = [name for name in toy.conversions(format) if name.partition("-")[2] in TRIED and "raw" not in name]
        refused = [name for name in names if (format, name) in REFUSED]
        for name in names:
            if name not in refused:
                compare(converted(format), format, name, tmp_path / format / name)
        for name in refused:
            with pytest.raises(DeviceError, match="object is not initialized"):
                compare(converted(format), format, name, tmp_path / format / name)
        assert {"images-float32", "words-float32", "words-int8"} <= {*names} - {*refused}


def test_convolutions_of_8_bits_want_a_processor_with_dot_products(
    emulated: board.Board, converted: Callable[[str], Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A Cortex-A76, as a Raspberry Pi 5 has it."""
    ssh.leave(DEVICE)
    with running(tmp_path_factory.mktemp("board"), "cortex-a76"):
        for format, name in REFUSED:
            compare(converted(format), format, name, tmp_path / name)


def compare(folder: Path, format: str, name: str, place: Path) -> None:
    """Hold what a file gives there against what it gives here."""
    net, _, precision = name.partition("-")
    artifact = toy.artifact(folder, format, net, precision)
    inputs = toy.samples(folder, net, artifact.signature, count=SAMPLES)
    model = locate(folder / "entries", artifact.file)
    here, there = (
        _first(jobs.Reached(device), place / device.name, artifact, model, inputs) for device in (Device(), DEVICE)
    )
    largest = max(float(np.abs(here).max()), 1e-6)
    shares = {"float32": 1e-5, "float16": 2e-3}
    plain = precision.partition("@")[0]
    steps = STEPS.get((format, name), 1)
    limit = shares[plain] * largest if plain in shares else steps * golden._step(here, largest)[0]
    assert np.abs(here - there).max() <= 1.01 * limit, name


def _first(
    reached: jobs.Reached, folder: Path, artifact: Artifact, model: Path, inputs: Mapping[str, np.ndarray]
) -> np.ndarray:
    with jobs.Job(folder, artifact, model) as job:
        outputs = job.predict(reached, inputs, 120.0, prepared=True)
    return outputs[artifact.signature.outputs[0].name]


def test_nothing_is_timed_there(emulated: board.Board, tiny: Path) -> None:
    result = run("bench", str(tiny / "image-fixed.onnx"), "--at", "board=board", "--json")
    assert result.exit_code == 4
    told = json.loads(result.stdout)["measurement"]
    assert (told["basis"], told["latency"], told["memory"]) == ("not measured", None, None)
    assert "is emulated" in told["why"]


def test_what_a_board_lacks_is_named_and_brought_without_its_network(emulated: board.Board) -> None:
    site = emulated.root / "root/.local/share/edgekd/site"
    (installed,) = site.glob("*/onnxruntime-*.dist-info")
    shutil.rmtree(installed)
    result = run("doctor", "--at", "board=board")
    assert (
        "onnx: run: onnxruntime is not installed on the device. Run there: /usr/bin/python3 -m pip install --target"
        in (result.stdout)
    )
    result = run("doctor", "--at", "board=board", "--provision", "--json")
    found = {one["what"]: one["state"] for one in json.loads(result.stdout)["findings"]}
    assert found["onnx: run"] == found["numpy"] == "works"
