"""A connection to a board: one process of the system's own ssh, with edgekd/devices/_board.py at its other end."""

import getpass
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgekd import files
from edgekd.devices import _said
from edgekd.errors import DeviceError, Unreachable

BOARD = Path(__file__).with_name("_board.py")
# Reads so many bytes of source from standard input and runs them: no quote or name stands in it.
LOADER = "import sys;exec(sys.stdin.buffer.read({}))"
# Seconds for a login and the start of python3; beyond a job's own time, for its answer to begin; without a byte.
HELLO, GRACE, SILENT = 90.0, 30.0, 60.0
# ssh asks nobody anything, believes only host keys that it knows, forwards nothing, and notices a lost network: that
# holds for a connection of its own only, so that none which a user's configuration shares is taken.
OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ControlMaster=no",
    "ControlPath=none",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
)
# user@host, an alias of the ssh configuration, or ssh://user@host:port; no part begins with a dash.
ADDRESS = re.compile(r"(ssh://)?(?!-)([\w.+-]+@)?(?!-)(\[[\w:.%]+\]|[\w.%:-]+?)(:\d+)?/?")


class Session:
    """What is at the other end of one connection. It ends with `close`, or with the process that opened it."""

    def __init__(self, name: str, address: str, python: str) -> None:
        self.name, self.address = name, address
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the connection
        self._sent: set[str] = set()
        self._read = b""
        source = BOARD.read_bytes()
        command = f"{shlex.quote(python)} -c {shlex.quote(LOADER.format(len(source)))}"
        try:
            self._process = subprocess.Popen(
                [*ssh(), "--", address, command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=os.environ | {"LC_ALL": "C"},
            )
        except OSError as error:
            raise Unreachable(f"ssh cannot be started: {error.strerror}. Install OpenSSH's client") from error
        try:
            with suppress(BrokenPipeError):  # ssh has ended already: why, is told where no answer comes
                self._write([source])
            self.hello = self._hello(python)
        except BaseException:
            self.close()
            raise

    def run(
        self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str], timeout: float, alone: bool
    ) -> dict[str, Any]:
        """Run python3 with `arguments` in a copy of `folder` there, and bring back what it wrote.

        Returns its `status` (negative: a signal), `output` and `emulator`. Raises DeviceError where it takes longer
        than `timeout` seconds, Unreachable where the board cannot be asked.
        """
        listed, contents = self._listed(folder)
        who = f"{getpass.getuser()}@{socket.gethostname()}"
        request = {"files": listed, "arguments": arguments, "environment": environment}
        line = json.dumps(request | {"timeout": timeout, "alone": alone, "who": who})
        try:
            done = self._answer([line.encode() + b"\n", *contents], folder, timeout)
        except BaseException:  # whatever it was: in the middle of an answer the connection is of no more use
            self.close()
            raise
        if done["late"]:
            raise DeviceError(f"the runtime did not answer within {timeout:.0f} s on {self.name} and was ended")
        return done

    def _answer(self, pieces: Sequence[bytes | Path], folder: Path, timeout: float) -> dict[str, Any]:
        """Send a request, wait for the turn and for the end of the job, and fetch its files.

        Others may have the board for hours, but it says so every few seconds: no silence is longer than the job's time.
        """
        self._send(pieces)
        said, told = None, self._told(timeout + GRACE)
        while "waiting" in told:
            if told["waiting"] != said:
                said = told["waiting"]
                sys.stderr.write(f"waits for {self.name}, which is in use: {said}\n")
            told = self._told(timeout + GRACE)
        if "failed" in told:
            raise Unreachable(_said.unwritable(self.name, told))
        told = self._told(timeout + GRACE)
        self._fetch(folder, told["files"])
        done: dict[str, Any] = told["done"]
        return done

    def close(self) -> None:
        """End the connection; what is there removes its folder."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._errors.close()

    @property
    def closed(self) -> bool:
        """Whether ssh has ended: this connection will answer nothing more."""
        return self._errors.closed or self._process.poll() is not None

    def _listed(self, folder: Path) -> tuple[list[list[Any]], list[Path]]:
        """(name, digest, size) of every file of a job, without size for one that is there already; those to send."""
        listed: list[list[Any]] = []
        contents = []
        for name, file in _files(folder):
            digest = files.digest(file)
            listed.append([name, digest, None if digest in self._sent else file.stat().st_size])
            if digest not in self._sent:
                contents.append(file)
                self._sent.add(digest)
        return listed, contents

    def _send(self, pieces: Sequence[bytes | Path]) -> None:
        """Write a request. Raises Unreachable where the connection has ended."""
        try:
            self._write(pieces)
        except BrokenPipeError:
            raise self._lost() from None

    def _write(self, pieces: Sequence[bytes | Path]) -> None:
        assert self._process.stdin is not None
        for piece in pieces:
            if isinstance(piece, bytes):
                self._process.stdin.write(piece)
            else:
                with piece.open("rb") as file:
                    shutil.copyfileobj(file, self._process.stdin)
        self._process.stdin.flush()

    def _hello(self, python: str) -> dict[str, Any]:
        """The first line that is the board's own: a login may print others before it. Raises Unreachable."""
        deadline = time.monotonic() + HELLO
        while True:
            line = self._line(deadline)
            if line is None:
                raise Unreachable(_said.at_login(self.name, self.address, python, *self._end()))
            if line.startswith(b'{"edgekd": 1'):
                hello: dict[str, Any] = json.loads(line)
                return hello

    def _told(self, seconds: float) -> dict[str, Any]:
        """The next message. Raises Unreachable where none comes in time, or the connection ends."""
        line = self._line(time.monotonic() + seconds)
        if line is None:
            raise self._lost()
        told: dict[str, Any] = json.loads(line)
        return told

    def _line(self, deadline: float) -> bytes | None:
        """The next line; None where the connection ends before it."""
        while b"\n" not in self._read:
            block = self._block(deadline)
            if not block:
                return None
            self._read += block
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _block(self, deadline: float) -> bytes:
        """Bytes that have arrived; none where the connection has ended. Raises Unreachable at the deadline."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise Unreachable(f"{self.name} at {self.address} stopped answering. Restart it; the same command goes on")
        return os.read(self._process.stdout.fileno(), 1 << 16)

    def _fetch(self, folder: Path, listed: Sequence[Sequence[Any]]) -> None:
        """Write the files that follow a message."""
        for name, size in listed:
            path, left = _place(folder, name), int(size)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                while left:
                    block = self._read[:left] or self._block(time.monotonic() + SILENT)
                    if not block:
                        raise self._lost()
                    self._read = self._read[left:] if self._read else block[left:]
                    file.write(block[:left])
                    left -= len(block[:left])

    def _end(self) -> tuple[int, str]:
        """The exit status of ssh, and what it and the board said."""
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._errors.seek(0)
        return status, self._errors.read().decode(errors="replace")

    def _lost(self) -> Unreachable:
        """The connection ended where it should not have."""
        return Unreachable(_said.in_mid_run(self.name, self.address, *self._end()))


def ssh() -> list[str]:
    """The command of ssh with what edgekd insists on. EDGEKD_SSH_CONFIG names a file to read instead of the user's."""
    config = os.environ.get("EDGEKD_SSH_CONFIG")
    return ["ssh", *(("-F", config) if config else ()), "-T", *(word for option in OPTIONS for word in ("-o", option))]


def _files(folder: Path) -> list[tuple[str, Path]]:
    """(name, path) of every file of a job, whose models may be links to files and folders elsewhere."""
    found = [Path(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in names]
    return [(path.relative_to(folder).as_posix(), path) for path in sorted(found)]


def _place(folder: Path, name: str) -> Path:
    """Where a file of the board goes. Raises DeviceError where a link leads out of the job: to a model, for example."""
    path = folder.joinpath(*_inside(name))
    if path.is_symlink() or not path.parent.resolve().is_relative_to(folder.resolve()):
        raise DeviceError(f"the board names a file {name!r}, which is not its own: a link leads from there")
    return path


def _inside(name: str) -> tuple[str, ...]:
    """The parts of a relative path. Raises DeviceError for one that leads elsewhere: no board is believed in that."""
    parts = tuple(name.split("/"))
    if not all(parts) or {".", ".."} & set(parts):
        raise DeviceError(f"the board names a file {name!r}, which is not inside the job")
    return parts
