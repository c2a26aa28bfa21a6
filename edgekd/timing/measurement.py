"""What the sessions and the memory process of one artifact say together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgekd.conditions import Conditions, Energy, Minute, Noise, Ratio, Reading, Soak
from edgekd.results import DeviceFacts, Interval, Latency, Measurement
from edgekd.statistics import QUANTILES, Spread, Values, noise_floor, spread
from edgekd.timing.disturbances import advice, disturbance, known, shares
from edgekd.timing.protocols import Answer, Protocol
from edgekd.timing.sessions import Taken

# Sessions that an A/A comparison takes at least.
HALVES = 4


def measurement(
    facts: DeviceFacts, threads: int, protocol: Protocol, taken: Taken, memory: Answer, energy: Answer | None = None
) -> Measurement:
    """Latency, memory and conditions of one artifact; not measured where every session was refused."""
    if not taken.kept:
        why = f"every session was refused: {'; '.join(dict.fromkeys(taken.refused))}. Then {advice(taken.refused)}"
        return Measurement(basis="not measured", device=facts, why=why.removesuffix(". Then "), refused=True)
    return Measurement(
        basis="measured",
        device=facts,
        latency=_latency(threads, protocol, taken),
        memory=memory["memory"],
        arena=memory.get("arena"),
        arena_why=memory.get("arena_why", ""),
        energy=None if energy is None else Energy(**energy),
        conditions=conditions(facts, threads, taken),
        why=memory.get("why", ""),
    )


def _latency(threads: int, protocol: Protocol, taken: Taken) -> Latency:
    told = taken.kept
    sessions = [np.asarray(session["latencies"]) for session in told]
    found = spread(sessions)
    spans = found.spans
    unstable = [*_instabilities(protocol, taken, found)]
    return Latency(
        sessions=tuple(tuple(session["latencies"]) for session in told),
        warmup_runs=min(session["warmup"] for session in told),
        threads=threads,
        load=float(np.median([session["load"] for session in told])),
        first=float(np.median([session["first"] for session in told])),
        p50=spans["p50"].value,
        p90=spans["p90"].value,
        p90_high=spans["p90"].most,
        p99=spans["p99"].value,
        quiet=spans["quiet"].value,
        intervals={name: Interval(value=span.value, low=span.low, high=span.high) for name, span in spans.items()},
        protocol=protocol.name,
        inferences=sum(session["runs"] * session["stride"] for session in told),
        seconds=sum(session["seconds"] for session in told),
        noise=noise(sessions),
        soak=_soak(taken.minutes),
        stable=not unstable,
        why="; ".join((*unstable, *_remarks(protocol, taken))),
    )


def noise(sessions: Sequence[Values]) -> Noise | None:
    """The A/A noise floor, None where there are too few sessions for two halves."""
    if len(sessions) < HALVES:
        return None
    found = {name: noise_floor(sessions, QUANTILES[name]) for name in ("quiet", "p90")}
    return Noise(**{name: Ratio(value=value, low=low, high=high) for name, (value, low, high) in found.items()})


def conditions(facts: DeviceFacts, threads: int, taken: Taken) -> Conditions:
    """What surrounded the sessions that count."""
    told = taken.kept
    share, first = shares(told), told[0]
    readings = [session[when] for session in told for when in ("before", "after")]
    hot = [one["temperature"] for one in readings if one.get("temperature") is not None]
    clocks = [one["frequency"] for one in readings if one.get("frequency") is not None]
    return Conditions(
        runtime=first["runtime"],
        version=first["version"],
        kernel=first["kernel"],
        model=facts.model,
        threads=threads,
        affinity=tuple(first["affinity"]) if first["affinity"] is not None else None,
        nice=first["nice"],
        governor=first["before"].get("governor"),
        precision=first["notes"].get("precision"),
        before=_reading(first["before"]),
        after=_reading(told[-1]["after"]),
        hottest=max(hot, default=None),
        slowest=min(clocks, default=None),
        pressure=share["waited"] if known(first, "waited") else None,
        steal=share["steal"] if known(first, "steal") else None,
        others=share["others"] if known(first, "busy") else None,
        waited=sum(session["waited"] for session in told),
        sessions=len(told),
        repeated=taken.repeated,
        refused=taken.refused,
    )


def _reading(told: Mapping[str, Any]) -> Reading:
    return Reading(**{name: value for name, value in told.items() if name in Reading.model_fields})


def _soak(minutes: Sequence[Answer]) -> Soak | None:
    """Every minute, and the last against the first: quarters of both are told apart, as if they were sessions."""
    if len(minutes) < 2:
        return None
    found = []
    for minute in minutes:
        quantiles = np.quantile(minute["latencies"], (QUANTILES["quiet"], 0.5, 0.9))
        values = {name: float(value) for name, value in zip(("quiet", "p50", "p90"), quantiles, strict=True)}
        after = minute["after"]
        sensors = {"temperature": after.get("temperature"), "frequency": after.get("frequency")}
        found.append(Minute(runs=minute["runs"], **values, **sensors))
    first, last = (np.array_split(np.asarray(minute["latencies"]), 4) for minute in (minutes[0], minutes[-1]))
    woven = [part for pair in zip(first, last, strict=True) for part in pair]
    value, low, high = noise_floor(woven, QUANTILES["p90"])
    held = [name for minute in minutes for name in minute["after"].get("throttled") or ()]
    why = f"the device was held back: {', '.join(dict.fromkeys(held))}" if held else ""
    return Soak(minutes=tuple(found), slowdown=Ratio(value=value, low=low, high=high), why=why)


def _instabilities(protocol: Protocol, taken: Taken, found: Spread) -> Iterator[str]:
    """Why a latency is not to be relied on: sessions that differ or are missing, a long tail, other work."""
    if found.why:
        yield found.why
    disturbed = [text for text in map(disturbance, taken.kept) if text]
    if disturbed:
        some = f"{len(disturbed)} of {len(taken.kept)} sessions were disturbed, also when they were repeated"
        yield f"{some}: {_worst(taken.kept)}"
    if taken.given_up:
        reasons = "; ".join(dict.fromkeys(taken.refused))
        yield f"{len(taken.kept)} of {protocol.sessions} sessions are left, others were refused: {reasons}"


def _worst(told: Sequence[Answer]) -> str:
    """What is said of the most disturbed session."""
    return max(map(disturbance, told), key=len)


def _remarks(protocol: Protocol, taken: Taken) -> Iterator[str]:
    """What to know about a latency: too few runs, a batch, a warm-up that never settled, a device that stayed warm."""
    told = taken.kept
    runs = sum(session["runs"] * session["stride"] for session in told)
    if runs < protocol.inferences:
        yield f"{runs} inferences only, because each takes long"
    for remark in ("fallback", "summary"):
        if remark in told[0].get("notes", {}):
            yield str(told[0]["notes"][remark])
    means = max(session.get("notes", {}).get("means", 1) for session in told)
    if means > 1:
        step = told[0]["notes"]["resolution"]
        yield f"latencies are means of up to {means} inferences in a row, since the clock there steps by {step:g} s"
    if told[0]["batch"] != 1:
        yield f"one inference takes {told[0]['batch']} samples"
    restless = sum(not session["settled"] for session in told)
    if restless:
        yield f"{restless} of {len(told)} warm-ups did not settle"
    warm = sum(not session["rested"] for session in told)
    if warm:
        yield f"the device was warmer than at first before {warm} of {len(told)} sessions"
    if taken.repeated:
        yield f"{_sessions(len(taken.repeated))} taken again: {'; '.join(dict.fromkeys(taken.repeated))}"
    if taken.refused and not taken.given_up:
        yield f"{_sessions(len(taken.refused))} refused: {'; '.join(dict.fromkeys(taken.refused))}"


def _sessions(count: int) -> str:
    return "one session was" if count == 1 else f"{count} sessions were"
