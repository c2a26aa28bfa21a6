"""Weights from the user's files: safetensors or a torch state dict, checked against the network, never unpickled."""

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edgekd import files
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import nearest

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "model_ema", "ema")
SHOWN = 3
SAVE_STATE_DICT = 'Save the state dict instead: torch.save(model.state_dict(), "weights.pt")'
SAVE_AGAIN = "Copy or save it again"


def load_weights(module: nn.Module, path: Path, sha256: str = "", fresh: Sequence[str] = ()) -> None:
    """Fill a network with weights from a .safetensors file or a state dict; every weight must be there and fit.

    Wrappers such as {"state_dict": ...} and prefixes such as "module." are taken off. The modules in `fresh` keep the
    weights that they have: a head for other classes, say. Raises UsageError for a wrong checksum, a corrupt file, a
    whole pickled model, and for missing, unexpected or mismatched weights, all at once.
    """
    check_sha256(path, sha256)
    state = _without_prefix(_unwrapped(_read(path), path), set(module.state_dict()))
    wanted = module.state_dict()
    if absent := [name for name in fresh if not any(_within(key, (name,)) for key in wanted)]:
        inside = sorted({key.rpartition(".")[0] for key in wanted})
        raise UsageError(Problem("fresh", f"the network has no module {absent[0]!r}", nearest(absent[0], inside)))
    wanted, state = ({k: v for k, v in each.items() if not _within(k, fresh)} for each in (wanted, state))
    # Counters of batch normalization came with torch 0.4; older files lack them and lose nothing.
    state = {k: v for k, v in wanted.items() if k.endswith("num_batches_tracked")} | state
    problems = _differences(wanted, state, path)
    if problems:
        raise UsageError(*problems)
    module.load_state_dict(state, strict=not fresh)


def _within(key: str, modules: Sequence[str]) -> bool:
    """Whether a weight belongs to one of these modules."""
    return any(key == name or key.startswith(f"{name}.") for name in modules)


def check_sha256(path: Path, sha256: str) -> None:
    """Raise UsageError unless the file is there and has this sha256 (any, where it is empty)."""
    if not path.is_file():
        raise UsageError(Problem(str(path), "is not there", "Check the path; it is relative to the recipe"))
    if not sha256:
        return
    found = files.digest(path)
    if found != sha256.lower():
        raise UsageError(Problem(str(path), f"has sha256 {found}, but the card says {sha256}", SAVE_AGAIN))


def _read(path: Path) -> object:
    """What a file of weights holds, read without running any code from it."""
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
        if path.suffix == ".safetensors" or head[8:] == b"{":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found:
            message = f"is a whole pickled model or holds other Python objects ({found[1]}), which would run code"
            raise UsageError(Problem(str(path), message, SAVE_STATE_DICT)) from error
        raise UsageError(Problem(str(path), "is not a file of weights", SAVE_STATE_DICT)) from error
    except RuntimeError as error:
        if "TorchScript" in str(error):
            raise UsageError(Problem(str(path), "is a TorchScript program, not weights", SAVE_STATE_DICT)) from error
        if "data.pkl" in str(error):
            raise UsageError(Problem(str(path), "is an archive without weights", SAVE_STATE_DICT)) from error
        raise UsageError(Problem(str(path), "is corrupt or cut short", SAVE_AGAIN)) from error
    except (SafetensorError, EOFError, LookupError, ValueError, OSError) as error:
        raise UsageError(Problem(str(path), f"is corrupt or cannot be read ({error})", SAVE_AGAIN)) from error


def _unwrapped(found: object, path: Path) -> dict[str, Tensor]:
    """The innermost state dict: {"state_dict": {"model": {...}}} and the like are taken off."""
    while isinstance(found, Mapping):
        inner = [found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)]
        if not inner:
            break
        found = inner[0]
    if not isinstance(found, Mapping) or not found:
        raise UsageError(Problem(str(path), f"holds {type(found).__name__}, not a state dict", SAVE_STATE_DICT))
    strange = [str(key) for key, value in found.items() if not isinstance(value, Tensor)]
    if len(strange) == len(found):
        message = f"holds {_some(strange)}, and none of them is a tensor"
        raise UsageError(Problem(str(path), message, SAVE_STATE_DICT))
    return {str(key): value for key, value in found.items() if isinstance(value, Tensor)}


def _without_prefix(state: dict[str, Tensor], wanted: set[str]) -> dict[str, Tensor]:
    """Take off first names such as "module." (DataParallel) or "_orig_mod." (compile) that the network does not use."""
    while True:
        first = {key.partition(".")[0] for key in state if "." in key}
        if len(first) != 1 or len(first) != len({key.partition(".")[0] for key in state}):
            return state
        prefix = f"{first.pop()}."
        if any(key.startswith(prefix) for key in wanted):
            return state
        state = {key.removeprefix(prefix): value for key, value in state.items()}


def _differences(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> list[Problem]:
    """Every way in which a state dict does not fit a network: the first few names of each, with shapes."""
    where, problems = str(path), []
    missing = [f"{key} {tuple(wanted[key].shape)}" for key in wanted if key not in state]
    strange = [f"{key} {tuple(state[key].shape)}" for key in state if key not in wanted]
    other = [
        f"{key} is {tuple(state[key].shape)} in the file, {tuple(wanted[key].shape)} in the network"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    hint = "Are these the weights of this network, made with the same settings?"
    if missing:
        problems.append(Problem(where, f"lacks {len(missing)} of {len(wanted)} weights: {_some(missing)}", hint))
    if strange:
        problems.append(Problem(where, f"has {len(strange)} weights that the network lacks: {_some(strange)}", hint))
    if other:
        problems.append(Problem(where, f"has {len(other)} weights of another shape: {_some(other)}", hint))
    return problems


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
