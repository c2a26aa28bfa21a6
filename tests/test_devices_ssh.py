"""Boards reached by ssh: a real sshd on loopback, real failures, and what is left behind on the board."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.devices import _board, _ssh, ssh
from edgekd.errors import DeviceError, Unreachable
from edgekd.jobs import Reached
from edgekd.runtimes import sensors
from edgekd.spec import Choice, Device
from edgekd.stages import measure
from edgekd.steps import Measure
from tests import sshd
from tests import tiny as tiny_files
from tests.bench import Bench
from tests.boards import vcgencmd

SETTINGS = ssh.Settings(python=sys.executable)
DEVICE = Device(name="pi", address="board")

pytestmark = pytest.mark.skipif(bool(sshd.absent()), reason=sshd.absent() or "-")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Server]:
    folder = tmp_path_factory.mktemp("sshd")
    temporary = tmp_path_factory.mktemp("board")
    server = sshd.Server(folder, {"TMPDIR": str(temporary)})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(running: sshd.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[sshd.Server]:
    """The server in its first state, with no connection open."""
    monkeypatch.setenv("EDGEKD_SSH_CONFIG", str(running.write()))
    running.know("hostkey.pub")
    yield running
    ssh.leave(DEVICE)


def job(folder: Path, program: str | None = None, **request: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "request.json").write_text(json.dumps({"verb": "predict"} | request))
    if program is not None:
        (folder / "runtimes.pyz").write_text(program)
    return folder


def leftovers(server: sshd.Server) -> list[str]:
    """What is left on the board, once its processes have had time to end."""
    for _ in range(100):
        found = [path.name for path in server.temporary.iterdir()]
        if not found:
            break
        time.sleep(0.05)
    return found


OK = "open('result.json', 'w').write('{\"fine\": 1}')"


def test_a_board_says_what_it_is_and_keeps_nothing(server: sshd.Server) -> None:
    facts = ssh.probe(SETTINGS, DEVICE)
    assert facts.name == f"pi ({facts.model})"
    assert facts.emulated == ""
    assert "onnx" in facts.runtimes
    ssh.leave(DEVICE)
    assert leftovers(server) == []


def test_a_real_model_runs_there_and_its_outputs_come_back(server: sshd.Server, tiny: Path, tmp_path: Path) -> None:
    """Links to files and to folders arrive as what they lead to; the second job sends none of the files again."""
    signature = tiny_files.signature("image")
    folder = job(tmp_path, runtime="openvino", model="m.openvino", threads=1, signature=signature)
    request = json.loads((folder / "request.json").read_text()) | {"inputs": {"image": "image.npy"}}
    (folder / "request.json").write_text(json.dumps(request))
    np.save(folder / "image.npy", tiny_files.samples()["image"])
    (folder / "m.openvino").symlink_to(tiny / "image-dynamic.openvino")
    ssh.run(SETTINGS, DEVICE, folder, 60.0)
    first = np.load(folder / "outputs-0.npy")
    assert first.shape == (7, 4) and np.isfinite(first).all()
    sent = set(ssh.session(SETTINGS, DEVICE)._sent)
    (folder / "outputs-0.npy").unlink()
    ssh.run(SETTINGS, DEVICE, folder, 60.0)
    assert (np.load(folder / "outputs-0.npy") == first).all()
    assert set(ssh.session(SETTINGS, DEVICE)._sent) == sent
    ssh.leave(DEVICE)
    assert leftovers(server) == []


def test_a_job_there_sends_no_telemetry_and_takes_the_threads_it_is_given(server: sshd.Server, tmp_path: Path) -> None:
    program = "import json, os\nopen('result.json', 'w').write(json.dumps(dict(os.environ)))"
    ssh.run(SETTINGS, DEVICE, job(tmp_path, program, threads=3), 30.0)
    told = json.loads((tmp_path / "result.json").read_text())
    assert told["ORT_DISABLE_TELEMETRY"] == "1"
    assert told["OMP_NUM_THREADS"] == "3"
    assert told["PYTHONPATH"].split(":")[0].startswith(f"{Path.home()}/.local/share/edgekd/site/python")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os, signal\nprint('almost', flush=True)\nos.kill(os.getpid(), 11)", r"by SIGSEGV(.|\n)*almost"),
        ("raise SystemExit(3)", "ended with status 3 and left no result"),
        ("open('result.json', 'w').write('{\"error\": \"no model\"}')\nraise SystemExit(1)", "^no model$"),
    ],
)
def test_a_crash_there_is_about_the_file(server: sshd.Server, tmp_path: Path, program: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message) as caught:
        ssh.run(SETTINGS, DEVICE, job(tmp_path, program), 30.0)
    assert not isinstance(caught.value, Unreachable)
    ssh.run(SETTINGS, DEVICE, job(tmp_path, OK), 30.0)
    ssh.leave(DEVICE)
    assert leftovers(server) == []


def test_a_process_that_hangs_there_is_ended(server: sshd.Server, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    with pytest.raises(DeviceError, match=r"did not answer within 1 s on pi and was ended"):
        ssh.run(SETTINGS, DEVICE, job(tmp_path / "job", program), 1.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_board_that_is_unplugged_in_mid_run_ends_the_job_on_both_sides(server: sshd.Server, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    cut = threading.Thread(target=lambda: _once(pid.is_file, server.cut))
    cut.start()
    with pytest.raises(Unreachable, match=r"connection to pi at board was lost in mid-run\. Is it plugged in"):
        ssh.run(SETTINGS, DEVICE, job(tmp_path / "job", program), 60.0)
    cut.join()
    assert leftovers(server) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    ssh.run(SETTINGS, DEVICE, job(tmp_path / "job", OK), 30.0)


def _once(ready: Any, act: Any) -> None:
    for _ in range(400):
        if ready():
            break
        time.sleep(0.05)
    act()


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("key", r"cannot be reached at board: it refuses your key\. Run: ssh-copy-id board"),
        ("unknown", r"ssh does not know its host key\. Log in once by hand .*: ssh board"),
        ("changed", r"its host key is not the one that ssh knows(.|\n)*ssh-keygen -R board"),
        ("port", r"nothing answers at its port\. Switch sshd on there"),
        ("host", r"there is no such host\. Check the name"),
        ("python", r"pi has no pithon3\. Run there: sudo apt install python3"),
        ("config", r"ssh cannot read its configuration"),
    ],
)
def test_what_keeps_a_board_from_being_reached(
    server: sshd.Server, tmp_path: Path, case: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ssh.Settings(python="pithon3") if case == "python" else SETTINGS
    match case:
        case "key":
            server.write(identity="stranger")
        case "unknown":
            server.know(None)
        case "changed":
            server.know("stranger.pub")
        case "port":
            server.write(Port=sshd.free_port())
        case "host":
            server.write(HostName="no-such-board.invalid")
        case "config":
            monkeypatch.setenv("EDGEKD_SSH_CONFIG", str(tmp_path / "nothing"))
    with pytest.raises(Unreachable, match=message):
        ssh.run(settings, DEVICE, job(tmp_path, OK), 30.0)


@pytest.mark.parametrize("address", ["-oProxyCommand=touch pwned", "a b", "pi@-h", "ssh://-oX", "x;ls", "", "a\nb"])
def test_an_address_is_never_an_option_or_a_command(tmp_path: Path, address: str) -> None:
    with pytest.raises(Unreachable, match="address"):
        ssh.run(SETTINGS, Device(name="pi", address=address), job(tmp_path, OK), 30.0)


@pytest.mark.parametrize("address", ["pi", "pi@raspberrypi.local", "ssh://pi@10.0.0.2:2222", "pi@fe80::1", "a-b.c"])
def test_usual_addresses_are_addresses(address: str) -> None:
    assert _ssh.ADDRESS.fullmatch(address)


def test_two_hosts_never_measure_at_once_and_others_wait(server: sshd.Server, tmp_path: Path) -> None:
    """A connection that measured keeps the board until it ends, or dies."""
    ssh.run(SETTINGS, DEVICE, job(tmp_path / "first", OK, verb="clock"), 30.0)
    other = _ssh.Session("pi", "board", sys.executable)
    folder, done = job(tmp_path / "second", OK), threading.Event()

    def second() -> None:
        other.run(folder, ("runtimes.pyz", "request.json"), {}, 30.0, True)
        done.set()

    waiting = threading.Thread(target=second)
    waiting.start()
    assert not done.wait(1.0)
    _ssh_process(ssh.session(SETTINGS, DEVICE)).send_signal(signal.SIGKILL)
    assert done.wait(20.0)
    waiting.join()
    assert "since" in (server.folder / "lock").read_text()
    other.close()


def test_boards_of_one_address_have_a_connection_each(server: sshd.Server, tmp_path: Path) -> None:
    """Two names of one board, asked at once: no answer goes to the other, and who leaves ends no job but his own."""
    ssh.run(SETTINGS, DEVICE, job(tmp_path / "main", OK), 30.0)
    both = threading.Barrier(2)

    def ask(name: str, jobs: int) -> _ssh.Session:
        device, told = Device(name=name, address="board"), f"open('result.json', 'w').write('{{\"is\": \"{name}\"}}')"
        both.wait()
        for i in range(jobs):
            folder = job(tmp_path / f"{name}-{i}", f"import time\ntime.sleep(0.1)\n{told}")
            ssh.run(SETTINGS, device, folder, 30.0)
            assert json.loads((folder / "result.json").read_text()) == {"is": name}
        mine = ssh.session(SETTINGS, device)
        ssh.leave(device)
        return mine

    with ThreadPoolExecutor(max_workers=2) as pool:
        one, other = pool.map(ask, ("a", "b"), (1, 8))
    assert one is not other
    assert one.closed and other.closed
    assert not ssh.session(SETTINGS, DEVICE).closed


@pytest.mark.parametrize(("again", "given_up"), [(0.2, False), (60.0, True)])
def test_a_wait_is_as_long_as_it_must_be_and_no_silence_is(
    server: sshd.Server, tmp_path: Path, monkeypatch: Any, capsys: Any, again: float, given_up: bool
) -> None:
    """A board that waits for its turn says so again and again; one that says nothing any more is given up."""
    changed(monkeypatch, tmp_path, "IDLE, AGAIN = 600.0, 10.0", f"IDLE, AGAIN = 600.0, {again}")
    monkeypatch.setattr(_ssh, "GRACE", 0.5)
    ssh.run(SETTINGS, DEVICE, job(tmp_path / "first", OK, verb="clock"), 30.0)
    other = _ssh.Session("pi", "board", sys.executable)
    free = threading.Timer(3.0, ssh.session(SETTINGS, DEVICE).close)
    free.start()
    try:
        if given_up:
            with pytest.raises(Unreachable, match="pi at board stopped answering"):
                other.run(job(tmp_path / "second", OK), ("runtimes.pyz", "request.json"), {}, 1.0, True)
        else:
            done = other.run(job(tmp_path / "second", OK), ("runtimes.pyz", "request.json"), {}, 1.0, True)
            assert done["status"] == 0
            assert capsys.readouterr().err.count("waits for pi, which is in use") == 1
    finally:
        free.cancel()
        free.join()
        other.close()


def changed(monkeypatch: pytest.MonkeyPatch, folder: Path, old: str, new: str) -> None:
    """Send another program to the board than edgekd's own."""
    source = _ssh.BOARD.read_text()
    assert source.count(old) == 1
    (folder / "changed_board.py").write_text(source.replace(old, new))
    monkeypatch.setattr(_ssh, "BOARD", folder / "changed_board.py")


