"""How a network may want its images: the usual means, deviations and channel orders, to be tried one after another."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.runtimes import preprocess
from edgekd.spec import Image

Numbers = tuple[float, ...]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BYTE = (1 / 255,)
COLOUR: tuple[tuple[str, Numbers, Numbers], ...] = (
    ("ImageNet's mean and std", IMAGENET_MEAN, IMAGENET_STD),
    ("values from -1 to 1", (0.5,), (0.5,)),
    ("values from 0 to 1", (0.0,), (1.0,)),
    ("values from 0 to 255", (0.0,), BYTE),
    ("values from 0 to 255 less ImageNet's mean", IMAGENET_MEAN, BYTE),
)
GRAY: tuple[tuple[str, Numbers, Numbers], ...] = (
    ("Fashion-MNIST's mean and std", (0.286,), (0.353,)),
    ("MNIST's mean and std", (0.1307,), (0.3081,)),
    ("ImageNet's mean and std, averaged", (0.449,), (0.226,)),
    *COLOUR[1:4],
)
GIVEN, OWN = "mean and std as given", "mean and std of these images"
# The sides that image networks usually have, the most usual first.
SIZES = (224, 32, 28, 96, 64, 128, 256, 299, 160, 192, 240, 288, 320, 384, 48, 112, 448, 512)


@dataclass(frozen=True)
class Guess:
    """One way to prepare images: what it is called, and the Image that says it; None where inputs are not images.

    `unturned`: the channels are swapped, but mean and std stayed in the order that they had before.
    """

    name: str
    image: Image | None = None
    unturned: bool = False

    @property
    def title(self) -> str:
        return f"{self.name}, not turned" if self.unturned else self.name

    @property
    def channels(self) -> str:
        return self.image.channels if self.image else ""


def guesses(given: Image, pixels: NDArray[np.uint8]) -> tuple[Guess, ...]:
    """`given` first, then every usual way for as many channels; `pixels` are uint8 (N, side, side, 1 or 3 as rgb)."""
    usual = GRAY if given.channels == "gray" else COLOUR
    flat = preprocess.ordered(pixels, "gray" if given.channels == "gray" else "rgb") / 255
    flat = flat.reshape(-1, flat.shape[3])
    own = (OWN, _rounded(flat.mean(0)), tuple(max(value, 0.001) for value in _rounded(flat.std(0))))
    mean, std = (_turned(values, given.channels) for values in (given.mean, given.std))
    ways = [(_called(mean, std, usual), mean, std), *usual, own]
    orders = ["gray"] if given.channels == "gray" else _orders(given, pixels)
    found = [
        Guess(name, _with(given, order, _turned(mean, order), _turned(std, order)))
        for order in orders
        for name, mean, std in ways
    ]
    if len(orders) > 1:  # someone who swaps the channels may have left mean and std as they were
        found.append(Guess(ways[0][0], _with(given, orders[1], given.mean, given.std), unturned=True))
    different: dict[tuple[str, Numbers, Numbers], Guess] = {}
    for guess in found:
        different.setdefault(_meaning(guess.image or given), guess)
    return tuple(different.values())


def written(image: Image) -> str:
    """An Image as a recipe has it: { size = 32, mean = [0.5], std = [0.5] }."""
    told = [f"size = {image.size}"]
    told += [f'channels = "{image.channels}"'] if image.channels != "rgb" else []
    told += [f'filter = "{image.filter}"'] if image.filter != "bilinear" else []
    return f"{{ {', '.join((*told, f'mean = {list(image.mean)}', f'std = {list(image.std)}'))} }}"


def adapted(image: Image, channels: Literal["gray", "rgb"]) -> Image:
    """An Image for another number of channels: mean and std are averaged, as those of gray images usually were."""
    mean, std = ((round(sum(values) / len(values), 3),) for values in (image.mean, image.std))
    return _with(image, channels, mean, std)


def _orders(given: Image, pixels: NDArray[np.uint8]) -> list[str]:
    """Channel orders that make a difference: images without colour look the same in both."""
    colourless = bool((pixels[..., 0] == pixels[..., 2]).all())
    other = "bgr" if given.channels == "rgb" else "rgb"
    return [given.channels] if colourless else [given.channels, other]


def _with(image: Image, channels: str, mean: Numbers, std: Numbers) -> Image:
    return Image.model_validate(image.model_dump() | {"channels": channels, "mean": mean, "std": std})


def _turned(values: Numbers, order: str) -> Numbers:
    """Values of each channel from red, green, blue into an order, or back."""
    return values[::-1] if order == "bgr" else values


def _rounded(values: NDArray[np.float64]) -> Numbers:
    return tuple(round(float(value), 4) for value in values)


def _called(mean: Numbers, std: Numbers, usual: tuple[tuple[str, Numbers, Numbers], ...]) -> str:
    """What a given mean and std are usually called."""
    return next((name for name, *values in usual if values == [mean, std]), GIVEN)


def _meaning(image: Image) -> tuple[str, Numbers, Numbers]:
    """What an Image says, with one number for each channel, so that equal ones are tried once."""
    count = 1 if image.channels == "gray" else 3
    full = (values if len(values) == count else values * count for values in (image.mean, image.std))
    return (image.channels, *full)  # type: ignore[return-value]  # a generator of two
