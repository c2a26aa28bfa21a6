"""A pretend phone: an adbd that speaks adb's transport, so that the real adb server and client can be tested with it.

A stand-in: what it is asked for runs on this computer (or in a root file system of another processor, by chroot), its
properties and sensors are canned. The protocol is that of the Android Open Source Project's protocol.txt, SYNC.TXT and
shell_v2, as far as adbutils and adb use it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import struct
import sys
from pathlib import Path

CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = (int.from_bytes(name, "little") for name in (
    b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE"
))  # fmt: skip
VERSION, MOST = 0x01000001, 1 << 18
STDOUT, STDERR, EXIT = 1, 2, 3
HOME = "/data/local/tmp"


class Phone:
    """What the phone is: a folder that stands for HOME, programs of its own, and how it fails.

    With a `root` its HOME is /tmp there, and its programs and packages are those of /board.

    `rules` is a JSON file that is read anew at each request: {"authorized": bool, "room": bool, "drop": "word"}; a
    command that holds the word ends the connection, as a pulled plug does.
    """

    def __init__(self, folder: Path, root: Path | None, rules: Path) -> None:
        self.folder, self.root, self.rules = folder, root, rules

    def rule(self, name: str, otherwise: object) -> object:
        """What the rules say."""
        return json.loads(self.rules.read_text()).get(name, otherwise) if self.rules.is_file() else otherwise

    def path(self, name: str) -> Path:
        """Where a file of the phone is here."""
        if self.root:
            return self.root / name.replace(HOME, "tmp").lstrip("/")
        return Path(name.replace(HOME, str(self.folder)))

    def command(self, text: str) -> tuple[list[str], dict[str, str]]:
        """How a shell command of the phone is run here, and in which environment."""
        if self.root:
            text = text.replace(HOME, "/tmp")
            shell = ["/usr/bin/env", "-i", "PATH=/board/system:/usr/bin:/bin", "HOME=/root", "PYTHONPATH=/board/site"]
            return ["chroot", str(self.root), *shell, "QEMU_CPU=cortex-a76", "/bin/sh", "-c", text], {
                "PATH": os.environ["PATH"],
                "QEMU_CPU": "cortex-a76",
            }
        path = f"{self.folder.parent / 'system'}:{os.environ['PATH']}"
        return ["/bin/sh", "-c", text.replace(HOME, str(self.folder))], {**os.environ, "PATH": path}


class Stream:
    """One service that the other end has opened."""

    def __init__(self, link: "Link", local: int, remote: int) -> None:
        self.link, self.local, self.remote = link, local, remote
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.acknowledged = asyncio.Event()
        self._rest = b""

    async def send(self, data: bytes) -> None:
        """Bytes to the other end, each piece once the one before has been acknowledged."""
        for at in range(0, len(data), MOST):
            self.acknowledged.clear()
            await self.link.tell(WRTE, self.local, self.remote, data[at : at + MOST])
            await self.acknowledged.wait()

    async def read(self, count: int) -> bytes:
        """So many bytes that arrive. Raises EOFError at the end."""
        while len(self._rest) < count:
            data = await self.arrived.get()
            if not data:
                raise EOFError
            self._rest += data
        found, self._rest = self._rest[:count], self._rest[count:]
        return found


class Link:
    """A connection of an adb server."""

    def __init__(self, phone: Phone, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.phone, self.reader, self.writer = phone, reader, writer
        self.streams: dict[int, Stream] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.next = 0

    async def tell(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        """One message."""
        head = struct.pack("<6I", command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        self.writer.write(head + data)
        await self.writer.drain()

    async def serve(self) -> None:
        """Answer until the other end is gone."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, EOFError):
            while True:
                command, first, second, length, *_ = struct.unpack("<6I", await self.reader.readexactly(24))
                data = await self.reader.readexactly(length)
                await self.answer(command, first, second, data)
        for task in self.tasks:
            task.cancel()
        self.writer.close()

    async def answer(self, command: int, first: int, second: int, data: bytes) -> None:
        """What one message asks for."""
        if command in (CNXN, AUTH):
            if not self.phone.rule("authorized", True):
                await self.tell(AUTH, 1, 0, bytes(20))  # a token; no signature of it is ever good enough
                return
            banner = "device::ro.product.name=pretend;ro.product.model=Pretend;features=shell_v2,cmd"
            await self.tell(CNXN, VERSION, MOST, banner.encode())
        elif command == OPEN:
            self.next += 1
            stream = self.streams[self.next] = Stream(self, self.next, first)
            await self.tell(OKAY, stream.local, stream.remote)
            task = asyncio.create_task(self.service(stream, data.rstrip(b"\0").decode()))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif second in self.streams:
            stream = self.streams[second]
            if command == OKAY:
                stream.acknowledged.set()
            elif command == WRTE:
                stream.arrived.put_nowait(data)
                await self.tell(OKAY, stream.local, stream.remote)
            elif command == CLSE:
                stream.arrived.put_nowait(b"")
                stream.acknowledged.set()
                self.streams.pop(second)

    async def service(self, stream: Stream, name: str) -> None:
        """One service from its start to its end."""
        kind, _, rest = name.partition(":")
        with contextlib.suppress(EOFError, ConnectionError):
            if kind.split(",")[0] == "shell":
                await self.shell(stream, rest, "v2" in kind.split(","))
            elif kind == "sync":
                await self.sync(stream)
        if self.streams.pop(stream.local, None):
            await self.tell(CLSE, stream.local, stream.remote)

    async def shell(self, stream: Stream, command: str, second: bool) -> None:
        """Run a command; with shell_v2 its outputs and its status come in packets."""
        drop = self.phone.rule("drop", "")
        if drop and str(drop) in command:
            self.writer.transport.abort()
            return
        words, environment = self.phone.command(command)
        child = await asyncio.create_subprocess_exec(
            *words,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE if second else asyncio.subprocess.STDOUT,
        )
        feeding = asyncio.create_task(self.feed(stream, child, second))
        try:
            out, err = await asyncio.gather(_read(child.stdout), _read(child.stderr))
            status = await child.wait()
        finally:
            feeding.cancel()
            if child.stdin:
                child.stdin.close()  # whoever reads it sees its end, and ends by itself
        if not second:
            await stream.send(out)
            return
        status = status if status >= 0 else 128 - status
        for kind, data in ((STDOUT, out), (STDERR, err), (EXIT, bytes([status & 255]))):
            if data:
                await stream.send(struct.pack("<BI", kind, len(data)) + data)

    async def feed(self, stream: Stream, child: asyncio.subprocess.Process, second: bool) -> None:
        """What the other end writes goes to the command, until the stream is closed."""
        assert child.stdin is not None
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                kind, length = struct.unpack("<BI", await stream.read(5)) if second else (0, 1)
                data = await stream.read(length)
                if kind == 0:
                    child.stdin.write(data)
                    await child.stdin.drain()
        child.stdin.close()

    async def sync(self, stream: Stream) -> None:
        """Files to and from the phone."""
        while True:
            what, length = struct.unpack("<4sI", await stream.read(8))
            if what == b"QUIT":
                return
            name = (await stream.read(length)).decode()
            if what == b"STAT":
                path = self.phone.path(name)
                told = path.stat() if path.exists() else None
                await stream.send(
                    b"STAT" + struct.pack("<3I", *((told.st_mode, told.st_size, 0) if told else (0, 0, 0)))
                )
            elif what == b"SEND":
                await self.receive(stream, *name.rsplit(",", 1))
            elif what == b"RECV":
                await self.give(stream, self.phone.path(name))

    async def receive(self, stream: Stream, name: str, mode: str) -> None:
        """A file that is pushed."""
        found, path = b"", self.phone.path(name)
        while True:
            what, length = struct.unpack("<4sI", await stream.read(8))
            if what == b"DONE":
                break
            found += await stream.read(length)
        problem = "" if self.phone.rule("room", True) else "couldn't write: No space left on device"
        if not problem:
            try:
                path.write_bytes(found)
                path.chmod(int(mode) & 0o777)
            except OSError as error:
                problem = f"couldn't create file: {error.strerror}"
        if problem:
            await stream.send(b"FAIL" + struct.pack("<I", len(problem)) + problem.encode())
        else:
            await stream.send(b"OKAY" + struct.pack("<I", 0))

    async def give(self, stream: Stream, path: Path) -> None:
        """A file that is pulled."""
        if not path.is_file():
            problem = b"No such file or directory"
            await stream.send(b"FAIL" + struct.pack("<I", len(problem)) + problem)
            return
        data = path.read_bytes()
        for at in range(0, len(data), 1 << 16):
            piece = data[at : at + (1 << 16)]
            await stream.send(b"DATA" + struct.pack("<I", len(piece)) + piece)
        await stream.send(b"DONE" + struct.pack("<I", 0))


async def _read(pipe: asyncio.StreamReader | None) -> bytes:
    return await pipe.read() if pipe else b""


async def main() -> None:
    """Serve a pretend phone on loopback until it is ended; says its port first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--root", type=Path)
    given = parser.parse_args()
    phone = Phone(given.folder / "tmp", given.root, given.folder / "rules.json")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Link(phone, reader, writer).serve()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


def script(path: Path, *lines: str) -> None:
    """A program of the phone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)


def says(path: Path, answers: dict[str, str]) -> None:
    """A program of the phone that answers by its first word."""
    cases = [f"  {shlex.quote(word)}) printf '%s\\n' {shlex.quote(text)};;" for word, text in answers.items()]
    script(path, 'case "$1" in', *cases, "esac")


if __name__ == "__main__":
    asyncio.run(main())
