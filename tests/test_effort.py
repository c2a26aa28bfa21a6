"""What --effort promises: 1, 3 and 5 seeds, fair grids, at most 15 candidates, and a sentence that says so."""

import pytest

from edgekd.policies.contenders import METHODS, count
from edgekd.policies.limits import trial_rungs
from edgekd.recipes.effort import PRESETS, describe


@pytest.mark.parametrize(("name", "seeds"), [("quick", 1), ("standard", 3), ("thorough", 5)])
def test_presets(name: str, seeds: int):
    effort = PRESETS[name]
    assert effort.name == name and effort.seeds == seeds
    assert len(effort.control) == len(set(effort.control)) == count(effort.methods, effort.distill)
    assert len(effort.distill) == len(set(effort.distill)) and set(effort.methods) <= set(METHODS)
    assert effort.candidates <= 15
    assert all(temperature > 0 and 0 < weight <= 1 for temperature, weight in effort.distill)


def test_the_race_costs_no_more_than_half_of_what_is_trained_in_full():
    for effort in PRESETS.values():
        tried = sum(count * epochs for count, epochs in trial_rungs(effort)) / 2
        assert tried <= 0.5 * effort.seeds * effort.epochs


def test_more_effort_is_more_of_everything():
    quick, standard, thorough = PRESETS.values()
    for key in ("seeds", "trial_epochs", "epochs", "views", "train_seconds"):
        assert getattr(quick, key) < getattr(standard, key) < getattr(thorough, key)


def test_quick_says_that_one_seed_is_run():
    assert describe(PRESETS["quick"]).startswith("effort quick: one seed, 24 epochs")
    assert "says nothing about spread" in describe(PRESETS["quick"])
    assert "three seeds" in describe(PRESETS["standard"]) and "spread" not in describe(PRESETS["standard"])
