"""Model files with one weight changed: the same values in the opposite order, so that no range grows or shrinks."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

# numbers of a weight that counts: not the small ones of biases, scales and last layers
LARGE = 100


def weight(format: str, file: Path, folder: Path, number: int, large: int = LARGE) -> Path:
    """A copy of a model in `folder` with one of its large weights, by number in the network's order, reversed."""
    copy = folder / file.name
    if file.is_dir():
        shutil.copytree(file, copy)
    else:
        shutil.copy(file, copy)
    CHANGES[format](copy, number, large)
    return copy


def _onnx(file: Path, number: int, large: int) -> None:
    import onnx  # noqa: PLC0415
    from onnx import numpy_helper  # noqa: PLC0415

    model = onnx.load(file)
    tensor = [one for one in model.graph.initializer if len(one.dims) >= 2 and np.prod(one.dims) > large][number]
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(values.reshape(-1)[::-1].reshape(values.shape).copy(), tensor.name))
    onnx.save(model, file)


def _tflite(file: Path, number: int, large: int) -> None:
    from ai_edge_litert.tools import flatbuffer_utils  # noqa: PLC0415

    content = flatbuffer_utils.read_model(str(file))
    graph, buffers = content.subgraphs[0], []
    for operator in graph.operators:
        for index in operator.inputs:
            tensor = graph.tensors[index] if index >= 0 else None
            data = None if tensor is None else content.buffers[tensor.buffer].data
            # a weight in 8 bits has a byte for each number
            if (
                data is not None
                and len(tensor.shape) >= 2
                and np.prod(tensor.shape) > large
                and tensor.buffer not in buffers
            ):
                buffers.append(tensor.buffer)
                if len(buffers) == number + 1:
                    size = len(data) // int(np.prod(tensor.shape))
                    content.buffers[tensor.buffer].data = _reversed(bytes(data), size)
    flatbuffer_utils.write_model(content, str(file))


def _reversed(data: bytes, size: int) -> np.ndarray:
    """Numbers of `size` bytes each in the opposite order."""
    return np.frombuffer(data, np.uint8).reshape(-1, size)[::-1].reshape(-1).copy()


def _openvino(folder: Path, number: int, large: int) -> None:
    page, weights = ElementTree.parse(folder / "model.xml"), bytearray((folder / "model.bin").read_bytes())
    found = [one.find("data") for one in page.iter("layer") if one.get("type") == "Const"]
    shapes = [[int(size) for size in one.get("shape").split(",") if size] for one in found]
    large = [one for one, shape in zip(found, shapes, strict=True) if len(shape) >= 2 and np.prod(shape) > large]
    start, length = (int(large[number].get(key)) for key in ("offset", "size"))
    count = int(np.prod([int(size) for size in large[number].get("shape").split(",")]))
    weights[start : start + length] = _reversed(bytes(weights[start : start + length]), length // count).tobytes()
    (folder / "model.bin").write_bytes(weights)


def _coreml(folder: Path, number: int, large: int) -> None:
    path = folder / "Data/com.apple.CoreML/weights/weight.bin"
    data, at, left = bytearray(path.read_bytes()), 64, number
    while True:  # a header of 64 bytes before each: sentinel, type, size, offset
        sentinel, kind, size, start = struct.unpack_from("<IIQQ", data, at)
        assert sentinel == 0xDEADBEEF
        width = {1: 2, 2: 4, 3: 1, 4: 1}[kind]
        if size // width > large:
            if not left:
                break
            left -= 1
        at = (start + size + 63) // 64 * 64
    data[start : start + size] = _reversed(bytes(data[start : start + size]), width).tobytes()
    path.write_bytes(data)


CHANGES: dict[str, Callable[[Path, int, int], None]] = {
    "onnx": _onnx,
    "tflite": _tflite,
    "openvino": _openvino,
    "coreml": _coreml,
}
