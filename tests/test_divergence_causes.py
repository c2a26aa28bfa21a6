"""Each rule fires on its evidence, and does not without it."""

import dataclasses
import math
from typing import Any

import pytest

from edgekd.divergence import causes
from edgekd.divergence.causes import Evidence, explain
from edgekd.divergence.measures import Measures
from edgekd.divergence.walk import Node
from edgekd.results import Layer

LAYER = Layer(
    node="conv2d", name="conv1", module="conv1", kind="Conv2d", operator="conv2d", tensor="t", shape=(8,), snr=4.0,
    lost=30.0, difference=1.0, scale=2.0,
)  # fmt: skip
MEASURES = Measures(
    snr=4.0, difference=1.0, scale=2.0, clipped=0.0, noise_clipped=0.0, outliers=1.0, not_finite=0.0, grid=True
)


def node(operator: str, boolean: bool = False) -> Node:
    return Node(operator, "layers.0", "Block", operator, (), True, boolean, True)


PLAIN = Evidence(
    layer=LAYER, measures=MEASURES, inside=(node("conv2d"),), precision="int8", threshold=15.0,
    parents=(LAYER.model_copy(update={"name": "stem", "snr": 40.0}),),
    precisions=("float32", "float16", "int8", "int8-weights"), ranges=("min-max", "percentile"),
)  # fmt: skip


def told(
    layer: dict[str, Any] | None = None, measures: dict[str, Any] | None = None, **changes: Any
) -> tuple[str, str]:
    changed = dataclasses.replace(
        PLAIN,
        layer=LAYER.model_copy(update=layer or {}),
        measures=dataclasses.replace(MEASURES, **measures or {}),
        **changes,
    )
    return explain(changed)


def test_without_evidence_there_is_no_known_cause() -> None:
    cause, advice = told()
    assert cause == "no known cause: what it takes in is right, what it gives is not"
    assert "--precision float32 or --precision float16" in advice
    wrong = (LAYER.model_copy(update={"snr": 3.0}),)
    assert told(parents=wrong)[0] == "no known cause"


def test_a_precision_that_the_format_lacks_is_not_advised() -> None:
    assert "--precision" not in told(precisions=("int8",))[1] and "another target" in told(precisions=("int8",))[1]
    assert "float32" not in told(precision="float32")[1]


