"""Two files on one device: a slower one is found, the same one twice raises no alarm."""

import numpy as np
import pytest

from edgekd.commands.regression import judged
from edgekd.results import Measurement
from edgekd.timing.measurement import measurement
from edgekd.timing.protocols import PROTOCOLS
from edgekd.timing.sessions import Taken
from tests import synthetic
from tests.sessions import session

NAMES = ("old", "new")


def pair(times: float, noise: float, seed: int = 0) -> list[Measurement]:
    """Ten sessions of each in turn; the device itself goes up and down by `noise`, for both alike and for each."""
    random = np.random.default_rng(seed)
    both: list[list[dict[str, object]]] = [[], []]
    for i in range(10):
        common = random.normal(0, noise)
        for k, factor in enumerate((1.0, times)):
            latency = 1e-3 * factor * np.exp(common + random.normal(0, noise / 3))
            both[k].append(session(latency=latency, seed=1000 * seed + 2 * i + k))
    protocol = PROTOCOLS["reportable"]
    return [measurement(synthetic.DEVICE, 1, protocol, Taken(kept=tuple(kept)), {"memory": 1}) for kept in both]


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.02])
def test_an_injected_slowdown_is_found_also_in_noise_that_both_meet(noise: float) -> None:
    found = judged(NAMES, pair(1.12, noise), 0.05)
    assert found.verdict == "regression" and "more than 5 %" in found.why, found.why
    assert found.ratios["quiet"].low > 1.05 and set(found.ratios) == {"quiet", "p90"}


def test_the_same_file_against_itself_raises_no_alarm() -> None:
    pairs = [pair(1.0, 0.03, seed) for seed in range(20)]
    verdicts = [judged(NAMES, both, 0.05).verdict for both in pairs]
    assert "regression" not in verdicts and verdicts.count("no regression") >= 15
    strict = [judged(NAMES, both, 0.0).verdict for both in pairs]
    assert "regression" not in strict, "a difference within the noise floor is none"


def test_a_faster_file_is_no_regression_and_noise_that_hides_the_answer_is_said() -> None:
    assert judged(NAMES, pair(0.8, 0.03), 0.0).verdict == "no regression"
    hidden = judged(NAMES, pair(1.05, 0.08), 0.05)
    assert hidden.verdict == "not judged" and "noise is too large" in hidden.why


def test_an_unstable_pair_accuses_nobody() -> None:
    old, new = pair(1.3, 0.0)
    assert new.latency is not None
    shaky = new.model_copy(update={"latency": new.latency.model_copy(update={"stable": False, "why": "busy"})})
    found = judged(NAMES, [old, shaky], 0.05)
    assert found.verdict == "not judged" and "new is unstable: busy" in found.why


def test_what_cannot_be_measured_is_not_judged() -> None:
    nothing = Measurement(basis="not measured", device=synthetic.DEVICE, why="no runtime there")
    found = judged(NAMES, [nothing, nothing], 0.05)
    assert (found.verdict, found.why, found.ratios) == ("not judged", "no runtime there", {})
