"""A soak that is interrupted ends at once, and takes the process that it was timing along."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest


@pytest.mark.slow
def test_an_interrupted_soak_leaves_no_process(tiny: Path, tmp_path: Path) -> None:
    """It is interrupted in its first session: the ten minutes come later, in the same way."""
    command = [sys.executable, "-m", "edgekd", "bench", str(tiny / "image-dynamic.onnx"), "--bench", "soak"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ends = time.monotonic() + 60
    while not any("runtimes.pyz" in " ".join(one.cmdline()) for one in psutil.Process(process.pid).children()):
        assert time.monotonic() < ends and process.poll() is None
        time.sleep(0.1)
    (child,) = psutil.Process(process.pid).children()
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in said
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running()
