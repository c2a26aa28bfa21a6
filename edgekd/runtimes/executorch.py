"""ExecuTorch files (.pte) by its Python runtime, with XNNPACK.

Its binding takes and gives torch's tensors, so that torch is in this process; memory is counted over that.

An operator is wanted inside a partition that XNNPACK took, and a fallback on ExecuTorch's own portable kernels. XNNPACK
tells its operators in the order in which they ran and not what each of them reads: they are told as a chain.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, NamedTuple

# what torchao and torch have to say of kernels for other hardware, while they are imported
logging.disable(logging.WARNING)

import torch  # noqa: E402
from executorch.devtools.etdump.serialize import deserialize_from_etdump_flatcc  # noqa: E402
from executorch.exir._serialize._program import deserialize_pte_binary  # noqa: E402
from executorch.extension.pybindings import portable_lib  # noqa: E402

from .fault import Fault  # noqa: E402
from .placement import Verdict, operator, typical  # noqa: E402
from .tensors import Array, cast, match, names, tensor  # noqa: E402

logging.disable(logging.NOTSET)

VERSION = 1
PACKAGES = ("executorch", "torch")
EXTRA = "executorch"
PLATFORMS = ("linux-x86_64", "linux-aarch64", "darwin-arm64", "windows-amd64")

METHOD = "forward"
# ExecuTorch's numbers of types.
TYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}
# Changes of shape alone, which do not count.
SHAPES = ("view_copy", "et_view", "squeeze_copy", "unsqueeze_copy")
CONVERSIONS = ("Convert", "Transpose", "_to_dim_order_copy", "_to_copy", "permute_copy", "transpose_copy")
EXECUTE, DELEGATE, KERNEL = "Execute", "DELEGATE_CALL", "OPERATOR_CALL"
# XNNPACK's times are rounded down to this many seconds.
COARSE = 1e-6
NANO = 1e-9


def version() -> str:
    """ExecuTorch's version."""
    return installed(PACKAGES[0])


