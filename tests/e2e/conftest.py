"""One finished build of the toy task, made once, also where tests run in several processes."""

import os
import signal
from pathlib import Path

import pytest
from filelock import FileLock

from tests.e2e import toy


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell starts what is to run in the background with SIGINT ignored, and all that it starts inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy's files (task/), the store of its finished build, and the run. Copy it, never change it."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with FileLock(f"{home}.lock"):
        if not (home / "run/edgekd.lock.json").is_file():
            home.mkdir()
            status, said = toy.build(toy.write(home / "task"), home)
            assert status == 0, said
    return home
