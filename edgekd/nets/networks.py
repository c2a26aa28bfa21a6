"""Networks in a worker: the user's own code, weights from files, signatures, and outputs by name.

Everything here raises UsageError with the file and the setting for whatever the user can put right.
"""

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from edgekd import plugins
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import nearest, translate
from edgekd.nets.numbers import units_of
from edgekd.nets.weights import load_weights
from edgekd.results import Preprocess, Signature, Splits, TensorSpec
from edgekd.spec import Architecture, Choice, Image, Value
from edgekd.workspace import Workspace

__all__ = [
    "build",
    "configured",
    "forward",
    "image_input",
    "load_weights",
    "named",
    "paths",
    "settings",
    "signature",
    "user_code",
    "user_function",
    "user_module",
]

S = TypeVar("S", bound=Value)


def paths(choice: Choice) -> dict[str, Path]:
    """The user's own files that a choice names, by setting."""
    return {setting: Path(file.path) for setting, file in choice.files.items()}


def configured(kind: str, choice: Choice, where: str = "") -> tuple[ModuleType, Any]:
    """Import a plug-in and read its settings; raises UsageError with every mistake and the nearest good name."""
    module: ModuleType = plugins.find(kind, choice.name)
    return module, settings(module.Settings, choice.settings, where or f"{kind}/{choice.name}")


def settings(kind: type[S], written: Mapping[str, Any], where: str) -> S:
    """Read settings as written into a plug-in's own Settings; all mistakes at once, each with its key and value."""
    try:
        return kind.model_validate(dict(written))
    except ValidationError as error:
        raise translate(error, lambda key: f"{where}.{key}" if key else where, kind.model_fields) from error


@contextmanager
def user_code(setting: str, file: Path) -> Iterator[None]:
    """Turn whatever the user's own code raises into one sentence that names the setting, the file and the line."""
    try:
        yield
    except UsageError:
        raise
    # The one place where any exception is caught: the code inside is the user's, and may raise whatever it likes.
    except (Exception, SystemExit) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
        line = f", line {frames[-1].lineno}" if frames else ""
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise UsageError(Problem(setting, f"{file}{line} raises {reason}", "Put that right, then run again")) from error


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Let the user's module import the modules beside it; afterwards they are forgotten, so that two folders may use
    the same file names."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and Path(origin).is_relative_to(folder):
                del sys.modules[name]


def user_function(code: str, files: Mapping[str, Path], setting: str) -> Callable[..., object]:
    """Load "module:function" from the user's own file `files[setting]`, under the module's own name.

    Raises UsageError naming the file and the setting where the module does not load or has no such function.
    """
    module_name, colon, function_name = code.partition(":")
    if not colon or not module_name or not function_name:
        raise UsageError(Problem(setting, f"{code!r} is not module:function", "Write for example my_net:build"))
    if setting not in files or not files[setting].is_file():
        place = files.get(setting, f"{module_name}.py")
        raise UsageError(Problem(setting, f"{place} of {code!r} is not there", "Name a .py file beside the recipe"))
    file = files[setting].resolve()
    module = _load_module(module_name.rpartition(".")[2], file, setting)
    function = getattr(module, function_name, None)
    if not callable(function):
        found = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise UsageError(Problem(setting, f"{file} has no function {function_name!r}", nearest(function_name, found)))
    return _guarded(function, setting, file)


def _load_module(name: str, file: Path, setting: str) -> ModuleType:
    """Execute a user's .py file as module `name`, visible in sys.modules meanwhile (dataclasses need that)."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(Problem(setting, f"{file} is not a Python module", "Name a .py file"))
    module, before = importlib.util.module_from_spec(spec), sys.modules.get(name)
    sys.modules[name] = module
    try:
        with user_code(setting, file), _neighbours(file.parent):
            spec.loader.exec_module(module)
    except UsageError:
        del sys.modules[name]
        raise
    finally:
        # A user's random.py must not shadow the standard library's for everybody else.
        if before is not None:
            sys.modules[name] = before
    return module


def _guarded(function: Callable[..., object], setting: str, file: Path) -> Callable[..., object]:
    def call(*arguments: object, **keywords: object) -> object:
        with user_code(setting, file):
            return function(*arguments, **keywords)

    return call


def user_module(code: str, files: Mapping[str, Path], setting: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Call the user's "module:function" with keyword arguments; raises UsageError unless it gives a torch network."""
    made = user_function(code, files, setting)(**arguments)
    if not isinstance(made, nn.Module):
        what = f"the class {made.__name__}" if isinstance(made, type) else f"a {type(made).__name__}"
        hint = "It must return a torch.nn.Module, ready for its weights"
        raise UsageError(Problem(setting, f"{code} in {files[setting]} returns {what}", hint))
    return made


def image_input(splits: Splits, array: NDArray[Any]) -> bool:
    """Is an input stored as images: (N, canvas, canvas, channels) uint8?"""
    return array.dtype == np.uint8 and array.ndim == 4 and array.shape[1:3] == (splits.canvas, splits.canvas)


