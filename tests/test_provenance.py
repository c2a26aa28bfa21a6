"""Which Core ML values hold which node's value: each claim is judged by evaluating both programs."""

import json
import shutil
from pathlib import Path

import coremltools as ct
import numpy as np
import pytest
import torch

from edgekd import files
from edgekd.formats import coreml
from edgekd.mil import evaluator, opening, provenance, reading
from edgekd.nets import layers, programs
from edgekd.plugins import Opened
from edgekd.results import Signature, TensorSpec
from tests import packages as toy
from tests.test_mil import arrays

ROWS = 4
NEAR = {"float32": 1e-3, "float16": 1e-2}
# what fewer bits may do to a layer of a toy, as a share of its largest value
COARSE = 0.3
# nodes that no value of the package holds: batch norm is folded into what stands before it, and so on
LEAST = 0.6
# in a recurrent network also initial states, last states that nobody reads, and steps that were written out
RECURRENT = 0.35


def claims(folder: Path, name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / f"{name}.json").read_text())
    return found


def signature(name: str) -> Signature:
    inputs = toy.NETS[name.partition("-")[0]][1]
    return programs.with_batch(Signature(inputs=inputs, outputs=toy.OUTPUTS), 1)


def opened(folder: Path, name: str, work: Path) -> Opened:
    return coreml.opened(folder / f"{name}.mlpackage", signature(name), claims(folder, name), work)


def gaps(folder: Path, name: str, work: Path) -> dict[str, float]:
    """The largest difference of each claimed value from its node's, by node, as a share of the node's largest."""
    made = opened(folder, name, work)
    inputs, _ = arrays(folder, name)
    outputs = coreml.evaluator(work / made.name, made.signature)({key: v[:ROWS] for key, v in inputs.items()})
    torch_has = layers.values(programs.load(folder / f"{name}.pt2"), [v[:ROWS] for v in inputs.values()])
    found: dict[str, float] = {}
    for output, node in made.layers.items():
        expected, value = np.nan_to_num(torch_has[node], neginf=-1e4), np.nan_to_num(outputs[output], neginf=-1e4)
        assert value.dtype == np.float32 and value.shape == expected.shape
        found[node] = float(np.abs(value - expected).max() / max(np.abs(expected).max(), 1e-12))
    return found


@pytest.mark.parametrize("name", toy.CONVERTED)
def test_every_claim_is_true(packages: Path, name: str, tmp_path: Path) -> None:
    found = gaps(packages, name, tmp_path)
    assert max(found.values()) <= NEAR.get(name.partition("-")[2], COARSE), found
    program = programs.load(packages / f"{name}.pt2")
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    assert len(found) >= (RECURRENT if name.startswith("steps") else LEAST) * len(nodes)
    claimed = claims(packages, name)
    assert len(set(claimed.values())) == len(claimed), "a node was claimed twice"
    assert len(found) >= len(claimed) - 1, "Core ML has outputs of five dimensions at most"
    output = program.graph_signature.user_outputs[0]
    assert claims(packages, name)["logits"] == output


@pytest.mark.parametrize("name", toy.WRONG[:2])
def test_the_first_layer_of_a_wrong_package_that_differs_is_told(packages: Path, name: str, tmp_path: Path) -> None:
    found = gaps(packages, name, tmp_path)
    order = [node.name for node in programs.load(packages / f"{name}.pt2").graph.nodes]
    wrong = [node for node in sorted(found, key=order.index) if found[node] > NEAR[name.partition("-")[2]]]
    assert wrong[0] == "masked_fill_"
    assert {"scaled_dot_product_attention", "linear_2", order[-2]} <= set(wrong)
    right = set(found) - set(wrong)
    assert {"embedding", "layer_norm", "linear"} <= right


def test_a_layout_that_differs_is_not_claimed_and_a_mask_is() -> None:
    value = torch.arange(16.0).reshape(4, 4)
    assert provenance._moved(value.T, value, 1e-3)
    assert not provenance._moved(value.T + 1, value, 1e-3)
    mask = torch.tensor([True, True, False, False])
    assert not provenance._moved(~mask, mask, 1e-3)