def load(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Model:
    """Load the method `forward` of a .pte file; its batch is fixed. Raises Fault."""
    return Model(_program(path, threads, False), path, signature)


def profiled(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Profiled:
    """The same, while ExecuTorch traces each operator. Raises Fault."""
    program = _program(path, threads, True)
    return Profiled(Model(program, path, signature), program, path)


def described(path: Path) -> dict[str, Any]:
    """The tensors that a file takes and gives; it has no names for them."""
    inputs, outputs = _tensors(_program(path, 1, False).method_meta(METHOD))
    return {
        "inputs": [tensor(f"input-{i}", shape, dtype) for i, (shape, dtype) in enumerate(inputs)],
        "outputs": [tensor(f"output-{i}", shape, dtype) for i, (shape, dtype) in enumerate(outputs)],
    }


def _program(path: Path, threads: int, watched: bool) -> Any:
    # what it says on the error stream is noise where all is well, and the reason where it is not
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            # before a method is loaded: XNNPACK keeps the pool that it finds then
            portable_lib._unsafe_reset_threadpool(threads)
            return portable_lib._load_program(str(path), enable_etdump=watched)
        except RuntimeError as error:
            raise _fault(path, error, said) from error


def _fault(path: Path, error: Exception, said: io.StringIO) -> Fault:
    last = (said.getvalue().strip().splitlines() or [""])[-1]
    return Fault(f"{path.name} does not run in ExecuTorch: {error} {last}".rstrip())


def _tensors(meta: Any) -> tuple[list[tuple[list[int], str]], list[tuple[list[int], str]]]:
    """(shape, type) of each input and each output. Raises Fault for what is no tensor."""
    try:
        inputs = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
        outputs = [meta.output_tensor_meta(i) for i in range(meta.num_outputs())]
    except RuntimeError as error:
        raise Fault(f"an input or output of the file is no tensor: {error}") from error

    def told(side: list[Any]) -> list[tuple[list[int], str]]:
        return [(list(one.sizes()), TYPES.get(int(one.dtype()), str(one.dtype()))) for one in side]

    return told(inputs), told(outputs)


def arena(model: Model) -> int:
    """Bytes of the buffers that the file plans for its tensors; XNNPACK's own workspace is not among them."""
    return sum(int(size) for size in _plan(model.path).non_const_buffer_sizes)


def _plan(path: Path) -> Any:
    """How the file's method runs."""
    plans = deserialize_pte_binary(path.read_bytes()).program.execution_plan
    return next(one for one in plans if one.name == METHOD)


class Model:
    """A loaded method; its inputs and outputs have no names, and are those of the signature in order."""

    def __init__(self, program: Any, path: Path, signature: dict[str, Any]) -> None:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                self._method = program.load_method(METHOD)
            except RuntimeError as error:
                raise _fault(path, error, said) from error
        self._inputs, outputs = _tensors(self._method.method_meta())
        self._names = names(signature, "inputs")
        match(self._names, [f"input {i}" for i in range(len(self._inputs))], "inputs")
        match(names(signature, "outputs"), [f"output {i}" for i in range(len(outputs))], "outputs")
        for i, (shape, dtype) in enumerate(self._inputs):
            spec = signature["inputs"][i]
            if (spec["shape"][1:], spec["dtype"]) != (shape[1:], dtype):
                there = f"{dtype} {shape}, and the signature says {spec['dtype']} {spec['shape']}"
                raise Fault(f"the signature's inputs are not those of the file: {spec['name']} is {there}")
        self.batch = self._inputs[0][0][0] if self._inputs[0][0] else 1
        self.notes = {"threads": portable_lib._threadpool_get_thread_count()}
        self.path = path
        self.invoke = self._method.execute

    def feed(self, arrays: Sequence[Array]) -> None:
        """Give the method one array an input. Raises Fault where it refuses one."""
        given = [cast(arrays[i], dtype, self._names[i]) for i, (_, dtype) in enumerate(self._inputs)]
        self._kept = [torch.from_numpy(values) for values in given]
        try:
            self._method.set_inputs(self._kept)
        except RuntimeError as error:
            raise Fault(f"ExecuTorch failed: {error}") from error

    def outputs(self) -> list[Array]:
        """Copies of the outputs."""
        return [values.numpy() for values in self._method.get_outputs(True)]


class Profiled:
    """A model that tells which of its operators XNNPACK took and how long each took."""

    def __init__(self, model: Model, program: Any, path: Path) -> None:
        self.batch, self.notes = model.batch, model.notes
        self.feed, self.invoke, self.outputs = model.feed, model.invoke, model.outputs
        self._program, self._path = program, path

    def placed(self) -> dict[str, Any]:
        """Every operator of the method, and the number of partitions."""
        with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
            trace = Path(name) / "trace.etdp"
            self._program.write_etdump_result_to_file(str(trace), str(Path(name) / "values.bin"))
            runs = deserialize_from_etdump_flatcc(trace.read_bytes()).run_data
        events = _timed([run.events for run in runs if run.name == EXECUTE])
        plan = _plan(self._path)
        made, operators, partitions = set(plan.inputs), [], 0
        for number, instruction in enumerate(plan.chains[0].instructions):
            call = instruction.instr_args
            if not hasattr(call, "args"):
                continue
            held = [i for i in dict.fromkeys(call.args) if hasattr(plan.values[i].val, "scalar_type")]
            takes = [f"value {i}" for i in held if i in made or plan.values[i].val.data_buffer_idx]
            gives = [f"value {i}" for i in held if f"value {i}" not in takes]
            made.update(held)
            told = [event for event in events if event.instruction == number]
            if hasattr(call, "op_index"):
                operators.append(_portable(plan.operators[call.op_index], told, gives, takes))
            else:
                partitions += 1
                operators += _inside(number, told, gives, takes)
        return {"operators": operators, "partitions": partitions, "untimed": "", "coarse": COARSE}


class Timed(NamedTuple):
    """What the trace says of one event: its instruction, what it is called, inside XNNPACK or not, seconds of a run."""

    instruction: int
    name: str
    inside: bool
    seconds: float


def _timed(runs: Sequence[Sequence[Any]]) -> list[Timed]:
    """Events of a run in their order; the first run, which also makes what later ones keep, is left out."""
    durations: dict[tuple[int, str, bool], list[float]] = {}
    for events in runs[1:]:
        for event in (one.profile_event for one in events if one.profile_event is not None):
            inside = event.delegate_debug_id_str is not None
            key = (event.instruction_id, event.delegate_debug_id_str if inside else event.name, inside)
            if event.chain_index == 0:
                durations.setdefault(key, []).append((event.end_time - event.start_time) * NANO)
    return [Timed(*key, typical(values)) for key, values in durations.items()]


def _portable(kernel: Any, told: Sequence[Timed], gives: Sequence[str], takes: Sequence[str]) -> dict[str, Any]:
    """An operator on a kernel of ExecuTorch's own."""
    kind = str(kernel.name).rpartition("::")[2]
    seconds = next((event.seconds for event in told if event.name == KERNEL), None)
    verdict = Verdict(False, "XNNPACK did not take it", kind in CONVERSIONS)
    name = f"{kernel.name}.{kernel.overload}".rstrip(".")
    return operator(
        gives[0] if gives else name, kind, verdict, gives, takes, (), f"portable {name}", seconds, kind not in SHAPES
    )


def _inside(number: int, told: Sequence[Timed], gives: Sequence[str], takes: Sequence[str]) -> list[dict[str, Any]]:
    """The operators of a partition, as a chain from what it takes to what it gives."""
    steps = [event for event in told if event.inside] or [event for event in told if event.name == DELEGATE]
    found = []
    for i, step in enumerate(steps):
        own = gives if i == len(steps) - 1 else [f"partition {number}, {step.name}"]
        kind = step.name.partition(" (")[0]
        verdict = Verdict(conversion=kind in CONVERSIONS)
        found.append(operator(own[0], kind, verdict, own, takes, (), f"XNNPACK {step.name}", step.seconds))
        takes = own
    return found
