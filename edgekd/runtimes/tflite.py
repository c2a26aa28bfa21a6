"""TFLite (LiteRT) files by ai_edge_litert's interpreter, with its default XNNPACK delegate."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from . import litert, tflite_model
from .fault import Fault
from .placement import Verdict, operator
from .tensors import Array, cast, tensor
from .tflite_model import Model

VERSION = 1
PACKAGES = ("ai-edge-litert",)
EXTRA = "tflite-run"
REQUIRES = ("ai-edge-litert>=2.3,<2.4; sys_platform != 'win32'",)
PLATFORMS = ("linux-x86_64", "linux-aarch64", "darwin-arm64", "darwin-x86_64")
NO_ARENA = "its Python package does not tell, and XNNPACK keeps inner tensors in a workspace of its own"

DELEGATE = "DELEGATE"
# Changes of shape alone, which do not count.
SHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "CAST")
# XNNPACK's times are rounded down to this many seconds.
COARSE = 1e-6
FUSED = "XNNPACK fused it into its neighbour"


def version() -> str:
    """The interpreter's version."""
    return installed(PACKAGES[0])


def load(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Model:
    """Read a .tflite file and allocate its tensors. Raises Fault."""
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        return Model(interpreter, signature, batch)
    except (ValueError, RuntimeError) as error:
        raise Fault(f"{path.name} does not run in TFLite: {error}") from error


def profiled(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Profiled:
    """The same; each run is followed by one in which LiteRT watches the file, where it can. Raises Fault."""
    return Profiled(load(path, threads, signature, batch), path, threads)


def described(path: Path) -> dict[str, Any]:
    """The tensors that a file takes and gives, by the names of its own signature if it has one."""

    def read(side: list[tuple[str, Any]]) -> list[dict[str, Any]]:
        return [tensor(name, [int(n) for n in d["shape_signature"]], d["dtype"].__name__) for name, d in side]

    inputs, outputs = tflite_model.named(Interpreter(model_path=str(path)))
    return {"inputs": read(inputs), "outputs": read(outputs)}


class Profiled:
    """A model that tells which of its operators XNNPACK took and, where LiteRT can watch it, how long each took."""

    def __init__(self, model: Model, path: Path, threads: int) -> None:
        self.batch, self.notes, self.outputs = model.batch, model.notes, model.outputs
        self._model, self._interpreter = model, model._interpreter
        self._runs: list[list[litert.Event]] = []
        self._fed: dict[str, Array] = {}
        self._watch, self._untimed = _watch(model, path, threads)

    def feed(self, arrays: Sequence[Array]) -> None:
        """Copy one array an input into the interpreter, and keep it for the watch."""
        self._model.feed(arrays)
        own = [cast(arrays[i], details["dtype"], details["name"]) for i, details in enumerate(self._model._inputs)]
        self._fed = {name: own[i] for i, name in enumerate(self._model._own_names)}

    def invoke(self) -> None:
        """Run once, and once more watched."""
        self._model.invoke()
        if self._watch is not None:
            try:
                self._runs.append(self._watch.run(self._fed))
            except Fault as error:
                self._watch, self._untimed = None, str(error)

    def placed(self) -> dict[str, Any]:
        """Every operator of the main graph that works at each run, and the number of partitions."""
        every = self._interpreter._get_ops_details()
        own = [one for one in every if one["op_name"] != DELEGATE]
        delegates = [one for one in every if one["op_name"] == DELEGATE]
        parts = [_inside(one, own) for one in delegates]
        working = _working(own, [details["index"] for details in self._interpreter.get_input_details()])
        events, untimed = self._events(working, parts)
        tensors = {one["index"]: one for one in self._interpreter.get_tensor_details()}
        taken = {number for part in parts for number in part}
        operators = [_told(one, one["index"] in taken, events, tensors) for one in working]
        return {"operators": operators, "partitions": len(delegates), "untimed": untimed, "coarse": COARSE}

    def _events(
        self, working: Sequence[dict[str, Any]], parts: Sequence[set[int]]
    ) -> tuple[dict[int, litert.Event | None], str]:
        """What LiteRT told of each operator by number (None: fused), and why it told nothing."""
        if self._watch is None:
            return {}, self._untimed
        kinds = {one["index"]: one["op_name"] for one in working}
        inside = [[(number, kind) for number, kind in kinds.items() if number in part] for part in parts]
        alone = {number: kind for number, kind in kinds.items() if not any(number in part for part in parts)}
        try:
            return litert.matched(litert.averaged(self._runs), alone, inside), ""
        except Fault as error:
            return {}, str(error)


def _watch(model: Model, path: Path, threads: int) -> tuple[litert.Watch | None, str]:
    """LiteRT with its profiler on, or why there is none."""
    shapes = {
        name: (model.batch, *details["shape"][1:]) if len(details["shape"]) else ()
        for name, details in ((model._own_names[i], details) for i, details in enumerate(model._inputs))
    }
    try:
        return litert.Watch(path, threads, shapes), ""
    except Fault as error:
        return None, str(error)


def _told(
    one: dict[str, Any], inside: bool, events: dict[int, litert.Event | None], tensors: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    """One operator as the verb `profile` tells it."""
    results = [tensors[int(index)] for index in one["outputs"]]
    event = events.get(one["index"])
    fused = one["index"] in events and event is None
    name = f" {event.name}" if inside and event is not None else ""
    return operator(
        name=results[0]["name"],
        kind=one["op_name"],
        verdict=_verdict(one["op_name"], inside, results, fused),
        gives=[result["name"] for result in results],
        takes=[tensors[int(index)]["name"] for index in one["inputs"] if int(index) in tensors],
        kernel=f"XNNPACK{name}" if inside else "TFLite",
        seconds=event.seconds if event is not None else 0.0 if fused else None,
        counts=one["op_name"] not in SHAPES,
    )


def _inside(delegate: dict[str, Any], own: Sequence[dict[str, Any]]) -> set[int]:
    """The operators that a delegate took the place of: all that lie between its inputs and its outputs."""
    makers = {int(index): one for one in own for index in one["outputs"]}
    edge = {int(index) for index in delegate["inputs"]}
    left, found = [int(index) for index in delegate["outputs"]], set()
    while left:
        index = left.pop()
        if index in makers and index not in edge and makers[index]["index"] not in found:
            found.add(makers[index]["index"])
            left += [int(source) for source in makers[index]["inputs"]]
    return found


def _working(own: Sequence[dict[str, Any]], given: Sequence[int]) -> list[dict[str, Any]]:
    """Operators that work at each run: those that depend on an input."""
    varying, found = set(given), []
    for one in own:  # in the order of the file, which is one in which they can run
        if varying.intersection(int(index) for index in one["inputs"]):
            varying |= {int(index) for index in one["outputs"]}
            found.append(one)
    return found


def _verdict(kind: str, taken: bool, results: Sequence[dict[str, Any]], fused: bool) -> Verdict:
    """XNNPACK's kernels are the ones that a file is made for."""
    if taken:
        return Verdict(why=FUSED if fused else "", conversion=kind in CONVERSIONS)
    types = ", ".join(sorted({np.dtype(result["dtype"]).name for result in results}))
    return Verdict(False, f"XNNPACK did not take it (it gives {types})", kind in CONVERSIONS)
