"""Only what is better beyond chance is proposed, and nothing more is changed than must be."""

import numpy as np
import pytest

from edgekd.samples.guesses import Guess
from edgekd.samples.verdict import Answers, about_classes, about_images, decide, shortlist
from edgekd.spec import Image

LABELS = np.tile(np.arange(4), 50)
RGB, BGR = (Image(size=8, channels=channels) for channels in ("rgb", "bgr"))


def answers(right: float, name: str = "a", image: Image = RGB, seed: int = 0, turned: int = 0) -> Answers:
    """A share of the samples right (after turning the classes by so many places), the others one place off."""
    wrong = np.random.default_rng(seed).permutation(len(LABELS)) >= right * len(LABELS)
    predicted = (LABELS + turned + wrong * (1 + np.arange(len(LABELS)) // 4 % 3)) % 4
    return Answers(Guess(name, image), predicted, LABELS, 4)


def test_a_little_better_is_not_better() -> None:
    found = decide([answers(0.90), answers(0.93, "b", seed=1)], guesses=13)
    assert found.chosen.guess.name == "a" and found.in_order and found.skilled
    assert [other.guess.name for other in found.alike] == ["b"]


def test_much_better_is_chosen_and_said_in_numbers() -> None:
    tried = [answers(0.4), answers(0.95, "b", seed=1)]
    found = decide(tried, guesses=13)
    (finding,) = about_images(tried[0], found, "Write it")
    assert found.chosen is tried[1] and not found.alike and finding.about == "mean and std"
    assert "with a 40 % (" in finding.message and "with b 95 % (" in finding.message


@pytest.mark.parametrize(("both", "about"), [(0.94, ["channels"]), (1.0, ["mean and std", "channels"])])
def test_what_need_not_be_changed_is_kept(both: float, about: list[str]) -> None:
    tried = [answers(0.3), answers(0.35, "b"), answers(0.85, "a", BGR, 2), answers(both, "b", BGR, 2)]
    if both == 0.94:
        tried[2] = answers(0.92, "a", BGR, 2)
    found = decide(tried, guesses=13)
    assert [finding.about for finding in about_images(tried[0], found, "")] == about


def test_classes_in_another_order_are_named_even_with_the_wrong_mean() -> None:
    tried = [answers(0.4, turned=1), answers(0.97, "b", turned=1)]
    found = decide(tried, guesses=13)
    assert not found.in_order and found.skilled and found.chosen is tried[1]
    named, finding = about_classes(found.chosen, ("w", "x", "y", "z"), renaming=True)
    assert named == ("z", "w", "x", "y") and finding.fix == 'Write classes = ["z", "w", "x", "y"] in [data]'
    assert "output 0 is 'z', not 'w'" in finding.message and "put in order 97 %" in finding.message
    _, other = about_classes(found.chosen, ("w", "x", "y", "z"), renaming=False)
    assert "numpy.array([1, 2, 3, 0])[y]" in other.fix


def test_two_swapped_classes_are_found() -> None:
    plain = answers(0.97)
    swapped = np.array([1, 0, 2, 3])[plain.predicted]
    found = decide([Answers(plain.guess, swapped, LABELS, 4)], guesses=1)
    assert not found.in_order
    assert about_classes(found.chosen, ("w", "x", "y", "z"), True)[0] == ("x", "w", "y", "z")


def test_numbers_in_the_order_of_letters_are_recognised() -> None:
    classes = tuple(sorted(str(n) for n in range(12)))
    labels = np.tile(np.arange(12), 20)
    by_number = np.array([int(name) for name in classes])[labels]
    named, finding = about_classes(Answers(Guess("a", RGB), by_number, labels, 12), classes, True)
    assert named == tuple(str(n) for n in range(12)) and "The teacher has them by number" in finding.message


@pytest.mark.parametrize("seed", range(5))
def test_chance_is_called_chance_also_over_many_guesses(seed: int) -> None:
    random = np.random.default_rng(seed)
    tried = [Answers(Guess(str(i), RGB), random.integers(0, 4, len(LABELS)), LABELS, 4) for i in range(13)]
    found = decide(tried, guesses=13)
    assert not found.skilled and found.in_order and not found.alike
    constant = [Answers(Guess("a", RGB), np.full(len(LABELS), 2), LABELS, 4)]
    assert not decide(constant, guesses=1).skilled


def test_a_network_that_sorts_a_little_is_not_taken_for_classes_in_another_order() -> None:
    sorts = np.where(LABELS < 2, 3, np.random.default_rng(0).integers(0, 4, len(LABELS)))
    assert decide([Answers(Guess("a", RGB), sorts, LABELS, 4)], guesses=1).in_order


def test_the_order_is_not_looked_for_with_too_few_samples() -> None:
    few = Answers(Guess("a", RGB), (LABELS[:12] + 1) % 4, LABELS[:12], 4)
    assert few.reordered is None and few.attempt().reordered is None and decide([few], guesses=1).in_order


def test_the_shortlist_has_the_first_the_leaders_and_the_steps_between() -> None:
    screened = [
        answers(0.3), answers(0.4, "b"), answers(0.2, "c"), answers(0.25, "a", BGR), answers(0.9, "b", BGR),
        answers(0.1, "c", BGR), answers(0.05, "d", BGR),
    ]  # fmt: skip
    assert {0, 1, 3, 4} <= set(shortlist(screened)) and not {2, 6} & set(shortlist(screened))
