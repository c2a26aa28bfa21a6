from pathlib import Path

import pytest

from edgekd.errors import UsageError
from edgekd.spec import Choice, Device
from edgekd.stages import probe
from edgekd.steps import Probe
from edgekd.workspace import Workspace


def test_probe_gives_the_facts_of_this_computer(tmp_path: Path) -> None:
    out = Workspace(tmp_path, tmp_path, "ab")
    facts = probe.run(Probe(device=Device()), out)
    assert facts.name == f"this computer ({facts.processor})"
    assert facts.runtimes
    assert probe.run(Probe(device=Device()), out).fingerprint == facts.fingerprint


def test_an_unknown_way_to_reach_a_device_is_named(tmp_path: Path) -> None:
    step = Probe(device=Device(reach=Choice(name="telepathy")))
    with pytest.raises(UsageError, match="there is no 'telepathy' among devices"):
        probe.run(step, Workspace(tmp_path, tmp_path, "ab"))