def signature(splits: Splits, image: Image | None, workspace: Workspace) -> Signature:
    """What a network takes and gives on these samples: prepared inputs, and `logits` of (batch, classes).

    Images become float32 (-1, channels, size, size); other floats become float32, ids and masks keep their dtype.
    """
    part = next(iter(splits.parts.values()))
    inputs = []
    for name, file in part.inputs.items():
        array = workspace.load(file)
        if image is not None and splits.canvas is not None and image_input(splits, array):
            inputs.append(image_spec(name, image, splits.canvas))
        else:
            dtype = "float32" if array.dtype.kind == "f" else str(array.dtype)
            front_end = splits.front_ends.get(name)
            inputs.append(TensorSpec(name=name, shape=(-1, *array.shape[1:]), dtype=dtype, front_end=front_end))
    outputs = (TensorSpec(name="logits", shape=(-1, splits.outputs)),)
    return Signature(
        inputs=tuple(inputs), outputs=outputs, classes=splits.classes, columns=splits.columns, heads=splits.heads
    )


def image_spec(name: str, image: Image, canvas: int) -> TensorSpec:
    """The input of a network that wants its images so, cut from a square canvas; mean and std one for each channel."""
    channels = 1 if image.channels == "gray" else 3
    preprocess = Preprocess(
        canvas=canvas,
        size=image.size,
        channels=image.channels,
        filter=image.filter,
        mean=_for_each_channel(image.mean, channels, "mean", image.channels),
        std=_for_each_channel(image.std, channels, "std", image.channels),
    )
    return TensorSpec(name=name, shape=(-1, channels, image.size, image.size), preprocess=preprocess)


def _for_each_channel(values: tuple[float, ...], channels: int, key: str, order: str) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        message = f"{list(values)} has {len(values)} values, but {order} images have {channels} channel(s)"
        raise UsageError(Problem(f"image.{key}", message, f"Give 1 value or {channels}"))
    if key == "std" and min(values) <= 0:
        raise UsageError(
            Problem("image.std", f"{list(values)} must be above zero", "For example [0.229, 0.224, 0.225]")
        )
    return values if len(values) == channels else values * channels


def build(architecture: Architecture, signature: Signature) -> nn.Module:
    """Make one network of a student family, with its initial weights where `family.files` names `weights`.

    A family that declares CODE or OF_TEACHER gets the user's files as a fourth argument: build(settings, inputs,
    outputs, files). Where it tells numbers it does so in their own units, whatever these are.
    """
    family, chosen = configured("students", architecture.family)
    files = paths(architecture.family)
    extra = (files,) if getattr(family, "CODE", ()) or getattr(family, "OF_TEACHER", False) else ()
    module: nn.Module = family.build(chosen, signature.inputs, signature.outputs, *extra)
    if "weights" in files:
        fresh = tuple(getattr(chosen, "fresh", ()))
        load_weights(module, files["weights"], str(architecture.family.settings.get("sha256") or ""), fresh)
    # what is made of the teacher tells numbers as the teacher does
    return module if getattr(family, "OF_TEACHER", False) else units_of(module, signature)


def named(outputs: object, signature: Signature) -> dict[str, Tensor]:
    """Outputs of a network by name, whether it gives one tensor, a tuple in the signature's order, or a mapping.

    Of several heads it may give one tensor each, in a mapping by the heads' names: they become the one output.
    """
    names = [spec.name for spec in signature.outputs]
    heads = [head.name for head in signature.heads]
    if heads and isinstance(outputs, Mapping) and names[0] not in outputs and all(name in outputs for name in heads):
        outputs = {**outputs, names[0]: torch.cat([outputs[name] for name in heads], dim=1)}
    if isinstance(outputs, Tensor):
        return {names[0]: outputs}
    if isinstance(outputs, tuple | list) and all(isinstance(value, Tensor) for value in outputs[: len(names)]):
        return dict(zip(names, outputs, strict=False))
    if isinstance(outputs, Mapping):
        if names[0] not in outputs and len(outputs) == 1:
            return {names[0]: next(iter(outputs.values()))}
        if names[0] in outputs:
            return {str(name): value for name, value in outputs.items() if isinstance(value, Tensor)}
        message = f"the network gives {', '.join(map(str, outputs))}, but no {names[0]!r}"
        raise UsageError(Problem("outputs", message, f"Return a dict with {names[0]!r} in it, or just that tensor"))
    message = f"the network gives a {type(outputs).__name__}"
    raise UsageError(Problem("outputs", message, "Return a tensor, a tuple of tensors or a dict of tensors"))


def forward(module: nn.Module, batch: Mapping[str, NDArray[Any] | Tensor], signature: Signature) -> dict[str, Tensor]:
    """Run a network on one batch of prepared inputs by name; it takes them in the signature's order."""
    return named(module(*[_tensor(batch[spec.name]) for spec in signature.inputs]), signature)


def _tensor(value: NDArray[Any] | Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.from_numpy(value if value.flags.writeable else value.copy())
