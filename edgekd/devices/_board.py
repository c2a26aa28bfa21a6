"""What runs on a board: sent there as it is and executed by its own python3, so that nothing has to be installed first.

Standard library and Python 3.9 only. It reads JSON lines and files on standard input, runs each job in a folder of its
own, and answers with JSON lines and files on standard output. It ends, and removes its folder, as soon as standard
input does: at the end of the connection, however that came about.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

PREFIX = "edgekd-board-"
SITE = os.path.join(os.path.expanduser("~"), ".local", "share", "edgekd", "site")
LOCK = os.environ.get("EDGEKD_BOARD_LOCK", "/tmp/edgekd.lock")
# Leftovers of a board that lost its power are removed when they are so old, in seconds.
DAY = 86400.0
# Without a request for so many seconds the other end is taken for gone: a network that is cut off says nothing. After
# so many it says again that it waits for its turn: the other end takes a long silence for its end.
IDLE, AGAIN = 600.0, 10.0
# Most bytes of a process's output that are sent back, and of a file that are read at once.
TAIL, PIECE = 4096, 1 << 16
EMULATORS = ("qemu-", "box64", "rosetta", "FEX")


def main() -> None:
    """Serve jobs until standard input ends."""
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    root = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")
    try:
        sweep()
        tell(edgekd=1, **hello())
        turn = Turn()
        while select.select([0], [], [], IDLE)[0]:
            line = sys.stdin.buffer.readline()
            if not line:
                break
            Job(root, json.loads(line.decode()), turn, wake).run()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def tell(**message: Any) -> None:
    """One line to the other end."""
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def bits() -> int:
    """How wide the addresses of this Python are; a 64-bit kernel may carry 32-bit programs."""
    return 64 if sys.maxsize > 2**32 else 32


def site() -> str:
    """The folder of the packages that edgekd brought here for this Python."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return os.path.join(SITE, f"{version}-{platform.machine()}-{bits()}")


def hello() -> dict[str, Any]:
    """What decides which packages this board can have. `libc` is for example ["glibc", "2.36"]."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "bits": bits(),
        "machine": platform.machine(),
        "system": platform.system(),
        "libc": list(platform.libc_ver()),
        "macos": platform.mac_ver()[0],
        "numpy": numpy(),
        "executable": sys.executable,
        "site": site(),
        "free": shutil.disk_usage(tempfile.gettempdir()).free,
    }


def numpy() -> str:
    """The version of numpy that jobs find; empty where there is none."""
    found = importlib.metadata.distributions(name="numpy", path=[site(), *sys.path])
    return next((one.version for one in found), "")


def sweep() -> None:
    """Remove what older connections left: none removes its own where a board loses its power."""
    for name in os.listdir(tempfile.gettempdir()):
        path = os.path.join(tempfile.gettempdir(), name)
        owner = name[len(PREFIX) :].partition("-")[0]
        try:
            if name.startswith(PREFIX) and time.time() - os.stat(path).st_mtime > DAY and not alive(owner):
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


def alive(pid: str) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


class Turn:
    """Whose turn the board is: jobs side by side, or one connection that measures, alone.

    The system drops the lock of a process that is gone, so that none is ever stale.
    """

    def __init__(self) -> None:
        self.file, self.alone = opened(LOCK), False

    def take(self, alone: bool, who: str) -> None:
        """Wait for the turn, or exit where standard input ends; who measures keeps the board for its connection."""
        if self.alone:
            return
        said = -AGAIN
        while not self.locked(fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            if time.monotonic() - said >= AGAIN:
                tell(waiting=os.pread(self.file, 256, 0).decode("utf-8", "replace").strip())
                said = time.monotonic()
            if select.select([0], [], [], 0.5)[0]:
                sys.exit(1)
        self.alone = alone
        try:
            os.ftruncate(self.file, 0)
            os.pwrite(self.file, f"{who} since {time.strftime('%Y-%m-%d %H:%M:%S %z')}".encode(), 0)
        except OSError:
            pass  # the file is another user's, and only tells people: the lock holds all the same

    def locked(self, kind: int) -> bool:
        """Whether the lock is ours now."""
        try:
            fcntl.flock(self.file, kind | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def leave(self) -> None:
        """Let others work beside this connection, unless it has the board alone."""
        if not self.alone:
            fcntl.flock(self.file, fcntl.LOCK_UN)


def opened(path: str) -> int:
    """The lock's file, of whichever user made it: in a sticky folder only its owner may open it for creation."""
    for flags in (os.O_RDWR, os.O_RDONLY, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDONLY):
        try:
            file = os.open(path, flags | os.O_NOFOLLOW, 0o644)
        except (PermissionError, FileNotFoundError, FileExistsError):
            continue
        if flags & os.O_CREAT:
            os.fchmod(file, 0o644)  # whatever the umask: who may read it can lock it
        return file
    raise SystemExit(f"edgekd cannot open its lock {path} here")


