"""Which Core ML values hold which node's value: each claim is judged by evaluating both programs."""

import json
import shutil
from pathlib import Path

import coremltools as ct
import numpy as np
import pytest
import torch
from torch import fx

from edgekd import files
from edgekd.formats import coreml
from edgekd.mil import evaluator, opening, provenance, reading
from edgekd.nets import programs
from edgekd.plugins import Opened
from edgekd.results import Signature, TensorSpec
from tests import packages as toy
from tests.test_mil import arrays

ROWS = 4
NEAR = {"float32": 1e-3, "float16": 1e-2}
# what fewer bits may do to a layer of a toy, as a share of its largest value
COARSE = 0.1
# nodes that no value of the package holds: batch norm is folded into what stands before it, and so on
LEAST = 0.6


def layers(folder: Path, name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / f"{name}.json").read_text())
    return found


def signature(name: str) -> Signature:
    inputs = toy.NETS[name.partition("-")[0]][1]
    return programs.with_batch(Signature(inputs=inputs, outputs=toy.OUTPUTS), 1)


def opened(folder: Path, name: str, work: Path) -> Opened:
    return coreml.opened(folder / f"{name}.mlpackage", signature(name), layers(folder, name), work)


class Watched(fx.Interpreter):
    """What every node of a program gives."""

    def __init__(self, path: Path) -> None:
        super().__init__(programs.load(path).module())
        self.found: dict[str, np.ndarray] = {}

    def run_node(self, node: fx.Node) -> object:
        found = super().run_node(node)
        if isinstance(found, torch.Tensor):
            self.found[node.name] = found.numpy().copy()
        return found


def gaps(folder: Path, name: str, work: Path) -> dict[str, float]:
    """The largest difference of each claimed value from its node's, by node, as a share of the node's largest."""
    made = opened(folder, name, work)
    inputs, _ = arrays(folder, name)
    outputs = coreml.evaluator(work / made.name, made.signature)({key: v[:ROWS] for key, v in inputs.items()})
    found: dict[str, float] = {}
    for row in range(ROWS):
        watched = Watched(folder / f"{name}.pt2")
        watched.run(*(torch.from_numpy(values[row : row + 1]) for values in inputs.values()))
        for output, node in made.layers.items():
            expected = np.nan_to_num(watched.found[node].astype(np.float64), neginf=-1e4)
            value = np.nan_to_num(outputs[output][row].astype(np.float64), neginf=-1e4).reshape(expected.shape)
            gap = np.abs(value - expected).max() / max(np.abs(expected).max(), 1e-12)
            found[node] = max(found.get(node, 0), float(gap))
    return found


@pytest.mark.parametrize("name", toy.CONVERTED)
def test_every_claim_is_true(packages: Path, name: str, tmp_path: Path) -> None:
    found = gaps(packages, name, tmp_path)
    assert max(found.values()) <= NEAR.get(name.partition("-")[2], COARSE), found
    program = programs.load(packages / f"{name}.pt2")
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    assert len(found) >= LEAST * len(nodes)
    claimed = layers(packages, name)
    assert len(set(claimed.values())) == len(claimed), "a node was claimed twice"
    assert len(found) >= len(claimed) - 1, "Core ML has outputs of five dimensions at most"
    output = program.graph_signature.user_outputs[0]
    assert layers(packages, name)["logits"] == output


@pytest.mark.parametrize("name", toy.WRONG)
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


def test_of_a_package_that_cannot_be_evaluated_only_outputs_are_claimed(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(evaluator.RULES, "softmax")
    package, program = packages / "text-float32.mlpackage", programs.load(packages / "text-float32.pt2")
    inputs, _ = arrays(packages, "text-float32")
    sample = {name: values[:1] for name, values in inputs.items()}
    assert provenance.settled(package, {"add": ["add"]}, program, sample, {"logits": "linear_2"}) == {
        "logits": "linear_2"
    }


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
        assert shown[spec.name].dtype.kind == ("f" if spec.dtype == "float32" else "i")
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
        "eq": TensorSpec(name="eq_shown", shape=(1, 8), dtype="int32"),
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
