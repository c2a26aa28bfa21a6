"""The values of a program's nodes, and where a decomposed program holds the same ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from edgekd.nets import layers

# torch's own deep copies of programs
pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")


class Odd(nn.Module):
    """Changes a tensor in place, moves the sample out of the front, and has parts that are taken of one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.register = nn.BatchNorm1d(4), nn.Buffer(torch.tensor([2.0, 3.0, 4.0, 5.0]))
        self.norm.running_mean.uniform_(-1, 1)

    def forward(self, x, ids):
        x = self.norm(x * self.register)
        torch.relu_(x)
        moved = x.transpose(0, 1) + 1
        left, right = x.chunk(2, -1)
        return torch.nn.functional.silu(left - right).sum(1, keepdim=True) + ids.float() + moved.sum(0)[:, None]


def program(network: nn.Module, *inputs: torch.Tensor) -> ExportedProgram:
    shapes = tuple({0: Dim("batch", min=1)} for _ in inputs)
    return torch.export.export(network.eval(), inputs, dynamic_shapes=shapes)


def odd() -> tuple[ExportedProgram, list[np.ndarray]]:
    torch.manual_seed(0)
    rows = [torch.randn(3, 4), torch.tensor([[1], [0], [2]])]
    return program(Odd(), *rows), [row.numpy() for row in rows]


def test_values_are_of_each_node_before_later_ones_change_them() -> None:
    made, inputs = odd()
    found = layers.values(made, inputs)
    nodes = {node.name: node for node in made.graph.nodes}
    assert all(nodes[name].op == "call_function" for name in found)
    assert all(array.dtype == np.float32 and len(array) == 3 for array in found.values())
    network = made.module()
    x = torch.tensor(inputs[0]) * network.register
    norm = nn.functional.batch_norm(x, network.norm.running_mean, network.norm.running_var, eps=1e-5)
    (name,) = [n for n in found if n.startswith("batch_norm")]
    assert norm.min() < 0
    np.testing.assert_allclose(found[name], norm.detach(), atol=1e-5)
    (changed,) = [n for n in found if n.startswith("relu_")]
    np.testing.assert_allclose(found[changed], norm.detach().clamp(min=0), atol=1e-5)
    last = next(iter(reversed(made.graph.nodes))).args[0][0].name
    np.testing.assert_allclose(found[last], network(*map(torch.tensor, inputs)).detach(), atol=1e-5)


def test_values_that_do_not_begin_with_the_sample_get_it_in_front() -> None:
    made, inputs = odd()
    found = layers.values(made, inputs)
    assert found["transpose"].shape == (3, 4, 1)
    np.testing.assert_array_equal(found["transpose"][1, :, 0], found["relu_"][1])


def test_a_node_of_another_shape_for_each_sample_is_left_out() -> None:
    class Chosen(nn.Module):
        def forward(self, x):
            chosen = x[x > 0]
            return (chosen * 2).sum() + x.sum(1)

    x = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    found = layers.values(torch.export.export(Chosen(), (x[:1],)), [x.numpy()])
    assert "index" not in found and "mul" not in found
    assert "sum_2" in found


def test_counterparts_lead_back_to_nodes_whose_value_they_hold() -> None:
    made, inputs = odd()
    lower = made.run_decompositions()
    found = layers.counterparts(made, lower)
    above, below = layers.values(made, inputs), layers.values(lower, inputs)
    for name, node in found.items():
        np.testing.assert_allclose(below[name], above[node], atol=1e-5)
    assert len(set(found.values())) == len(found)
    # a decomposed one too, and both halves of one that gives two tensors
    assert {"silu", "getitem", "getitem_1", "batch_norm"} <= set(found.values())


def test_a_node_that_gives_something_else_is_no_counterpart() -> None:
    made, _ = odd()
    lower = made.run_decompositions()
    (norm,) = [node for node in made.graph.nodes if "batch_norm" in node.name]
    weight = next(argument for argument in norm.args if argument.name.endswith("running_var"))
    spec = next(s for s in lower.graph_signature.input_specs if s.arg.name == weight.name)
    lower.state_dict[spec.target] = lower.state_dict[spec.target] * 2
    assert norm.name not in layers.counterparts(made, lower).values()
    assert norm.name in layers.origins(made, lower).values()


def test_programs_read_back_from_files_work_too(tmp_path: Path) -> None:
    made, inputs = odd()
    torch.export.save(made, tmp_path / "a.pt2")
    read = torch.export.load(tmp_path / "a.pt2")
    for name, array in layers.values(made, inputs).items():
        np.testing.assert_array_equal(layers.values(read, inputs)[name], array)
    assert layers.counterparts(read, read.run_decompositions()) == layers.counterparts(made, made.run_decompositions())
