"""How long each operator of a TFLite file takes, by the profiler in LiteRT's C library (litert/c/litert_profiler.h).

The Python package has no door to it, so its library is called as it is, with the layouts of the versions in KNOWN; of
any other nothing is believed. It runs the file with the same XNNPACK delegate as the package's interpreter.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .fault import Fault
from .placement import typical
from .tensors import Array

PACKAGE = "ai-edge-litert"
KNOWN = ("2.3.",)
CPU, READ, WRITE = 1, 0, 1
# Kinds of events: an operator of the interpreter, one of a delegate.
OPERATOR, DELEGATED = 2, 8
MOST_DIMENSIONS = 8
# What XNNPACK calls the operators of a file; of kinds that are not here any name is believed.
NAMES = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), ("Convolution",)),
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE", "CAST"), ("Convert",)),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), ("Static Reshape", "Copy")),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"), ("Clamp",)),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), ("Clamp", "Maximum", "Minimum")),
    **dict.fromkeys(("PAD", "PADV2"), ("Constant Pad",)),
    "ADD": ("Add",),
    "BATCH_MATMUL": ("Batch Matrix Multiply",),
    "DIV": ("Divide",),
    "FULLY_CONNECTED": ("Fully Connected",),
    "MEAN": ("Mean", "Global Average Pooling"),
    "MUL": ("Multiply",),
    "SOFTMAX": ("Softmax",),
    "SUB": ("Subtract",),
    "SUM": ("Sum", "Global Sum Pooling"),
    "TRANSPOSE": ("Transpose",),
    "TRANSPOSE_CONV": ("Deconvolution",),
}
# Those that it may fuse into a neighbour, or leave out.
FUSED = frozenset(
    ("EXPAND_DIMS", "MAXIMUM", "MINIMUM", "PAD", "PADV2", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE")
) | {"SQUEEZE"}
# Those before which it may quantize what they take, and what it calls an activation that stands behind an operator.
QUANTIZING = ("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
CONVERT, ACTIVATION = "Convert", "Clamp"

Handle = ctypes.c_void_p
Index = ctypes.c_size_t


class _Layout(ctypes.Structure):
    """Rank in the lower 7 bits of `rank`, then whether there are strides."""

    _fields_ = (
        ("rank", ctypes.c_uint32),
        ("dimensions", ctypes.c_int32 * MOST_DIMENSIONS),
        ("strides", ctypes.c_uint32 * MOST_DIMENSIONS),
    )


class _Type(ctypes.Structure):
    _fields_ = (("element", ctypes.c_int), ("layout", _Layout))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_size_t), ("used", ctypes.c_size_t), ("own", ctypes.c_size_t))


class _Event(ctypes.Structure):
    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start", ctypes.c_uint64),
        ("microseconds", ctypes.c_uint64),
        ("before", _Memory),
        ("after", _Memory),
        ("index", ctypes.c_uint64),
        ("graph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


class Event(NamedTuple):
    """One operator of one run: whether the delegate ran it, its number there, what the runtime calls it, seconds."""

    delegated: bool
    number: int
    name: str
    seconds: float


class Watch:
    """A file in LiteRT with its profiler on. Raises Fault for a version, a library or a file that this cannot watch."""

    def __init__(self, path: Path, threads: int, shapes: Mapping[str, Sequence[int]]) -> None:
        """`shapes` are those of the file's inputs by name, as they shall be."""
        if not installed(PACKAGE).startswith(KNOWN):
            raise Fault(f"the profiler of {PACKAGE} {installed(PACKAGE)} is not known to edgekd")
        self._library = _library()
        self._kept: list[Any] = []
        self._environment, self._model, self._compiled = Handle(), Handle(), Handle()
        self._signature, self._profiler = Handle(), Handle()
        self._do("LiteRtCreateEnvironment", 0, None, ctypes.byref(self._environment))
        file = str(path).encode()
        self._do("LiteRtCreateModelFromFile", self._environment, file, ctypes.byref(self._model))
        options = self._options(threads)
        self._do("LiteRtCreateCompiledModel", self._environment, self._model, options, ctypes.byref(self._compiled))
        self._do("LiteRtGetModelSignature", self._model, Index(0), ctypes.byref(self._signature))
        self._inputs = self._buffers("Input", shapes)
        self._outputs = self._buffers("Output", {})
        self._do("LiteRtCompiledModelGetProfiler", self._compiled, ctypes.byref(self._profiler))

    def run(self, arrays: Mapping[str, Array]) -> list[Event]:
        """Run once with these inputs; returns its operators in the order in which they ran."""
        for name, buffer in self._inputs.items():
            address = Handle()
            self._do("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), WRITE)
            values = np.ascontiguousarray(arrays[name])
            ctypes.memmove(address, values.ctypes.data, values.nbytes)
            self._do("LiteRtUnlockTensorBuffer", buffer)
        self._do("LiteRtResetProfiler", self._profiler)
        self._do("LiteRtStartProfiler", self._profiler)
        sides = [(Handle * len(side))(*side.values()) for side in (self._inputs, self._outputs)]
        sizes = [Index(len(side)) for side in (self._inputs, self._outputs)]
        self._do("LiteRtRunCompiledModel", self._compiled, Index(0), sizes[0], sides[0], sizes[1], sides[1])
        self._do("LiteRtStopProfiler", self._profiler)
        return self._events()

    def _events(self) -> list[Event]:
        count = ctypes.c_int()
        self._do("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        if not count.value:
            raise Fault("LiteRT's profiler told nothing")
        every = (_Event * count.value)()
        self._do("LiteRtGetProfilerEvents", self._profiler, count, every)
        return [
            Event(one.kind == DELEGATED, one.index, one.tag.decode(), one.microseconds * 1e-6)
            for one in every
            if one.kind in (OPERATOR, DELEGATED)
        ]

    def _options(self, threads: int) -> Handle:
        """On the processor by so many threads, with the profiler; options are named pieces of TOML."""
        options = Handle()
        self._do("LiteRtCreateOptions", ctypes.byref(options))
        self._do("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        nothing = ctypes.CFUNCTYPE(None, Handle)(lambda payload: None)
        texts = (("runtime_options_string", "enable_profiling = true\n"), ("xnnpack", f"num_threads = {threads}\n"))
        for name, text in texts:
            payload, piece = ctypes.create_string_buffer(text.encode()), Handle()
            self._kept += [payload, nothing]
            self._do("LiteRtCreateOpaqueOptions", name.encode(), payload, nothing, ctypes.byref(piece))
            self._do("LiteRtAddOpaqueOptions", options, piece)
        return options

    def _buffers(self, side: str, shapes: Mapping[str, Sequence[int]]) -> dict[str, Handle]:
        """A buffer for each input or output by name; inputs get their shapes first."""
        count, found = Index(), dict[str, Handle]()
        self._do(f"LiteRtGetNumSignature{side}s", self._signature, ctypes.byref(count))
        for i in range(count.value):
            name, tensor, kind = ctypes.c_char_p(), Handle(), _Type()
            self._do(f"LiteRtGetSignature{side}Name", self._signature, Index(i), ctypes.byref(name))
            self._do(f"LiteRtGetSignature{side}TensorByIndex", self._signature, Index(i), ctypes.byref(tensor))
            self._do("LiteRtGetRankedTensorType", tensor, ctypes.byref(kind))
            known = (name.value or b"").decode()
            self._shape(i, kind, shapes.get(known))
            wanted, buffer = Handle(), Handle()
            self._do(
                f"LiteRtGetCompiledModel{side}BufferRequirements",
                self._compiled,
                Index(0),
                Index(i),
                ctypes.byref(wanted),
            )
            kinds = (ctypes.byref(kind), wanted, ctypes.byref(buffer))
            self._do("LiteRtCreateManagedTensorBufferFromRequirements", self._environment, *kinds)
            found[known] = buffer
        return found

    def _shape(self, i: int, kind: _Type, shape: Sequence[int] | None) -> None:
        """Give an input its shape where the file leaves it open; an output's open batch is that of the inputs."""
        rank = kind.layout.rank & 127
        own = [kind.layout.dimensions[at] for at in range(rank)]
        if shape is not None:
            if -1 in own:
                sizes = (ctypes.c_int * rank)(*shape)
                self._do("LiteRtCompiledModelResizeInputTensor", self._compiled, Index(0), Index(i), sizes, Index(rank))
            own = list(shape)
            self._batch = own[0] if own else 1
        for at, size in enumerate(own):
            kind.layout.dimensions[at] = self._batch if size < 0 else size

    def _do(self, name: str, *arguments: Any) -> None:
        """Call a function of the library. Raises Fault where it says that it failed, or is not there."""
        function = getattr(self._library, name, None)
        status = -1 if function is None else function(*arguments)
        if status:
            raise Fault(f"LiteRT's profiler cannot be used: {name} gave {status}")


def _library() -> ctypes.CDLL:
    """The C library inside the Python package. Raises Fault."""
    package = find_spec("ai_edge_litert")
    folder = Path(package.origin).parent if package is not None and package.origin else Path()
    for file in sorted(folder.glob("libLiteRt.*")):
        try:
            return ctypes.CDLL(str(file))
        except OSError as error:
            raise Fault(f"LiteRT's library cannot be loaded: {error}") from error
    raise Fault("the package has no LiteRT library of its own")


def averaged(runs: Sequence[Sequence[Event]]) -> list[Event]:
    """The operators of a run with what they typically take, without the first run, which makes what later ones keep.

    Raises Fault where the runs are not of the same operators.
    """
    later = runs[1:]
    if not later or any([one[:3] for one in run] != [one[:3] for one in later[0]] for run in later):
        raise Fault("LiteRT's profiler does not tell the same of every run")
    return [one._replace(seconds=typical([run[i].seconds for run in later])) for i, one in enumerate(later[0])]


def matched(
    events: Sequence[Event], alone: Mapping[int, str], parts: Sequence[Sequence[tuple[int, str]]]
) -> dict[int, Event | None]:
    """The event of each operator by its number in the file; None for one that XNNPACK fused into a neighbour.

    `alone` are the operators that the interpreter runs, `parts` those of each partition in their order: number and
    kind. XNNPACK runs them in that order under names of its own. Raises Fault where that does not work out.
    """
    found: dict[int, Event | None] = {}
    for event in events:
        if not event.delegated and event.number in alone:
            if alone[event.number] != event.name:
                raise Fault(f"LiteRT's profiler calls the operator {alone[event.number]} {event.name}")
            found[event.number] = event
    taken = [event for event in events if event.delegated]
    starts = [i for i, event in enumerate(taken) if event.number == 0]
    if len(starts) != len(parts):
        raise Fault(f"LiteRT's profiler tells of {len(starts)} partitions, and there are {len(parts)}")
    for i, part in enumerate(parts):
        found.update(_aligned(taken[starts[i] : [*starts, len(taken)][i + 1]], part))
    return found


def _aligned(events: Sequence[Event], part: Sequence[tuple[int, str]]) -> dict[int, Event | None]:
    """The event of each operator of one partition, with the time of what XNNPACK does before and after it."""
    left, found = list(events), dict[int, "Event | None"]()
    for at, (number, kind) in enumerate(part):
        if kind in FUSED and not _is(left, kind):
            found[number] = None
            continue
        spent = 0.0
        while kind in QUANTIZING and left and left[0].name.startswith(CONVERT):
            spent += left.pop(0).seconds
        if not _is(left, kind):
            raise Fault("XNNPACK's operators cannot be told apart by those of the file")
        event, following = left.pop(0), part[at + 1][1] if at + 1 < len(part) else ""
        while left and left[0].name.startswith(ACTIVATION) and ACTIVATION not in NAMES.get(following, ()):
            spent += left.pop(0).seconds
        found[number] = event._replace(seconds=event.seconds + spent)
    if left:
        raise Fault("XNNPACK's operators cannot be told apart by those of the file")
    return found


def _is(left: Sequence[Event], kind: str) -> bool:
    """Can the next event be an operator of this kind?"""
    return bool(left) and left[0].name.startswith(NAMES.get(kind, ("",)))