def _ssh_process(session: _ssh.Session) -> Any:
    return session._process


def test_jobs_that_measure_nothing_run_side_by_side(server: sshd.Server, tmp_path: Path) -> None:
    other = _ssh.Session("pi", "board", sys.executable)
    ssh.run(SETTINGS, DEVICE, job(tmp_path / "first", OK), 30.0)
    other.run(job(tmp_path / "second", OK), ("runtimes.pyz", "request.json"), {}, 30.0, False)
    other.close()


def test_what_a_board_without_power_left_is_removed_by_the_next(server: sshd.Server, tmp_path: Path) -> None:
    old, new = server.temporary / f"{_board.PREFIX}999999999-x", server.temporary / f"{_board.PREFIX}999999998-y"
    for folder, age in ((old, 2 * _board.DAY), (new, 60.0)):
        folder.mkdir()
        os.utime(folder, (time.time() - age,) * 2)
    ssh.run(SETTINGS, DEVICE, job(tmp_path, OK), 30.0)
    assert not old.exists()
    assert new.exists()
    new.rmdir()


def test_a_login_that_prints_is_no_trouble(server: sshd.Server, tmp_path: Path) -> None:
    wrapper = tmp_path / "python3"
    wrapper.write_text(f'#!/bin/sh\necho "welcome to {{the board}}"\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    settings = ssh.Settings(python=str(wrapper))
    ssh.run(settings, DEVICE, job(tmp_path / "job", OK), 30.0)
    assert (tmp_path / "job/result.json").is_file()


def test_a_file_that_would_leave_the_job_is_refused() -> None:
    for name in ("../x", "/etc/passwd", "a/../../b", ""):
        with pytest.raises(DeviceError, match="not inside the job"):
            _ssh._inside(name)


def test_no_board_writes_through_a_link_of_the_job(server: sshd.Server, tmp_path: Path, monkeypatch: Any) -> None:
    """Models are links to the store: what a board, or its runtime, writes there would change them for ever."""
    store = tmp_path / "store"
    (store / "m.mlpackage").mkdir(parents=True)
    (store / "m.mlpackage/weights").write_text("weights")
    (store / "m.onnx").write_text("model")
    inside = job(tmp_path / "inside", f"open('m.mlpackage/cache', 'w').write('evil')\n{OK}")
    (inside / "m.mlpackage").symlink_to(store / "m.mlpackage")
    with pytest.raises(DeviceError, match=r"'m\.mlpackage/cache', which is not its own: a link leads from there"):
        ssh.run(SETTINGS, DEVICE, inside, 30.0)
    assert [path.name for path in (store / "m.mlpackage").iterdir()] == ["weights"]
    changed(monkeypatch, tmp_path, "if relative not in given and os.path.isfile", "if os.path.isfile")
    over = job(tmp_path / "over", f"open('m.onnx', 'w').write('evil')\n{OK}")
    (over / "m.onnx").symlink_to(store / "m.onnx")
    with pytest.raises(DeviceError, match=r"'m\.onnx', which is not its own"):
        ssh.run(SETTINGS, DEVICE, over, 30.0)
    assert (store / "m.onnx").read_text() == "model"
    linked = tmp_path / "linked"
    linked.symlink_to(inside)
    assert _ssh._place(linked, "new/x.npy") == linked / "new/x.npy", "the way to the job's folder may be a link"


def test_a_shared_connection_of_the_user_is_not_taken(server: sshd.Server, tmp_path: Path) -> None:
    """It was made without what edgekd insists on: here, that ssh knows the host's key."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # the path of a socket is at most 100 letters long
        config = server.write(ControlPath=f"{short}/master")
        master = subprocess.Popen(["ssh", "-F", config, "-o", "ControlMaster=yes", "-N", "board"])
        try:
            _once(Path(short, "master").exists, lambda: None)
            server.know(None)
            shared = subprocess.run(["ssh", "-F", config, "board", "true"], check=False, timeout=30)
            assert shared.returncode == 0, "the shared connection is there for others"
            with pytest.raises(Unreachable, match="ssh does not know its host key"):
                ssh.run(SETTINGS, DEVICE, job(tmp_path, OK), 30.0)
        finally:
            master.terminate()
            master.wait()


def test_another_user_of_the_board_can_take_the_lock() -> None:
    """Whatever the umask of the one who made its file was. A reader can lock it, and nobody else can write it."""
    old = os.umask(0o077)
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        os.close(_board.opened(f"{folder}/lock"))
        assert (folder / "lock").stat().st_mode & 0o777 == 0o644
        reader = os.open(folder / "lock", os.O_RDONLY)
        fcntl.flock(reader, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(reader)
        if os.geteuid() == 0:  # one who is not its owner, by the program that runs on boards
            folder.chmod(0o1777)
            program = (
                "os.setgid(65534)\nos.setuid(65534)\nturn = Turn()\nturn.take(True, 'nobody@here')\nprint(turn.alone)"
            )
            source = _ssh.BOARD.read_text().partition('if __name__ == "__main__":')[0] + program
            command, env = [sys.executable, "-S", "-c", source], {"EDGEKD_BOARD_LOCK": f"{folder}/lock"}
            done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
            assert done.stdout == "True\n", done.stderr
    finally:
        os.umask(old)
        shutil.rmtree(folder)


def test_a_board_that_says_it_is_emulated_never_passes_for_another(server: sshd.Server) -> None:
    plain, declared = ssh.probe(SETTINGS, DEVICE), ssh.probe(SETTINGS.model_copy(update={"emulated": True}), DEVICE)
    assert declared.emulated == "its card says so"
    assert "EMULATED" in declared.name
    assert plain.fingerprint != declared.fingerprint


def test_a_full_disk_there_is_said_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: sshd.Server
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    if os.system(f"mount -t tmpfs -o size=256k tmpfs {full} 2>/dev/null") != 0:
        pytest.skip("a small disk needs the right to mount one")
    small = sshd.Server(tmp_path / "sshd", {"TMPDIR": str(full)})
    try:
        small.start()
        monkeypatch.setenv("EDGEKD_SSH_CONFIG", str(small.config))
        folder = job(tmp_path / "job", OK)
        (folder / "model.bin").write_bytes(os.urandom(1 << 19))
        with pytest.raises(Unreachable, match=r"the disk of pi is full \(.*\)\. Free some space there"):
            ssh.run(SETTINGS, DEVICE, folder, 30.0)
        (folder / "model.bin").unlink()
        fills = "open('big', 'wb').write(bytes(1 << 19))"
        with pytest.raises(Unreachable, match="the disk of pi is full"):
            ssh.run(SETTINGS, DEVICE, job(folder, fills), 30.0)
        ssh.run(SETTINGS, DEVICE, job(tmp_path / "small", OK), 30.0)
    finally:
        ssh.leave(DEVICE)
        small.stop()
        os.system(f"umount -l {full}")


FAKE = """
import numpy as np
from types import SimpleNamespace as N
__version__ = "9.0"

class ComputeUnit:
    ALL = "all"

class Value(N):
    def HasField(self, name):
        return False

def value(name, shape):
    return Value(name=name, type=Value(multiArrayType=N(shape=shape, dataType=65568)))

class MLModel:
    def __init__(self, path, compute_units):
        self.weights = np.load(path + "/Data/com.apple.CoreML/weights.npy")
    def get_spec(self):
        return N(description=N(input=[value("image", [1, 3, 8, 8])], output=[value("logits", [1, 4])]))
    def predict(self, feed):
        return {"logits": feed["image"].reshape(1, -1)[:, :4] * self.weights}

models = N(MLModel=MLModel)
"""


def test_a_mac_is_asked_through_the_same_door(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the way to a Mac but Core ML itself: a system that calls itself darwin, and a coremltools of our own."""
    fake = tmp_path / "fake"
    (fake / "coremltools-9.0.dist-info").mkdir(parents=True)
    (fake / "coremltools-9.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: coremltools\nVersion: 9.0\n")
    (fake / "coremltools.py").write_text(FAKE)
    (fake / "sitecustomize.py").write_text('import sys\nsys.platform = "darwin"\n')
    package = tmp_path / "Student.mlpackage/Data/com.apple.CoreML"
    package.mkdir(parents=True)
    np.save(package / "weights.npy", np.arange(4, dtype=np.float32))
    mac = sshd.Server(tmp_path / "sshd", {"PYTHONPATH": str(fake)})
    mac.start()
    try:
        monkeypatch.setenv("EDGEKD_SSH_CONFIG", str(mac.config))
        assert ssh.probe(SETTINGS, DEVICE).runtimes["coreml"] == "9.0"
        signature = tiny_files.signature("image", 1)
        request = {"model": "m.mlpackage", "threads": 1, "signature": signature, "inputs": {"image": "image.npy"}}
        folder = job(tmp_path / "job", runtime="coreml", prepared=True, **request)
        (folder / "m.mlpackage").symlink_to(tmp_path / "Student.mlpackage")
        images = np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)
        np.save(folder / "image.npy", images)
        ssh.run(SETTINGS, DEVICE, folder, 60.0)
        assert np.allclose(np.load(folder / "outputs-0.npy"), images.reshape(5, -1)[:, :4] * np.arange(4))
    finally:
        ssh.leave(DEVICE)
        mac.stop()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a made-up vcgencmd is a shell script")
