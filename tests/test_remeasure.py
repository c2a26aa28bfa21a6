"""Budgets held against new measurements: on one device, on several, and which bundle each board of a fleet gets."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgekd.commands import junit, remeasure
from edgekd.commands.fleet import read_fleet, read_here
from edgekd.commands.remeasure import Board, Served
from edgekd.errors import DeviceError, UsageError
from edgekd.results import Measurement
from edgekd.runtimes import digests
from edgekd.spec import Budget, Device
from tests.test_bundle import written
from tests.test_certificate import timed

HERE = Device()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("made"), images=False)


def certified(made: Path, folder: Path, accuracy: float, limit: float | None = 2e-3) -> Path:
    """A bundle with this accuracy and latency budget in its certificate."""
    shutil.copytree(made, folder)
    page = json.loads((folder / "certificate.json").read_text())
    page["budget"] = {"max_latency": limit}
    page["accuracy"] = {"value": accuracy, "low": accuracy, "high": accuracy}
    (folder / "certificate.json").write_text(json.dumps(page))
    digests.record(folder)
    return folder


@pytest.fixture
def bundles(made: Path, tmp_path: Path) -> tuple[Path, Path]:
    return certified(made, tmp_path / "small", 0.8), certified(made, tmp_path / "large", 0.9)


class Devices:
    """Made-up devices: how long each bundle takes there; what is not known is not reached."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> None:
        self.seconds, self.asked = seconds, list[str]()
        monkeypatch.setattr(remeasure, "measure", self.measure)

    def measure(self, subjects, reached, how) -> list[Measurement]:
        (one,) = subjects
        self.asked.append(one.model.parent.name)
        if one.model.parent.name not in self.seconds:
            raise DeviceError("no route \x1b[31mto host")
        return [timed(self.seconds[one.model.parent.name])]


def ask(boards: tuple[Board, ...], every: bool = True) -> tuple[Served, ...]:
    return remeasure.remeasure(boards, "quick", every, lambda done, text: None)


@pytest.mark.parametrize(("seconds", "verdict"), [(1e-3, "holds"), (3e-3, "broken"), (None, "inconclusive")])
def test_the_certified_budget_is_held_against_a_new_measurement(
    bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, seconds: float | None, verdict: str
) -> None:
    Devices(monkeypatch, {} if seconds is None else {"small": seconds})
    (served,) = ask(read_here([HERE], bundles[:1]))
    (again,) = served.tried
    assert served.verdict == again.verdict == verdict
    assert ("no route" in again.terms[0].why) == (seconds is None)


