"""A browser, on a phone or anywhere: it opens a page of this computer, which runs files there and tells."""

import hashlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, Literal

from edgekd import files, turns
from edgekd.devices import _jobs, _npm
from edgekd.errors import DeviceError, EdgekdError, MissingExtra, Problem, Unreachable, UsageError
from edgekd.results import DeviceFacts
from edgekd.spec import Device, Value

VERSION = 1
PACKAGES = ()
EXTRA = "browser"
REQUIRES = ("aiohttp>=3.11", "segno>=1.6", "ua-parser>=1.0", "ua-parser-builtins")
OPENS = True
# LiteRT.js refuses files whose batch is open.
SINGLE = ("tflite",)
NAME = "browser"

FIRST, GRACE, START = 960.0, 120.0, 60.0
MOST_LINE = 64 << 20
CHECK = "the first time a browser warns that it does not know the certificate: it was made for this one time"


class Settings(Value):
    """`accelerator`: "wasm", or "webgpu" where the browser has it. `https`: threads and WebGPU beyond this computer."""

    accelerator: Literal["wasm", "webgpu"] = "wasm"
    https: bool = False


@contextmanager
def opened(settings: Settings, device: Device, tell: Callable[[str], None]) -> Iterator[None]:
    """Serve the page while a command lasts; `probe` and `run` of any process find it by the device's name.

    `tell` gets what people must know: the page's address and its QR code. Raises UsageError and DeviceError.
    """
    if not _npm.versions():
        hint = "Run: edgekd doctor --at browser --provision"
        raise UsageError(Problem("--at", "the runtimes for browsers are not on this computer yet", hint))
    hosts, port = _hosts(device)
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder, ExitStack() as stack:
        asked = {"hosts": hosts, "port": port, "socket": str(_free(device)), "accelerator": settings.accelerator}
        if settings.https:
            asked |= _certificate(Path(folder), hosts)
        process = stack.enter_context(_process(asked))
        told = _first(process)
        Thread(target=_pass_on, args=(process, tell), daemon=True).start()
        scheme = "https" if settings.https else "http"
        addresses = [f"{scheme}://{host}:{told['port']}/{told['token']}/" for host in hosts]
        tell(invitation(device.name, addresses, settings.https))
        yield


def invitation(name: str, addresses: list[str], https: bool) -> str:
    """What people are asked to do, with a QR code of the first address."""
    import segno  # noqa: PLC0415 - only here, so that other devices do not need it

    lines = [f"{name}: open {addresses[0]} in the browser that is to be measured, or scan"]
    lines += [_qr(segno.make(addresses[0], error="l", micro=False))]
    lines += [f"in a browser of this computer: {address}" for address in addresses[1:]]
    return "\n".join([*lines, CHECK] if https else lines)


def _qr(code: Any) -> str:
    """A QR code as text, two rows of squares to a line, dark on light whatever colours the terminal has."""
    rows = [list(row) for row in code.matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] if len(rows) % 2 else []
    half = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join("".join(half[bool(a), bool(b)] for a, b in zip(*pair, strict=True)) for pair in pairs)


def probe(settings: Settings, device: Device) -> DeviceFacts:
    """What the browser says of itself; waits until one has opened the page. Raises DeviceError."""
    with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        folder = Path(name)
        files.write(folder / _jobs.REQUEST, json.dumps({"verb": "facts"}))
        told = _ask(device, folder, FIRST)
    known = {key: value for key, value in told.items() if key in DeviceFacts.model_fields}
    return DeviceFacts(**known | {"name": f"{device.name} ({told['name']})"})


def run(settings: Settings, device: Device, folder: Path, timeout: float) -> None:
    """Have the job in `folder` done by the browser; it is then left with result.json. Raises DeviceError."""
    files.write(folder / _jobs.RESULT, json.dumps(_ask(device, folder, timeout)))


