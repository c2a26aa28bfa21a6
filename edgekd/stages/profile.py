"""Tell on which kernels a file's operators run and how much of its time each takes, in the user's own names."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekd import jobs, plugins
from edgekd.divergence import graph, walk
from edgekd.errors import NotVerified
from edgekd.nets import programs
from edgekd.plugins import Operator
from edgekd.results import DeviceFacts, Placement, Profiled
from edgekd.steps import Profile
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "numpy")

# Samples of the validation part that are sent; the runs are of the first.
SAMPLES = 1
TIMEOUT = 300.0
# What all operators take must be so many times what rounding may have lost, for their shares to be believed.
BELIEVED = 4
TOO_SHORT = "its operators are too short for the whole microseconds that the runtime tells"
DOCUMENTED = "what documentation says of the Neural Engine and each operator; nothing was seen to run there"


def run(step: Profile, out: Workspace) -> Profiled:
    """Ask the runtime on the device; where it does not tell, the format's documentation. Raises DeviceError."""
    device, told, why = _asked(step, out) if step.runtime else (None, None, f"{step.artifact.format} does not run here")
    if told is not None:
        operators = [_operator(one) for one in told["operators"]]
        placements = _placements(step, out, operators)
        known = {"partitions": told["partitions"], "untimed": told["untimed"]}
        return _shares(Profiled(basis="measured", device=device, placements=placements, **known), told["coarse"])
    if not plugins.declared("formats", step.artifact.format).placed:
        return Profiled(basis="not measured", device=device, why=why)
    try:
        operators = plugins.find("formats", step.artifact.format).placed(out.locate(step.artifact.file))
    except NotVerified as error:
        return Profiled(basis="not measured", device=device, why=str(error))
    placements = _placements(step, out, operators)
    known = {"why": DOCUMENTED, "untimed": "nothing was run"}
    return _shares(Profiled(basis="reference", device=device, placements=placements, **known), 0.0)


def _asked(step: Profile, out: Workspace) -> tuple[DeviceFacts, dict[str, Any] | None, str]:
    """The device, what its runtime tells of the file (None: nothing), and why it does not."""
    reached = jobs.Reached(step.device)
    facts = reached.facts()
    why = jobs.cannot_run(facts, step.fingerprint, step.artifact.format, step.runtime) or jobs.cannot_time(facts)
    if why:
        return facts, None, why
    part = step.splits.parts["validation"]
    names = {name: f"input-{i}.npy" for i, name in enumerate(part.inputs)}
    with jobs.Job(out.path("job"), step.artifact, out.locate(step.artifact.file), step.threads, step.runtime) as job:
        for name, file in part.inputs.items():
            job.save(names[name], np.asarray(out.load(file)[:SAMPLES]))
        told = job.ask(reached, "profile", TIMEOUT, {"inputs": names})
    return facts, told if told["operators"] is not None else None, told["why"]


def _operator(told: Mapping[str, Any]) -> Operator:
    """One operator as a device tells it; its lists become tuples."""
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
    return Operator(**plain)


def _shares(answer: Profiled, coarse: float) -> Profiled:
    """With the shares of what is not where one wants it; `coarse` is what each operator's seconds may fall short by."""
    every = answer.placements
    off = [one for one in every if not one.wanted]
    total = sum(one.seconds or 0.0 for one in every)
    timed = all(one.seconds is not None for one in every) and total > BELIEVED * coarse * len(every)
    return answer.model_copy(
        update={
            "fallback": len(off) / len(every) if every else 0.0,
            "fallback_time": sum(one.seconds or 0.0 for one in off) / total if timed else None,
            "untimed": answer.untimed or ("" if timed else TOO_SHORT),
        }
    )


def _placements(step: Profile, out: Workspace, operators: Sequence[Operator]) -> tuple[Placement, ...]:
    """Operators that count, with the layers of the user's network that they compute."""
    called = _layers(step, out, operators)
    return tuple(
        Placement(
            name=one.name,
            kind=one.kind,
            layer=called.get(i, ""),
            kernel=one.kernel,
            wanted=one.wanted,
            why=one.why,
            conversion=one.conversion,
            seconds=one.seconds,
        )
        for i, one in enumerate(operators)
        if one.counts
    )


def _layers(step: Profile, out: Workspace, operators: Sequence[Operator]) -> dict[int, str]:
    """What operators compute in the names of the user's network, by number; nothing where no layers are recorded."""
    named: dict[str, str] = {}
    if step.artifact.layers is not None:
        named = json.loads(out.locate(step.artifact.layers).read_text(encoding="utf-8"))
    held = _nodes(operators, named)
    if not held:
        return {}
    nodes = walk.nodes(programs.load(out.locate(step.program.file)))
    seen, called = set(held.values()), graph.labels(nodes)
    return {
        i: graph.name(graph.region(nodes, seen, node), called) or called[node]
        for i, node in held.items()
        if node in nodes
    }


def _nodes(operators: Sequence[Operator], named: Mapping[str, str]) -> dict[int, str]:
    """The node of the program that each operator computes, by number.

    An operator whose value no layer has works for the first layer that is made of it.
    """
    found = {}
    for i, one in enumerate(operators):
        names = [name for name in (*one.gives, *one.also) if name in named]
        if names:
            found[i] = named[names[0]]
    readers: dict[str, list[int]] = {}
    for i, one in enumerate(operators):
        for name in one.takes:
            readers.setdefault(name, []).append(i)
    for i in reversed(range(len(operators))):  # who reads comes later
        later = sorted(reader for name in operators[i].gives for reader in readers.get(name, ()))
        nodes = [found[reader] for reader in later if reader in found]
        if i not in found and nodes:
            found[i] = nodes[0]
    return found
