"""What a user must know of a file with raw inputs."""

from collections.abc import Iterator

from edgekd.results import Preprocess, Signature, TensorSpec

PIXELS = "The input {name} takes raw pixels: uint8, {side} x {side}, {kind}, one sample first; {inside} in the graph."
AUDIO = "The input {name} takes raw audio: 16-bit samples; scaling them to -1..1 is in the graph."


def notes(signature: Signature, told: tuple[str, ...]) -> tuple[str, ...]:
    """A format's notes, with what raw inputs are; what these say of inputs and outputs then holds for outputs alone."""
    raw = tuple(_inputs(signature))
    if not raw:
        return told
    changed = (note.replace(", inputs and outputs", " and outputs") for note in told)
    changed = (
        note.replace("Inputs and outputs", "Outputs").replace("inputs and outputs", "outputs") for note in changed
    )
    return (*raw, *changed)


def _inputs(signature: Signature) -> Iterator[str]:
    for spec in signature.inputs:
        if spec.inside is not None:
            yield PIXELS.format(name=spec.name, side=spec.inside.canvas, kind=kind(spec), inside=_inside(spec.inside))
        elif spec.is_raw:
            yield AUDIO.format(name=spec.name)


def kind(spec: TensorSpec) -> str:
    """What the pixels of a raw input are."""
    return "gray" if spec.shape[3] == 1 else "RGB"


def _inside(how: Preprocess) -> str:
    resized = "" if how.size == how.canvas else f"resizing to {how.size} x {how.size} ({how.filter}), "
    return f"{resized}channels {how.channels}, scale, mean and deviation are"
