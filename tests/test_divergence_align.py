"""Which axes a file's tensors have where: by shapes, by the majority, and never one by one."""

import numpy as np

from edgekd.divergence import align

RANDOM = np.random.default_rng(0)


def moved(values: np.ndarray) -> np.ndarray:
    return np.moveaxis(values, 1, -1)


def of(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=(4, *shape))


def test_shapes_that_allow_one_answer_decide_for_those_that_allow_two() -> None:
    clear, square = of(16, 8, 8), of(8, 8, 8)
    last = align.channels_last([(clear, moved(clear)), (square, moved(square))])
    assert last == {4: True}
    np.testing.assert_array_equal(align.aligned(moved(square), square.shape, last), square)


def test_a_square_tensor_gets_no_layout_of_its_own() -> None:
    one, two, odd = of(16, 8, 8), of(4, 8, 8), of(8, 8, 8)
    last = align.channels_last([(one, moved(one)), (two, moved(two)), (odd, odd)])
    assert last == {4: True}
    np.testing.assert_array_equal(align.aligned(odd, odd.shape, last), np.moveaxis(odd, -1, 1))


def test_each_number_of_axes_is_decided_by_itself() -> None:
    image, words = of(16, 8, 8), of(12, 16)
    last = align.channels_last([(image, moved(image)), (words, words)])
    assert last == {4: True, 3: False}
    rows = of(8, 8)
    np.testing.assert_array_equal(align.aligned(rows, rows.shape, last), rows)


def test_a_shape_with_one_answer_is_right_against_the_majority() -> None:
    one, two, other = of(16, 8, 8), of(4, 8, 8), of(2, 6, 9)
    pairs = [(one, moved(one)), (two, moved(two)), (other, other)]
    last = align.channels_last(pairs)
    assert last == {4: True}
    for ours, theirs in pairs:
        np.testing.assert_array_equal(align.aligned(theirs, ours.shape, last), ours)


def test_where_all_are_square_all_values_together_decide() -> None:
    values = [of(8, 8, 8) for _ in range(3)]
    assert align.channels_last([(v, moved(v)) for v in values]) == {4: True}
    assert align.channels_last([(v, v + 0.1) for v in values]) == {4: False}
    mixed = [(values[0], moved(values[0])), (values[1], moved(values[1])), (values[2], values[2])]
    assert align.channels_last(mixed) == {4: True}


def test_axes_of_one_do_not_count() -> None:
    ours = of(1, 16)
    np.testing.assert_array_equal(align.aligned(ours.reshape(4, 16), ours.shape, {}), ours)
    np.testing.assert_array_equal(align.aligned(ours.reshape(4, 1, 1, 16), ours.shape, {}), ours)
    pixel = of(16, 1, 8)
    np.testing.assert_array_equal(align.aligned(moved(pixel)[:, None], pixel.shape, {4: True}), pixel)


def test_shapes_that_do_not_fit_are_told() -> None:
    assert align.aligned(of(16, 8), (4, 128), {}) is None
    assert align.aligned(of(3, 5, 7), (4, 5, 3, 7), {4: True}) is None
    assert align.channels_last([(of(3), of(4))]) == {}
