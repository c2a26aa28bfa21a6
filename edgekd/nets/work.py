"""What a network does for one sample: products by kind, bytes moved and operators, counted by running it once."""

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, get_args

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgekd.nets import sizes
from edgekd.results import Kind, Product, Signature, Size, Work

_CONVOLUTIONS = ("convolution", "_convolution", "convolution_overrideable")
_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "linear")
# operators that only look at a tensor otherwise: no converter leaves work of them
_VIEWS = ("view", "_unsafe_view", "reshape", "t", "transpose", "permute", "expand", "detach", "alias", "squeeze",
          "unsqueeze", "as_strided", "slice", "select", "split", "chunk", "unbind", "empty", "clone")  # fmt: skip
# what converters fold into the convolution or product before it
_FOLDED = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "batch_norm",
           "relu", "relu_", "hardtanh", "hardtanh_", "clamp", "clamp_")  # fmt: skip


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what the operators of a run do."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: list[Product] = []
        self.operators: Counter[str] = Counter()
        self.moved = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in _VIEWS or name in _FOLDED:
            return found
        read, written = list(_tensors(args)), list(_tensors((found,)))
        held = sum(4 * value.numel() for value in (*read, *written))
        self.moved, self.peak = self.moved + held, max(self.peak, held)
        kind = "other"
        if name in _CONVOLUTIONS:
            kind = self._convolve(args[0], args[1], written[0], groups=args[8])
        elif name in _PRODUCTS:
            kind = "pointwise"
            inner = next(value for value in reversed(read) if value.dim() > 1 or name == "dot").shape
            places, outputs = _rows(written[0])
            inputs = int(inner[-2] if len(inner) > 1 else inner[-1])
            self._add(kind="pointwise", inputs=inputs, outputs=outputs, taps=1, places=places, read=places)
        self.operators[kind] += 1
        return found

    def _convolve(self, values: Tensor, weight: Tensor, written: Tensor, groups: int) -> str:
        taps, inputs = prod(weight.shape[2:]), int(weight.shape[1])
        kind: Kind = "depthwise" if groups > 1 else "dense" if taps > 1 else "pointwise"
        places, read = (prod(one.shape[2:]) * one.shape[0] for one in (written, values))
        self._add(kind=kind, inputs=inputs, outputs=int(written.shape[1]), taps=taps, places=places, read=read)
        return kind

    def _add(self, **one: Any) -> None:
        self.products.append(Product(**one))


def _rows(written: Tensor) -> tuple[int, int]:
    """How many rows of how many numbers a product of matrices gives."""
    width = int(written.shape[-1]) if written.dim() else 1
    return written.numel() // max(1, width), width


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values if isinstance(values, tuple | list) else (values,):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


def work(module: nn.Module, batch: Mapping[str, Tensor], signature: Signature) -> tuple[Size, Work]:
    """Count one sample's size and work; `batch` holds it, prepared, on the module's device ("meta" will do).

    Norms and plain activations are counted with the operator before them, as converters fold them; views are not.
    """
    watch = _Watch()
    size = sizes.size(module, batch, signature, watch)
    sides = [min(spec.shape[2:]) for spec in signature.inputs if len(spec.shape) == 4]
    return size, Work(
        **{kind: sum(_count(one) for one in watch.products if one.kind == kind) for kind in get_args(Kind)},
        moved=watch.moved,
        peak=watch.peak,
        operators=dict(sorted(watch.operators.items())),
        params=size.params,
        resolution=max(sides, default=0),
        products=tuple(watch.products),
    )


def _count(one: Product) -> int:
    return one.places * one.outputs * one.inputs * one.taps
