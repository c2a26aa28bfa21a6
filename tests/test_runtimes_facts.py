import subprocess
from pathlib import Path

import pytest

from edgekd import plugins
from edgekd.runtimes import facts
from edgekd.runtimes.fault import Fault
from tests import plugged

PI = "processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd0b\n\nRevision\t: d04170\nModel\t\t: Raspberry Pi 5 Model B\n"


def test_facts_name_the_device_and_never_its_host(tmp_path: Path) -> None:
    found = facts.run({}, tmp_path)
    others = {name.replace("-", "_") for format in plugged.FORMATS for name in plugins.alternatives(format)}
    assert (set(found["runtimes"]) | set(found["missing"])) - others == set(plugged.FORMATS)
    assert not set(found["runtimes"]) & set(found["missing"])
    assert found["cores"] >= 1
    assert found["memory"] > 1 << 28
    assert len(found["fingerprint"]) == 64


def test_the_fingerprint_changes_with_the_device_and_not_with_the_day(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = facts.run({}, tmp_path)["fingerprint"]
    monkeypatch.setattr(facts.platform, "release", lambda: "99.0")
    monkeypatch.setattr(facts.platform, "node", lambda: "another-name")
    assert facts.run({}, tmp_path)["fingerprint"] == before
    monkeypatch.setattr(facts, "_processor", lambda: "another processor")
    assert facts.run({}, tmp_path)["fingerprint"] != before


def test_an_arm_board_is_called_by_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "text", lambda path: PI if path == Path("/proc/cpuinfo") else None)
    assert facts._processor() == "Raspberry Pi 5 Model B"
    monkeypatch.setattr(facts, "text", lambda path: PI.partition("\n\n")[0])
    assert facts._processor() == "ARM part 0xd0b"


def test_a_board_is_called_by_its_device_tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    monkeypatch.setattr(facts.sensors, "ROOT", tmp_path)
    assert facts._model() == "Raspberry Pi 5 Model B Rev 1.0"


def test_on_a_mac_facts_come_from_sysctl(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"hw.model": "Mac14,2", "machdep.cpu.brand_string": "Apple M2", "hw.memsize": "8589934592"}
    monkeypatch.setattr(facts.sys, "platform", "darwin")
    monkeypatch.setattr(facts, "text", lambda path: None)
    monkeypatch.setattr(
        facts.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 0, stdout=said[command[-1]] + "\n"),
    )
    monkeypatch.setattr(facts.os, "sysconf", lambda name: (_ for _ in ()).throw(ValueError(name)))
    assert (facts._model(), facts._processor(), facts._memory()) == ("Mac14,2", "Apple M2", 8 << 30)
    assert "coreml" not in facts.runtimes()[1] or "not installed" in facts.runtimes()[1]["coreml"]


def test_a_runtime_without_its_package_is_missing_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(package: str) -> str:
        raise facts.PackageNotFoundError(package)

    monkeypatch.setattr(facts, "version", none)
    installed, missing = facts.runtimes()
    assert installed == {}
    assert missing["tflite"].endswith("Run there: pip install ai-edge-litert")


@pytest.mark.parametrize("name", ["job", "nothing", "../x", "preprocess"])
def test_only_runtimes_are_declared(name: str) -> None:
    with pytest.raises(Fault, match="there is no runtime"):
        facts.declared(name)
    assert facts.declared("coreml")["PLATFORMS"] == ("darwin-arm64", "darwin-x86_64")


@pytest.mark.parametrize(
    ("system", "platforms", "why"),
    [
        ("linux", ("linux-x86_64",), ""),
        ("linux", (), ""),
        ("win32", ("linux-x86_64", "windows-amd64"), ""),
        ("linux", ("darwin-arm64", "darwin-x86_64"), "its runtime works on macOS only, and this is Linux"),
        ("win32", ("linux-x86_64", "darwin-arm64"), "its runtime works on Linux or macOS only, and this is Windows"),
        ("freebsd14", ("linux-x86_64",), "its runtime works on Linux only, and this is freebsd14"),
    ],
)
def test_a_runtime_is_refused_on_systems_that_it_does_not_name(
    monkeypatch: pytest.MonkeyPatch, system: str, platforms: tuple[str, ...], why: str
) -> None:
    monkeypatch.setattr(facts.sys, "platform", system)
    assert facts.elsewhere({"PLATFORMS": platforms}) == why
