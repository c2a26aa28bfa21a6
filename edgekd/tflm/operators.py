"""What a .tflite file asks of TensorFlow Lite Micro: its operators, and its inputs and outputs by number."""

from dataclasses import dataclass
from typing import Any

from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from edgekd.runtimes import tflite_micro

# Methods of MicroMutableOpResolver whose names are not the operators' own in camel case.
ODD = {
    "AVERAGE_POOL_2D": "AveragePool2D",
    "BATCH_MATMUL": "BatchMatMul",
    "CONV_2D": "Conv2D",
    "CUMSUM": "CumSum",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "L2_POOL_2D": "L2Pool2D",
    "MAX_POOL_2D": "MaxPool2D",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


@dataclass(frozen=True)
class Asked:
    """Operators in the order of their first use, and which input or output a name of the file's signature is."""

    operators: tuple[str, ...]
    custom: tuple[str, ...]
    inputs: dict[str, int]
    outputs: dict[str, int]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of MicroMutableOpResolver that register the operators."""
        return tuple(f"Add{method(name)}" for name in self.operators)


def method(operator: str) -> str:
    """DEPTHWISE_CONV_2D -> DepthwiseConv2D"""
    return ODD.get(operator) or "".join(part.capitalize() for part in operator.split("_"))


def asked(model: bytes) -> Asked:
    """Read a file. Raises ValueError where it is none, or its signature has names that its graph has not."""
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    codes = [_name(one) for one in content.operatorCodes]
    used = list(dict.fromkeys(codes[one.opcodeIndex] for graph in content.subgraphs for one in graph.operators))
    inputs, outputs = tflite_micro.numbers(model)
    return Asked(
        operators=tuple(name for name, custom in used if not custom),
        custom=tuple(name for name, custom in used if custom),
        inputs=inputs,
        outputs=outputs,
    )


def _name(code: Any) -> tuple[str, bool]:
    """An operator's name, and whether it is none of TensorFlow Lite's own."""
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema.BuiltinOperator.CUSTOM:
        return code.customCode.decode(), True
    return next(name for name, own in vars(schema.BuiltinOperator).items() if own == number), False
