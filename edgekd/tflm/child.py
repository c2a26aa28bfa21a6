"""Runs a file in TensorFlow Lite Micro: python -m edgekd.tflm.child MODEL FOLDER

FOLDER/signature.json is that of the file; inputs.npz holds an array for each of its inputs by number, sample first.
Afterwards outputs.npz holds what came out, and told.json the bytes of the arena. The kernels may end the process, and
say why on the standard error alone.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekd.runtimes import tflite_micro


def main(arguments: Sequence[str]) -> int:
    """Run every sample, then find the smallest arena that is enough."""
    content, folder = Path(arguments[0]).read_bytes(), Path(arguments[1])
    signature = json.loads((folder / "signature.json").read_text(encoding="utf-8"))
    with np.load(folder / "inputs.npz", allow_pickle=False) as stored:
        inputs = [stored[str(number)] for number in range(len(stored.files))]
    model = tflite_micro.Model(content, signature)
    rows = []
    for row in range(len(inputs[0])):
        model.feed([values[row : row + 1] for values in inputs])
        model.invoke()
        rows.append(model.outputs())
    outputs = {str(k): np.concatenate([row[k] for row in rows]) for k in range(len(rows[0]))}
    np.savez(folder / "outputs.npz", allow_pickle=False, **outputs)
    page = {"arena": tflite_micro.arena(model), "used": tflite_micro.used(model), "version": tflite_micro.version()}
    (folder / "told.json").write_text(json.dumps(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
