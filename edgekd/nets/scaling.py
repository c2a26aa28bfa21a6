"""Which channels of a program can be scaled so that nothing but the ranges of its inner values changes.

A layer can give a channel smaller, and the layers that read it can make up for that, where every operator between them
does to a positive multiple of a number what it does to the number: ReLU, means, pooling, sums, reshapes. So each number
of each tensor carries the name of its scale through the graph. Operators that only move numbers move the names, sums
make two names one, and what bends (a sigmoid, a clamp, the product of two such numbers) fixes the names that it reads.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.nn import functional as F

from edgekd.nets import layers
from edgekd.nets.culprit import operator

# A zero that padding brought is zero in any scale; a fixed number has to stay as it is. Names of scales come after.
ANY, FIXED = 0, 1

SAME = "relu leaky_relu prelu abs neg dropout feature_dropout detach alias clone contiguous to _to_copy lift_fresh_copy"
MOVED = (
    "view reshape _unsafe_view flatten unflatten permute transpose t squeeze unsqueeze expand expand_as slice select "
    "cat stack chunk split split_with_sizes unbind getitem repeat flip roll narrow movedim pixel_shuffle"
)
SUMS = "add sub maximum minimum"
REDUCED = "mean sum amax amin"
POOLED = ("max_pool", "avg_pool", "adaptive_avg_pool", "upsample_")
# What depends on a tensor's shape and type alone.
SHAPES = "sym_size sym_numel size zeros_like ones_like new_zeros new_ones new_full _assert_tensor_metadata"
CONVOLUTIONS = "conv1d conv2d conv3d convolution"
# Where a norm has its weight; its bias comes next.
NORMS = {
    "batch_norm": 1,
    "_native_batch_norm_legit_no_training": 1,
    "instance_norm": 1,
    "group_norm": 2,
    "layer_norm": 2,
    "native_layer_norm": 2,
    "rms_norm": 2,
}
CHANNELS_LAST = ("linear", "layer_norm", "native_layer_norm", "rms_norm")

Names = Tensor | tuple[Tensor | None, ...] | None


@dataclass(frozen=True)
class Writer:
    """A layer that can scale what it gives: keys of its weight and bias (output channel first), the channels' names."""

    keys: tuple[str, ...]
    names: NDArray[np.int64]


@dataclass(frozen=True)
class Reader:
    """A layer that can make up for scaled inputs: its node, the key of its weight, the names of its input's channels.

    Channels lie along `axis` of its input and output; weight[o, i] multiplies input channel taken[o, i].
    """

    node: fx.Node
    key: str
    axis: int
    names: NDArray[np.int64]
    taken: NDArray[np.int64]


@dataclass(frozen=True)
class Scalable:
    """The layers between which channels can be scaled; those that cannot have the name FIXED or ANY."""

    writers: tuple[Writer, ...]
    readers: tuple[Reader, ...]


def scalable(program: ExportedProgram, inputs: Sequence[NDArray[Any]]) -> Scalable:
    """Follow the scales through a program, as it runs on the first sample of `inputs` (in the program's order)."""
    tracer = _Tracer(program)
    with torch.no_grad():
        tracer.run(*layers.arguments(program, [values[:1] for values in inputs]))
    written = np.unique(np.concatenate([np.array([FIXED]), *(tracer.roots(names) for _, names in tracer.writers)]))
    read = np.unique(np.concatenate([np.array([FIXED]), *(tracer.roots(found[3]) for found in tracer.readers)]))
    free = np.setdiff1d(np.intersect1d(written, read), [ANY, FIXED])

    def only(names: Tensor) -> NDArray[np.int64]:
        roots = tracer.roots(names)
        return np.where(np.isin(roots, free), roots, FIXED)

    writers = [Writer(keys, only(names)) for keys, names in tracer.writers]
    readers = [Reader(node, key, axis, only(names), taken) for node, key, axis, names, taken in tracer.readers]
    return Scalable(
        writers=tuple(writer for writer in writers if (writer.names != FIXED).any()),
        readers=tuple(reader for reader in readers if (reader.names != FIXED).any()),
    )


