"""What a rule is given: the values of one operator's parameters, as tensors or as plain numbers."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from edgekd.errors import NotVerified

Given = Tensor | str | tuple[Tensor, ...]


class Arguments:
    """The parameters of one operator by name; what is asked for and is not there has its default, or is a mistake."""

    def __init__(self, kind: str, values: Mapping[str, Given]) -> None:
        self.kind, self._values = kind, values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def tensor(self, name: str) -> Tensor:
        """One tensor. Raises NotVerified where the file gives none."""
        found = self._values.get(name)
        if not isinstance(found, Tensor):
            raise self.refused(f"without a tensor {name}")
        return found

    def tensors(self, name: str) -> tuple[Tensor, ...]:
        """A list of tensors."""
        found = self._values.get(name)
        if not isinstance(found, tuple):
            raise self.refused(f"without a list {name}")
        return found

    def optional(self, name: str) -> Tensor | None:
        """One tensor, or None where the file gives none."""
        return self.tensor(name) if name in self else None

    def integers(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """Whole numbers that the file states."""
        if name not in self and default is not None:
            return list(default)
        return [int(number) for number in self.tensor(name).reshape(-1).tolist()]

    def integer(self, name: str, default: int | None = None) -> int:
        """One whole number."""
        return self.integers(name, None if default is None else [default])[0]

    def flags(self, name: str, count: int) -> list[bool]:
        """One yes or no for each dimension; no where the file is silent."""
        return [bool(flag) for flag in self.integers(name, [0] * count)]

    def flag(self, name: str, default: bool = False) -> bool:
        """One yes or no."""
        return bool(self.integer(name, int(default)))

    def number(self, name: str, default: float | None = None) -> float:
        """One number."""
        if name not in self and default is not None:
            return default
        return float(self.tensor(name))

    def text(self, name: str, default: str = "") -> str:
        """One word."""
        found = self._values.get(name, default)
        if not isinstance(found, str):
            raise self.refused(f"with {name} that is not a word")
        return found

    def refused(self, detail: str) -> NotVerified:
        """The error of a rule that does not cover what the file asks for."""
        return NotVerified(f"no rule for {self.kind} {detail}")


Rule = Callable[[Arguments], Tensor | Sequence[Tensor]]


def along(values: Tensor, axis: int, like: Tensor) -> Tensor:
    """A scalar as it is, or one value for each index of an axis, shaped to be broadcast over a tensor."""
    if values.dim() == 0:
        return values
    shape = [1] * like.dim()
    shape[axis] = -1
    return values.reshape(torch.Size(shape))
