"""The likely cause of a divergence and the next thing to try: a table of rules, each with the evidence it needs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgekd.divergence.measures import Measures
from edgekd.divergence.walk import Node
from edgekd.results import Layer
from edgekd.spec import Precision

# the largest float16; beyond it are infinities
LARGEST_HALF = 65504.0
# What a wrong mask or order of axes does is no rounding: below this many dB half of the signal is wrong.
GROSS = 6.0
# the least share of values and of the noise that clipping must explain
SOME_CLIPPED, MOST_NOISE = 1e-4, 0.5
# Three of the eight bits are lost to an outlier that is eight times what nearly all others keep; of channels that share
# a range, those sixteen times narrower than the widest have four bits left.
FAR_OUT, UNEQUAL = 8.0, 16.0
# numbers that stand for "never" in an attention mask
NEVER = -1e3
MASKING = {"masked_fill", "where"}
SENSITIVE = {"softmax", "layer_norm", "group_norm", "rms_norm", "scaled_dot_product_attention"}
# that also compute activations in 8 bits
IN_8_BITS: tuple[Precision, ...] = ("int8", "int8-full", "int8-dynamic")


@dataclass(frozen=True)
class Evidence:
    """All that rules look at: the layer, what lies between it and the ones before, and what its format can do else.

    `smallest` is torch's smallest value among what the layer takes in; `turned` the best ratio in dB with another order
    of the axes; `parents` are the layers right before it, `makers` those whose weights made what it takes; `precisions`
    and `ranges` are those of the format.
    """

    layer: Layer
    measures: Measures
    inside: tuple[Node, ...]
    precision: Precision
    threshold: float
    smallest: float = 0.0
    turned: float = float("-inf")
    parents: tuple[Layer, ...] = ()
    makers: tuple[Layer, ...] = ()
    altered: bool = False
    precisions: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """`cause` gives a sentence where the evidence is there, else nothing; `advice` what to try then."""

    name: str
    cause: Callable[[Evidence], str]
    advice: Callable[[Evidence], str]


def explain(evidence: Evidence) -> tuple[str, str]:
    """Likely cause and advice by the first rule that has its evidence."""
    for rule in RULES:
        cause = rule.cause(evidence)
        if cause:
            return cause, rule.advice(evidence)
    return _unknown(evidence)


def _unknown(evidence: Evidence) -> tuple[str, str]:
    sound = all(parent.snr >= evidence.threshold for parent in evidence.parents)
    told = ": what it takes in is right, what it gives is not" if sound else ""
    return f"no known cause{told}", f"Try {_others(evidence)}, and report the layer if it is a plain one"


def _others(evidence: Evidence, wanted: Iterable[str] = ("float32", "float16")) -> str:
    """Up to two precisions that the format has too, as flags, the best first."""
    found = [name for name in wanted if name in evidence.precisions and name != evidence.precision]
    return " or ".join(f"--precision {name}" for name in found[:2]) or "another target"


def _overflow(evidence: Evidence) -> str:
    if evidence.precision != "float16" or evidence.layer.scale <= LARGEST_HALF:
        return ""
    return f"values up to {evidence.layer.scale:.3g} are too large for float16, which ends at {LARGEST_HALF:.0f}"


def _not_finite(evidence: Evidence) -> str:
    share = 100 * evidence.layer.not_finite
    return f"{share:.2g} % of the values are infinite or no numbers in the file, not in torch" if share else ""


def _boolean_mask(evidence: Evidence) -> str:
    masking = [node.operator for node in evidence.inside if node.operator in MASKING or node.boolean]
    if not masking or evidence.layer.snr >= GROSS:
        return ""
    return f"a mask of yes and no ({', '.join(dict.fromkeys(masking))}) seems to be converted wrongly"


def _layout(evidence: Evidence) -> str:
    if evidence.turned < evidence.threshold or evidence.turned <= evidence.layer.snr:
        return ""
    return f"the values are right ({evidence.turned:.0f} dB), but in another order of axes"


def _clipping(evidence: Evidence) -> str:
    measures = evidence.measures
    if measures.clipped < SOME_CLIPPED or measures.noise_clipped < MOST_NOISE:
        return ""
    share, noise = 100 * measures.clipped, 100 * measures.noise_clipped
    return f"{share:.2g} % of the values lie beyond the range that calibration found: {noise:.0f} % of the noise"


def _more_range(evidence: Evidence) -> str:
    wider = "--ranges min-max, or " if len(evidence.ranges) > 1 else ""
    return f"Give {wider}more calibration samples: calibration = 512 under [data]"


def _never(evidence: Evidence) -> str:
    if evidence.precision not in IN_8_BITS or evidence.smallest > NEVER:
        return ""
    return f"a mask of {evidence.smallest:.3g} shares one 8-bit range with values that matter"


def _sensitive(evidence: Evidence) -> str:
    found = [node.operator for node in evidence.inside if node.operator in SENSITIVE]
    if not found or evidence.precision not in IN_8_BITS or not evidence.measures.grid:
        return ""
    return f"{', '.join(dict.fromkeys(found))} is computed in 8 bits, which it does not bear well"


def _in_float(evidence: Evidence) -> str:
    others = _others(evidence, ("int8-weights", "int8-dynamic", "float16", "float32"))
    return f"Leave this layer in float: {others}"


def _outliers(evidence: Evidence) -> str:
    layer = evidence.layer
    if evidence.precision not in IN_8_BITS or layer.outliers < FAR_OUT:
        return ""
    return f"few values are {layer.outliers:.0f} times larger than 99.9 % of them and take most of the 8-bit range"


def _percentile(evidence: Evidence) -> str:
    if "percentile" in evidence.ranges:
        return "Give --ranges percentile, which cuts the outliers off"
    return f"Try {_others(evidence, ('int8-dynamic', 'int8-weights', 'float16', 'float32'))}"


def _unequal(evidence: Evidence) -> str:
    if evidence.precision not in IN_8_BITS:
        return ""
    for layer in (evidence.layer, *evidence.makers):
        if layer.channels is not None and layer.channels >= UNEQUAL:
            return f"a channel of {layer.name} has weights {layer.channels:.0f} times wider than most, in one range"
    return ""


def _equalize(evidence: Evidence) -> str:
    """Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019."""
    return (
        "Equalize the channels: divide the wide one's weights and bias by a factor, and multiply the weights that read "
        f"it by the same; or try {_others(evidence, ('int8-weights', 'float16', 'float32'))}"
    )


def _altered(evidence: Evidence) -> str:
    return "the file is not the one that was converted: it was changed afterwards" if evidence.altered else ""


# the most telling evidence first
RULES: tuple[Rule, ...] = (
    Rule("overflow", _overflow, lambda e: f"Try {_others(e, ('float32', 'bfloat16'))}, or scale the layer down"),
    Rule(
        "layout", _layout, lambda e: "Permute the axes where the tensor is read, or report it: the converter moved them"
    ),
    Rule(
        "boolean mask",
        _boolean_mask,
        lambda e: "Add a finite number where it masks: scores + (1 - mask.float()) * -1e4, and no masked_fill or where",
    ),
    Rule("not finite", _not_finite, lambda e: f"Try {_others(e, ('float32', 'bfloat16'))}, or scale the layer down"),
    Rule("mask in 8 bits", _never, _in_float),
    Rule("clipping", _clipping, _more_range),
    Rule("sensitive operator", _sensitive, _in_float),
    Rule("unequal channels", _unequal, _equalize),
    Rule("outliers", _outliers, _percentile),
    Rule("altered", _altered, lambda e: "Take the bundle that edgekd build wrote, or convert the program again"),
)
