"""The application for Python programs on an emulated board: copied there over ssh, its own wheels, no edgekd."""

import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd.commands.selftest import SelfTest
from tests import board, small
from tests import test_apps_python as made

pytestmark = pytest.mark.slow
# What pip is to find wheels for: the board's Python and its C library.
WHEELS = ("--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp", "--no-cache-dir")
TAGS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
UNPACK = "import io, sys, tarfile; tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())).extractall()"


class Pi:
    """The emulated board with an application on it."""

    def __init__(self, server: board.Board, app: Path) -> None:
        self.server, self.app = server, app

    def send(self) -> None:
        """Copy the application there over ssh, as one would with scp."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(self.app, ".")
        done = self.run(f"mkdir -p /tmp/app && cd /tmp/app && python3 -c '{UNPACK}'", packed.getvalue())
        assert done.returncode == 0, done.stderr

    def run(self, command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command of its shell."""
        asked = ["ssh", "-F", str(self.server.config), "board", command]
        return subprocess.run(asked, input=given, capture_output=True, check=False, timeout=1200)

    def main(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run the application's program."""
        return self.run(f"cd /tmp/app && PYTHONPATH=/board/site python3 main.py {' '.join(arguments)}")


def fetch(app: Path, folder: Path) -> None:
    """The wheels that requirements.txt names, for the board."""
    wheels = folder.parent / "wheels"
    tags = [word for tag in TAGS for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "download", "-q", "-d", str(wheels), *WHEELS, *tags]
    subprocess.run([*command, "-r", str(app / "requirements.txt")], check=True)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    if board.absent():
        pytest.skip(board.absent())
    folder = tmp_path_factory.mktemp("pi")
    app = made.written(
        folder,
        made.linear(folder / "gray.onnx", small.IMAGES),
        small.IMAGES,
        ("onnx", "float32"),
        small.image_samples(),
    )
    with board.alone():
        server = board.Board(folder / "board")
        fetch(app, folder / "board/site")
        server.start()
        try:
            yield Pi(server, app)
        finally:
            server.stop()


def test_it_answers_there_as_here_and_proves_it(pi: Pi, tmp_path: Path) -> None:
    pi.send()
    assert b"No module named 'edgekd'" in pi.run("PYTHONPATH=/board/site python3 -c 'import edgekd'").stderr
    done = pi.main("--self-test")
    assert done.returncode == 0, done.stdout + done.stderr
    told = pi.run("cat /tmp/app/selftest.json").stdout
    found = SelfTest.model_validate_json(told)
    assert found.passed and not [one for one in found.checks if one.passed is not True]
    assert found.device.processor.startswith("Raspberry Pi 4")
    assert found.device.emulated.startswith("qemu-") and found.latency is None, "seconds there are no board's"
    assert b"not timed     programs run in qemu-" in done.stdout
    assert pi.run("uname -m").stdout.strip() == b"aarch64" != platform.machine().encode()
    golden = json.loads((pi.app / "model/golden/golden.json").read_text())
    done = pi.main(*(f"model/golden/{one['file']}" for one in golden["pictures"]))
    assert done.returncode == 0, done.stderr
    for line, picture in zip(done.stdout.decode().splitlines(), golden["pictures"], strict=True):
        assert picture["answer"]["labels"][0] in line


def test_a_mistake_is_seen_there(pi: Pi, tmp_path: Path) -> None:
    broken = Pi(pi.server, Path(shutil.copytree(pi.app, tmp_path / "broken")))
    made.change(broken.app / made.PIXELS, "turned = ImageOps.exif_transpose(image)", "turned = None")
    broken.send()
    done = broken.main("--self-test")
    assert done.returncode == 1 and b"FAILED        decode turned.jpg" in done.stdout, done.stdout + done.stderr
