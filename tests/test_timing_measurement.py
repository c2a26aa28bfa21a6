"""What sessions say together: numbers, verdict with its reason, conditions."""

from typing import Any

import pytest

from edgekd.results import Measurement
from edgekd.timing.measurement import measurement
from edgekd.timing.protocols import PROTOCOLS
from edgekd.timing.sessions import Taken
from tests.sessions import NOWHERE, session
from tests.synthetic import DEVICE

QUICK, REPORTABLE = PROTOCOLS["quick"], PROTOCOLS["reportable"]
MEMORY = {"memory": 5, "why": "", "arena": None, "arena_why": "it does not tell"}


def of(*told: dict[str, Any], protocol: Any = QUICK, **more: Any) -> Measurement:
    return measurement(DEVICE, 1, protocol, Taken(kept=told, **more), MEMORY)


def four(**more: Any) -> list[dict[str, Any]]:
    return [session(seed=i, **more) for i in range(4)]


def test_quiet_sessions_are_stable_and_say_nothing() -> None:
    found = of(*four())
    latency, around = found.latency, found.conditions
    assert latency is not None and around is not None
    assert latency.stable and latency.why == ""
    assert (latency.inferences, latency.seconds, latency.protocol) == (800, 4.0, "quick")
    assert set(latency.intervals) == {"quiet", "p50", "p90", "p99"}
    for name, interval in latency.intervals.items():
        assert interval.low <= interval.value == getattr(latency, name) <= interval.high
    assert latency.p90 <= latency.p90_high == latency.bound
    assert latency.noise is not None and latency.noise.quiet.low < 1 < latency.noise.quiet.high
    assert 0 < latency.floor < 0.05
    assert (around.before.temperature, around.after.frequency, around.governor) == (45.0, 1.8e9, "performance")
    assert (around.steal, around.pressure, around.others, around.affinity) == (0.0, 0.0, 0.0, (0, 1))
    assert (found.memory, found.arena_why) == (5, "it does not tell")


def test_what_the_device_does_not_tell_is_none() -> None:
    unknown = NOWHERE | dict.fromkeys(("steal", "waited", "busy"))
    found = of(*four(rest=NOWHERE, before=unknown, after=unknown, affinity=None)).conditions
    assert found is not None
    assert (found.steal, found.pressure, found.others, found.affinity) == (None,) * 4
    assert (found.hottest, found.slowest, found.governor, found.before.throttled) == (None,) * 4


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"after": {"waited": 0.4}}, "4 of 4 sessions were disturbed, also when they were repeated: processes waited"),
        ({"after": {"steal": 0.1}}, "the hypervisor took 10 % of the time"),
        ({"after": {"busy": 12.0}}, "other programs kept 1.0 cores busy"),
        ({"after": {"frequency": 1e9}}, "the clock fell from 1.80 to 1.00 GHz"),
    ],
)
def test_disturbed_sessions_make_it_unstable_with_the_reason(change: dict[str, Any], why: str) -> None:
    latency = of(*four(**change)).latency
    assert latency is not None and not latency.stable
    assert why in latency.why


def test_sessions_that_differ_and_a_long_tail_make_it_unstable() -> None:
    apart = of(*four()[:3], session(latency=1.5e-3)).latency
    assert apart is not None and not apart.stable and "the median varies" in apart.why
    late = four()
    for told in late:
        told["latencies"] = [value * (12 if i % 5 == 0 else 1) for i, value in enumerate(told["latencies"])]
    tail = of(*late).latency
    assert tail is not None and not tail.stable and "times p50" in tail.why


def test_where_every_session_was_refused_nothing_was_measured() -> None:
    found = of(refused=("under-voltage",) * 2, given_up=True)
    assert (found.basis, found.latency) == ("not measured", None)
    assert found.why == (
        "every session was refused: under-voltage. Then use the board's own power supply and a short cable"
    )


def test_refused_sessions_that_leave_too_few_make_it_unstable_and_others_are_told() -> None:
    few = of(*four()[:2], refused=("throttled",) * 3, given_up=True).latency
    assert few is not None and not few.stable and few.noise is None
    assert "2 of 4 sessions are left, others were refused: throttled" in few.why
    enough = of(*four(), refused=("throttled",), repeated=("the clock fell",)).latency
    assert enough is not None and enough.stable
    assert enough.why == "one session was taken again: the clock fell; one session was refused: throttled"


def test_what_to_know_is_said() -> None:
    odd = {"batch": 4, "settled": False, "rested": False, "notes": {"fallback": "it computes in f32"}}
    latency = of(*four(**odd), protocol=REPORTABLE).latency
    assert latency is not None and latency.stable
    assert latency.why == (
        "800 inferences only, because each takes long; it computes in f32; one inference takes 4 samples; "
        "4 of 4 warm-ups did not settle; the device was warmer than at first before 4 of 4 sessions"
    )


def test_means_of_several_runs_are_told_as_such() -> None:
    latency = of(*four(notes={"means": 20, "resolution": 1e-4})).latency
    assert latency is not None and latency.stable
    assert latency.why == "latencies are means of up to 20 inferences in a row, since the clock there steps by 0.0001 s"


def test_a_soak_compares_the_last_minute_with_the_first_and_budgets_are_held_against_it() -> None:
    def minute(latency: float, seed: int, **after: Any) -> dict[str, Any]:
        told = session(latency=latency, seed=seed, runs=400)
        return {"runs": 9000, "latencies": told["latencies"], "after": told["after"] | after}

    minutes = [minute(1e-3, 0), minute(1.1e-3, 1), minute(1.2e-3, 2, temperature=80.0, throttled=["throttled"])]
    latency = of(*four(), minutes=tuple(minutes)).latency
    assert latency is not None and latency.soak is not None
    ratio = latency.soak.slowdown
    assert ratio.low < 1.2 < ratio.high and ratio.value == pytest.approx(1.2, abs=0.02)
    assert latency.bound == pytest.approx(latency.p90_high * ratio.high)
    assert [one.temperature for one in latency.soak.minutes] == [45.0, 45.0, 80.0]
    assert latency.soak.why == "the device was held back: throttled"
