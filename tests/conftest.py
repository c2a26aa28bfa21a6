"""Fixtures that several test modules share."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests import plugged

# machines that run tests are shared and slow at times; how long an example takes says nothing about it
settings.register_profile("edgekd", deadline=None, max_examples=50)
settings.load_profile("edgekd")


# A build that times something keeps all others off the computer; tests look at no timing, so each process of the test
# run has locks of its own.
os.environ["EDGEKD_LOCKS"] = tempfile.mkdtemp(prefix="edgekd-locks-")
atexit.register(shutil.rmtree, os.environ["EDGEKD_LOCKS"], ignore_errors=True)

REQUIRED = tuple(filter(None, os.environ.get("EDGEKD_REQUIRE", "").split(",")))
REQUIRED = plugged.FORMATS if REQUIRED == ("formats",) else REQUIRED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With EDGEKD_REQUIRE=onnx,tflite,... a skipped test of one of these is a failure; "formats" are all of them."""
    report = yield
    reason = str(report.longrepr)
    if report.skipped and not hasattr(report, "wasxfail") and any(p in f"{item.nodeid} {reason}" for p in REQUIRED):
        report.outcome = "failed"
        report.longrepr = f"EDGEKD_REQUIRE asks for this, and it was skipped: {reason}"
    return report


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny real model files (tests/tiny.py), made once, also where tests run in several processes."""
    return _tiny(tmp_path_factory, "tiny")


@pytest.fixture(scope="session")
def tiny_made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """tiny_made("FORMAT") -> a folder of tiny files of that format that its own plug-in made, once."""
    return lambda format: _tiny(tmp_path_factory, f"tiny-{format}", format)


def _tiny(tmp_path_factory: pytest.TempPathFactory, name: str, *arguments: str) -> Path:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{folder}.lock"):
        if not (folder / "done.json").is_file():
            folder.mkdir()
            command = [sys.executable, "-m", "tests.tiny", str(folder), *arguments]
            made = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
            assert made.returncode == 0, made.stderr[-2000:]
    return folder


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """converted("tflite") -> a folder with real artifacts of two toy networks (tests/converted.py), made once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "converted"

    def make(format: str) -> Path:
        with FileLock(f"{folder}.lock"):
            folder.mkdir(exist_ok=True)
            for part in ("program", format):
                if not (folder / f"{part}.done").is_file():
                    command = [sys.executable, "-m", "tests.converted", str(folder), part]
                    made = subprocess.run(
                        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
                    )
                    assert made.returncode == 0, made.stderr[-2000:]
        return folder

    return make


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files for microcontrollers (tests/micro.py), made once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "micro"
    with FileLock(f"{folder}.lock"):
        if not (folder / "words.json").is_file():
            folder.mkdir(exist_ok=True)
            command = [sys.executable, "-m", "tests.micro", str(folder)]
            made = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
            assert made.returncode == 0, made.stderr[-2000:]
    return folder


def made(folder: Path, *names: str) -> Path:
    """`folder` with Core ML packages and what they must compute (tests/packages.py), made by the first who asks."""
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            folder.mkdir()
            command = [sys.executable, "-m", "tests.packages", str(folder), *names]
            ended = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
            assert ended.returncode == 0, ended.stderr[-2000:]
    return folder


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real Core ML packages and what they must compute (tests/packages.py), made once."""
    base = tmp_path_factory.getbasetemp()
    return made((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "packages")


@pytest.fixture(scope="session")
def more_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages of every other kind of network in every precision: for slow tests."""
    base = tmp_path_factory.getbasetemp()
    return made((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "more-packages", "MORE")