class Job:
    """One job: its files arrive, its process runs, what it wrote goes back."""

    def __init__(self, root: str, request: dict[str, Any], turn: Turn, wake: int) -> None:
        self.root, self.request, self.turn, self.wake = root, request, turn, wake
        self.folder = os.path.join(root, "job")

    def run(self) -> None:
        """Answer with one line `done` and the files, or with one that says why not."""
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.receive()
        except OSError as error:
            tell(failed=error.strerror or str(error), errno=error.errno, at=tempfile.gettempdir())
            return
        self.turn.take(self.request["alone"], self.request["who"])
        try:
            tell(started=True)
            done, written = self.work(), self.written()
            tell(done=done, files=[[name, os.stat(path).st_size] for name, path in written])
            for _, path in written:
                with open(path, "rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        finally:
            self.turn.leave()

    def receive(self) -> None:
        """Write the files that arrive, and link those that an earlier job of this connection brought."""
        problem: OSError | None = None
        for name, digest, size in self.request["files"]:
            kept, path = os.path.join(self.root, digest), os.path.join(self.folder, *name.split("/"))
            problem = problem or (None if size is None else keep(kept, size))
            if problem is None:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.link(kept, path)
        if problem is not None:
            raise problem

    def work(self) -> dict[str, Any]:
        """Run the device side; returns its exit status (negative: a signal), its last output, whether it took too long,
        and the program that stands between it and the processor, if there is one."""
        path = os.pathsep.join(filter(None, (site(), os.environ.get("PYTHONPATH"))))
        environment = dict(os.environ, PYTHONPATH=path, **self.request["environment"])
        with tempfile.TemporaryFile(dir=self.root) as output:
            child = subprocess.Popen(
                [sys.executable, *self.request["arguments"]],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                emulator = interposed(child.pid)
                in_time = self.wait(child, time.monotonic() + self.request["timeout"])
            finally:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
            output.seek(max(0, output.seek(0, os.SEEK_END) - TAIL))
            tail = output.read().decode("utf-8", "replace")
        done = {"status": child.returncode, "output": tail, "late": not in_time, "emulator": emulator}
        return dict(done, free=shutil.disk_usage(self.root).free)

    def wait(self, child: subprocess.Popen[bytes], deadline: float) -> bool:
        """Sleep until the child ends, which wakes this process, or till `deadline`; exits where standard input ends."""
        while child.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            ready, _, _ = select.select([0, self.wake], [], [], left)
            if self.wake in ready:
                os.read(self.wake, 4096)
            if 0 in ready:
                sys.exit(1)
        return True

    def written(self) -> list[tuple[str, str]]:
        """(name, path) of every file that the job's process left beside those that it was given."""
        given, found = {name for name, _, _ in self.request["files"]}, []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)
                relative = os.path.relpath(path, self.folder).replace(os.sep, "/")
                if relative not in given and os.path.isfile(path):
                    found.append((relative, path))
        return sorted(found)


def keep(path: str, size: int) -> OSError | None:
    """Write `size` bytes that arrive. What cannot be written is read all the same, so that the next line is one."""
    problem: OSError | None = None
    file = -1
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        problem = error
    while size:
        piece = sys.stdin.buffer.read(min(PIECE, size))
        if not piece:
            sys.exit(1)
        size -= len(piece)
        try:
            while problem is None and piece:
                piece = piece[os.write(file, piece) :]
        except OSError as error:
            problem = error
    if file >= 0:
        os.close(file)
    return problem


def interposed(pid: int) -> str:
    """The program that runs a process in the processor's place, for example "qemu-aarch64-static"; empty: none."""
    try:
        program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""
    return program if program.startswith(EMULATORS) else ""


if __name__ == "__main__":
    main()