# rule, what it sees, what it says, and the same without its evidence
CASES: dict[str, tuple[dict[str, Any], str, str, dict[str, Any]]] = {
    "too large for float16": (
        {"precision": "float16", "layer": {"scale": 1e5}},
        "values up to 1e+05 are too large for float16",
        "--precision float32",
        {"precision": "float16", "layer": {"scale": 6e4}},
    ),
    "no numbers": (
        {"precision": "float32", "layer": {"not_finite": 0.5}},
        "50 % of the values are infinite or no numbers",
        "scale the layer down",
        {"precision": "float32", "layer": {"not_finite": 0.0}},
    ),
    "large in float32": (
        {"precision": "float32", "layer": {"not_finite": 0.01, "scale": 1e9}},
        "1 % of the values are infinite",
        "scale the layer down",
        {"precision": "float32", "layer": {"scale": 1e9}},
    ),
    "layout": (
        {"precision": "float32", "threshold": 60.0, "turned": 130.0},
        "the values are right (130 dB), but in another order of axes",
        "Permute",
        {"precision": "float32", "threshold": 60.0, "turned": 30.0},
    ),
    "layout, by chance": (
        {"turned": 16.0},
        "another order of axes",
        "Permute",
        {"turned": 16.0, "layer": {"snr": 16.5}},
    ),
    "masked_fill": (
        {"precision": "float32", "inside": (node("masked_fill"), node("softmax"))},
        "a mask of yes and no (masked_fill)",
        "-1e4",
        {"precision": "float32", "inside": (node("add"), node("softmax"))},
    ),
    "a boolean value": (
        {"precision": "float16", "inside": (node("eq", boolean=True), node("scaled_dot_product_attention"))},
        "a mask of yes and no (eq)",
        "(1 - mask.float())",
        {"precision": "float16", "inside": (node("eq"), node("scaled_dot_product_attention"))},
    ),
    "where, but only rounded": (
        {"precision": "float32", "threshold": 60.0, "inside": (node("where"),)},
        "a mask of yes and no (where)",
        "-1e4",
        {"precision": "float32", "threshold": 60.0, "inside": (node("where"),), "layer": {"snr": 50.0}},
    ),
    "a mask in 8 bits": (
        {"smallest": -1e4},
        "a mask of -1e+04 shares one 8-bit range",
        "--precision int8-weights",
        {"smallest": -20.0},
    ),
    "a mask in float": (
        {"smallest": -1e4},
        "a mask of -1e+04",
        "float",
        {"smallest": -1e4, "precision": "int8-weights"},
    ),
    "clipping": (
        {"measures": {"clipped": 0.02, "noise_clipped": 0.9}},
        "2 % of the values lie beyond the range that calibration found: 90 % of the noise",
        "--ranges min-max",
        {"measures": {"clipped": 0.02, "noise_clipped": 0.1}},
    ),
    "a single value clipped": (
        {"measures": {"clipped": 0.002, "noise_clipped": 0.9}},
        "beyond the range",
        "calibration = 512",
        {"measures": {"clipped": 0.00005, "noise_clipped": 0.9}},
    ),
    "softmax": (
        {"inside": (node("softmax"),)},
        "softmax is computed in 8 bits",
        "Leave this layer in float",
        {"inside": (node("softmax"),), "measures": {"grid": False}},
    ),
    "layer norm": (
        {"inside": (node("layer_norm"),)},
        "layer_norm is computed in 8 bits",
        "--precision int8-weights",
        {"inside": (node("layer_norm"),), "precision": "int4-weights"},
    ),
    "unequal channels": (
        {"layer": {"channels": 40.0}},
        "a channel of conv1 has weights 40 times wider than most",
        "Equalize",
        {"layer": {"channels": 5.0}},
    ),
    "unequal channels of the layer before": (
        {"makers": (LAYER.model_copy(update={"name": "stem", "channels": 300.0}),)},
        "a channel of stem has weights 300 times wider",
        "divide",
        {"makers": (LAYER.model_copy(update={"name": "stem", "channels": 300.0}),), "precision": "float16"},
    ),
    "outliers": (
        {"layer": {"outliers": 25.0}},
        "few values are 25 times larger than 99.9 % of them",
        "--ranges percentile",
        {"layer": {"outliers": 4.0}},
    ),
    "outliers in float": (
        {"layer": {"outliers": 25.0}},
        "few values",
        "percentile",
        {"layer": {"outliers": 25.0}, "precision": "float32"},
    ),
    "altered": (
        {"altered": True},
        "it was changed afterwards",
        "edgekd build",
        {"altered": False},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_fires_on_its_evidence_alone(case: str) -> None:
    evidence, said, try_next, without = CASES[case]
    cause, advice = told(**evidence)
    assert said in cause and try_next in advice
    assert told(**without)[0].startswith("no known cause")


def test_every_rule_is_tried() -> None:
    fired = set()
    for evidence, *_ in CASES.values():
        changes = {key: value for key, value in evidence.items() if key not in ("layer", "measures")}
        whole = dataclasses.replace(
            PLAIN,
            layer=LAYER.model_copy(update=evidence.get("layer", {})),
            measures=dataclasses.replace(MEASURES, **evidence.get("measures", {})),
            **changes,
        )
        fired |= {rule.name for rule in causes.RULES if rule.cause(whole)}
    assert fired == {rule.name for rule in causes.RULES}


def test_percentile_is_not_advised_where_the_format_has_none() -> None:
    cause, advice = told(layer={"outliers": 25.0}, ranges=("min-max",))
    assert cause.startswith("few values") and "percentile" not in advice and "--precision int8-weights" in advice
    assert "min-max" not in told(measures={"clipped": 0.02, "noise_clipped": 0.9}, ranges=("min-max",))[1]


def test_the_most_telling_evidence_comes_first() -> None:
    masked = (node("masked_fill"), node("softmax"))
    assert "too large" in told(precision="float16", layer={"scale": 1e9, "snr": -math.inf}, inside=masked)[0]
    assert "yes and no" in told(inside=masked, altered=True)[0]
    assert "yes and no" in told(inside=masked, layer={"not_finite": 0.5, "snr": -math.inf})[0], "-inf where none was"
    assert "beyond" in told(measures={"clipped": 0.02, "noise_clipped": 0.9}, layer={"outliers": 25.0})[0]
