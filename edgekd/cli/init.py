"""`edgekd init`: a commented recipe for the user's own teacher and data, after a trial of the one on the other."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgekd import files
from edgekd.catalog import shown
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.progress import display
from edgekd.commands.starter import Start, compose, first_image, sentence
from edgekd.errors import Problem, UsageError
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Attempt, Interval, Tried
from edgekd.steps import TryOut
from edgekd.store import Store

app = typer.Typer(add_completion=False)
SAVED = "not tried on the data: its saved outputs answer for no other images"


def attempt(start: Start, out: Path, trust: bool, store: Path) -> Tried | None:
    """Write the recipe, try the teacher, and write what was found into it; None where the teacher cannot be tried.

    Whatever goes wrong, no recipe is left behind.
    """
    text = compose(start, out, untried=SAVED)
    written = False
    try:
        files.write(out, text)
        plan = load_plan(out, Flags(trust=trust))
        tried = None
        if plan.teacher.source.name != "saved":
            with display() as observer, Store(store, observer) as answers:
                (tried,) = answers.do(TryOut(data=plan.data, teacher=plan.teacher, seed=plan.seed))
            files.write(out, compose(start, out, tried))
            load_plan(out, Flags(trust=trust))
        written = True
        return tried
    finally:
        if not written:
            out.unlink(missing_ok=True)


def show(tried: Tried) -> None:
    """Print every attempt, best first, and what was found."""
    output.answer(f"tried the teacher on {tried.samples} labelled training samples")
    if len(tried.attempts) > 1:
        full = sorted(tried.attempts, key=lambda a: (-a.samples, -a.accuracy.value))
        rows = [("images", "channels", "samples", "right", "with classes put in order"), *map(_row, full)]
        ordered = any(finding.about in ("classes", "accuracy") for finding in tried.findings)
        output.answer(output.lines([row if ordered else row[:-1] for row in rows]))
    elif tried.attempts:
        output.answer(f"{_share(tried.attempts[0].accuracy)} are right")
    for finding in tried.findings:
        output.answer(f"found: {sentence(finding)}")
    if tried.chosen is not None and not tried.findings:
        output.answer("found nothing wrong with mean and std, the order of channels and the order of classes")
    for note in tried.notes:
        output.answer(f"note: {note}")


def _row(attempt: Attempt) -> tuple[str, ...]:
    channels = attempt.image.channels if attempt.image else ""
    ordered = _share(attempt.reordered) if attempt.reordered else ""
    return attempt.name, channels, str(attempt.samples), _share(attempt.accuracy), ordered


def _share(value: Interval) -> str:
    return f"{100 * value.value:.1f} % ({100 * value.low:.1f} to {100 * value.high:.1f})"


@app.command()
def init(
    teacher: Annotated[str, typer.Option(help="module:function of your own, or a .onnx, .pt2 or .npz file.")],
    data: Annotated[str, typer.Option(help="A folder with a sub-folder of images a class, or an .npz with x and y.")],
    weights: Annotated[str, typer.Option(help="The teacher's weights: safetensors or a state dict.")] = "",
    test: Annotated[str, typer.Option(help="Samples that the teacher has not seen.")] = "",
    size: Annotated[int | None, typer.Option(min=1, help="Side of the teacher's images in pixels.")] = None,
    channels: Annotated[
        Literal["rgb", "bgr", "gray"] | None, typer.Option(help="Channels of the teacher's images.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="0.485,0.456,0.406", help="Mean of each channel, of values 0 to 1.")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="0.229,0.224,0.225", help="Deviation of each channel.")] = None,
    target: Annotated[str, typer.Option("--target", "-t", help="What to build for.")] = "tflite",
    trust: o.Trust = False,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The recipe to write.")] = Path("recipe.toml"),
    store: o.StoreAt = None,
    json: o.Json = False,
) -> None:
    """Try your own teacher on your own data, and write a commented recipe with what was found."""
    if out.exists():
        raise UsageError(Problem("--out", f"{shown(out)} is there already", "Choose another name, or move it away"))
    image = first_image(data, size, channels, mean, std)
    start = Start(teacher=teacher, data=data, weights=weights, test=test, image=image, target=target)
    tried = attempt(start, out, trust, o.store_root(store))
    if json:
        told = tried.model_dump(mode="json") if tried else None
        found = told["findings"] if told else []
        output.show_json({"recipe": str(out), "findings": found, "tried": told, "untried": "" if tried else SAVED})
        return
    if tried:
        show(tried)
    else:
        output.answer(f"the teacher was {SAVED}")
    output.answer(f"wrote {shown(out)}")
    output.answer(f"next: edgekd plan {shown(out)}{' --trust' if trust else ''}")
