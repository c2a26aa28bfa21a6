"""The evaluator of Core ML programs: right on every kind of network, and no rule of it can be wrong unnoticed."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil.frontend.milproto.load import load
from coremltools.proto import Model_pb2
from torch import Tensor

from edgekd import files
from edgekd.errors import NotVerified, UsageError
from edgekd.formats import coreml
from edgekd.mil import evaluator, reading
from edgekd.mil.evaluator import RULES, Evaluator
from edgekd.mil.given import Arguments
from edgekd.mil.reading import Slot, model, read
from edgekd.results import Signature, TensorSpec
from edgekd.stages.evaluate import parity
from tests import packages as toy

# what fewer bits may do to all outputs of toys, as a share of them
COARSE = {"int8": 4e-2, "int8-weights": 2e-2, "int4-weights": 0.3, "palette4": 0.3}
# Nothing is rounded in these, so that they are judged by the gate of float32.
EXACT = (*(name for name in toy.CONVERTED if name.endswith("-float32")), *toy.COMPRESSED, *toy.BUILT)


def arrays(folder: Path, name: str) -> tuple[toy.Arrays, np.ndarray]:
    with np.load(folder / f"{name}.npz", allow_pickle=False) as stored:
        inputs = {key: stored[key] for key in stored.files}
    return inputs, inputs.pop("expected")


def evaluated(folder: Path, name: str, made: Evaluator | None = None) -> tuple[np.ndarray, np.ndarray]:
    inputs, expected = arrays(folder, name)
    return (made or Evaluator(folder / f"{name}.mlpackage"))(inputs)["logits"], expected


@pytest.fixture(scope="session")
def used(packages: Path) -> dict[str, set[str]]:
    """The operators of each package."""
    return {name: {one.kind for one in read(packages / f"{name}.mlpackage").operations} for name in toy.NAMES}


def judged(folder: Path, name: str) -> None:
    found, expected = evaluated(folder, name)
    assert found.dtype == np.float32 and found.shape == expected.shape
    precision = "float32" if name in EXACT else name.partition("-")[2]
    verdict = parity(found, expected, precision)
    assert verdict.passed, verdict.why
    assert verdict.relative_error < COARSE.get(precision, 1)
    assert not verdict.constant
    if precision != "float32":
        assert verdict.relative_error > 1e-6, "nothing was rounded"


@pytest.mark.parametrize("name", toy.NAMES)
def test_a_package_computes_what_torch_does(packages: Path, name: str) -> None:
    judged(packages, name)


@pytest.mark.long
@pytest.mark.parametrize("name", toy.MORE)
def test_every_kind_of_network_computes_in_every_precision_what_torch_does(more_packages: Path, name: str) -> None:
    judged(more_packages, name)


@pytest.mark.parametrize("name", toy.WRONG)
def test_a_mask_that_the_converter_inverts_is_seen_in_every_precision(packages: Path, name: str) -> None:
    found, expected = evaluated(packages, name)
    twin, _ = evaluated(packages, "inverted-float32")
    assert not parity(found, expected, "float32").passed
    # far more than its own bits can do, and what its float32 twin shows too
    assert parity(found, expected, "int8").relative_error > 5 * COARSE["int8"]
    assert parity(found, twin, "int8").relative_error < COARSE["int8"]


@pytest.mark.parametrize("name", [name for name in toy.NAMES if name in (*toy.COMPRESSED, *toy.CONVERTED)])
def test_compressed_weights_are_what_coremltools_says_too(packages: Path, name: str) -> None:
    """Two readings of the definitions, made apart from each other."""
    package = packages / f"{name}.mlpackage"
    spec = ct.utils.load_spec(str(model(package)))
    whole = load(spec, spec.specificationVersion, str(model(package).parent / "weights")).functions["main"]
    said = {
        value.name: values
        for one in whole.operations
        if one.op_type.startswith("constexpr_")
        for value, values in zip(one.outputs, listed(one.materialized_val_inference()), strict=True)
    }
    if name in toy.COMPRESSED or name.endswith(("int8", "weights", "palette4")):
        assert said
    if said:
        made = Evaluator(package, set(said))
        inputs, _ = arrays(packages, name)
        for key, values in made.inner({key: values[:1] for key, values in inputs.items()}).items():
            np.testing.assert_allclose(values[0].float().numpy(), said[key].astype(np.float32), rtol=2e-3, atol=1e-6)


def listed(values: Any) -> list[np.ndarray]:
    return list(values) if isinstance(values, tuple) else [values]


def test_every_rule_is_used_by_a_package_that_loses_nothing(used: dict[str, set[str]]) -> None:
    found = set().union(*(used[name] for name in EXACT))
    assert found == set(RULES)


def wrong(value: Tensor) -> Tensor:
    """Another value of the same shape and type, and still an index where it was one."""
    if value.dtype == torch.bool:
        return ~value
    if not value.is_floating_point():
        return value.flip(-1)
    ramp = torch.linspace(0.05, 0.3, value.numel()).reshape(value.shape)
    return value * (1 + ramp) + ramp * value.abs().amax() + ramp


def mutated(rule: Callable[..., Any]) -> Callable[..., Any]:
    def gives(given: Any) -> Any:
        found = rule(given)
        return wrong(found) if isinstance(found, Tensor) else [wrong(one) for one in found]

    return gives


def fails(folder: Path, name: str) -> bool:
    """Whether parity fails; an index that a mutation drives out of its table proves nothing."""
    with suppress(NotVerified):
        return not parity(*evaluated(folder, name), "float32").passed
    return False


@pytest.mark.parametrize("kind", sorted(RULES))
def test_a_rule_that_is_wrong_fails_the_parity_check(
    packages: Path, used: dict[str, set[str]], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    using = [name for name in EXACT if kind in used[name]]
    assert using, f"no package uses {kind}"
    monkeypatch.setitem(RULES, kind, mutated(RULES[kind]))
    assert any(fails(packages, name) for name in using), f"{using} do not notice"


def test_an_operator_without_a_rule_is_named_with_its_output(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "softmax")
    monkeypatch.delitem(RULES, "gelu")
    with pytest.raises(
        NotVerified, match=r"^no rule for gelu \(output \w+\), softmax \(output \w+\)$|^no rule for soft"
    ):
        Evaluator(packages / "vit-float32.mlpackage")


@pytest.mark.parametrize(
    ("wrongly", "message"),
    [
        (
            lambda given: given.tensor("x")[..., :1],
            r"the rule for relu gives torch.float32 \[1, \d+, 1\], the file says",
        ),
        (lambda given: given.tensor("x") > 0, r"the rule for relu gives torch.bool .*, the file says fp32"),
        (lambda given: given.tensor("y"), r"no rule for relu without a tensor y \(output \w+\)"),
        (lambda given: given.tensor("x").reshape(7), r"the rule for relu fails: .* \(output \w+\)"),
    ],
)
def test_a_rule_that_does_not_fit_the_file_verifies_nothing(
    packages: Path, wrongly: Callable[..., Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, "relu", wrongly)
    with pytest.raises(NotVerified, match=message):
        evaluated(packages, "series-float32")


@pytest.mark.parametrize("name", ["convnet-float16", "convnet-int8", "text-int8-weights", "mixed-float32"])
def test_many_samples_at_once_are_evaluated_as_each_alone(packages: Path, name: str) -> None:
    made = Evaluator(packages / f"{name}.mlpackage")
    together, _ = evaluated(packages, name, made)
    assert made._together is True
    made._together = False
    alone, _ = evaluated(packages, name, made)
    assert np.abs(together - alone).max() <= made._tolerance * np.abs(alone).max()


@pytest.mark.parametrize("how", ["refuses", "differs"])
def test_where_many_at_once_cannot_be_had_each_is_evaluated_alone(
    packages: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, together = RULES["relu"], torch.vmap

    def countable(given: Any) -> Tensor:
        float(given.tensor("x").sum())  # under vmap a tensor is no number
        return plain(given)

    if how == "refuses":
        monkeypatch.setitem(RULES, "relu", countable)
    else:
        monkeypatch.setattr(
            torch, "vmap", lambda run: lambda given: {k: v + 1 for k, v in together(run)(given).items()}
        )
    made = Evaluator(packages / "series-float32.mlpackage")
    found, expected = evaluated(packages, "series-float32", made)
    assert made._together is False
    assert parity(found, expected, "float32").passed


def test_values_of_float16_are_rounded_and_overflow() -> None:
    slot = Slot(0, "x", "fp16", (3,))
    rounded = evaluator._rounded(torch.tensor([1.0001, 65504.0, 1e6]), slot)
    assert rounded.tolist() == [1.0, 65504.0, float("inf")]


def test_an_image_whose_channels_are_in_another_order_is_not_verified() -> None:
    spec = Model_pb2.Model()
    image = spec.description.input.add(name="image").type.imageType
    for kind in ("RGB", "GRAYSCALE"):
        image.colorSpace = image.ColorSpace.Value(kind)
        assert reading._pictures(spec) == {"image"}
    image.colorSpace = image.BGR
    with pytest.raises(NotVerified, match="the image image is BGR, not RGB or GRAYSCALE"):
        reading._pictures(spec)


def test_reading_a_package_leaves_it_as_it_was(packages: Path) -> None:
    package = packages / "text-int8-weights.mlpackage"
    before = files.digest(package)
    evaluated(packages, "text-int8-weights")
    assert files.digest(package) == before


def test_one_sample_is_enough_and_its_answer_the_same(packages: Path) -> None:
    inputs, expected = arrays(packages, "text-float32")
    made = Evaluator(packages / "text-float32.mlpackage")
    found = made({name: values[:1] for name, values in inputs.items()})["logits"]
    np.testing.assert_allclose(found, expected[:1], atol=1e-5)


def test_what_is_not_a_program_is_not_verified(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> None:
        raise NotImplementedError("a state")

    monkeypatch.setattr("edgekd.mil.reading.load", unreadable)
    with pytest.raises(NotVerified, match=r"cannot read the package back \(a state\)"):
        Evaluator(packages / "text-float32.mlpackage")


def test_a_name_that_the_converter_changes_is_refused() -> None:
    """Core ML reserves some names, and coremltools calls what has one otherwise without saying so."""

    def model(*names: str) -> SimpleNamespace:
        told = SimpleNamespace(input=[SimpleNamespace(name=one) for one in names], output=[SimpleNamespace(name="y")])
        return SimpleNamespace(get_spec=lambda: SimpleNamespace(description=told))

    wanted = Signature(inputs=(TensorSpec(name="state", shape=(1, 2)),), outputs=(TensorSpec(name="y", shape=(1, 2)),))
    coreml._check_names(model("state"), wanted)
    with pytest.raises(UsageError, match="Core ML reserves the name 'state'"):
        coreml._check_names(model("state_workaround"), wanted)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"peephole": torch.zeros(12)}, "no rule for lstm with peephole"),
        ({"clip": torch.tensor(1.0)}, "no rule for lstm with clip"),
        ({"activation": "hard_sigmoid"}, "no rule for lstm with activation hard_sigmoid"),
        ({"direction": "sideways"}, "no rule for lstm with direction sideways"),
    ],
)
def test_a_variant_of_lstm_without_a_rule_is_named(more: dict[str, Any], message: str) -> None:
    given = {"x": torch.zeros(2, 1, 3), "initial_h": torch.zeros(1, 4), "initial_c": torch.zeros(1, 4)}
    given |= {"weight_ih": torch.zeros(16, 3), "weight_hh": torch.zeros(16, 4)} | more
    with pytest.raises(NotVerified, match=message):
        RULES["lstm"](Arguments("lstm", given))


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("max_pool", {"pad_type": "same", "strides": torch.tensor([2, 2])}, r"pad_type same and strides \[2, 2\]"),
        ("conv", {"pad_type": "same", "strides": torch.tensor([2, 1])}, r"pad_type same and strides \[2, 1\]"),
        ("conv_transpose", {"pad_type": "same"}, "pad_type same"),
        ("resize_bilinear", {"sampling_mode": "OFFSET_CORNERS"}, "sampling_mode OFFSET_CORNERS"),
        ("resize_bilinear", {"sampling_mode": "DEFAULT", "target_size_height": torch.tensor(1)}, "DEFAULT to 1"),
        ("one_hot", {"indices": torch.zeros(1, 2).long(), "axis": torch.tensor(0)}, "along another axis"),
        ("gather_nd", {"indices": torch.zeros(1, 2).long(), "batch_dims": torch.tensor(1)}, "with batch_dims"),
    ],
)
def test_what_the_reference_leaves_open_has_no_rule(kind: str, given: dict[str, Any], message: str) -> None:
    usual = {"x": torch.zeros(1, 2, 4, 4), "weight": torch.zeros(2, 2, 3, 3), "kernel_sizes": torch.tensor([3, 3])}
    usual |= {f"target_size_{side}": torch.tensor(3) for side in ("height", "width")}
    usual |= {"one_hot_vector_size": torch.tensor(3)}
    with pytest.raises(NotVerified, match=message):
        RULES[kind](Arguments(kind, usual | given))


def test_outputs_that_are_no_numbers_are_given_as_they_are(packages: Path) -> None:
    """And no infinity makes everything else agree."""
    made = Evaluator(packages / "series-float32.mlpackage")
    values = torch.tensor([1.0, -3.0, float("nan"), float("inf")])
    assert made._most(values) == pytest.approx(3 * made._tolerance)
    inputs, _ = arrays(packages, "series-float32")
    broken = {name: np.full_like(samples, np.nan) for name, samples in inputs.items()}
    assert np.isnan(made(broken)["logits"]).all()
