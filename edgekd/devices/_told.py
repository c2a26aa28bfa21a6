"""What a browser's page says, in the words that the other devices have."""

import hashlib
import json
from typing import Any

from ua_parser import parse

from edgekd import units
from edgekd.devices import _npm

UNISOLATED = "the page is not isolated, which takes https; write --https"
NO_MEMORY = "a browser does not tell the memory that one model takes"
# What needs no browser to be answered, since none can.
UNKNOWN: dict[str, dict[str, Any]] = {
    "memory": {"memory": None, "why": NO_MEMORY, "arena": None, "arena_why": NO_MEMORY},
    "energy": {"joules": None, "why": "a browser has no power meter"},
    "profile": {"operators": None, "why": "the runtimes in browsers do not tell where operators run"},
}
LACKING = ("coreml", "executorch", "openvino")
NOWHERE = "there is no runtime of such files for browsers"
UNFETCHED = "its runtime for browsers has not been fetched. Run: edgekd doctor --at browser --provision"


def facts(told: dict[str, Any], accelerator: str) -> dict[str, Any]:
    """Facts of a browser as runtimes/facts.py gives those of a computer; `name` is what people call it.

    Where the page is not secure (plain http beyond this computer) a browser hides its device's model and memory.
    """
    browser, system, model = _who(told)
    runtimes = {name: f"{accelerator}-{version}" for name, version in _npm.versions().items()}
    identity = (told.get("agent"), told.get("data"), told.get("cores"), told.get("screen"), told.get("isolated"))
    page = f"{'isolated' if told.get('isolated') else 'not isolated'}, up to {told.get('threads', 1)} thread(s)"
    return {
        "fingerprint": hashlib.sha256(json.dumps([*identity, accelerator], sort_keys=True).encode()).hexdigest(),
        "name": f"{browser} on {' '.join(dict.fromkeys((model or system, system)))}",
        "model": model,
        "system": f"{system}, {browser}, {accelerator}, page {page}",
        "processor": "",
        "cores": int(told.get("cores") or 1),
        "memory": int(float(told.get("memory") or 0) * 2**30),
        "python": "",
        "runtimes": runtimes,
        "missing": {**dict.fromkeys(LACKING, NOWHERE), **dict.fromkeys(_npm.unfetched(), UNFETCHED)},
        "governor": None,
        "temperature": None,
    }


def _who(told: dict[str, Any]) -> tuple[str, str, str]:
    """Browser, system and model of the device, as far as they are told."""
    found, data = parse(str(told.get("agent", ""))), told.get("data") or {}
    browser = " ".join(filter(None, (found.user_agent.family, found.user_agent.major))) if found.user_agent else ""
    system = " ".join(filter(None, (found.os.family, found.os.major))) if found.os else ""
    if data.get("platform"):
        system = f"{data['platform']} {str(data.get('platformVersion') or '').split('.')[0]}".strip()
    family = found.device.family if found.device else ""
    model = str(data.get("model") or "") or (family if family not in ("Other", "K", "Generic Smartphone") else "")
    return units.plain(browser) or "a browser", units.plain(system) or "an unknown system", units.plain(model)


def predicted(answer: dict[str, Any], count: int) -> dict[str, Any]:
    """The answer of `predict`, but for runtime and files."""
    return {"count": count, "seconds": float(answer["seconds"]), "batch": 1, "notes": {}}


def clocked(answer: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The answer of `clock`, but for the runtime. What a browser cannot tell is None."""
    notes: dict[str, Any] = {"means": int(answer["means"]), "resolution": float(answer["resolution"])}
    if answer.get("hidden"):
        notes["hidden"] = True
    same = {
        "kernel": _who(told)[1],
        "affinity": None,
        "nice": None,
        "load": float(answer["load"]),
        "first": float(answer["first"]),
        "warmup": int(answer["warmup"]),
        "settled": bool(answer["settled"]),
        "batch": 1,
        "notes": notes,
        "waited": 0.0,
        "rested": True,
        "rest": {},
    }
    if "minutes" in answer:
        return {**same, "minutes": [_minute(one) for one in answer["minutes"]]}
    return {
        **same,
        "runs": int(answer["runs"]),
        "stride": int(answer["stride"]),
        "latencies": _seconds(answer["latencies"]),
        "seconds": float(answer["seconds"]),
        "switches": 0,
        "before": _reading(answer.get("before")),
        "after": _reading(answer.get("after")),
    }


def _minute(told: dict[str, Any]) -> dict[str, Any]:
    return {"runs": int(told["runs"]), "latencies": _seconds(told["latencies"]), "after": {}}


def _seconds(told: list[Any]) -> list[float]:
    """Latencies, which a page that is not ours could make up, as plain positive numbers. Raises ValueError."""
    found = [round(float(one), 9) for one in told]
    if not found or not all(0 < one < float("inf") for one in found):
        raise ValueError("the page gave latencies that are none")
    return found


def _reading(told: dict[str, Any] | None) -> dict[str, Any]:
    """The only sensor of a browser: whether the device runs from its battery."""
    battery = (told or {}).get("battery")
    return {"battery": battery if isinstance(battery, bool) else None}
