"""Laws of a split: disjoint, complete, stratified, seeded, and no copies across parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.plugins import Pool, Source
from edgekd.samples import sampling
from edgekd.spec import Choice, Data


def pool(values: np.ndarray, labels: np.ndarray) -> Pool:
    return Pool({"ids": np.asarray(values, np.int64).reshape(len(labels), -1)}, np.asarray(labels, np.int64))


def source(labels: np.ndarray, test: int = 0, classes: int = 3) -> Source:
    own = pool(1_000_000 + np.arange(test), np.arange(test) % classes) if test else None
    return Source(pool(np.arange(len(labels)), labels), own, tuple(f"class {i}" for i in range(classes)))


def data(**more: object) -> Data:
    return Data(source=Choice(name="arrays"), **more)  # type: ignore[arg-type]


def draw(given: Source, wanted: Data, seed: int = 0) -> sampling.Drawn:
    twins = sampling.twins(given)
    assert not sampling.shortcomings(given, twins, wanted) and not sampling.overlaps(given, twins)
    return sampling.draw(given, twins, wanted, seed)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(80, 400),
    st.integers(0, 300),
    st.sampled_from([0, 30]),
    st.integers(8, 100),
    st.integers(1, 100),
    st.one_of(st.none(), st.integers(3, 200)),
    st.integers(0, 5),
)
def test_parts_are_disjoint_and_complete(
    labelled: int, unlabelled: int, test: int, validation: int, calibration: int, labels: int | None, seed: int
) -> None:
    truth = np.concatenate([np.arange(labelled) % 3, np.full(unlabelled, -1)])
    given_source = source(truth, test)
    drawn = draw(given_source, data(validation=validation, calibration=calibration, labels=labels), seed)
    own = [part for part in drawn.parts.values() if part.pool is given_source.train]
    assert sorted(np.concatenate([part.rows for part in own])) == list(range(len(truth)))
    for part in own:
        known = part.labels >= 0
        np.testing.assert_array_equal(part.labels[known], truth[part.rows][known])
    assert (drawn.parts["validation"].labels >= 0).all() and (drawn.parts["test"].labels >= 0).all()
    assert 8 <= len(drawn.parts["validation"].rows) <= validation
    assert 1 <= len(drawn.parts["calibration"].rows) <= calibration
    kept = drawn.parts["train"].labels
    assert set(range(3)) <= set(kept.tolist())
    assert labels is None or (kept >= 0).sum() <= labels


def test_the_default_numbers() -> None:
    given_source = source(np.arange(10_000) % 10, 5000, 10)
    parts = draw(given_source, data(labels=1000)).parts
    assert {name: len(part.rows) for name, part in parts.items()} == {
        "train": 8744,
        "validation": 1000,
        "calibration": 256,
        "test": 5000,
    }
    assert np.bincount(parts["train"].labels[parts["train"].labels >= 0]).tolist() == [100] * 10
    assert np.bincount(parts["validation"].labels).tolist() == [100] * 10
    assert len(set(parts["validation"].labels[:8].tolist())) > 1, "the golden rows are of several classes"
    np.testing.assert_array_equal(parts["test"].rows, np.arange(5000))


def test_each_part_has_random_numbers_of_its_own() -> None:
    given_source = source(np.arange(600) % 3, 30)
    first, fewer = (draw(given_source, data(labels=n, validation=60, calibration=20)).parts for n in (100, 50))
    for part in ("validation", "calibration", "test"):
        np.testing.assert_array_equal(first[part].rows, fewer[part].rows)
    kept, kept_fewer = (set(np.flatnonzero(parts["train"].labels >= 0)) for parts in (first, fewer))
    assert kept_fewer < kept
    other = draw(given_source, data(labels=100, validation=60, calibration=20), seed=1).parts
    assert set(other["validation"].rows) != set(first["validation"].rows)


def test_calibration_takes_unlabelled_samples_first() -> None:
    truth = np.concatenate([np.arange(300) % 3, np.full(40, -1)])
    part = draw(source(truth, 30), data(validation=50, calibration=50)).parts["calibration"]
    assert (part.labels < 0).sum() == 40 and len(part.rows) == 50


def test_a_held_out_test_part_is_stratified_labelled_and_said() -> None:
    truth = np.concatenate([np.repeat([0, 1, 2], [200, 100, 100]), np.full(100, -1)])
    drawn = draw(source(truth), data(test_share=0.25, validation=20, calibration=10))
    assert np.bincount(drawn.parts["test"].labels).tolist() == [50, 25, 25]
    assert drawn.caveats[0].startswith(
        "no test set was given: 100 samples were held out, and the teacher may have seen"
    )


def test_few_samples_shrink_parts_and_say_so() -> None:
    drawn = draw(source(np.arange(60) % 3, 30), data(labels=500))
    assert len(drawn.parts["validation"].rows) == 12
    assert len(drawn.parts["calibration"].rows) == 9
    text = "\n".join(drawn.caveats)
    assert "only 12 samples were set aside for validation" in text and "only 9 samples could be set aside" in text
    assert "only 39 labelled samples are left for training instead of 500" in text


def test_the_last_sample_of_a_rare_class_stays_in_training() -> None:
    truth = np.concatenate([np.zeros(200, int), np.ones(200, int), [2]])
    drawn = draw(source(truth), data(validation=40, labels=30))
    assert (drawn.parts["train"].labels == 2).sum() == 1
    assert any("the test part has no sample of: class 2" in text for text in drawn.caveats)


def test_copies_within_training_stay_in_one_part() -> None:
    values = np.concatenate([np.arange(300), np.arange(300)])
    truth = np.concatenate([np.full(300, -1), np.arange(300) % 3])
    given_source = Source(pool(values, truth), None, ("a", "b", "c"))
    drawn = draw(given_source, data(validation=50, calibration=20))
    ids = {name: set(part.pool.inputs["ids"][part.rows, 0].tolist()) for name, part in drawn.parts.items()}
    for a, first in ids.items():
        assert all(a == b or not first & second for b, second in ids.items())
    assert (drawn.parts["validation"].labels >= 0).all(), "a labelled copy stands for an unlabelled one"
    left_out = 600 - sum(len(part.rows) for part in drawn.parts.values())
    assert left_out == sum(len(drawn.parts[name].rows) for name in ("validation", "calibration", "test"))
    assert f"{left_out} exact copies of validation" in "\n".join(drawn.caveats)


def test_copies_with_other_labels_are_counted() -> None:
    values, truth = np.concatenate([np.arange(99), [0, 1]]), np.concatenate([np.arange(99) % 3, [1, 1]])
    drawn = draw(Source(pool(values, truth), None, ("a", "b", "c")), data(validation=10, calibration=10))
    assert "1 training samples are exact copies of others with another label" in drawn.caveats


def test_test_samples_among_training_samples_are_refused_by_name() -> None:
    train, test = pool(np.arange(100), np.arange(100) % 2), pool([200, 7, 8, 201], [0, 1, 0, 1])
    given_source = Source(train, test, ("a", "b"))
    (problem,) = sampling.overlaps(given_source, sampling.twins(given_source))
    assert "2 test samples are also among the training samples: training sample 7 = test sample 1" in problem.message
    named = Source(
        Pool(train.inputs, train.labels, [f"train/{i}.png" for i in range(100)]),
        Pool(test.inputs, test.labels, [f"test/{i}.png" for i in range(4)]),
        ("a", "b"),
    )
    (problem,) = sampling.overlaps(named, sampling.twins(named))
    assert "train/7.png = test/1.png, train/8.png = test/2.png" in problem.message


def test_more_overlaps_than_one_can_read_are_counted() -> None:
    given_source = Source(pool(np.arange(99), np.arange(99) % 3), pool(np.arange(20), np.zeros(20)), ("a", "b", "c"))
    (problem,) = sampling.overlaps(given_source, sampling.twins(given_source))
    assert problem.message.startswith("20 test samples") and problem.message.endswith("and 15 more")


@pytest.mark.parametrize(
    ("labels", "test", "classes", "wanted", "message"),
    [
        (np.zeros(100), 10, 1, {}, "there is 1 class"),
        (np.arange(100) % 2, 10, 3, {}, "1 classes have no labelled training sample: class 2"),
        (np.arange(49) % 2, 10, 2, {}, "49 different labelled training samples; at least 50 are needed"),
        (np.arange(60) % 2, 0, 2, {}, "60 different labelled training samples; at least 63 are needed"),
        (np.full(100, -1), 10, 2, {}, "0 different labelled training samples"),
        (np.arange(100) % 2, 10, 2, {"validation": 7}, "data.validation: 7 is too few"),
        (np.arange(100) % 2, 10, 2, {"calibration": 0}, "data.calibration: 0 is too few"),
        (np.arange(100) % 2, 10, 2, {"labels": 1}, "data.labels: 1 labels are too few for 2 classes"),
        (np.arange(100) % 2, 0, 2, {"test_share": 1.0}, "data.test_share: 1.0 must be between"),
    ],
)
def test_what_cannot_be_split(
    labels: np.ndarray, test: int, classes: int, wanted: dict[str, object], message: str
) -> None:
    given_source = source(labels, test, classes)
    problems = sampling.shortcomings(given_source, sampling.twins(given_source), data(**wanted))
    assert message in "\n".join(map(str, problems))


def test_one_sample_copied_is_not_many() -> None:
    copies = Source(pool(np.zeros(500), np.arange(500) % 2), None, ("a", "b"))
    problems = "\n".join(map(str, sampling.shortcomings(copies, sampling.twins(copies), data())))
    assert "there are 1 different labelled training samples" in problems


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 300))
def test_quotas_are_proportional_and_possible(sizes: list[int], count: int) -> None:
    given_sizes = np.array(sizes)
    quotas = sampling._quotas(given_sizes, count)
    assert quotas.sum() == min(count, given_sizes.sum()) and (quotas <= given_sizes).all() and (quotas >= 0).all()
    if 0 < count < given_sizes.sum():
        assert (np.abs(quotas - given_sizes * count / given_sizes.sum()) < 1).all()
