"""Rules for recurrent layers, step by step in their order of gates.

There is none for gru: of its reset gate the reference says two things. edgekd's own files have no gru, since that of
torch is written out in steps.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekd.mil.given import Arguments, Rule

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": torch.clone,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
State = tuple[Tensor, ...]


def lstm(given: Arguments) -> list[Tensor]:
    """Input, forget and output gate, then the cell's; of both directions side by side."""
    for name in ("peephole", "peephole_back", "clip"):
        if name in given:
            raise given.refused(f"with {name}")
    gate, inner, outer = (
        _activation(given, name, usual)
        for name, usual in (("recurrent_activation", "sigmoid"), ("cell_activation", "tanh"), ("activation", "tanh"))
    )

    def step(gates: Tensor, state: State) -> State:
        i, f, o, z = gates.chunk(4, -1)
        c = gate(f) * state[1] + gate(i) * inner(z)
        return gate(o) * outer(c), c

    return _layer(given, step, [given.tensor("initial_h"), given.tensor("initial_c")])


def rnn(given: Arguments) -> list[Tensor]:
    """activation(W x + U h + b)."""
    how = _activation(given, "activation", "tanh")
    return _layer(given, lambda gates, _: (how(gates),), [given.tensor("initial_h")])


def _activation(given: Arguments, name: str, usual: str) -> Callable[[Tensor], Tensor]:
    word = given.text(name, usual)
    if word not in ACTIVATIONS:
        raise given.refused(f"with {name} {word}")
    return ACTIVATIONS[word]


def _layer(given: Arguments, step: Callable[[Tensor, State], State], initial: Sequence[Tensor]) -> list[Tensor]:
    """Hidden states of all steps (or of the last alone), then the last state."""
    x, direction = given.tensor("x"), given.text("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        raise given.refused(f"with direction {direction}")
    both = direction == "bidirectional"
    ways = [("", direction == "reverse"), *([("_back", True)] if both else [])]
    starts = zip(*(value.chunk(len(ways), -1) for value in initial), strict=True)
    found = [_way(given, step, x, start, *way) for way, start in zip(ways, starts, strict=True)]
    steps = torch.cat([one for one, _ in found], -1)
    last = [torch.cat(parts, -1) for parts in zip(*(state for _, state in found), strict=True)]
    return [steps if given.flag("output_sequence") else last[0].unsqueeze(0), *last]


def _way(
    given: Arguments, step: Callable[[Tensor, State], State], x: Tensor, state: State, suffix: str, back: bool
) -> tuple[Tensor, State]:
    """One direction: its hidden states in the order of the input, and its last state."""
    inward, across = given.tensor(f"weight_ih{suffix}"), given.tensor(f"weight_hh{suffix}")
    bias = given.optional(f"bias{suffix}")
    taken = F.linear(x, inward, bias)
    found = []
    for gates in reversed(taken.unbind(0)) if back else taken.unbind(0):
        state = step(gates + F.linear(state[0], across), state)
        found.append(state[0])
    return torch.stack(found[::-1] if back else found), state


RULES: dict[str, Rule] = {"lstm": lstm, "rnn": rnn}
