"""What spoils a session: a throttled device, for which it is refused, and other work, for which it is repeated."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgekd.timing.protocols import Answer

# From these shares of a session's time on others disturbed it, if it was so for longer than what clocks can resolve.
WAITING, STOLEN, RESOLVED = 0.10, 0.02, 0.03
# Cores that other programs kept busy, and the share by which the clock fell, from which on they are a disturbance.
OTHERS, SLOWER = 0.25, 0.10
ADVICE = {
    "under-voltage": "use the board's own power supply and a short cable",
    "clock capped": "cool the device, and look at its power supply",
    "throttled": "cool the device, and look at its power supply",
    "soft temperature limit": "cool the device",
}


def refusal(told: Answer) -> str:
    """Why a session's device was not itself (throttled, under-voltage), so that it counts for nothing; else empty."""
    rest, before, after = told["rest"], told["before"], told["after"]
    now = {name for one in (rest, before, after) for name in one.get("throttled") or ()}
    new = set(after.get("occurred") or ()) - set(rest.get("occurred") or ())
    found = [name for name in ADVICE if name in now | new]
    counted = (rest.get("throttlings"), after.get("throttlings"))
    if not found and None not in counted and counted[1] > counted[0]:
        found = ["throttled"]
    ceilings = [one["ceiling"] for one in (rest, before, after) if one.get("ceiling") is not None]
    if not found and len(ceilings) == 3 and min(ceilings) < ceilings[0]:
        found = ["clock capped"]
    return ", ".join(found)


def advice(reasons: Sequence[str]) -> str:
    """What to do about the reasons of refusals."""
    words = dict.fromkeys(text for name, text in ADVICE.items() if any(name in reason for reason in reasons))
    return "; ".join(words)


def disturbance(told: Answer) -> str:
    """What others did to a session, in words; empty where nothing is known against it."""
    return "; ".join(_disturbances(told))


def _disturbances(told: Answer) -> Iterator[str]:
    seconds, before, after = told["seconds"], told["before"], told["after"]
    found = shares([told])
    if found["waited"] > WAITING and found["waited"] * seconds > RESOLVED:
        yield f"processes waited for a core {100 * found['waited']:.0f} % of the time"
    if found["steal"] > STOLEN and found["steal"] * seconds > RESOLVED:
        yield f"the hypervisor took {100 * found['steal']:.0f} % of the time"
    if found["others"] > OTHERS and found["others"] * seconds > RESOLVED:
        yield f"other programs kept {found['others']:.1f} cores busy"
    if told.get("notes", {}).get("hidden"):
        yield "the page was not in front"
    clocks = before.get("frequency"), after.get("frequency")
    if None not in clocks and clocks[1] < clocks[0] * (1 - SLOWER):
        yield f"the clock fell from {clocks[0] / 1e9:.2f} to {clocks[1] / 1e9:.2f} GHz"


def shares(sessions: Sequence[Answer]) -> dict[str, float]:
    """Of the time of all these sessions: what was `waited` and stolen (`steal`), and cores busy for `others`.

    Zero where the device does not tell; `unknown` says so.
    """
    seconds = sum(session["seconds"] for session in sessions)
    found = {
        "waited": sum(_passed(one, "waited") for one in sessions) / seconds,
        "steal": sum(_passed(one, "steal") for one in sessions) / seconds,
    }
    others = [_passed(one, "busy") - _passed(one, "own") for one in sessions if known(one, "busy")]
    return found | {"others": max(0.0, sum(others) / seconds)}


def known(told: Answer, name: str) -> bool:
    """Whether the device counts this."""
    return _value(told["before"], name) is not None and _value(told["after"], name) is not None


def _passed(told: Answer, name: str) -> float:
    before, after = _value(told["before"], name), _value(told["after"], name)
    return after - before if before is not None and after is not None else 0.0


def _value(reading: Mapping[str, Any], name: str) -> float | None:
    value: float | None = reading.get(name)
    return value
