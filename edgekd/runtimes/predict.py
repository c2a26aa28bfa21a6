"""Run a model over samples and write its outputs as .npy, in chunks, so that memory stays bounded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from .fault import Fault
from .job import runtime
from .tensors import Array, Samples, decode, pad


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Predict every sample.

    The request may set `batch` (samples a run where the file leaves that open; 1, as an application would run it) and
    `all` (every output, not just the first). `outputs` of the result names a float32 .npy file for each output.
    """
    signature = request["signature"]
    samples = Samples(request, folder)
    kind = runtime(request["runtime"])
    model = kind.load(folder / request["model"], request["threads"], signature, int(request.get("batch", 1)))
    wanted = signature["outputs"] if request.get("all") else signature["outputs"][:1]
    writers = [Writer(folder / f"outputs-{i}.npy", samples.count, spec) for i, spec in enumerate(wanted)]
    started, chunk = time.perf_counter(), samples.chunk(model.batch)
    for start in range(0, samples.count, chunk):
        inputs = samples.prepare(start, min(start + chunk, samples.count))
        for first in range(0, len(inputs[0]), model.batch):
            piece = [array[first : first + model.batch] for array in inputs]
            model.feed(pad(piece, model.batch))
            model.invoke()
            outputs = model.outputs()
            for i, writer in enumerate(writers):
                writer.add(outputs[i], len(piece[0]))
    for writer in writers:
        writer.close()
    return {
        "runtime": request["runtime"],
        "version": kind.version(),
        "count": samples.count,
        "seconds": time.perf_counter() - started,
        "batch": model.batch,
        "outputs": {spec["name"]: f"outputs-{i}.npy" for i, spec in enumerate(wanted)},
        "notes": model.notes,
    }


class Writer:
    """An output file that grows sample by sample; its shape is known with the first run."""

    def __init__(self, path: Path, count: int, spec: dict[str, Any]) -> None:
        self._path, self._count, self._spec = path, count, spec
        self._done = 0
        self._file: Array | None = None

    def add(self, values: Array, count: int) -> None:
        """Append the first `count` samples of a run's output."""
        plain = decode(values, self._spec)
        if not plain.ndim or len(plain) < count:
            raise Fault(f"the output {self._spec['name']} has shape {plain.shape} for {count} samples")
        if self._file is None:
            shape = (self._count, *plain.shape[1:])
            self._file = np.lib.format.open_memmap(self._path, mode="w+", dtype=np.float32, shape=shape)
        self._file[self._done : self._done + count] = plain[:count]
        self._done += count

    def restart(self) -> None:
        """Begin again with the first sample."""
        self._done = 0

    def close(self) -> None:
        """Flush to disk."""
        if isinstance(self._file, np.memmap):
            self._file.flush()
