"""Files without any float: operators that the quantizer would leave in float32, put as others that have integers."""

from collections.abc import Collection
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.litert import content as files

Kind = files.Kind
# What an 8-bit integer holds without any scaling.
SMALLEST, LARGEST = -128, 127


def with_gathers(model: bytes) -> bytes:
    """A float32 file whose embeddings are looked up by GATHER, which has an 8-bit version."""
    content = files.read(model)
    graph, kinds = content.subgraphs[0], files.kinds(content)
    gather = files.add_code(content, Kind.GATHER)
    for one, kind in zip(graph.operators, kinds, strict=True):
        if kind == Kind.EMBEDDING_LOOKUP:
            ids, table = one.inputs
            one.opcodeIndex, one.inputs = gather, [int(table), int(ids)]
            one.builtinOptionsType, one.builtinOptions = schema.BuiltinOptions.GatherOptions, schema.GatherOptionsT()
    return files.write(content) if Kind.EMBEDDING_LOOKUP in kinds else model


def with_integer_casts(model: bytes) -> bytes:
    """A quantized file whose integers are cast to 8 bits directly, where these hold all that calibration has seen.

    The quantizer casts masks and the like to float32 first, and quantizes them then.
    """
    content = files.read(model)
    tensors = content.subgraphs[0].tensors
    for one, kind in zip(content.subgraphs[0].operators, files.kinds(content), strict=True):
        if kind != Kind.CAST:
            continue
        cast = int(one.outputs[0])
        readers = list(files.readers(content, cast, Kind.QUANTIZE))
        if readers == list(files.readers(content, cast)) and all(_small(tensors[r.outputs[0]]) for r in readers):
            tensors[cast].type, tensors[cast].quantization = schema.TensorType.INT8, _unscaled()
            one.builtinOptionsType, one.builtinOptions = schema.BuiltinOptions.NONE, None
    return files.write(content)


def with_raw_inputs(model: bytes, names: Collection[str]) -> bytes:
    """A quantized file whose raw inputs of these names become 8-bit activations by one operator.

    The quantizer casts them to float32 first, and quantizes them then.
    """
    content = files.read(model)
    graph = content.subgraphs[0]
    for index in files.inputs(content, names):
        casts, last = _casts(content, index)
        readers = list(files.readers(content, last))
        if casts and readers == list(files.readers(content, last, Kind.QUANTIZE)):
            graph.tensors[index].quantization = _unscaled()
            for reader in readers:
                reader.inputs = [index]
            graph.operators = [one for one in graph.operators if all(one is not cast for cast in casts)]
    return files.write(content)


def _casts(content: Any, index: int) -> tuple[list[Any], int]:
    """The casts that follow a tensor one by one, and the tensor that the last of them gives."""
    casts: list[Any] = []
    while True:
        readers = list(files.readers(content, index))
        if len(readers) != 1 or readers != list(files.readers(content, index, Kind.CAST)):
            return casts, index
        casts.append(readers[0])
        index = int(readers[0].outputs[0])


def _unscaled() -> Any:
    """Of a tensor whose integers are its values."""
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = np.ones(1, np.float32), np.zeros(1, np.int64)
    return quantization


def _small(tensor: Any) -> bool:
    """Does the range of an 8-bit tensor lie within 8-bit integers?"""
    scale, zero_point = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    low, high = ((end - zero_point) * scale for end in (SMALLEST, LARGEST))
    return bool(round(low) >= SMALLEST and round(high) <= LARGEST)
