"""From layers to a verdict: what each lost, where it begins, and which are worst."""

from collections.abc import Mapping, Sequence

from edgekd.divergence.measures import ROUNDED
from edgekd.results import Layer
from edgekd.spec import Precision

WORST = 5
# One bit. A layer that lost less than this is not where the noise comes from.
LITTLE = 6.0
# nothing is left of a signal by then, and infinitely less is no more
NOTHING = -60.0


def with_loss(layers: Sequence[Layer], before: Mapping[str, frozenset[str]], precision: Precision) -> tuple[Layer, ...]:
    """The same layers with what each lost against the worst of those `before` it, or against rounding alone."""
    known = {layer.node: layer.snr for layer in layers}
    found = []
    for layer in layers:
        held = min([ROUNDED[precision], *(known[name] for name in before[layer.node] if name in known)])
        found.append(layer.model_copy(update={"lost": max(0.0, held - max(layer.snr, NOTHING))}))
    return tuple(found)


def first(layers: Sequence[Layer], before: Mapping[str, frozenset[str]], threshold: float) -> Layer | None:
    """The first divergent layer: the first below the threshold, with all that it follows above it.

    Where that one lost little itself, noise has added up on the way there: then the layer among those before it that
    lost the most.
    """
    found = next((layer for layer in layers if layer.snr < threshold), None)
    if found is None or found.lost >= LITTLE:
        return found
    inside, left = {found.node}, [found.node]
    while left:
        new = before[left.pop()] - inside
        inside |= new
        left += new
    return max((layer for layer in layers if layer.node in inside), key=lambda layer: layer.lost)


def makers(layers: Sequence[Layer], before: Mapping[str, frozenset[str]], node: str) -> tuple[Layer, ...]:
    """The layers with weights of their own that made what a layer takes: through those without any."""
    known = {layer.node: layer for layer in layers}
    left, passed, found = list(before[node]), set[str](), set[str]()
    while left:
        name = left.pop()
        if known[name].channels is not None:
            found.add(name)
        elif name not in passed:
            passed.add(name)
            left += before[name]
    return tuple(layer for layer in layers if layer.node in found)


def worst(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers that lost most, the most first; the lower ratio first among equals."""
    losing = [layer for layer in layers if layer.lost > 0]
    return tuple(sorted(losing, key=lambda layer: (-layer.lost, layer.snr))[:WORST])
