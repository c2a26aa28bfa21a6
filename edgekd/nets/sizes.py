"""Exact size of a network: its parameters, and the multiply-accumulates of one sample, counted by running it once."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.backends import mha
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from edgekd.nets import networks
from edgekd.results import Signature, Size

Shape = tuple[int, ...]


def _matrix_vector(matrix: Shape, vector: Shape, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return 2 * prod(matrix)


def _add_matrix_vector(added: Shape, matrix: Shape, vector: Shape, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return 2 * prod(matrix)


# products with a vector, which torch's own counter leaves out
_PRODUCTS = {
    torch.ops.aten.mv: _matrix_vector,
    torch.ops.aten.dot: _matrix_vector,
    torch.ops.aten.addmv: _add_matrix_vector,
}


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Fused kernels of transformer layers, attention and recurrent networks hide their products from the counter."""
    before = torch._C._get_mkldnn_enabled(), mha.get_fastpath_enabled()
    torch._C._set_mkldnn_enabled(False)
    mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch._C._set_mkldnn_enabled(before[0])
        mha.set_fastpath_enabled(before[1])


def size(
    module: nn.Module,
    batch: Mapping[str, Tensor],
    signature: Signature,
    watch: AbstractContextManager[object] | None = None,
) -> Size:
    """Parameters and multiply-accumulates of convolutions, linear layers, matrix products and attention.

    `batch` holds one sample of prepared inputs on the module's device ("meta" will do). Element-wise work, norms and
    pooling are not multiply-accumulates and are not counted. The module is left in evaluation mode. `watch` surrounds
    the run, so that something else can be counted on the way.
    """
    module.eval()
    counter = FlopCounterMode(display=False, custom_mapping=_PRODUCTS)
    with torch.no_grad(), _plain_kernels(), counter, watch or nullcontext():
        networks.forward(module, batch, signature)
    return Size(params=sum(p.numel() for p in module.parameters()), macs=counter.get_total_flops() // 2)