def _ask(device: Device, folder: Path, timeout: float) -> dict[str, Any]:
    """One job, through the socket that the command opened."""
    gone = f"{device.name} is measured only while a command of edgekd serves its page"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout + GRACE)
        try:
            connection.connect(str(_socket(device)))
            connection.sendall(json.dumps({"folder": str(folder.absolute()), "timeout": timeout}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline(MOST_LINE)
        except (OSError, ValueError) as error:
            raise Unreachable(f"{gone} ({error})") from error
    if not line:
        raise Unreachable(f"{gone}, and that has ended")
    told = json.loads(line)
    if "error" in told:
        raise (Unreachable if told.get("unreachable") else DeviceError)(f"{device.name}: {told['error']}")
    answer: dict[str, Any] = told["answer"]
    return answer


def _socket(device: Device) -> Path:
    """Where the page's server takes jobs: in this user's own folder, by the device's name."""
    return turns.own_folder() / f"{hashlib.sha256(device.name.encode()).hexdigest()[:16]}.socket"


def _free(device: Device) -> Path:
    """The path of a socket that no other command listens at. Raises UsageError."""
    path = _socket(device)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, suppress(OSError):
        connection.connect(str(path))
        hint = f"Wait for it, or give this one another name: --at another={NAME}"
        raise UsageError(Problem("--at", f"another command is measuring {device.name} just now", hint))
    path.unlink(missing_ok=True)
    return path


def _hosts(device: Device) -> tuple[list[str], int]:
    """Where the page is served: as the address says, HOST or HOST:PORT, else in the local network and here."""
    host, _, port = device.address.partition(":")
    if port and not (port.isdigit() and int(port) < 1 << 16):
        hint = "Write for example --at browser=192.168.1.20:8080, or leave the address out"
        raise UsageError(Problem("--at", f"{device.address!r} is no HOST or HOST:PORT to serve a page at", hint))
    return [host] if host else list(dict.fromkeys((_lan(), "127.0.0.1"))), int(port or 0)


def _lan() -> str:
    """This computer's address in its network. A datagram socket that is connected sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probing:
        try:
            probing.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probing.getsockname()[0])


def _certificate(folder: Path, hosts: list[str]) -> dict[str, str]:
    """A certificate of this computer's own for a week, by openssl. Raises EdgekdError."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise EdgekdError("--https needs openssl, which is not here. Install it, or leave --https out")
    made = {"certificate": str(folder / "certificate.pem"), "key": str(folder / "key.pem")}
    names = ",".join(f"{'IP' if host.replace('.', '').isdigit() else 'DNS'}:{host}" for host in hosts)
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "7", "-subj", "/CN=edgekd", "-addext", f"subjectAltName={names}"]
    command += ["-set_serial", str(secrets.randbits(63)), "-keyout", made["key"], "-out", made["certificate"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START, check=False)
    if done.returncode:
        raise EdgekdError(f"openssl made no certificate: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}")
    return made


@contextmanager
def _process(asked: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """The process that serves the page; it ends with this one, however that ends."""
    command = [sys.executable, "-P", "-m", "edgekd.devices._relay"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            yield process
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _first(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the process says when it serves. Raises MissingExtra and DeviceError."""
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    if not line:
        errors = process.stderr.read().strip().splitlines() or ["no reason was given"]
        if errors[-1].startswith("ModuleNotFoundError"):
            raise MissingExtra(errors[-1].split("'")[1], "pip install 'edgekd[browser]'")
        raise DeviceError(f"the page cannot be served: {errors[-1]}")
    told: dict[str, Any] = json.loads(line)
    if "error" in told:
        raise DeviceError(f"the page cannot be served: {told['error']}")
    return told


def _pass_on(process: subprocess.Popen[str], tell: Callable[[str], None]) -> None:
    """What the process has to say later."""
    assert process.stdout is not None
    for line in process.stdout:
        tell(json.loads(line)["say"])
