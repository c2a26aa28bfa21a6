"""What a phone wrote is read with care, and stands in the report as measured there."""

import json
import os
from pathlib import Path

import pytest

from edgekd.commands import selftest
from edgekd.errors import UsageError
from edgekd.report.report import render
from edgekd.results import Report
from tests import synthetic


@pytest.fixture
def run(tmp_path: Path) -> Path:
    render(synthetic.report(), tmp_path)
    return tmp_path


def shipped() -> dict[str, str]:
    row = next(row for row in synthetic.report().rows if row.ships)
    assert row.artifact is not None
    return {"name": row.artifact.file.name, "sha256": row.artifact.file.sha256, "slug": "x"}


def said(**changes: object) -> dict[str, object]:
    page: dict[str, object] = {
        "schema_version": 1,
        "kind": "edgekd self-test",
        "app": "web",
        "created": "2026-11-23T10:00:00+01:00",
        "model": shipped(),
        "device": {
            "name": "Pixel 7",
            "system": "Android 14",
            "processor": "",
            "cores": 8,
            "memory": 2**33,
            "agent": "",
        },
        "runtime": {"name": "@litertjs/core", "version": "2.5.3"},
        "accelerator": {"used": "wasm", "threads": 2, "tried": [{"name": "webgpu", "kept": False, "why": "differs"}]},
        "passed": True,
        "checks": [
            {"what": "files", "passed": True, "why": ""},
            {"what": "decode", "passed": None, "why": "no canvas"},
        ],
        "difference": 1e-6,
        "tolerance": 0.01,
        "latency": {
            "protocol": "look",
            "seconds": [0.002, 0.003, 0.0025],
            "means": 4,
            "warmup": 9,
            "load": 0.1,
            "first": 0.01,
        },
    }
    return page | changes


def add(run: Path, page: object) -> selftest.Elsewhere:
    file = run / "selftest.json"
    file.write_text(page if isinstance(page, str) else json.dumps(page), encoding="utf-8")
    return selftest.add(run, read(run), file)


def read(run: Path) -> Report:
    return Report.model_validate_json((run / "report.json").read_text(encoding="utf-8"))


def test_it_becomes_a_row_that_was_measured_there(run: Path) -> None:
    found = add(run, said())
    (row,) = read(run).elsewhere
    assert row == found and row.app == "web" and row.accelerator == "wasm" and row.failed == ()
    assert row.unseen == ("decode: no canvas",) and row.created == "2026-11-23T09:00:00+00:00"
    latency, device = row.measurement.latency, row.measurement.device
    assert row.measurement.basis == "measured" and latency is not None and device is not None
    assert (latency.p50, latency.threads, latency.inferences) == (0.0025, 2, 12)
    assert not latency.stable and "one session of 12 inferences" in latency.why
    assert device.name == "Pixel 7" and device.cores == 8 and device.system == "Android 14, wasm"
    assert row.replayed is not None and row.replayed.passed
    page = (run / "report.md").read_text(encoding="utf-8")
    assert "on Pixel 7 (web app)" in page and "2.5 ms" in page


def test_a_failed_check_stands_in_the_report(run: Path) -> None:
    checks = [{"what": "decode turned.jpg", "passed": False, "why": "off by <b>200</b> levels"}]
    found = add(run, said(passed=False, checks=checks, latency=None, difference=None))
    assert found.failed == ("decode turned.jpg: off by <b>200</b> levels",) and found.replayed is None
    assert found.measurement.basis == "not measured" and "a check failed" in found.measurement.why
    assert "self-test FAILED" in (run / "report.md").read_text(encoding="utf-8")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "off by &lt;b&gt;200" in page and "off by <b>" not in page


def test_seconds_of_an_emulated_device_are_no_measurement(run: Path) -> None:
    device = {"name": "Raspberry Pi 4", "system": "Debian", "cores": 4, "emulated": "qemu-aarch64-static"}
    found = add(run, said(device=device))
    assert found.measurement.basis == "not measured" and found.measurement.latency is None
    assert found.measurement.why == "its programs run in qemu-aarch64-static, whose seconds are no device's"
    assert found.replayed is not None and found.replayed.passed, "what it computes counts"


def test_what_it_says_cannot_command_a_terminal(run: Path) -> None:
    device = {"name": "\x1b[31mPixel\n7" + "x" * 200, "system": "", "processor": "", "cores": 1, "memory": None}
    found = add(run, said(device=device))
    assert found.measurement.device is not None
    assert found.measurement.device.name.startswith("[31mPixel7") and len(found.measurement.device.name) == 80


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (said(kind="something else"), "kind: Input should be 'edgekd self-test'"),
        (said(created="2026-11-23T10:00:00"), "created: Input should have timezone info"),
        (said(passed=False), "passed: is not what its checks say"),
        (said(checks=[]), "checks: Tuple should have at least 1 item"),
        (said(model={"name": "m", "sha256": "0" * 64}), "is of the file m 000000000000, and this run shipped"),
        (said(model={"name": "m", "sha256": "../../x"}), "model.sha256: String should match pattern"),
        (
            said(latency={"protocol": "look", "seconds": [0.1, -1.0]}),
            "latency.seconds.1: Input should be greater than 0",
        ),
        (
            said(latency={"protocol": "look", "seconds": [0.1] * 5001}),
            "latency.seconds: Tuple should have at most 5000",
        ),
        ("{", "Invalid JSON"),
        (" " * (selftest.LARGEST + 1), "is larger than 1 MiB"),
    ],
)
def test_what_is_no_self_test_of_this_run_is_refused(run: Path, page: object, message: str) -> None:
    before = (run / "report.json").read_bytes()
    with pytest.raises(UsageError, match=message.replace("(", "\\(")):
        add(run, page)
    assert (run / "report.json").read_bytes() == before


def test_the_same_file_is_added_once(run: Path) -> None:
    add(run, said())
    with pytest.raises(UsageError, match="is in the report already"):
        add(run, said())
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        selftest.add(run, read(run), run / "nothing.json")


def test_without_a_clock_the_time_of_the_file_counts(run: Path, tmp_path: Path) -> None:
    page = said(app="micro")
    del page["created"]
    (tmp_path / "selftest.json").write_text(json.dumps(page))
    os.utime(tmp_path / "selftest.json", (1.8e9, 1.8e9))
    report = Report.model_validate_json((run / "report.json").read_text())
    assert selftest.add(run, report, tmp_path / "selftest.json").created == "2027-01-15T08:00:00+00:00"
