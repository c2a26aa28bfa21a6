"""A connection to a phone through the system's adb server: files there, commands there, and what goes wrong.

No word of a user's reaches the phone's shell: commands are made of our own names and of numbers.
"""

import fcntl
import os
import secrets
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from edgekd import files, turns
from edgekd.errors import DeviceError, MissingExtra, Unreachable

INSTALL = "pip install 'edgekd[android]'"
# Where programs of adb's shell user may be put and run.
TEMPORARY = "/data/local/tmp"
PREFIX = "edgekd-"
START, ANSWER, DECIDES = 20.0, 60.0, 5.0
# Minutes after which what a phone that was unplugged has kept is removed by the next connection.
OLD = 24 * 60
# A disk with fewer bytes left than that is full.
FULL = 1 << 20
STATES = {
    "authorizing": ("it does not trust this computer yet", "Unlock it and allow USB debugging for this computer"),
    "unauthorized": ("it does not trust this computer", "Unlock it and allow USB debugging for this computer"),
    "offline": ("it does not answer", "Plug it in again, or switch USB debugging off and on"),
    "no permissions": ("this computer's user may not use it", "See https://developer.android.com/tools/device"),
    "recovery": ("it is in recovery mode", "Start its system"),
    "sideload": ("it is in sideload mode", "Start its system"),
    "bootloader": ("it is in its bootloader", "Start its system"),
}
PLUG_IN = "Switch USB debugging on in its developer options, plug it in, and look at: adb devices"


@dataclass(frozen=True)
class Said:
    """What a command on the phone printed, and its exit status."""

    status: int
    text: str


def package() -> Any:
    """adbutils, which brings adb itself along. Raises MissingExtra."""
    try:
        import adbutils  # noqa: PLC0415 - only here, so that other devices do not need it
    except ImportError as error:
        raise MissingExtra("adbutils", INSTALL) from error
    return adbutils


