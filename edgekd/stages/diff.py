"""Find where a file begins to compute something else than torch: each layer's values, side by side."""

import json
import math
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from edgekd import jobs, plugins
from edgekd.divergence import align, causes, graph, measures, verdict, walk
from edgekd.divergence.causes import Evidence
from edgekd.divergence.measures import Measures
from edgekd.divergence.walk import Node
from edgekd.errors import EdgekdError, NotVerified, Problem, UsageError
from edgekd.nets import layers, programs
from edgekd.plugins import Opened
from edgekd.results import Artifact, Basis, Diffed, File, Hidden, Layer, TensorSpec
from edgekd.runtimes import preprocess
from edgekd.steps import Diff
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("torch", "numpy")

Array = NDArray[Any]
Arrays = dict[str, Array]

VALUES = "values.npz"
# values of a layer that are kept to be looked at
KEPT = 512
TIMEOUT = 600.0
REFERENCE = "the {} file's operators were evaluated by their definitions on the computer that made it"
INSIDE = "the {} runtime shows outputs alone, so torch ran what the file was made of"
APART, SAME = "; its outputs are {:.0f} dB from the file's own", "; its outputs are the file's own"


class _Seen:
    """One layer of both sides: the node, its tensor in the file, torch's values and the file's, as torch has them."""

    def __init__(self, node: Node, tensor: str, spec: TensorSpec, torch_said: Array, file_said: Array) -> None:
        self.node, self.tensor, self.spec = node, tensor, spec
        self.torch_said, self.file_said = torch_said, file_said
        self.measures: Measures


def run(step: Diff, out: Workspace) -> Diffed:
    """Compare every layer that can be seen. Where nothing here runs or opens the file, the basis says so.

    Raises UsageError for an artifact without a record of its layers, or of a program without any; DeviceError; and
    EdgekdError for a file that cannot be opened.
    """
    torch.set_num_threads(1)
    artifact = step.artifact
    if artifact.layers is None:
        message = "it was converted by an edgekd that did not record which tensor is which layer"
        raise UsageError(Problem(artifact.file.name, message, "Build the run again"))
    if Path(step.program.file.name).suffix == ".onnx":
        message = "it was made from an ONNX file, which has no layers of a torch network to compare with"
        raise UsageError(Problem(artifact.file.name, message, "Give the torch network, as module:function or .pt2"))
    unopened = plugins.declared("formats", artifact.format).unopened
    if unopened:
        return _nothing(step, unopened)
    named: dict[str, str] = json.loads(out.locate(artifact.layers).read_text(encoding="utf-8"))
    folder = out.path("opened")
    folder.mkdir()
    try:
        opened = _opened(step, out, named, folder)
        basis, why, outputs = _outputs(step, out, opened, folder / opened.name)
    finally:
        shutil.rmtree(folder)
    if basis == "not measured":
        return _nothing(step, why)
    out.progress(0.6, "torch runs the same samples")
    program = programs.load(out.locate(step.program.file))
    return _compared(step, out, program, named, opened, outputs, basis, why)


def _nothing(step: Diff, why: str) -> Diffed:
    return Diffed(
        layers=(), first=None, worst=(), hidden=(), cause="", advice="", basis="not measured", why=why, samples=0,
        threshold=measures.THRESHOLDS[step.artifact.precision], altered=step.file is not None,
    )  # fmt: skip


def _opened(step: Diff, out: Workspace, named: Mapping[str, str], folder: Path) -> Opened:
    """A copy of the file that shows its layers."""
    artifact = step.artifact
    file = Path(step.file.path) if step.file else out.locate(artifact.file)
    try:
        opened: Opened = plugins.find("formats", artifact.format).opened(file, artifact.signature, named, folder)
    except EdgekdError:
        raise
    except Exception as error:  # whatever a format's library raises for a file that somebody may have changed
        raise EdgekdError(f"{file} cannot be opened: {type(error).__name__}: {error}") from error
    return opened


def _outputs(step: Diff, out: Workspace, opened: Opened, model: Path) -> tuple[Basis, str, Arrays]:
    """Basis, reason, and every output of the opened file by name, sample first."""
    inputs = _prepared(step, out)
    out.progress(0.2, f"{step.artifact.format} runs {len(next(iter(inputs.values())))} samples")
    if opened.evaluate is not None:
        return _inside(step, out, opened.evaluate(inputs), inputs)
    if step.runtime:
        there = {"signature": opened.signature, "file": step.artifact.file.model_copy(update={"name": opened.name})}
        return _by_runtime(step, out, step.artifact.model_copy(update=there), model, inputs)
    if not plugins.declared("formats", step.artifact.format).reference:
        return "not measured", f"{step.artifact.format} has no runtime here and no reference evaluator", {}
    try:
        evaluate = plugins.find("formats", step.artifact.format).evaluator(model, opened.signature)
        found = evaluate(inputs)
    except NotVerified as error:
        return "not measured", str(error), {}
    whole = {name: np.asarray(values, np.float32) for name, values in found.items()}
    return "reference", REFERENCE.format(step.artifact.format), whole


