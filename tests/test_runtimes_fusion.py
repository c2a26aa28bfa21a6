"""Graphs as ONNX Runtime leaves them: reading them without the onnx package, and the rules for each operator."""

from pathlib import Path

import onnx
import pytest

from edgekd.runtimes import fusion
from edgekd.runtimes.fault import Fault
from edgekd.runtimes.fusion import Graph, Node
from tests import placed


def graph(*nodes: tuple[str, str, str], constants: str = "") -> Graph:
    """Nodes written as (kind, "what it takes", "what it gives"); the graph takes x and gives y."""
    made = tuple(Node(f"n{i}", kind, tuple(t.split()), tuple(g.split())) for i, (kind, t, g) in enumerate(nodes))
    return Graph(made, frozenset(constants.split()))


def why(of: Graph, integers: str = "") -> list[str]:
    return [verdict.why for verdict in fusion.verdicts(of, integers.split())]


def test_what_is_read_is_what_the_onnx_package_reads(tmp_path: Path) -> None:
    placed.qdq(tmp_path / "a.onnx")
    found, model = fusion.read(tmp_path / "a.onnx"), onnx.load(tmp_path / "a.onnx")
    assert [(n.name, n.kind, n.inputs, n.outputs) for n in found.nodes] == [
        (n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in model.graph.node
    ]
    assert found.constants == {one.name for one in model.graph.initializer}


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"\x3a\x7fshort", b"\x3a\x05", b"\x0b", b"\x38\x01"])
def test_what_is_no_graph_is_a_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(Fault, match=r"a\.onnx is not an ONNX graph that edgekd can read"):
        fusion.read(tmp_path / "a.onnx")


def test_a_float_file_is_where_one_wants_it() -> None:
    assert why(graph(("Conv", "x w", "c"), ("HardSwish", "c", "y"), constants="w")) == ["", ""]


def test_an_island_of_several_float_operators_is_told_whole() -> None:
    found = why(
        graph(
            ("QuantizeLinear", "x s", "xq"),
            ("QLinearConv", "xq", "c"),
            ("DequantizeLinear", "c s", "f"),
            ("Sigmoid", "f", "g"),
            ("Mul", "f g", "h"),
            ("QuantizeLinear", "h s", "q"),
            ("QLinearConv", "q", "d"),
            ("DequantizeLinear", "d s", "y"),
            constants="s",
        )
    )
    float_ = "works in float32 between 8-bit values"
    assert found == [
        "", "", "takes 8-bit values to float32 for Sigmoid, Mul", float_, float_,
        "takes Mul in float32 back to 8 bits", "", "",
    ]  # fmt: skip


def test_an_integer_kernel_between_two_islands_is_wanted() -> None:
    found = why(
        graph(
            ("DequantizeLinear", "x s", "f"),
            ("Sigmoid", "f", "g"),
            ("QuantizeLinear", "g s", "q"),
            ("QLinearConv", "q", "c"),
            ("DequantizeLinear", "c s", "d"),
            ("Tanh", "d", "t"),
            ("QuantizeLinear", "t s", "y"),
            constants="s",
        )
    )
    assert [bool(reason) for reason in found] == [True, True, True, False, True, True, True]


def test_float_before_the_first_and_after_the_last_pair_is_as_the_file_has_it() -> None:
    found = why(
        graph(
            ("Sub", "x m", "a"),
            ("QuantizeLinear", "a s", "q"),
            ("QLinearConv", "q", "c"),
            ("DequantizeLinear", "c s", "d"),
            ("Softmax", "d", "y"),
            constants="s m",
        )
    )
    assert found == [""] * 5


def test_a_product_behind_the_last_pair_should_compute_in_8_bits() -> None:
    found = why(graph(("QLinearConv", "x", "c"), ("DequantizeLinear", "c s", "d"), ("MatMul", "d w", "y")))
    assert found == ["", "takes 8-bit values to float32 for MatMul", "takes 8-bit values and computes in float32"]


def test_whole_numbers_between_pairs_are_no_floats() -> None:
    nodes = (
        ("DequantizeLinear", "x s", "d"),
        ("Shape", "d", "n"),
        ("Reshape", "d n", "r"),
        ("QuantizeLinear", "r", "y"),
    )
    assert why(graph(*nodes))[1] != "" and why(graph(*nodes), integers="n")[1] == ""


def test_weights_that_every_run_unpacks_are_told() -> None:
    found = why(graph(("DequantizeLinear", "w s", "f"), ("MatMul", "x f", "y"), constants="w s"))
    assert found[0] == "unpacks its weights to float32 at every run"


def test_a_product_of_float_inputs_is_none_of_8_bit_values_for_its_unpacked_weights() -> None:
    nodes = (("DequantizeLinear", "w s", "f"), ("MatMul", "x f", "m"), ("QuantizeLinear", "m s", "y"))
    assert why(graph(*nodes, constants="w s"))[1:] == ["", ""]


def test_integer_kernels_of_dynamic_quantization_are_wanted() -> None:
    nodes = (
        ("DynamicQuantizeLinear", "x", "q s z"),
        ("MatMulInteger", "q w z", "i"),
        ("Cast", "i", "f"),
        ("Mul", "f s", "y"),
    )
    assert why(graph(*nodes, constants="w")) == [""] * 4


def test_a_float16_value_that_was_made_in_float32_is_told() -> None:
    found = why(graph(("Conv", "x w", "InsertedPrecisionFreeCast_c"), ("Cast", "InsertedPrecisionFreeCast_c", "y")))
    assert found == ["computes in float32: there is no float16 kernel for it here", ""]
