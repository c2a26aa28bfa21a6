"""The usual ways to prepare images: the given one first, none twice, written so that a recipe reads them back."""

import tomllib

import numpy as np
import pytest

from edgekd.catalog import Entry
from edgekd.recipes.choices import read_image
from edgekd.samples.guesses import GIVEN, OWN, adapted, guesses, written
from edgekd.spec import Image

RANDOM = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
IMAGENET = Image(size=4, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    "given",
    [
        IMAGENET,
        Image(size=4),
        Image(size=4, channels="bgr", mean=(0.1, 0.2, 0.3), std=(0.5,)),
        Image(size=4, channels="gray", mean=(0.2,), std=(0.9,)),
        Image(size=4, filter="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    ],
)
def test_the_given_way_is_first_and_nothing_is_tried_twice(given: Image) -> None:
    found = guesses(given, RANDOM)
    assert found[0].image == given
    seen = {written(guess.image) for guess in found if guess.image}
    assert len(seen) == len(found) and all(guess.image and guess.image.filter == given.filter for guess in found)
    assert {guess.channels for guess in found} == ({"gray"} if given.channels == "gray" else {"rgb", "bgr"})


def test_bgr_takes_mean_and_std_along_or_not() -> None:
    means = [guess.image.mean for guess in guesses(IMAGENET, RANDOM) if guess.channels == "bgr" and guess.image]
    assert (0.406, 0.456, 0.485) in means and (0.485, 0.456, 0.406) in means


def test_names_say_what_is_meant() -> None:
    assert guesses(IMAGENET, RANDOM)[0].name == "ImageNet's mean and std"
    assert guesses(Image(size=4, mean=(0.3,), std=(0.3,)), RANDOM)[0].name == GIVEN
    own = next(guess.image for guess in guesses(IMAGENET, RANDOM) if guess.name == OWN)
    assert own and np.allclose(own.mean, RANDOM.mean((0, 1, 2)) / 255, atol=1e-4)


def test_images_without_colour_have_no_order_of_channels() -> None:
    flat = np.repeat(RANDOM[..., :1], 3, axis=3)
    assert {guess.channels for guess in guesses(IMAGENET, flat)} == {"rgb"}


def test_a_recipe_reads_what_is_written() -> None:
    for guess in (*guesses(IMAGENET, RANDOM), *guesses(adapted(IMAGENET, "gray"), RANDOM)):
        assert guess.image
        table = tomllib.loads(f"image = {written(guess.image)}")
        assert read_image(Entry(table["image"], "here", None), None) == guess.image  # type: ignore[arg-type]


def test_gray_means_are_averages() -> None:
    assert adapted(IMAGENET, "gray") == Image(size=4, channels="gray", mean=(0.449,), std=(0.226,))