@pytest.mark.parametrize(
    ("bits", "refused"), [("0x50005", "under-voltage, throttled"), ("0x80008", "soft temperature limit"), ("0x0", "")]
)
def test_a_throttled_board_is_refused_by_what_its_own_firmware_says(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, bits: str, refused: str
) -> None:
    """The vcgencmd is on the PATH of the other side only: nothing but an answer by ssh can tell of it."""
    vcgencmd(tmp_path / "bin", bits)
    monkeypatch.setitem(
        measure.PROTOCOLS, "quick", replace(measure.PROTOCOLS["quick"], cooling=0.1, repeats=1 if refused else 9)
    )
    board = sshd.Server(tmp_path / "sshd", {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    board.start()
    settings = {"python": sys.executable}
    device = Device(name="pi", reach=Choice(name="ssh", settings=settings), address="board")
    try:
        monkeypatch.setenv("EDGEKD_SSH_CONFIG", str(board.config))
        facts, bench = Reached(device).facts(), Bench(tmp_path, tiny)
        known = {"device": device, "fingerprint": facts.fingerprint, "runtime": facts.runtimes["onnx"]}
        artifacts = (bench.artifact("image-dynamic.onnx", "image"),)
        step = Measure(artifacts=artifacts, splits=bench.splits("image"), protocol="quick", **known)
        (found,) = measure.run(step, bench.out).measurements
    finally:
        ssh.leave(device)
        board.stop()
    assert sensors.throttled()[0] is None, "this computer has no such sensor"
    if refused:
        assert (found.basis, found.latency) == ("not measured", None)
        assert found.why.startswith(f"every session was refused: {refused}. Then ")
    else:
        assert found.basis == "measured" and found.latency is not None
        assert found.conditions is not None and found.conditions.before.frequency == 2.4e9


def test_core_ml_is_refused_in_words_where_it_cannot_be(server: sshd.Server, tiny: Path, tmp_path: Path) -> None:
    signature = tiny_files.signature("image", 1)
    inputs = {"image": "image.npy"}
    folder = job(tmp_path, runtime="coreml", model="m", threads=1, signature=signature, inputs=inputs)
    (folder / "m").write_text("")
    np.save(folder / "image.npy", tiny_files.samples()["image"])
    with pytest.raises(DeviceError, match="coreml cannot run here: its runtime works on macOS only, and this is Linux"):
        ssh.run(SETTINGS, DEVICE, folder, 60.0)
