"""Model files with one weight changed: the same values in the opposite order, so that no range grows or shrinks."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np


def weight(format: str, file: Path, folder: Path, number: int) -> Path:
    """A copy of a model in `folder` with its weight of a number (from 0, in the order of the network) reversed."""
    copy = folder / file.name
    if file.is_dir():
        shutil.copytree(file, copy)
    else:
        shutil.copy(file, copy)
    CHANGES[format](copy, number)
    return copy


def _onnx(file: Path, number: int) -> None:
    import onnx  # noqa: PLC0415
    from onnx import numpy_helper  # noqa: PLC0415

    model = onnx.load(file)
    tensor = [one for one in model.graph.initializer if len(one.dims) >= 2 and np.prod(one.dims) > 40][number]
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(values.reshape(-1)[::-1].reshape(values.shape).copy(), tensor.name))
    onnx.save(model, file)


CHANGES: dict[str, Callable[[Path, int], None]] = {"onnx": _onnx}
