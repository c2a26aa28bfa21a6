"""How the layers that can be seen follow each other, and what lies between them."""

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from edgekd.divergence.walk import Node

Array = NDArray[np.floating]

MOST_NAMES = 4


def before(nodes: Mapping[str, Node], seen: Collection[str]) -> dict[str, frozenset[str]]:
    """For every node, the nearest seen ones that its value is made from."""
    found: dict[str, frozenset[str]] = {}
    for name, node in nodes.items():
        nearest = [frozenset({parent}) if parent in seen else found.get(parent, frozenset()) for parent in node.parents]
        found[name] = frozenset().union(*nearest)
    return found


def region(nodes: Mapping[str, Node], seen: Collection[str], name: str) -> tuple[Node, ...]:
    """A node and the hidden ones between it and the seen ones before it, in the order of the program."""
    inside, left = {name}, [name]
    while left:
        for parent in nodes[left.pop()].parents:
            if parent in nodes and parent not in seen and parent not in inside:
                inside.add(parent)
                left.append(parent)
    return tuple(node for node in nodes.values() if node.name in inside)


def labels(nodes: Mapping[str, Node]) -> dict[str, str]:
    """What each node is called: its module, where that has none inside and computes just this, else both."""
    busy = Counter(node.module for node in nodes.values() if node.counts)
    outer = {node.module[:at] for node in nodes.values() for at, letter in enumerate(node.module) if letter == "."}
    alone = {module for module, count in busy.items() if module and count == 1 and module not in outer}
    return {
        name: node.module if node.counts and node.module in alone else f"{node.module} {name}".strip()
        for name, node in nodes.items()
    }


def name(inside: Collection[Node], called: Mapping[str, str]) -> str:
    """What all that a tensor holds is called: "conv1 + norm1"; the middle of many is left out."""
    found = list(dict.fromkeys(called[node.name] for node in inside if node.counts))
    return " + ".join(found if len(found) <= MOST_NAMES else [found[0], "...", found[-1]])


def after(nodes: Mapping[str, Node], seen: Collection[str], name: str) -> str | None:
    """The first seen node that is made from a hidden one."""
    reached = {name}
    for node in nodes.values():
        if reached.intersection(node.parents):
            if node.name in seen:
                return node.name
            reached.add(node.name)
    return None


def unequal_channels(
    inside: Collection[Node], ranges: Mapping[str, Array], factors: Mapping[str, Array]
) -> float | None:
    """How much wider the widest channel of a layer's weights is than the median one, batch normalization folded in.

    None for a layer without weights of its own, and where most channels are empty.
    """
    found: Array | None = None
    for node in inside:
        if node.name in ranges:
            found = ranges[node.name]
        elif node.name in factors and found is not None and len(found) == len(factors[node.name]):
            found = found * factors[node.name]
    middle = 0.0 if found is None else float(np.median(found))
    return None if found is None or not middle else float(found.max()) / middle
