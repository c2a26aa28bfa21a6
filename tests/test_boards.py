"""What doctor says of a board, from what the board says of itself; wheels for its platform."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgekd import store as stores
from edgekd.commands import boards
from edgekd.commands.doctor import Finding
from edgekd.errors import DeviceError, Unreachable, UsageError
from edgekd.recipes.targets import read_boards
from edgekd.results import DeviceFacts
from edgekd.spec import Choice, Device
from edgekd.steps import Probe
from tests import sshd
from tests.test_cli import run

PI: dict[str, Any] = {
    "python": "3.11.2",
    "implementation": "CPython",
    "bits": 64,
    "machine": "aarch64",
    "system": "Linux",
    "libc": ["glibc", "2.36"],
    "macos": "",
    "numpy": "",
    "executable": "/usr/bin/python3",
    "site": "/home/pi/.local/share/edgekd/site/python3.11-aarch64-64",
    "free": 1 << 30,
}
NARROW = PI | {"bits": 32, "libc": ["glibc", "2.36"]}
FACTS = DeviceFacts(
    name="pi",
    fingerprint="f",
    model="Raspberry Pi 5",
    system="Linux",
    processor="ARM",
    cores=4,
    memory=1,
    python="3.11.2",
    runtimes={},
    missing={"tflite": "ai-edge-litert is not installed on the device. Run there: pip install ai-edge-litert"},
)


def test_wheels_are_of_the_boards_c_library_and_older() -> None:
    found = boards.tags(PI)
    assert found[0] == "manylinux_2_36_aarch64"
    assert {"manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"} <= set(found)
    assert "manylinux_2_37_aarch64" not in found
    assert boards.tags(NARROW)[0] == "manylinux_2_36_armv7l"
    mac = boards.tags(PI | {"system": "Darwin", "machine": "arm64", "macos": "14.5", "libc": ["", ""]})
    assert mac[:2] == ("macosx_14_0_arm64", "macosx_14_0_universal2")
    with pytest.raises(UsageError, match="there are no wheels for Linux aarch64 with another C library than glibc"):
        boards.tags(PI | {"libc": ["", ""]})


def test_what_is_missing_comes_with_the_command_to_type_there() -> None:
    found = boards._runs("tflite", PI, FACTS)
    assert found.state == "missing"
    assert found.why == "ai-edge-litert is not installed on the device"
    assert found.fix == (
        "/usr/bin/python3 -m pip install --target /home/pi/.local/share/edgekd/site/python3.11-aarch64-64 numpy "
        "'ai-edge-litert>=2.3,<2.4'"
    )
    assert boards._numpy(PI).fix.endswith("aarch64-64 numpy")


def test_32_bit_programs_are_told_what_there_is_for_them() -> None:
    found = boards._runs("tflite", NARROW, FACTS)
    assert found.state == "not possible on this platform"
    assert "only tflite-runtime 2.14 exists" in found.why and "Use the 64-bit Raspberry Pi OS" in found.why


def test_nothing_is_brought_to_32_bit_programs_and_pip_is_not_asked(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(boards, "_pip", lambda *_: pytest.fail("asked"))
    with pytest.raises(UsageError, match=r"only tflite-runtime 2\.14 exists"):
        boards._fetch(tmp_path, {"tflite": ("ai-edge-litert",)}, NARROW, lambda _: None)


def test_where_one_runtime_has_no_wheel_the_others_are_brought(tmp_path: Path, monkeypatch: Any) -> None:
    asked = []

    def pip(site: Path, packages: list[str], hello: dict[str, Any]) -> str:
        asked.append(tuple(packages))
        return "ERROR: none" if "openvino" in packages else ""

    monkeypatch.setattr(boards, "_pip", pip)
    wanted = {"openvino": ("openvino",), "tflite": ("ai-edge-litert",)}
    assert boards._fetch(tmp_path, wanted, PI, lambda _: None) == ["tflite"]
    assert asked[0] == ("openvino", "ai-edge-litert")


def test_an_old_python_and_little_room_are_broken() -> None:
    assert boards._python(PI | {"python": "3.7.3"}).state == "broken"
    assert boards._python(PI).state == "works"
    assert boards._room(PI | {"free": 1 << 20}).state == "broken"


def test_packages_travel_as_one_file(tmp_path: Path) -> None:
    (tmp_path / "site/numpy").mkdir(parents=True)
    (tmp_path / "site/numpy/x.py").write_text("x")
    boards._pack(tmp_path / "site", tmp_path / "job/packages.zip")
    assert zipfile.ZipFile(tmp_path / "job/packages.zip").namelist() == ["numpy/x.py"]


def test_boards_are_named_by_cards_or_by_anything() -> None:
    pi, mine = read_boards(["raspberry-pi-5=pi@a", "desk=ssh://b:2222"])
    assert (pi.name, pi.reach.name, pi.address) == ("raspberry-pi-5", "ssh", "pi@a")
    assert (mine.name, mine.reach.name, mine.address) == ("desk", "ssh", "ssh://b:2222")
    with pytest.raises(UsageError) as caught:
        read_boards(["nothing", "x=-oProxyCommand=y"])
    assert len(caught.value.problems) == 2


@pytest.mark.skipif(bool(sshd.absent()), reason=sshd.absent() or "-")
def test_a_board_that_was_never_reached_is_no_answer_and_no_fault(tmp_path: Path, monkeypatch: Any) -> None:
    """Neither `do` nor `attempt` takes a lost connection for something about a file; the last answer is kept, dated."""
    monkeypatch.setenv("EDGEKD_SSH_CONFIG", "/dev/null")
    step = Probe(device=Device(name="pi", reach=Choice(name="ssh"), address="nohost.invalid"))
    with stores.Store(tmp_path) as store:
        for ask in (store.do, store.attempt):
            with pytest.raises(Unreachable, match=r"pi cannot be reached at nohost\.invalid"):
                ask(step)
        assert store.last(step) is None
        here = Probe(device=Device())
        (facts,) = store.do(here)
        assert store.last(here)[0] == facts
        moved = Probe(device=step.device.model_copy(update={"address": "elsewhere"}))
        assert stores.key(moved) == stores.key(step)


def test_a_lost_connection_is_a_kind_of_device_error() -> None:
    assert issubclass(Unreachable, DeviceError)
    assert Unreachable("x").exit_status == 4


def test_a_board_has_one_name() -> None:
    with pytest.raises(UsageError) as caught:
        read_boards(["a=pi@one", "nothing", "b=pi@two", " a =pi@three", "this-computer", "this-computer"])
    said = [str(problem) for problem in caught.value.problems]
    assert said[0].startswith("--at: 'nothing' is not NAME=ADDRESS")
    assert said[1:] == [
        "--at: two devices are called 'a'. Give each a name of its own",
        "--at: two devices are called 'this-computer'. Give each a name of its own",
    ]
    assert [device.address for device in read_boards(["a=pi@h", "b=pi@h"])] == ["pi@h", "pi@h"]


def test_browsers_need_no_address_and_may_be_several() -> None:
    texts = ["browser", "tablet=browser", "desk=browser:127.0.0.1:8080", "browser-webgpu=10.0.0.2"]
    found = read_boards(texts)
    assert [(one.name, one.reach.name, one.address) for one in found] == [
        ("browser", "browser", ""),
        ("tablet", "browser", ""),
        ("desk", "browser", "127.0.0.1:8080"),
        ("browser-webgpu", "browser", "10.0.0.2"),
    ]
    assert found[3].reach.settings == {"accelerator": "webgpu"}
    assert all(one.reach.settings["https"] for one in read_boards(texts, https=True))
    with pytest.raises(UsageError, match="--https: is for browsers"):
        read_boards(["pi=pi@h"], https=True)
    with pytest.raises(UsageError, match="not NAME=ADDRESS"):
        read_boards(["raspberry-pi-5"])


@pytest.mark.parametrize(("state", "gone", "status"), [("works", True, 4), ("broken", False, 1), ("works", False, 0)])
def test_doctor_tells_of_every_board_whatever_becomes_of_the_others(
    monkeypatch: pytest.MonkeyPatch, state: Any, gone: bool, status: int
) -> None:
    def examine(device: Device) -> tuple[Finding, ...]:
        if device.name == "gone" and gone:
            raise Unreachable("gone cannot be reached at h2: there is no such host")
        return (Finding(what="Python", state=state if device.name == "gone" else "works", versions="3.11.2"),)

    monkeypatch.setattr(boards, "examine", examine)
    places = ("--at", "a=h1", "--at", "gone=h2", "--at", "b=h3")
    told, told_json = run("doctor", *places), run("doctor", *places, "--json")
    assert (told.exit_code, told_json.exit_code) == (status, status)
    pages = json.loads(told_json.stdout)
    assert [page["platform"] for page in pages] == ["a", "gone", "b"]
    assert [len(page["findings"]) for page in pages] == [1, 0 if gone else 1, 1]
    assert told.stdout.count("3.11.2") == sum(len(page["findings"]) for page in pages)
    said = "gone cannot be reached at h2: there is no such host"
    assert (said in told.stdout) == gone
    assert pages[1].get("error") == ({"status": 4, "message": said} if gone else None)


def test_doctor_of_one_board_that_is_gone_fails_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def examine(device: Device) -> tuple[Finding, ...]:
        raise Unreachable("gone cannot be reached")

    monkeypatch.setattr(boards, "examine", examine)
    told = run("doctor", "--at", "gone=h", "--json")
    assert told.exit_code == 4
    assert json.loads(told.stdout)["error"]["status"] == 4