def test_all_bundles_are_measured_and_the_worst_verdict_is_that_of_the_device(
    bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = Devices(monkeypatch, {"small": 1e-3, "large": 5e-3})
    (served,) = ask(read_here([HERE], bundles))
    assert devices.asked == ["large", "small"] and served.verdict == "broken" and not served.gets
    assert [one.verdict for one in served.tried] == ["broken", "holds"]


def test_a_board_gets_the_most_accurate_bundle_that_holds_its_own_budget(
    bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = Devices(monkeypatch, {"small": 1e-3, "large": 5e-3})
    fast, slow = (
        Board(name=name, device=HERE, budget=Budget(max_latency=limit), bundles=bundles)
        for name, limit in (("fast", 10e-3), ("slow", 2e-3))
    )
    served = ask((fast, slow), every=False)
    assert [one.gets.rpartition("/")[2] for one in served] == ["large", "small"]
    assert {one.verdict for one in served} == {"holds"} and len(served[0].tried) == 1
    (none,) = ask((slow.model_copy(update={"budget": Budget(max_latency=1e-4)}),), every=False)
    assert none.verdict == "broken" and not none.gets and len(none.tried) == 2
    assert devices.asked.count("small") == 2


def test_nothing_is_measured_for_a_mistake(
    made: Path, bundles: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = Devices(monkeypatch, {})
    free = certified(made, tmp_path / "free", 0.8, None)
    (bundles[0] / "labels.txt").write_text("x\n")
    (bundles[1] / "certificate.json").unlink()
    with pytest.raises(UsageError) as found:
        ask(read_here([HERE], (*bundles, free)))
    said = str(found.value)
    for words in ("is not what was written", "certificate.json: cannot be read", "has no budget that this-computer"):
        assert words in said
    assert not devices.asked


def test_a_device_that_was_not_reached_holds_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = certified(made, tmp_path / "sized", 0.8, None)
    page = json.loads((folder / "certificate.json").read_text())
    page["budget"] = {"max_size": 10**9}
    (folder / "certificate.json").write_text(json.dumps(page))
    digests.record(folder)
    devices = Devices(monkeypatch, {})
    (served,) = ask(read_here([HERE], [folder]))
    assert served.verdict == "inconclusive" and served.tried[0].terms[0].verdict == "holds"
    devices.seconds["sized"] = 1.0
    assert ask(read_here([HERE], [folder]))[0].verdict == "holds"


def test_it_is_timed_by_the_runtime_and_threads_of_its_certificate(
    bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = json.loads((bundles[0] / "certificate.json").read_text())
    page |= {"runtime": "tflite_runtime 2.14.0", "threads": 3}
    (bundles[0] / "certificate.json").write_text(json.dumps(page))
    digests.record(bundles[0])
    asked = []
    monkeypatch.setattr(remeasure, "measure", lambda subjects, reached, how: [asked.append(how) or timed()])
    ask(read_here([HERE], bundles))
    assert {(how.runtime, how.threads) for how in asked} == {("tflite_runtime", 3), ("", 1)}


def test_what_was_measured_becomes_junit(
    bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Devices(monkeypatch, {"large": 5e-3})
    junit.write(ask(read_here([HERE], bundles)), tmp_path / "out.xml")
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()[0]
    assert suite.attrib == {"name": "this-computer", "tests": "2", "failures": "1", "errors": "1"}
    failure, error = (case[0] for case in suite)
    assert (failure.tag, error.tag) == ("failure", "error")
    assert failure.attrib["message"].startswith("broken: latency: 5.") and "no route" in error.attrib["message"]


FLEET = """
[[board]]
name = "kitchen"
at = "pi@kitchen.local"
card = "raspberry-pi-5"
max_latency = "20ms"
bundles = ["one", "two"]
[[board]]
name = "desk"
card = "this-computer"
"""


def test_a_fleet_file_names_boards_budgets_and_bundles(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text(FLEET)
    kitchen, desk = read_fleet(tmp_path / "fleet.toml", [Path("run/tflite")])
    assert (kitchen.device.name, kitchen.device.address) == ("raspberry-pi-5", "pi@kitchen.local")
    assert kitchen.budget == Budget(max_latency=0.02) and kitchen.bundles == (tmp_path / "one", tmp_path / "two")
    assert desk.device == HERE and desk.budget is None and desk.bundles == (Path("run/tflite"),)


def test_all_mistakes_of_a_fleet_file_are_told_at_once(tmp_path: Path) -> None:
    page = '[[board]]\nmax_latency = 20\nspeed = 1\nat = 3\n[[board]]\nname = "a"\nat = "-oProxyCommand=x"\n[bord]\n'
    (tmp_path / "fleet.toml").write_text(page)
    with pytest.raises(UsageError) as found:
        read_fleet(tmp_path / "fleet.toml", [])
    said = str(found.value)
    for words in (
        "bord: is not known here", "speed: is not known here", "a board needs a name", "20 has no unit",
        "3 must be text in quotes", "there is no bundle for it", "'-oProxyCommand=x' is no address of a",
    ):  # fmt: skip
        assert words in said, said
    (tmp_path / "fleet.toml").write_text("")
    with pytest.raises(UsageError, match=r"has no \[\[board\]\]"):
        read_fleet(tmp_path / "fleet.toml", [])
    twice = '[[board]]\nname = "a"\ncard = "this-computer"\nbundles = ["x"]\n'
    (tmp_path / "fleet.toml").write_text(2 * twice)
    with pytest.raises(UsageError, match="two boards are called 'a'"):
        read_fleet(tmp_path / "fleet.toml", [])