def server() -> Any:
    """The adb server of this computer, which is started if there is none. Raises Unreachable."""
    adb = package()
    client = adb.AdbClient()
    if _listens(client):
        return client
    quiet = subprocess.DEVNULL
    try:
        subprocess.run(
            [adb.adb_path(), "start-server"], stdin=quiet, stdout=quiet, stderr=quiet, timeout=START, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unreachable(f"adb cannot be started ({error}). Try by hand: adb start-server") from error
    return client


def _listens(client: Any) -> bool:
    """Whether the server is there; adbutils would start one and say so on standard output."""
    try:
        with socket.create_connection((client.host, client.port), timeout=1.0):
            return True
    except OSError:
        return False


class Phone:
    """One phone, by its serial number, with a folder of our own on it that ends with `close`, or with this process."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._adb: Any = package()
        self._client: Any = server()
        self.serial = self._choose(address)
        self._device: Any = self._client.device(serial=self.serial)
        self.folder = f"{TEMPORARY}/{PREFIX}{secrets.token_hex(8)}"
        self._sent: dict[str, str] = {}
        self._lock = -1
        self.undoing = False
        sweep = f"find {TEMPORARY} -maxdepth 1 -name '{PREFIX}*' -mmin +{OLD} -exec rm -rf {{}} ';'"
        made = self.shell(f"{sweep} 2>/dev/null; mkdir {self.folder}")
        if made.status:
            raise self._unwritten(made.text.strip())
        self._kept = self._keep()

    def shell(self, command: str, timeout: float = ANSWER) -> Said:
        """Run a command of ours. Raises DeviceError where it takes longer, Unreachable where the phone is gone."""
        with self._mended(timeout):
            told = self._device.shell2(command, timeout=timeout, v2=True)
        return Said(int(told.returncode), str(told.output))

    def _keep(self) -> Any:
        """A shell there that undoes what was set and removes our folder as soon as this process is gone or done.

        It reads commands until its input ends: at the end of the stream, whoever ended it. A phone that is unplugged
        ends it as well.
        """
        read = 'undo=:; while read -r line; do undo="$line; $undo"; done'
        with self._mended(ANSWER):
            stream = self._device.open_transport()
            stream.send_command(f"shell,v2,raw:trap '' HUP; {read}; eval \"$undo\"; rm -rf {self.folder}")
            stream.check_okay()
        return stream

    def send(self, source: Path, name: str = "") -> str:
        """Put a file there once, by its content; returns its path. Raises Unreachable where there is no room."""
        digest = files.digest(source)
        path = f"{self.folder}/{name or digest[:32]}"
        if self._sent.get(path) != digest:
            with self._mended(ANSWER + source.stat().st_size / 1e5):
                try:
                    self._device.sync.push(source, path, mode=0o755, check=True)
                except self._adb.AdbTimeout:
                    raise
                except self._adb.AdbError as error:
                    raise self._unwritten(str(error)) from error
            self._sent[path] = digest
        return path

    def fetch(self, path: str, target: Path) -> None:
        """Bring a file of ours from there. Raises DeviceError where there is none."""
        with self._mended(ANSWER):
            self._device.sync.pull(path, target)

    def alone(self) -> None:
        """Keep other commands of this user from measuring on this phone at the same time, until `close`."""
        if self._lock < 0:
            path = turns.own_folder() / f"phone-{sha256(self.serial.encode()).hexdigest()[:16]}.lock"
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def undo(self, command: str) -> None:
        """Run one more command of ours there when this connection ends, however that comes about."""
        with self._mended(ANSWER):
            self._kept.send(b"\0" + len(command + "\n").to_bytes(4, "little") + f"{command}\n".encode())
        self.undoing = True

    def close(self) -> None:
        """End the connection: what was set there is undone and our folder removed."""
        with suppress(self._adb.AdbError, OSError):
            self._kept.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _choose(self, address: str) -> str:
        """The serial number of the phone that is meant: the one given, or the only one. Raises Unreachable."""
        with self._mended(ANSWER):
            if ":" in address:
                self._client.connect(address, timeout=START)
            known = self._seen(address)
        if address:
            if address not in known:
                seen = f"adb sees {', '.join(known)}" if known else "adb sees no phone"
                raise Unreachable(f"{self.name} ({address}) is not there; {seen}. {PLUG_IN}")
            return self._ready(address, known[address])
        if not known:
            raise Unreachable(f"{self.name} is not there: adb sees no phone. {PLUG_IN}")
        if len(known) > 1:
            which = f"--at {self.name}={next(iter(known))}"
            raise Unreachable(f"adb sees several phones: {', '.join(known)}. Say which, for example {which}")
        return self._ready(*next(iter(known.items())))

    def _seen(self, address: str) -> dict[str, str]:
        """The states of all phones by serial number, once the one that is meant has made up its mind."""
        deadline = time.monotonic() + DECIDES
        while True:
            known = {one.serial: one.state for one in self._client.list()}
            undecided = [serial for serial, state in known.items() if state in ("authorizing", "connecting")]
            if time.monotonic() >= deadline or not undecided or (address and address not in undecided):
                answering = {serial: state for serial, state in known.items() if state != "offline"}
                return known if address else answering or known
            time.sleep(0.2)

    def _ready(self, serial: str, state: str) -> str:
        if state != "device":
            why, hint = STATES.get(state, (f"adb says {state!r}", PLUG_IN))
            raise Unreachable(f"{self.name} ({serial}) cannot be used: {why}. {hint}")
        return serial

    def _unwritten(self, reason: str) -> DeviceError:
        """Why a file could not be sent."""
        free = self.room()
        if free is not None and free < FULL:
            return Unreachable(f"{self.name} is full ({TEMPORARY}). Free some space there; the same command goes on")
        return DeviceError(f"{self.name} does not take files into {TEMPORARY}: {reason}")

    def room(self) -> int | None:
        """Free bytes where we write, None where the phone does not tell."""
        words = self.shell(f"df -k {TEMPORARY}").text.splitlines()[-1:]
        cells = words[0].split() if words else []
        return int(cells[3]) * 1024 if len(cells) > 3 and cells[3].isdigit() else None

    @contextmanager
    def _mended(self, timeout: float) -> Iterator[None]:
        """Errors of adb as sentences that say what to do."""
        try:
            yield
        except self._adb.AdbTimeout as error:
            self._still_there()
            raise DeviceError(f"{self.name} did not answer within {timeout:.0f} s") from error
        except (self._adb.AdbError, OSError, EOFError, struct.error) as error:
            self._still_there()
            raise DeviceError(f"{self.name}: adb says: {error}") from error

    def _still_there(self) -> None:
        """Raises Unreachable where the phone was unplugged meanwhile."""
        serial = getattr(self, "serial", None)
        if serial is None:
            return
        states: dict[str, str] = {}
        with suppress(self._adb.AdbError, OSError):
            states = {one.serial: one.state for one in self._client.list()}
        if states.get(serial) != "device":
            state = states.get(serial)
            why = f"adb says {state!r}" if state else "adb sees it no more"
            hint = "Plug it in again; the same command goes on from here"
            raise Unreachable(f"the connection to {self.name} ({serial}) was lost in mid-run: {why}. {hint}")