def settled(folder: Path, name: str, made_of: dict[str, list[str]], output: str) -> dict[str, str]:
    inputs, _ = arrays(folder, name)
    sample = {key: values[:1] for key, values in inputs.items()}
    program = programs.load(folder / f"{name}.pt2")
    values = layers.values(program, list(sample.values()))
    return provenance.settled(folder / f"{name}.mlpackage", made_of, sample, values, {"logits": output})


def test_a_value_that_is_made_of_a_node_and_is_not_its_value_is_not_claimed(packages: Path) -> None:
    made_of = {"layer_norm": ["layer_norm", "embedding"], "add": ["add"], "gelu": ["add"]}
    found = settled(packages, "text-float32", made_of, "linear_2")
    assert found == {"layer_norm": "layer_norm", "add": "add", "logits": "linear_2"}


def test_in_a_wrong_package_the_last_value_made_of_a_node_stands_for_it(packages: Path) -> None:
    made_of = {
        "embedding": ["embedding"],
        "linear_1": ["linear_1"],
        "add": ["linear_1", "add"],
        "transpose": ["embedding"],
    }
    output = programs.load(packages / "inverted-float32.pt2").graph_signature.user_outputs[0]
    found = settled(packages, "inverted-float32", made_of, output)
    assert found == {"embedding": "embedding", "linear_1": "linear_1", "add": "add", "logits": output}


def test_of_a_package_that_cannot_be_evaluated_only_outputs_are_claimed(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(evaluator.RULES, "softmax")
    assert settled(packages, "text-float32", {"add": ["add"]}, "linear_2") == {"logits": "linear_2"}


@pytest.mark.parametrize("name", ["text-float16", "vit-int8"])
def test_an_opened_package_gives_its_own_outputs_and_says_what_the_others_are(
    packages: Path, name: str, tmp_path: Path
) -> None:
    package = packages / f"{name}.mlpackage"
    before = files.digest(package)
    made = opened(packages, name, tmp_path)
    assert files.digest(package) == before
    inputs, _ = arrays(packages, name)
    plain = coreml.evaluator(package, signature(name))(inputs)
    shown = coreml.evaluator(tmp_path / made.name, made.signature)(inputs)
    np.testing.assert_array_equal(shown["logits"], plain["logits"])
    assert made.signature.outputs[0] == signature(name).outputs[0]
    for spec in made.signature.outputs:
        assert shown[spec.name].shape == (toy.COUNT, *spec.shape[1:]) and spec.shape[0] == 1
        assert shown[spec.name].dtype == spec.dtype == "float32"
    assert {spec.name for spec in made.signature.outputs} == set(made.layers)
    described = ct.utils.load_spec(str(reading.model(tmp_path / made.name))).description.output
    assert [(value.name, tuple(value.type.multiArrayType.shape)) for value in described] == [
        (spec.name, spec.shape) for spec in made.signature.outputs
    ]


def test_values_without_a_sample_or_of_yes_and_no_are_shown_as_core_ml_can(packages: Path, tmp_path: Path) -> None:
    found = opening.opened(
        packages / "inverted-float32.mlpackage", tmp_path / "o.mlpackage", ["eq", "linear", "none", "logits"]
    )
    assert found == {
        "eq": TensorSpec(name="eq_shown", shape=(1, 8)),
        "linear": TensorSpec(name="linear_shown", shape=(1, 8, 1, 48)),
    }


def test_opening_twice_gives_the_same_bytes(packages: Path, tmp_path: Path) -> None:
    digests = set()
    for part in ("one", "two"):
        (tmp_path / part).mkdir()
        made = opened(packages, "text-float16", tmp_path / part)
        digests.add(files.digest(tmp_path / part / made.name))
        shutil.rmtree(tmp_path / part)
    assert len(digests) == 1