def _inside(step: Diff, out: Workspace, found: Mapping[str, Array], inputs: Arrays) -> tuple[Basis, str, Arrays]:
    """Every value of what a file was made of, and how far the file itself, in its runtime, is from that."""
    artifact, apart = step.artifact, ""
    if step.runtime:
        _, why, outputs = _by_runtime(step, out, artifact, out.locate(artifact.file), inputs)
        alike = [measures.snr(np.asarray(found[name]), values) for name, values in outputs.items()]
        apart = (SAME if min(alike) == math.inf else APART.format(min(alike))) if alike else f"; {why}"
    return "reference", INSIDE.format(artifact.format) + apart, {name: np.asarray(one) for name, one in found.items()}


def _by_runtime(
    step: Diff, out: Workspace, artifact: Artifact, model: Path, inputs: Arrays
) -> tuple[Basis, str, Arrays]:
    """A file in the format's own runtime on the device."""
    reached = jobs.Reached(step.device)
    facts = reached.facts()
    why = jobs.cannot_run(facts, step.fingerprint, artifact.format, step.runtime)
    if why:
        return "not measured", why, {}
    with jobs.Job(out.path("job"), artifact, model, runtime=step.runtime) as job:
        return jobs.basis(facts), facts.emulated, job.predict(reached, inputs, TIMEOUT, prepared=True)


def _prepared(step: Diff, out: Workspace) -> Arrays:
    """The golden samples, prepared as the file's own signature wants them."""
    found: Arrays = {}
    with np.load(out.locate(step.artifact.golden), allow_pickle=False) as golden:
        for spec in step.artifact.signature.inputs:
            raw = golden[f"raw:{spec.name}"]
            found[spec.name] = (
                preprocess.prepare(raw, spec.preprocess.model_dump(mode="json")) if spec.preprocess else raw
            )
    return found


def _compared(
    step: Diff,
    out: Workspace,
    program: ExportedProgram,
    named: Mapping[str, str],
    opened: Opened,
    outputs: Arrays,
    basis: Basis,
    why: str,
) -> Diffed:
    """Measure each layer, find where it begins, and why."""
    nodes = walk.nodes(program)
    with np.load(out.locate(step.program.golden), allow_pickle=False) as golden:
        inputs = [golden[f"input:{spec.name}"] for spec in step.program.signature.inputs]
    said = layers.values(program, inputs)
    out.progress(0.8, "the layers are compared")
    seen, misfits = _matched(nodes, opened, outputs, said)
    for one in seen.values():
        one.measures = measures.measure(one.torch_said, one.file_said, step.artifact.precision, one.spec)
    found = _layers(step, program, nodes, seen)
    before, threshold = graph.before(nodes, seen), measures.THRESHOLDS[step.artifact.precision]
    start = verdict.first(found, before, threshold)
    cause, advice = ("", "") if start is None else _explained(step, nodes, seen, found, before, start)
    return Diffed(
        layers=found,
        first=start.node if start else None,
        worst=tuple(layer.node for layer in verdict.worst(found)),
        hidden=_hidden(nodes, seen, misfits, set(named.values()) - set(opened.layers.values())),
        cause=cause,
        advice=advice,
        basis=basis,
        why=why,
        samples=len(inputs[0]),
        threshold=threshold,
        altered=step.file is not None,
        values=_kept(out, seen.values()),
    )


def _matched(
    nodes: Mapping[str, Node], opened: Opened, outputs: Mapping[str, Array], said: Mapping[str, Array]
) -> tuple[dict[str, _Seen], dict[str, str]]:
    """What both sides have, by node in the order of the program, and why a tensor of the file could not be compared."""
    specs = {spec.name: spec for spec in opened.signature.outputs}
    shown = {name: node for name, node in opened.layers.items() if node in said and nodes[node].counts}
    pairs = {name: (said[node], outputs[name]) for name, node in shown.items()}
    last = align.channels_last(pairs.values())
    found, misfits = dict[str, _Seen](), dict[str, str]()
    for name, (ours, theirs) in pairs.items():
        node = shown[name]
        turned = align.aligned(theirs, ours.shape, last)
        if turned is None:
            misfits[node] = f"its tensor has the shape {_shape(theirs)} in the file and {_shape(ours)} in torch"
        else:
            found[node] = _Seen(nodes[node], name, specs[name], ours, turned)
    return {name: found[name] for name in nodes if name in found}, misfits


