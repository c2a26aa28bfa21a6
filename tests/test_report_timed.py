"""A measurement in words, as `edgekd bench` prints it."""

import pytest

from edgekd.cli.bench import show
from edgekd.commands.bench import Benched
from edgekd.conditions import Energy
from edgekd.report import timed
from edgekd.results import Latency, Measurement
from edgekd.timing.measurement import measurement
from edgekd.timing.protocols import PROTOCOLS
from edgekd.timing.sessions import Taken
from tests.sessions import NOWHERE, session
from tests.synthetic import DEVICE

MEMORY = {"memory": 3 << 20, "why": "", "arena": None, "arena_why": "it does not tell"}


def measured(**more: object) -> Measurement:
    told = tuple(session(seed=i, **more) for i in range(4))
    return measurement(DEVICE, 1, PROTOCOLS["quick"], Taken(kept=told), MEMORY)


def latency(found: Measurement) -> Latency:
    assert found.latency is not None
    return found.latency


def test_bench_shows_intervals_noise_verdict_and_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    show(Benched(artifact="a.onnx", format="onnx", size=2048, inputs="samples", measurement=measured()))
    said = capsys.readouterr().out
    lines = {line.split("  ")[0]: line for line in said.splitlines()}
    assert "1 thread(s), quick: 4 sessions, 800 inferences in 4 s" in said
    for name in ("p50", "p90", "p99", "quiet"):
        assert "s (" in lines[name] and " to " in lines[name]
    assert "at most" in lines["p90"]
    assert lines["verdict"].endswith("stable")
    assert "(the file against itself; a smaller difference is none)" in lines["noise floor"]
    assert lines["temperature"].endswith("45 °C before, 45 °C after")
    assert lines["throttled"].endswith("no before, no after")
    assert lines["arena"].endswith("not known: it does not tell")
    assert "3 MiB" in lines["memory"] and "note: inputs: samples" in said


def test_an_unstable_one_says_why_and_what_is_not_known_is_said() -> None:
    assert timed.verdict(latency(measured(after={"steal": 0.2}))).startswith("unstable: 4 of 4 sessions were disturbed")
    unknown = NOWHERE | dict.fromkeys(("steal", "waited", "busy"))
    around = measured(rest=NOWHERE, before=unknown, after=unknown, affinity=None).conditions
    assert around is not None
    told = dict(timed.circumstances(around))
    for name in ("governor", "clock", "temperature", "other programs"):
        assert told[name] == timed.UNKNOWN
    assert told["throttled"] == "not known before, not known after"
    assert told["steal"].startswith("not known")


def test_energy_is_told_with_its_meter_or_the_reason() -> None:
    assert timed.energy(None).startswith("not measured")
    assert timed.energy(Energy(why="no meter")) == "not measured: no meter"
    found = Energy(joules=0.00312, idle=2.0, busy=5.0, rate=990.0, inferences=800, source="ina226 (hwmon)")
    assert timed.energy(found) == "3.12 mJ over idle (ina226 (hwmon), 800 inferences)"


def test_a_soak_is_minute_one_against_the_last() -> None:
    minutes = tuple(
        {"runs": 9, "latencies": session(latency=1e-3 * k, seed=k)["latencies"], "after": {}} for k in (1, 2)
    )
    taken = Taken(kept=tuple(session(seed=i) for i in range(4)), minutes=minutes)
    found = measurement(DEVICE, 1, PROTOCOLS["soak"], taken, MEMORY).latency
    assert found is not None and found.soak is not None
    assert timed.soak(found.soak).startswith("p90 1.0")
    assert "from minute 1 to 2: 2.0" in timed.soak(found.soak) or "from minute 1 to 2: 1.9" in timed.soak(found.soak)
