"""`edgekd init`: a commented recipe for the user's own teacher and data."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd import files
from edgekd.catalog import shown
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.commands.starter import Start, compose
from edgekd.errors import Problem, UsageError
from edgekd.recipes.recipe import load_plan

app = typer.Typer(add_completion=False)


@app.command()
def init(
    teacher: Annotated[str, typer.Option(help="module:function of your own, or a .onnx, .pt2 or .npz file.")],
    data: Annotated[str, typer.Option(help="A folder with a sub-folder of images a class, or an .npz with x and y.")],
    weights: Annotated[str, typer.Option(help="The teacher's weights: safetensors or a state dict.")] = "",
    test: Annotated[str, typer.Option(help="Samples that the teacher has not seen.")] = "",
    size: Annotated[int, typer.Option(min=1, help="Side of the teacher's images in pixels.")] = 224,
    target: Annotated[str, typer.Option("--target", "-t", help="What to build for.")] = "tflite",
    out: Annotated[Path, typer.Option(metavar="FILE", help="The recipe to write.")] = Path("recipe.toml"),
    json: o.Json = False,
) -> None:
    """Write a commented recipe for your own teacher and data."""
    if out.exists():
        raise UsageError(Problem("--out", f"{shown(out)} is there already", "Choose another name, or move it away"))
    start = Start(teacher=teacher, data=data, weights=weights, test=test, size=size, target=target)
    files.write(out, compose(start, out))
    try:
        load_plan(out)
    except UsageError:
        out.unlink()
        raise
    if json:
        output.show_json({"recipe": str(out), "teacher_tried_on_the_data": False})
        return
    output.answer(f"wrote {shown(out)}")
    output.answer("the teacher was not tried on the data: check mean, std, channel order and the order of classes")
    output.answer(f"next: edgekd plan {shown(out)}")