class _Tracer(fx.Interpreter):
    """Runs a program's graph on real numbers, and carries the names of their scales along; None where all are fixed."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__(program.graph_module)
        self.writers: list[tuple[tuple[str, ...], Tensor]] = []
        self.readers: list[tuple[fx.Node, str, int, Tensor, NDArray[np.int64]]] = []
        self._parents = [ANY, FIXED]
        self._names: dict[fx.Node, Names] = {}
        self._weights = {
            spec.arg.name: str(spec.target)
            for spec in program.graph_signature.input_specs
            if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and spec.target in program.state_dict
        }
        self._rules = self._table()

    def _table(self) -> dict[str, Callable[[fx.Node, Any], Names]]:
        """What an operator does to names, by its own name."""
        groups: list[tuple[Iterable[str], Callable[[fx.Node, Any], Names]]] = [
            (SAME.split(), self._same),
            (MOVED.split(), self._moved),
            (SUMS.split(), self._sum),
            (REDUCED.split(), self._reduced),
            (("mul", "div"), self._product),
            (("pad", "constant_pad_nd"), self._padded),
            (("scaled_dot_product_attention",), self._attention),
        ]
        return {name: rule for names, rule in groups for name in names}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self._names[n] = self._named(n, value)
        for used in self.user_to_last_uses.get(n, ()):
            self._names.pop(used, None)
        return value

    def _named(self, n: fx.Node, value: Any) -> Names:
        """Names for what a node gives."""
        kind = "getitem" if n.target is getitem else operator(n).rstrip("_")
        if n.op not in ("call_function", "output") or kind in SHAPES.split():
            return None
        if kind in NORMS:
            return self._norm(n, value, NORMS[kind])
        if kind == "linear" or kind in CONVOLUTIONS.split():
            return self._layer(n, value, kind)
        rule = self._pooled if kind.startswith(POOLED) else self._rules.get(kind)
        names = None
        if rule and any(self._names[node] is not None for node in n.all_input_nodes):
            names = rule(n, value)
        if names is None:
            self._fix(n.all_input_nodes)
        return names

    # -- names --

    def _new(self, count: int) -> Tensor:
        first = len(self._parents)
        self._parents += range(first, first + count)
        return torch.arange(first, first + count, dtype=torch.int32)

    def _root(self, name: int) -> int:
        while self._parents[name] != name:
            self._parents[name] = name = self._parents[self._parents[name]]
        return name

    def roots(self, names: Tensor) -> NDArray[np.int64]:
        """The name that stands for each name and all that are one with it."""
        return np.array([self._root(name) for name in names.tolist()], np.int64)

    def _tie(self, one: Tensor, other: Tensor) -> Tensor:
        """Make the names of two tensors one, number by number; the names of both together."""
        count = len(self._parents)
        for pair in torch.unique(one.flatten().long() * count + other.flatten()).tolist():
            ends = divmod(pair, count)
            if ANY not in ends:
                low, high = sorted(map(self._root, ends))
                self._parents[high] = low
        return torch.where(one == ANY, other, one)

    def _fix(self, nodes: Iterable[fx.Node]) -> None:
        for node in nodes:
            names = self._names[node]
            for each in names if isinstance(names, tuple) else (names,):
                if each is not None:
                    self._tie(each, torch.full_like(each, FIXED))

    def _of(self, argument: Any) -> Tensor | None:
        """Names of an argument that is one tensor."""
        names = self._names[argument] if isinstance(argument, fx.Node) else None
        return names if isinstance(names, Tensor) else None

    # -- operators without weights; None where the names that they read are to be fixed --

    def _same(self, n: fx.Node, value: Any) -> Names:
        return self._of(n.args[0]) if value.is_floating_point() else None

    def _moved(self, n: fx.Node, value: Any) -> Names:
        """Do with the names what the operator does with the numbers."""

        def known(node: fx.Node) -> Any:
            names, given = self._names[node], self.env[node]
            if names is None and isinstance(given, Tensor) and given.is_floating_point():
                return torch.full(given.shape, FIXED, dtype=torch.int32)
            return given if names is None else names

        assert callable(n.target)
        found = n.target(*fx.map_arg(n.args, known), **fx.map_arg(n.kwargs, known))
        return tuple(found) if isinstance(found, list) else found

    def _sum(self, n: fx.Node, value: Any) -> Names:
        """Two numbers that are added have one scale."""
        one, other = (self._of(argument) for argument in n.args[:2])
        if one is not None and other is not None:
            return self._tie(one.expand(value.shape), other.expand(value.shape))
        return one if one is not None and isinstance(n.args[1], int | float) and not n.args[1] else None

    def _product(self, n: fx.Node, value: Any) -> Names:
        """What is multiplied or divided by a fixed number keeps its scale."""
        one, other = (self._of(argument) for argument in n.args[:2])
        if n.kwargs or (one is not None and other is not None) or (one is None and operator(n).startswith("div")):
            return None
        names = other if one is None else one
        return None if names is None else names.expand(value.shape)

    def _reduced(self, n: fx.Node, value: Any) -> Names:
        """Sums, means and extremes of numbers that have one scale."""
        axes = n.args[1] if len(n.args) > 1 else None
        names = _one(self._of(n.args[0]), [axes] if isinstance(axes, int) else axes)
        return None if names is None else names.reshape(value.shape)

    def _pooled(self, n: fx.Node, value: Any) -> Names:
        """Windows over space, in which each channel has one scale."""
        given = self._of(n.args[0])
        names = _one(given, None if given is None else range(2, given.ndim))
        return None if names is None or not isinstance(value, Tensor) else names.expand(value.shape)

    def _padded(self, n: fx.Node, value: Any) -> Names:
        """Zeros at the edges are zeros in any scale."""
        given, pad, *how = (*n.args, *n.kwargs.values())
        names = self._of(given)
        if any(isinstance(one, str) and one != "constant" for one in how):
            return self._pooled(n, value)
        if names is None or any(how[1:] if how[:1] == ["constant"] else how):
            return None
        return F.pad(names, pad)  # type: ignore[arg-type]  # integers, by the operator's schema

    def _attention(self, n: fx.Node, value: Any) -> Names:
        """Means of values over tokens, with weights that are worked out of what must stay as it is."""
        self._fix(node for node in n.all_input_nodes if node is not n.args[2])
        names = _one(self._of(n.args[2]), [-2])
        return None if names is None or names.shape[:-2] != value.shape[:-2] else names.expand(value.shape)

    # -- layers with weights --

    def _layer(self, n: fx.Node, value: Tensor, kind: str) -> Names:
        """A layer reads its input's channels, and writes channels of its own."""
        given, key, weight = self._of(n.args[0]), self._key(n.args[1]), self.env[n.args[1]]  # type: ignore[index]
        axis, at = (value.ndim - 1, 0) if kind == "linear" else (1, 8 if kind == "convolution" else 6)
        if kind != "linear" and (value.ndim != weight.ndim or (kind == "convolution" and n.args[6])):
            self._fix(n.all_input_nodes)
            return None
        names = None
        if given is not None and key is not None:
            names = _one(given, [other for other in range(given.ndim) if other != axis])
        if names is None or key is None:
            self._fix(n.all_input_nodes)
        else:
            groups = n.args[at] if at and len(n.args) > at else 1
            self.readers.append((n, key, axis, names.flatten(), _taken(weight, groups)))  # type: ignore[arg-type]
        return self._written(value, axis, n.args[1:3])

    def _norm(self, n: fx.Node, value: Any, first: int) -> Names:
        """A norm gives the same whatever the scale of what it reads, times its own weight, plus its own bias."""
        self._fix(n.all_input_nodes)
        whole = value[0] if isinstance(value, tuple) else value
        axis = whole.ndim - 1 if operator(n) in CHANNELS_LAST else 1
        last = first + 1 if operator(n) == "rms_norm" else first + 2
        names = self._written(whole, axis, n.args[first:last])
        return (names, *[None] * (len(value) - 1)) if isinstance(value, tuple) else names

    def _written(self, value: Tensor, axis: int, arguments: Sequence[Any]) -> Tensor | None:
        """New names for channels that a weight and a bias scale; None where these cannot be changed."""
        tensors = [argument for argument in arguments if argument is not None]
        keys = [self._key(tensor) for tensor in tensors]
        if not tensors or arguments[0] is None or None in keys:
            return None
        if any(self.env[tensor].shape[0] != value.shape[axis] for tensor in tensors):
            return None
        names = self._new(value.shape[axis])
        self.writers.append((tuple(str(key) for key in keys), names))
        return names.reshape([-1 if other == axis else 1 for other in range(value.ndim)]).expand(value.shape)

    def _key(self, argument: Any) -> str | None:
        """The state dict's key of a weight that no other operator reads."""
        alone = isinstance(argument, fx.Node) and len(argument.users) == 1
        return self._weights.get(argument.name) if alone else None


def _one(names: Tensor | None, axes: Any) -> Tensor | None:
    """Names with one in place of all along `axes`, None where these are not the same."""
    if names is None or axes is None:
        return None
    if not len(axes):
        return names
    highest = names.amax(tuple(axes), keepdim=True)
    return highest if bool(((names == highest) | (names == ANY)).all()) else None


def _taken(weight: Tensor, groups: int) -> NDArray[np.int64]:
    """Which input channel each weight[o, i] multiplies."""
    outputs, inputs = weight.shape[:2]
    first = np.arange(outputs) // (outputs // groups) * inputs
    return first[:, None] + np.arange(inputs)
