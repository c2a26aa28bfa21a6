"""Rules for operators that treat each element for itself, and for types."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekd.mil.given import Arguments, Rule


def _one(how: Callable[[Tensor], Tensor]) -> Rule:
    return lambda given: how(given.tensor("x"))


def _two(how: Callable[[Tensor, Tensor], Tensor]) -> Rule:
    return lambda given: how(given.tensor("x"), given.tensor("y"))


def cast(given: Arguments) -> Tensor:
    """To another type; whole numbers are cut towards zero."""
    x, wanted = given.tensor("x"), given.text("dtype")
    if wanted.startswith("fp"):
        return x.float()
    return x.bool() if wanted == "bool" else x.long()


def clip(given: Arguments) -> Tensor:
    x = given.tensor("x")
    return torch.minimum(torch.maximum(x, given.tensor("alpha")), given.tensor("beta"))


def gelu(given: Arguments) -> Tensor:
    x, mode = given.tensor("x"), given.text("mode", "EXACT")
    match mode:
        case "EXACT":
            return F.gelu(x)
        case "TANH_APPROXIMATION":
            return F.gelu(x, approximate="tanh")
        case "SIGMOID_APPROXIMATION":
            return x * torch.sigmoid(1.702 * x)
    raise given.refused(f"with mode {mode}")


def prelu(given: Arguments) -> Tensor:
    """One slope for each channel, the second axis."""
    x, alpha = given.tensor("x"), given.tensor("alpha")
    return torch.where(x >= 0, x, x * alpha.reshape(-1, *[1] * (x.dim() - 2)))


def elu(given: Arguments) -> Tensor:
    x = given.tensor("x")
    return torch.where(x >= 0, x, given.number("alpha", 1.0) * torch.expm1(x))


def leaky_relu(given: Arguments) -> Tensor:
    x = given.tensor("x")
    return torch.where(x >= 0, x, given.number("alpha", 0.01) * x)


def sigmoid_hard(given: Arguments) -> Tensor:
    return (given.number("alpha", 0.2) * given.tensor("x") + given.number("beta", 0.5)).clamp(0, 1)


def thresholded_relu(given: Arguments) -> Tensor:
    x = given.tensor("x")
    return torch.where(x >= given.number("alpha", 1.0), x, torch.zeros_like(x))


def select(given: Arguments) -> Tensor:
    return torch.where(given.tensor("cond").bool(), given.tensor("a"), given.tensor("b"))


RULES: dict[str, Rule] = {
    "abs": _one(torch.abs),
    "atan": _one(torch.atan),
    "cast": cast,
    "ceil": _one(torch.ceil),
    "clamped_relu": lambda given: leaky_relu(given).clamp(max=given.number("beta")),
    "clip": clip,
    "cos": _one(torch.cos),
    "elu": elu,
    "erf": _one(torch.erf),
    "exp": _one(torch.exp),
    "exp2": _one(torch.exp2),
    "floor": _one(torch.floor),
    "gelu": gelu,
    "inverse": lambda given: 1 / (given.tensor("x") + given.number("epsilon", 1e-4)),
    "linear_activation": lambda given: given.number("alpha") * given.tensor("x") + given.number("beta", 0.0),
    "leaky_relu": leaky_relu,
    "log": lambda given: torch.log(given.tensor("x") + given.number("epsilon", 1e-45)),
    "logical_not": _one(torch.logical_not),
    "prelu": prelu,
    "relu": _one(F.relu),
    "relu6": _one(F.relu6),
    "rsqrt": lambda given: torch.rsqrt(given.tensor("x") + given.number("epsilon", 1e-12)),
    "scaled_tanh": lambda given: given.number("alpha") * torch.tanh(given.number("beta") * given.tensor("x")),
    "sigmoid": _one(torch.sigmoid),
    "sigmoid_hard": sigmoid_hard,
    "silu": _one(F.silu),
    "sign": _one(torch.sign),
    "sin": _one(torch.sin),
    "softplus": _one(F.softplus),
    "softsign": _one(F.softsign),
    "sqrt": _one(torch.sqrt),
    "square": _one(torch.square),
    "tanh": _one(torch.tanh),
    "thresholded_relu": thresholded_relu,
    "add": _two(torch.add),
    "equal": _two(torch.eq),
    "floor_div": _two(torch.floor_divide),
    "greater": _two(torch.gt),
    "greater_equal": _two(torch.ge),
    "less": _two(torch.lt),
    "less_equal": _two(torch.le),
    "logical_and": _two(torch.logical_and),
    "logical_or": _two(torch.logical_or),
    "logical_xor": _two(torch.logical_xor),
    "maximum": _two(torch.maximum),
    "minimum": _two(torch.minimum),
    "mul": _two(torch.mul),
    "not_equal": _two(torch.ne),
    "pow": _two(torch.pow),
    "real_div": _two(torch.div),
    "sub": _two(torch.sub),
    "select": select,
}
