"""An exported program (.pt2) of the user's own making as the teacher. Loading one can run code, so it needs --trust."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import torch
from torch.export import ExportedProgram

from edgekd.errors import Problem, UsageError
from edgekd.nets import inference
from edgekd.nets.weights import check_sha256
from edgekd.plugins import Oracle
from edgekd.results import Signature
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
EXTRA = "train"
FILES = ("file",)

# Operators whose last positional flag says that the graph was exported in training mode, and where that flag stands.
TRAINING_FLAG = {"aten.dropout.default": 2, "aten.batch_norm.default": 5, "aten.feature_dropout.default": 2}


class Settings(Value):
    """`file` is the .pt2, `sha256` its checksum, `activation` whether it gives logits or probabilities."""

    file: str
    sha256: str = ""
    activation: inference.Activation = "logits"


def load(settings: Settings, files: Mapping[str, Path], signature: Signature, trust: bool) -> Oracle:
    """Load the program if the user trusts it; a fixed batch is kept. Raises UsageError for what does not fit."""
    path = files.get("file", Path(settings.file))
    check_sha256(path, settings.sha256)
    if not trust:
        message = f"{path} is a program: loading a .pt2 can run any code that is in it"
        raise UsageError(Problem("file", message, "If you made it yourself or trust who did, pass --trust"))
    program = _read(path)
    _check_inputs(program, path, signature)
    least, most = _batch(program)
    module = inference.Logits(program.module(), signature, settings.activation, frozen=True)
    outputs = inference.answers(module, signature, limit=most, least=least)
    if least > 1:
        why = f"it wants {least} samples at once, and a target runs one at a time; export it with a dynamic batch"
        return Oracle(outputs=outputs, why_no_module=why)
    return Oracle(outputs=outputs, module=module)


def _read(path: Path) -> ExportedProgram:
    try:
        program = torch.export.load(path)
    except (RuntimeError, BadZipFile, ValueError, LookupError, OSError) as error:
        message = f"{path} is not a program that torch {torch.__version__} can read"
        raise UsageError(
            Problem("file", message, "Write it again: torch.export.save(program, 'teacher.pt2')")
        ) from error
    for node in program.graph.nodes:
        flag = TRAINING_FLAG.get(str(node.target))
        if flag is not None and len(node.args) > flag and node.args[flag] is True:
            hint = "Call model.eval() before torch.export.export"
            raise UsageError(Problem("file", f"{path} was exported in training mode ({node.target})", hint))
    return program


def _shapes(program: ExportedProgram) -> list[tuple[int | torch.SymInt, ...]]:
    """Shapes of the program's own inputs, in order; a dimension that may vary is a symbol."""
    wanted = program.graph_signature.user_inputs
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    return [tuple(nodes[str(name)].meta["val"].shape) for name in wanted]


def _check_inputs(program: ExportedProgram, path: Path, signature: Signature) -> None:
    """Raise UsageError unless the program takes inputs of the data's number and shapes."""
    found = [tuple(d if isinstance(d, int) else -1 for d in shape) for shape in _shapes(program)]
    want = [spec.shape for spec in signature.inputs]
    fits = len(found) == len(want) and all(
        len(one) == len(two) and all(a in (-1, b) for a, b in zip(one[1:], two[1:], strict=True))
        for one, two in zip(found, want, strict=True)
    )
    if not fits:
        message = f"{path} takes inputs of shapes {found}, but the data gives {want}"
        raise UsageError(Problem("file", message, "Check size and channels of [teacher] image"))


def _batch(program: ExportedProgram) -> tuple[int, int]:
    """The fewest and the most samples that the program takes at once."""
    batch = _shapes(program)[0][0]
    if isinstance(batch, int):
        return batch, batch
    bounds = program.range_constraints.get(batch.node.expr)
    if bounds is None:
        return 1, inference.CHUNK
    return max(1, int(bounds.lower)), int(min(bounds.upper, inference.CHUNK))
