"""What --effort buys: presets of seeds, epochs, trials and candidates, and a sentence that says so."""

from edgekd import units
from edgekd.spec import Effort, EffortName

# Multiples of learning rate and weight decay that a control tries, the likeliest first: as many as contenders race.
CONTROL = (
    (1.0, 1.0),
    (0.3, 1.0),
    (1.0, 10.0),
    (3.0, 1.0),
    (0.3, 10.0),
    (3.0, 10.0),
    (1.0, 0.1),
    (0.1, 1.0),
    (2.0, 1.0),
    (0.5, 1.0),
    (2.0, 10.0),
    (0.5, 10.0),
    (0.3, 0.1),
    (3.0, 0.1),
    (0.1, 10.0),
    (1.0, 30.0),
    (0.2, 1.0),
    (5.0, 1.0),
)

# The trials of a race take half of what the full trainings take, at each effort: see `limits.trial_rungs`.
PRESETS: dict[EffortName, Effort] = {
    "quick": Effort(
        name="quick",
        seeds=1,
        trial_epochs=4,
        epochs=24,
        views=4,
        candidates=8,
        methods=("kd", "dist"),
        distill=((1.0, 0.9), (4.0, 0.9)),
        control=CONTROL[:3],
        train_seconds=120.0,
    ),
    "standard": Effort(
        name="standard",
        seeds=3,
        trial_epochs=12,
        epochs=48,
        views=8,
        candidates=15,
        methods=("kd", "standardized", "dkd", "dist", "multi_level", "hint", "attention"),
        distill=((1.0, 0.9), (2.0, 0.9), (4.0, 0.7)),
        control=CONTROL[:9],
        train_seconds=600.0,
    ),
    "thorough": Effort(
        name="thorough",
        seeds=5,
        trial_epochs=24,
        epochs=96,
        views=16,
        candidates=15,
        methods=("kd", "standardized", "dkd", "dist", "multi_level", "hint", "attention", "similarity", "rkd", "crd"),
        distill=((1.0, 0.9), (1.0, 0.7), (2.0, 0.9), (4.0, 0.7), (8.0, 0.9)),
        control=CONTROL[:14],
        train_seconds=2400.0,
    ),
}
_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}


def describe(effort: Effort) -> str:
    """What an effort means, for printing: "effort quick: one seed, ..."."""
    seeds = f"{_WORDS.get(effort.seeds, effort.seeds)} seed{'s' if effort.seeds > 1 else ''}"
    trials = len(effort.control)
    text = (
        f"effort {effort.name}: {seeds}, {effort.epochs} epochs (trials {effort.trial_epochs}), {trials} trials each "
        f"with and without the teacher, {effort.views} views of each sample, at most {effort.candidates} candidates "
        f"priced, training sized for about {units.show_seconds(effort.train_seconds)} a student"
    )
    return text if effort.seeds > 1 else f"{text}. One seed says nothing about spread; --effort standard runs 3"
