"""What every corruption must keep: copies of the same kind, the same each time, worse and worse."""

import numpy as np
import pytest

from edgekd.plugins import declared, find, names
from edgekd.spec import Value

CORRUPTIONS = names("corruptions")
RANDOM = np.random.default_rng(0)
WAVES = np.sin(np.arange(16) / 3 + np.arange(12)[:, None])
IMAGES = {"image": (120 + 60 * WAVES[:, :, None] * WAVES[:, None, :]).astype(np.uint8)[..., None]}
TEXTS = {"ids": RANDOM.integers(2, 90, (12, 20)), "mask": (np.arange(20) < 14).astype(np.int64)[None].repeat(12, 0)}
SERIES = {"motion": RANDOM.normal(0, 3, (12, 30, 6)).astype(np.float32)}
NUMBERS = {"x": RANDOM.normal(0, 3, (12, 9)).astype(np.float32)}
SOUND = {"wave": RANDOM.integers(-3000, 3000, (12, 50)).astype(np.int16)}
SENTENCES = {"ids": np.array([f"the quick brown fox {i} jumps over a lazy dog" for i in range(12)], object)}
TASKS = (IMAGES, TEXTS, SERIES, NUMBERS, SOUND, SENTENCES)


def cases() -> list[tuple[str, int]]:
    suiting = [
        (name, i) for name in CORRUPTIONS for i, task in enumerate(TASKS) if find("corruptions", name).suits(task, 16)
    ]
    assert {name for name, _ in suiting} >= {"pixels", "series", "tokens", "typos"}
    return suiting


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_declares_itself(name: str) -> None:
    known, plugin = declared("corruptions", name), find("corruptions", name)
    assert known.version >= 1 and known.packages and known.summary.endswith(".")
    assert issubclass(plugin.Settings, Value) and plugin.KINDS and len(set(plugin.KINDS)) == len(plugin.KINDS)
    plugin.Settings()


@pytest.mark.parametrize("task", range(len(TASKS)))
def test_every_kind_of_input_has_one(task: int) -> None:
    assert [name for name in CORRUPTIONS if find("corruptions", name).suits(TASKS[task], 16)]


@pytest.mark.parametrize(("name", "task"), cases())
def test_copies_are_of_the_same_kind_and_the_same_each_time(name: str, task: int) -> None:
    plugin, samples = find("corruptions", name), TASKS[task]
    before = {key: values.copy() for key, values in samples.items()}
    for kind in plugin.KINDS:
        one, two = (plugin.corrupt(samples, kind, 4, np.random.default_rng(1)) for _ in range(2))
        assert one.keys() == samples.keys()
        for key, values in samples.items():
            assert one[key].shape == values.shape and one[key].dtype == values.dtype
            assert (one[key] == two[key]).all()
            assert values.dtype == object or np.isfinite(one[key]).all()
        assert any((one[key] != values).any() for key, values in samples.items()), kind
    assert all((samples[key] == before[key]).all() for key in samples), "samples are left as they were"


def apart(copy: np.ndarray, values: np.ndarray) -> float:
    """Mean difference of numbers, or the share of texts that became another one."""
    return float((copy != values).mean() if values.dtype == object else np.abs(copy.astype(np.float64) - values).mean())


@pytest.mark.parametrize(("name", "task"), cases())
def test_the_severest_changes_more_than_the_mildest(name: str, task: int) -> None:
    plugin, samples = find("corruptions", name), TASKS[task]
    for kind in plugin.KINDS:
        mild, severe = (
            sum(apart(copy[key], values) for key, values in samples.items())
            for copy in (plugin.corrupt(samples, kind, step, np.random.default_rng(2)) for step in (1, 5))
        )
        assert severe > mild >= 0, kind
