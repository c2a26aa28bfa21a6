"""Quantities as people write them: read, printed, and refused with the nearest good unit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd import units


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (units.seconds, "20ms", 0.02),
        (units.seconds, "1.5 s", 1.5),
        (units.seconds, "10m", 600.0),
        (units.seconds, 0.25, 0.25),
        (units.count, "100k", 100_000),
        (units.count, "2.3k", 2300),
        (units.count, 5000, 5000),
        (units.size, "256KiB", 256 * 1024),
        (units.size, 12, 12),
        (units.share, "1pp", 0.01),
        (units.share, "90%", 0.9),
    ],
)
def test_reading(read, text, value):
    assert read(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (units.seconds, "20msec", "Did you mean 20ms?"),
        (units.seconds, "20", "has no unit"),
        (units.seconds, "-1ms", "above zero"),
        (units.seconds, "0s", "above zero"),
        (units.seconds, [1], "is not a time"),
        (units.seconds, True, "is not a time"),
        (units.seconds, "1e999s", "above zero"),
        (units.size, "16Kib", "Did you mean 16KiB?"),
        (units.size, "0.1B", "at least 1"),
        (units.count, "0.4", "at least 1"),
        (units.count, "5 parsecs", "unknown unit 'parsecs'"),
        (units.share, "101%", "more than 100%"),
    ],
)
def test_refusing(read, text, words):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        read(text)


@given(st.integers(1, 10**15))
def test_a_number_of_bytes_or_parameters_reads_back(number: int):
    assert units.size(f"{number}B") == units.count(str(number)) == units.size(number) == number


@given(st.floats(1e-9, 1e6))
def test_seconds_read_back(value: float):
    assert units.seconds(f"{value!r}s") == pytest.approx(value)
