"""`edgekd export`: a model that needs no training, in every precision, measured and judged on every target."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgekd.build import export as run_export
from edgekd.catalog import Page
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.build import show
from edgekd.cli.progress import display
from edgekd.commands.places import check_out, default_out
from edgekd.commands.starter import first_image
from edgekd.errors import Problem, UsageError
from edgekd.recipes.models import Model, page
from edgekd.recipes.recipe import load_plan
from edgekd.store import Store

app = typer.Typer(add_completion=False)


@app.command()
def export(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="module:function of your own, a .pt2 or .onnx file; or a recipe, for its teacher.")
    ],
    data: Annotated[
        str, typer.Option(help="A folder with a sub-folder of images a class, or an .npz with x and y.")
    ] = "",
    weights: Annotated[str, typer.Option(help="The model's weights: safetensors or a state dict.")] = "",
    test: Annotated[str, typer.Option(help="Samples that the model has not seen.")] = "",
    size: Annotated[int | None, typer.Option(min=1, help="Side of the model's images in pixels.")] = None,
    channels: Annotated[
        Literal["rgb", "bgr", "gray"] | None, typer.Option(help="Channels of the model's images.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="0.485,0.456,0.406", help="Mean of each channel, of values 0 to 1.")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="0.229,0.224,0.225", help="Deviation of each channel.")] = None,
    target: o.Targets = None,
    at: o.At = None,
    max_latency: o.MaxLatency = None,
    max_params: o.MaxParams = None,
    max_macs: o.MaxMacs = None,
    max_size: o.MaxSize = None,
    max_memory: o.MaxMemory = None,
    max_arena: o.MaxArena = None,
    max_flash: o.MaxFlash = None,
    max_drop: o.MaxDrop = None,
    min_accuracy: o.MinAccuracy = None,
    max_quantization_loss: o.MaxQuantizationLoss = None,
    max_fallback: o.MaxFallback = None,
    max_error: o.MaxError = None,
    precision: o.Precision = None,
    ranges: o.Ranges = None,
    input: o.Input = None,
    runtime: o.Runtime = None,
    threads: o.Threads = None,
    bench: o.Bench = None,
    seed: o.Seed = None,
    selective_accuracy: o.SelectiveAccuracy = None,
    trust: o.Trust = False,
    skip_bad: o.SkipBad = False,
    accept_stand_in: o.AcceptStandIn = False,
    https: o.Https = False,
    out: o.Out = None,
    store: o.StoreAt = None,
    json: o.Json = False,
) -> None:
    """Convert a model as it is, in every precision that may ship; measure, judge, and write the best as a bundle."""
    said = Model(model=model, data=data, weights=weights, test=test)
    recipe = _page(said, size, channels, mean, std) if data else _recipe(said, (size, channels, mean, std))
    plan = load_plan(recipe, o.flags(context), train=False)
    plan = plan.model_copy(update={"said": (model, *_typed(context))})
    folder = out or default_out(plan)
    check_out(folder)
    with display() as observer, Store(o.store_root(store), observer) as answers:
        report = run_export(plan, answers, folder)
    if json:
        output.answer(report.model_dump_json(indent=2))
    else:
        show(report, folder)
    raise typer.Exit(output.STATUS[report.status])


def _page(said: Model, size: int | None, channels: str | None, mean: str | None, std: str | None) -> Page:
    """The page of a model and its data."""
    image = first_image(said.data, size, channels, mean, std)
    return page(said.model_copy(update={"image": image.model_dump(mode="json") if image else None}))


def _recipe(said: Model, image: tuple[object, ...]) -> str:
    """The recipe that stands in the model's place. Raises UsageError where it is a model, which wants --data."""
    given = [flag for flag, value in (("--weights", said.weights), ("--test", said.test)) if value]
    if ":" in said.model or Path(said.model).suffix in (".pt2", ".onnx", ".npz") or given or any(image):
        hint = "Name a folder of images, or an .npz: it calibrates, and judges what each precision loses"
        raise UsageError(Problem("--data", "is missing", hint))
    return said.model


def _typed(context: typer.Context) -> tuple[str, ...]:
    """The flags of this command alone, as they can be typed again."""
    names = ("data", "weights", "test", "size", "channels", "mean", "std")
    found = [(name, context.params[name]) for name in names if context.params[name]]
    return tuple(word for name, value in found for word in (f"--{name}", str(value)))