def _shape(values: Array) -> str:
    return " x ".join(map(str, values.shape[1:])) or "of one number"


def _layers(
    step: Diff, program: ExportedProgram, nodes: Mapping[str, Node], seen: Mapping[str, _Seen]
) -> tuple[Layer, ...]:
    """Every seen layer with its figures."""
    ranges, factors = walk.channel_ranges(program), walk.channel_factors(program)
    called, inside = graph.labels(nodes), {name: graph.region(nodes, seen, name) for name in seen}
    found = [
        Layer(
            node=name,
            name=graph.name(inside[name], called),
            inside=tuple(node.name for node in inside[name] if node.counts),
            module=one.node.module,
            kind=one.node.kind,
            operator=one.node.operator,
            tensor=one.tensor,
            shape=one.torch_said.shape[1:],
            snr=one.measures.snr,
            lost=0.0,
            difference=one.measures.difference,
            scale=one.measures.scale,
            clipped=one.measures.clipped,
            outliers=one.measures.outliers,
            channels=graph.unequal_channels(inside[name], ranges, factors),
            not_finite=one.measures.not_finite,
        )
        for name, one in seen.items()
    ]
    return verdict.with_loss(found, graph.before(nodes, seen), step.artifact.precision)


def _explained(
    step: Diff,
    nodes: Mapping[str, Node],
    seen: Mapping[str, _Seen],
    found: Sequence[Layer],
    before: Mapping[str, frozenset[str]],
    start: Layer,
) -> tuple[str, str]:
    """Likely cause and advice for the first divergent layer."""
    one, declared = seen[start.node], plugins.declared("formats", step.artifact.format)
    taken = [seen[name].torch_said for name in before[start.node]]
    return causes.explain(
        Evidence(
            layer=start,
            measures=one.measures,
            inside=graph.region(nodes, seen, start.node),
            precision=step.artifact.precision,
            threshold=measures.THRESHOLDS[step.artifact.precision],
            smallest=min((float(values.min()) for values in (*taken, one.torch_said)), default=0.0),
            turned=measures.best_turned(one.torch_said, one.file_said),
            parents=tuple(layer for layer in found if layer.node in before[start.node]),
            makers=verdict.makers(found, before, start.node),
            altered=step.file is not None,
            precisions=declared.precisions,
            ranges=declared.ranges,
        )
    )


def _hidden(
    nodes: Mapping[str, Node], seen: Collection[str], misfits: Mapping[str, str], covered: Collection[str]
) -> tuple[Hidden, ...]:
    """Every layer of the user's network that computes something and that nothing shows, and why."""

    called = graph.labels(nodes)

    def why(node: Node) -> str:
        if node.name in misfits:
            return misfits[node.name]
        if node.name in covered:
            return "the runtime hides it"
        if not node.varies:
            return "the converter folded it: it does not depend on the inputs"
        follower = graph.after(nodes, seen, node.name)
        if follower is None:
            return "no tensor of the file holds it"
        return f"it has no tensor of its own: fused into {called[follower]}, which follows"

    return tuple(
        Hidden(
            node=node.name,
            name=called[node.name],
            module=node.module,
            kind=node.kind,
            operator=node.operator,
            why=why(node),
        )
        for node in nodes.values()
        if node.kind and node.counts and node.name not in seen
    )


def _kept(out: Workspace, seen: Iterable[_Seen]) -> File:
    """Some values of each layer, spread over all of them, with the extremes and the largest difference."""
    arrays: Arrays = {}
    for one in seen:
        ours, theirs = one.torch_said.reshape(-1), one.file_said.reshape(-1)
        spread = np.linspace(0, len(ours) - 1, min(KEPT, len(ours))).astype(np.int64)
        with np.errstate(invalid="ignore"):  # the same infinity on both sides
            gaps = np.nan_to_num(np.abs(ours - theirs))
        ends = [ours.argmin(), ours.argmax(), gaps.argmax()]
        rows = np.unique(np.concatenate([spread, np.array(ends, np.int64)]))
        arrays |= {f"torch:{one.node.name}": ours[rows], f"file:{one.node.name}": theirs[rows]}
    np.savez(out.path(VALUES), allow_pickle=False, **arrays)
    return out.file(VALUES)
