"""Which operators of a Core ML program may run on the Neural Engine, as far as documentation says: nothing was run.

There is no whole list: where operators run "changes based on device generation, operating system version, tensor sizes"
(Core ML Tools' maintainers, [2]). So an operator that no source bars counts as eligible, which is not to say that a
device would put it there: Xcode's performance report tells that.

[1] Core ML Tools Guide, Typed Execution: the Neural Engine computes in float16, and is the one unit that is barred for
    float32 types. https://apple.github.io/coremltools/docs-guides/source/typed-execution.html
[2] Core ML Tools, issue 1780: recurrent layers are not supported on the Neural Engine.
    https://github.com/apple/coremltools/issues/1780
[3] M. Hollemans, The Neural Engine: what do we know about it? Not by Apple, found by experiment: gather does not run
    there. https://github.com/hollance/neural-engine/blob/master/docs/unsupported-layers.md
[4] Core ML Tools Guide, What's New: 8-bit activations with 8-bit weights are accelerated on it from A17 Pro and M4 on;
    weights alone are decompressed. https://apple.github.io/coremltools/docs-guides/source/opt-whats-new.html
"""

from pathlib import Path

from edgekd.mil.reading import Operation, Program, Reference, Slot, read
from edgekd.plugins import Operator

GUIDE = "Core ML Tools Guide, Typed Execution"
# operator -> why it is barred
BARRED = dict.fromkeys(
    ("gru", "lstm", "rnn"), "recurrent layers do not run on the Neural Engine (Core ML Tools, issue 1780)"
)
BARRED |= dict.fromkeys(
    ("gather", "gather_along_axis", "gather_nd"),
    "gather does not run on the Neural Engine (M. Hollemans, found by experiment)",
)
# What may run there: float16, and values in 8 bits where both activations and weights have them.
TYPES = ("fp16", "int8", "uint8")
SHAPES = ("reshape", "squeeze", "expand_dims", "identity")
CONVERSIONS = ("cast", "quantize", "dequantize")
NAMES = {"fp32": "float32", "fp16": "float16"}


def placed(package: Path) -> list[Operator]:
    """Every operator that works at each run. Raises NotVerified."""
    program = read(package)
    slots = {slot.number: slot for slot in program.inputs}
    slots |= {slot.number: slot for operation in program.operations for slot in operation.outputs}
    varying = {slot.number for slot in program.inputs}
    found = []
    for operation in program.operations:
        taken = [number for one in operation.inputs.values() for number in _numbers(one)]
        if varying.isdisjoint(taken):
            continue
        found.append(_operator(program, operation, [slots[number] for number in taken if number in varying]))
        varying |= {slot.number for slot in operation.outputs}
    return found


def _operator(program: Program, operation: Operation, taken: list[Slot]) -> Operator:
    why = _why(program, operation, taken)
    return Operator(
        name=operation.outputs[0].name,
        kind=operation.kind,
        gives=tuple(slot.name for slot in operation.outputs),
        takes=tuple(slot.name for slot in taken),
        wanted=not why,
        why=why,
        conversion=operation.kind in CONVERSIONS,
        counts=operation.kind not in SHAPES,
    )


def _why(program: Program, operation: Operation, taken: list[Slot]) -> str:
    """Why an operator may not run there; empty where no source bars it."""
    given = {slot.number for slot in program.inputs}
    outputs = {slot.number for slot in program.outputs}
    edge = given.issuperset(slot.number for slot in taken) or outputs.issuperset(s.number for s in operation.outputs)
    if operation.kind == "cast" and edge:  # the file's own interface
        return ""
    if operation.kind in BARRED:
        return BARRED[operation.kind]
    others = sorted({slot.kind for slot in (*taken, *operation.outputs)} - set(TYPES))
    if not others:
        return ""
    kinds = ", ".join(NAMES.get(kind, kind) for kind in others)
    return f"has {kinds} values, and the Neural Engine computes in float16 ({GUIDE})"


def _numbers(reference: Reference) -> tuple[int, ...]:
    return reference if isinstance(reference, tuple) else (reference,)
