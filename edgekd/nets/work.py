"""What a network does for one sample: products by kind, bytes moved and operators, counted by running it once."""

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgekd.nets import sizes
from edgekd.results import Signature, Size, Work

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
        self.products: Counter[str] = Counter()
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
            kind = self._convolve(args[1], written[0], groups=args[8])
        elif name in _PRODUCTS:
            kind = "pointwise"
            inner = next(value for value in reversed(read) if value.dim() > 1 or name == "dot").shape
            self.products[kind] += written[0].numel() * int(inner[-2] if len(inner) > 1 else inner[-1])
        self.operators[kind] += 1
        return found

    def _convolve(self, weight: Tensor, written: Tensor, groups: int) -> str:
        kernel = prod(weight.shape[2:])
        kind = "depthwise" if groups > 1 else "dense" if kernel > 1 else "pointwise"
        self.products[kind] += written.numel() * int(weight.shape[1]) * kernel
        return kind


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
        **{kind: watch.products[kind] for kind in ("dense", "pointwise", "depthwise")},
        moved=watch.moved,
        peak=watch.peak,
        operators=dict(sorted(watch.operators.items())),
        params=size.params,
        resolution=max(sides, default=0),
    )
