"""Where it begins and what is worst, from ratios alone."""

import math

import pytest

from edgekd.divergence import verdict
from edgekd.results import Layer


def layers(**ratios: float) -> list[Layer]:
    return [
        Layer(node=node, name=node, module=node, kind="K", operator="o", tensor=node, shape=(1,), snr=snr, lost=0.0,
              difference=0.0, scale=1.0)
        for node, snr in ratios.items()
    ]  # fmt: skip


def follow(**before: str) -> dict[str, frozenset[str]]:
    return {node: frozenset(names) for node, names in before.items()}


CHAIN = follow(a="", b="a", c="b", d="c")


def judged(threshold: float = 15.0, before: dict[str, frozenset[str]] = CHAIN, **ratios: float) -> tuple:
    found = verdict.with_loss(layers(**ratios), before, "int8")
    start = verdict.first(found, before, threshold)
    return start and start.node, [layer.node for layer in verdict.worst(found)], {x.node: x.lost for x in found}


def test_what_is_lost_is_against_the_layer_before() -> None:
    start, worst, lost = judged(a=38, b=30, c=5, d=4.5)
    assert start == "c" and worst[:3] == ["c", "b", "a"]
    assert lost == pytest.approx({"a": 2, "b": 8, "c": 25, "d": 0.5})


def test_better_than_rounding_is_no_merit_to_lose() -> None:
    *_, lost = judged(a=math.inf, b=41, c=45, d=39)
    assert lost == pytest.approx({"a": 0, "b": 0, "c": 0, "d": 1})


def test_nothing_below_the_threshold_diverges() -> None:
    assert judged(a=38, b=30, c=16, d=15)[0] is None


def test_the_first_in_the_order_of_the_program_is_the_first() -> None:
    before = follow(a="", b="", c="ab")
    assert judged(before=before, a=10, b=-20, c=-20)[0] == "a"


def test_what_joins_a_wrong_branch_is_not_to_blame() -> None:
    before = follow(a="", b="a", c="a", d="bc")
    start, worst, lost = judged(before=before, a=40, b=5, c=40, d=4)
    assert start == "b" and worst[0] == "b" and lost["d"] == pytest.approx(1)


def test_noise_that_adds_up_is_traced_to_where_most_was_lost() -> None:
    start, worst, _ = judged(a=38, b=18, c=16, d=13)
    assert (start, worst[0]) == ("b", "b")


def test_a_loss_elsewhere_is_not_taken_for_the_way_there() -> None:
    before = follow(a="", b="a", other="", c="b")
    start, *_ = judged(before=before, a=34, b=20, other=16, c=14.9)
    assert start == "b"


def test_no_numbers_at_all_lose_no_more_than_all() -> None:
    start, worst, lost = judged(a=40, b=-math.inf, c=-math.inf, d=-math.inf)
    assert start == "b" and worst == ["b"] and math.isfinite(lost["b"]) and lost["c"] == 0


def test_only_the_five_worst_are_named() -> None:
    names = [f"n{i}" for i in range(9)]
    before = follow(**dict.fromkeys(names, ""))
    _, worst, _ = judged(before=before, **{name: 39 - i for i, name in enumerate(names)})
    assert worst == ["n8", "n7", "n6", "n5", "n4"]


def test_what_a_layer_takes_was_made_by_the_nearest_weights() -> None:
    weights = {"a": 2.0, "b": 3.0, "d": 4.0}
    known = [x.model_copy(update={"channels": weights.get(x.node)}) for x in layers(a=40, b=40, c=40, d=40, e=40, f=40)]
    before = follow(a="", b="a", c="b", d="a", e="c", f="de")
    assert [layer.node for layer in verdict.makers(known, before, "f")] == ["b", "d"]
    assert [layer.node for layer in verdict.makers(known, before, "c")] == ["b"]
    assert verdict.makers(known, before, "a") == ()
