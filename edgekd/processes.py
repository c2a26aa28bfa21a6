"""Workers as processes: new interpreters, and fork servers that have imported a converter once."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Protocol

PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "USER",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "SSH_AUTH_SOCK",  # ssh finds there the keys that the user has unlocked
)
PASSED_ON_PREFIXES = ("OPENBLAS_", "XDG_", "EDGEKD_", "SSL_", "PYTHONWARNINGS")
QUIET = {
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENVINO_TELEMETRY_DISABLED": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TOKENIZERS_PARALLELISM": "false",
    "JAX_PLATFORMS": "cpu",
}


def environment() -> dict[str, str]:
    """The small environment that a worker gets: no telemetry, no network hubs, the same hash seed always."""
    kept = {k: v for k, v in os.environ.items() if k in PASSED_ON or k.startswith(PASSED_ON_PREFIXES)}
    return kept | QUIET


class Process(Protocol):
    """A running worker."""

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def pid(self) -> int | None: ...


class Fresh:
    """A worker that is a new interpreter; its temporary files go to `temporary`."""

    def __init__(self, folder: Path, temporary: str) -> None:
        with (folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "edgekd.worker", str(folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment() | {"EDGEKD_LIFELINE": "stdin", "TMPDIR": temporary},
                start_new_session=True,
            )

    def poll(self) -> int | None:
        return self._process.poll()

    def pid(self) -> int | None:
        return self._process.pid

    def kill(self) -> None:
        kill_group(self._process.pid)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


class ForkServer:
    """A process that has imported a converter (or torch) and hands out workers that need not import it again."""

    def __init__(self, modules: tuple[str, ...], log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "edgekd.worker", "--serve", *modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment(),
                start_new_session=True,
            )
        self._replies: dict[str, dict[str, int]] = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            reply = json.loads(line)
            if "folder" in reply:
                self._replies.setdefault(reply.pop("folder"), {}).update(reply)

    def start(self, folder: Path, temporary: str) -> "Forked":
        """Have a worker forked for `folder`, with its temporary files in `temporary`."""
        self._replies.pop(str(folder), None)
        try:
            if self._process.stdin:
                self._process.stdin.write((json.dumps([str(folder), temporary]) + "\n").encode())
                self._process.stdin.flush()
        except BrokenPipeError:
            pass  # poll() reports the server's end
        return Forked(self, str(folder))

    def state(self, folder: str) -> dict[str, int]:
        """What is known of a worker: its pid once forked, its exit status once ended."""
        known = self._replies.get(folder, {})
        if "exit" not in known and self._process.poll() is not None:
            self._listener.join()
            known = self._replies.get(folder, {})
            if "exit" not in known:
                with Path(folder, "log.txt").open("a", encoding="utf-8") as log:
                    log.write(self._log.read_text(errors="replace"))  # why the server itself came to an end
                known = self._replies[folder] = known | {"exit": self._process.returncode or 1}
        return known

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the server and, through it, its workers."""
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
            self._process.wait()
        self._listener.join()
        if self._process.stdout:
            self._process.stdout.close()


class Forked:
    """A worker that a fork server handed out."""

    def __init__(self, server: ForkServer, folder: str) -> None:
        self._server, self._folder = server, folder

    def poll(self) -> int | None:
        return self._server.state(self._folder).get("exit")

    def pid(self) -> int | None:
        return self._server.state(self._folder).get("pid")

    def kill(self) -> None:
        pid = self.pid()
        if pid is not None and self.poll() is None:
            kill_group(pid)


def kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says the second of a group that has just ended
        os.killpg(pid, signal.SIGKILL)
