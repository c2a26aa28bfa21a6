"""OpenVINO models in fewer bits, by NNCF."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nncf
import numpy as np
import openvino
from nncf.quantization.advanced_parameters import GroupSizeFallbackMode
from nncf.quantization.range_estimator import (
    AggregatorType,
    RangeEstimatorParameters,
    RangeEstimatorParametersSet,
    StatisticsCollectorParameters,
    StatisticsType,
)
from numpy.typing import NDArray

from edgekd.errors import Problem, Unsuited
from edgekd.ov import layers
from edgekd.plugins import Conversion

# Of each sample's values of an activation, "percentile" leaves out this share, half on each side.
OUTLIERS = 1e-4
# Weights that share a scale in 4 bits: this many, or where a layer's inputs do not divide by it, down to so few.
GROUP, LEAST_GROUP = 32, 16
# Below this share of all weights in 4 bits, a file is one of 8-bit weights by another name.
SHARE = 0.1


def static(model: openvino.Model, conversion: Conversion, names: Mapping[str, str]) -> openvino.Model:
    """Compute in 8 bits, with ranges of activations from all calibration samples, one at a time.

    Raises Unsuited where an activation is infinite; `names` are the program's nodes by the names of their outputs here.
    """
    nncf.set_log_level(logging.ERROR)
    count = len(next(iter(conversion.calibration.values())))
    attention = any(op.get_type_name() in ("Softmax", "ScaledDotProductAttention") for op in model.get_ops())
    ranges = {"min-max": RangeEstimatorParametersSet.MINMAX, "percentile": _percentile()}[conversion.ranges]
    quantized = nncf.quantize(
        model,
        nncf.Dataset(list(_samples(conversion))),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER if attention else None,
        subset_size=count,
        ignored_scope=_ignored(model, conversion, names),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=ranges,
            # on a small attention network 0.7 % error of the outputs without smoothing, 9 % with it
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
        ),
    )
    _check_finite(model, quantized, conversion, names)
    return quantized


def _ignored(model: openvino.Model, conversion: Conversion, names: Mapping[str, str]) -> nncf.IgnoredScope:
    """The operators that stay float."""
    return nncf.IgnoredScope(names=layers.behind(model, names, conversion.in_float), validate=False)


def _check_finite(
    model: openvino.Model, quantized: openvino.Model, conversion: Conversion, names: Mapping[str, str]
) -> None:
    """Raise Unsuited where an activation is infinite: NNCF makes a range of no width of that, and says nothing."""
    places = [layers.id_(fake.input_value(0)) for fake in quantized.get_ordered_ops() if _has_no_width(fake)]
    for place in _infinite(model, conversion, places):
        what = f"the value of {names[place]!r}" if place in names else "an activation"
        message = f"{what} is infinite for some calibration sample: 8 bits cannot stand for its range"
        hint = "Use a large finite number in the network, such as -1e4 for what a mask hides, or float16"
        raise Unsuited(Problem("openvino int8", message, hint))


def _has_no_width(operator: Any) -> bool:
    """Does a fake quantization leave no number, or none that is finite?"""
    if operator.get_type_name() != "FakeQuantize":
        return False
    low, high = (np.asarray(operator.input_value(i).get_node().data) for i in (1, 2))
    return bool((low == high).all() or not np.isfinite(high - low).all())


def _infinite(model: openvino.Model, conversion: Conversion, places: Sequence[str]) -> Iterator[str]:
    """Those of a float model's outputs that are infinite for some calibration sample."""
    probe = model.clone()
    ports = {layers.id_(port): port for op in probe.get_ordered_ops() for port in op.outputs()}
    known = [place for place in places if place in ports]
    if not known:
        return
    first = len(probe.outputs)
    probe.add_outputs([ports[place] for place in known])
    compiled = openvino.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    left = set(known)
    for sample in _samples(conversion):
        results = compiled(sample)
        for i, place in enumerate(known):
            if place in left and not np.isfinite(results[first + i]).all():
                left.remove(place)
                yield place


def _percentile() -> RangeEstimatorParameters:
    """A range that holds nearly all values of each sample: the widest that any sample needs for that."""
    low, high = (
        StatisticsCollectorParameters(StatisticsType.QUANTILE, widest, None, OUTLIERS / 2)
        for widest in (AggregatorType.MIN, AggregatorType.MAX)
    )
    return RangeEstimatorParameters(min=low, max=high)


def _samples(conversion: Conversion) -> Iterator[dict[str, NDArray[np.float32]]]:
    for row in range(len(next(iter(conversion.calibration.values())))):
        yield {name: values[row : row + 1] for name, values in conversion.calibration.items()}


def int8_weights(model: openvino.Model, conversion: Conversion, names: Mapping[str, str]) -> openvino.Model:
    """Store all weights in 8 bits, asymmetric, with a scale for each output of a layer. Raises Unsuited."""
    nncf.set_log_level(logging.ERROR)
    compressed = nncf.compress_weights(
        model, mode=nncf.CompressWeightsMode.INT8_ASYM, ignored_scope=_ignored(model, conversion, names)
    )
    if not _sizes(compressed)["u8"]:
        raise Unsuited(Problem("openvino int8-weights", "this network has no weights that can be stored in fewer bits"))
    return _computed_in_float(compressed)


def int4_weights(model: openvino.Model, conversion: Conversion, names: Mapping[str, str]) -> openvino.Model:
    """Store weights of linear layers and embeddings in 4 bits, in groups; convolutions' in 8. Raises Unsuited."""
    nncf.set_log_level(logging.ERROR)
    compressed = nncf.compress_weights(
        model,
        mode=nncf.CompressWeightsMode.INT4_SYM,
        group_size=GROUP,
        ratio=1.0,
        all_layers=True,
        ignored_scope=_ignored(model, conversion, names),
        advanced_parameters=nncf.AdvancedCompressionParameters(
            group_size_fallback_mode=GroupSizeFallbackMode.ADJUST, min_adjusted_group_size=LEAST_GROUP
        ),
    )
    sizes = _sizes(compressed)
    share = sizes["i4"] / max(1, sizes["i4"] + sizes["u8"])
    if share < SHARE:
        message = f"4 bits are for linear layers and embeddings, and these hold {share:.0%} of this network's weights"
        raise Unsuited(Problem("openvino int4-weights", message, "Use int8-weights, or int8, which is faster too"))
    return _computed_in_float(compressed)


def _computed_in_float(model: openvino.Model) -> openvino.Model:
    """Have every program that loads the file compute in float: OpenVINO would round activations to 8 bits by itself."""
    model.set_rt_info("0", ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
    return model


def _sizes(model: openvino.Model) -> Counter[str]:
    """How many numbers of each type the constants of a model hold."""
    found: Counter[str] = Counter()
    for operator in model.get_ops():
        if operator.get_type_name() == "Constant":
            found[operator.get_element_type().get_type_name()] += int(np.prod(operator.get_output_shape(0)))
    return found
