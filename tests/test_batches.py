"""The order of samples, and their prepared inputs from memory or batch by batch."""

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.nets import networks
from edgekd.nets.batches import Order, Prepared
from edgekd.samples.views import Feed
from tests import learnable


@given(
    rows=st.lists(st.integers(0, 999), min_size=1, max_size=40, unique=True),
    batch=st.integers(1, 60),
    views=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_order_shows_each_sample_equally_often(rows: list[int], batch: int, views: int, seed: int) -> None:
    order = Order(np.array(rows), batch, views, seed)
    taken = [order(number) for number in range(len(rows))]
    drawn = np.concatenate([chosen for chosen, _ in taken])
    assert all(len(chosen) == len(seen) == batch for chosen, seen in taken)
    # so many batches are exactly `batch` passes
    assert np.array_equal(np.sort(drawn), np.sort(np.repeat(rows, batch)))
    assert set(np.concatenate([seen for _, seen in taken])) <= set(range(views))


@given(number=st.integers(0, 10**6), seed=st.integers(0, 100))
def test_a_batch_depends_on_its_number_and_the_seed_alone(number: int, seed: int) -> None:
    used, fresh = Order(np.arange(50), 16, 3, seed), Order(np.arange(50), 16, 3, seed)
    for other in (number + 9, 0, number):
        again = used(other)
    assert np.array_equal(again, fresh(number))


def test_seeds_and_passes_differ() -> None:
    order, other = Order(np.arange(50), 50, 4, 0), Order(np.arange(50), 50, 4, 1)
    assert not np.array_equal(order(0)[0], order(1)[0])
    assert not np.array_equal(order(0)[0], other(0)[0])
    assert set(order(0)[1]) == {0, 1, 2, 3}


def test_prepared_inputs_are_the_feeds_views_from_memory_and_without(tmp_path: Path) -> None:
    splits, out = learnable.images(tmp_path / "entries"), learnable.workspace(tmp_path)
    signature = networks.signature(splits, learnable.IMAGE, out)
    feed = Feed(out, splits, "train", signature, augment=True, seed=3)
    known = np.array([7, 100, 2, 31, 9])
    rows, views = np.array([2, 100, 2, 9]), np.array([0, 2, 1, 2])
    expected = np.stack([feed.batch(rows[i : i + 1], views[i])["image"][0] for i in range(4)])
    for room in (10**9, 0):
        batch = Prepared(feed, signature, known, views=3, room=room)(rows, views)
        assert batch["image"].dtype == torch.float32 and batch["image"].shape == (4, 1, 16, 16)
        assert np.array_equal(batch["image"].numpy(), expected)


def test_ids_and_masks_stay_whole_numbers(tmp_path: Path) -> None:
    splits, out = learnable.tokens(tmp_path / "entries"), learnable.workspace(tmp_path)
    signature = networks.signature(splits, None, out)
    feed = Feed(out, splits, "train", signature, augment=True, seed=3)
    rows = np.array([5, 1])
    for room in (10**9, 0):
        batch = Prepared(feed, signature, np.arange(160), views=1, room=room)(rows, np.zeros(2, np.int64))
        assert {name: values.dtype for name, values in batch.items()} == {"ids": torch.int64, "mask": torch.int64}
        assert np.array_equal(batch["ids"].numpy(), feed.batch(rows)["ids"])
