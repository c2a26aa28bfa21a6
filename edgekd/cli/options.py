"""Options that several commands share, and what they mean together."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd import plugins
from edgekd.commands import places
from edgekd.recipes.flags import Flags

store_root = places.store_root
_FORMATS = ", ".join(plugins.names("formats"))
_BUDGET, _TRAINING, _WHERE = "Budget", "Training", "Where"

Recipe = Annotated[
    str | None, typer.Argument(metavar="[RECIPE]", help="A recipe's name or a TOML file; none: the embedded default.")
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", metavar="FORMAT[@DEVICE]", help=f"{_FORMATS}; may be repeated."),
]
At = Annotated[list[str] | None, typer.Option("--at", metavar="NAME=ADDRESS", help="Where a device is reached.")]


Https = Annotated[
    bool, typer.Option("--https", help="Browsers get their page by https, which takes threads and WebGPU beyond here.")
]


def _text(flag: str, metavar: str, help: str, panel: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=help, rich_help_panel=panel)


MaxLatency = Annotated[
    str | None, _text("--max-latency", "20ms", "Upper 95 % bound of the p90 on the device.", _BUDGET)
]
MaxParams = Annotated[str | None, _text("--max-params", "100k", "Parameters of the network.", _BUDGET)]
MaxMacs = Annotated[str | None, _text("--max-macs", "5M", "Multiply-accumulates of one inference.", _BUDGET)]
MaxSize = Annotated[str | None, _text("--max-size", "256KiB", "Size of the file that ships.", _BUDGET)]
MaxMemory = Annotated[str | None, _text("--max-memory", "16MiB", "Peak memory over the empty runtime's.", _BUDGET)]
MaxArena = Annotated[
    str | None, _text("--max-arena", "64KiB", "RAM for tensors on a microcontroller (tflite@micro).", _BUDGET)
]
MaxFlash = Annotated[str | None, _text("--max-flash", "256KiB", "Flash for the file there, without code.", _BUDGET)]
MaxDrop = Annotated[str | None, _text("--max-drop", "1pp", "Accuracy lost against the teacher.", _BUDGET)]
MinAccuracy = Annotated[str | None, _text("--min-accuracy", "90%", "Accuracy of the file that ships.", _BUDGET)]
MaxQuantizationLoss = Annotated[
    str | None,
    _text("--max-quantization-loss", "0.5pp", "Accuracy lost against the same student in float.", _BUDGET),
]
MaxFallback = Annotated[
    str | None, _text("--max-fallback", "5%", "Operators, and time, off the kernels one wants.", _BUDGET)
]
MaxError = Annotated[
    str | None, _text("--max-error", "12.5", "Where the metric is an error: the most of it, in its unit.", _BUDGET)
]
Precision = Annotated[
    str | None,
    _text("--precision", "auto", "int8, float16, ... (edgekd list targets); auto: the fastest that keeps.", _BUDGET),
]
Ranges = Annotated[
    str | None,
    _text("--ranges", "min-max", "How int8 finds ranges of activations: min-max, percentile or entropy.", _BUDGET),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input", metavar="float", help="float: prepared inputs; raw: uint8 pixels or int16 audio, as sensed."
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option("--runtime", metavar="PACKAGE", help="tflite-runtime: run TFLite files by that, not by LiteRT."),
]
Threads = Annotated[str | None, _text("--threads", "1", "Threads of an inference.", _BUDGET)]
Effort = Annotated[str | None, _text("--effort", "quick", "quick, standard or thorough: 1, 3 or 5 seeds.", _TRAINING)]
MaxTime = Annotated[
    str | None,
    _text("--max-time", "10m", "Sizes the student so that a build takes about this long; stops nothing.", _TRAINING),
]
Bench = Annotated[
    str | None,
    _text("--bench", "quick|reportable|soak", "How long files are timed; by itself what the budget needs.", _WHERE),
]
Seed = Annotated[str | None, _text("--seed", "0", "Seed of splits, initial weights and order.", _TRAINING)]
TeacherShare = Annotated[
    str | None,
    _text("--teacher-share", "25%", "Most of the teacher's MACs and parameters that a student may have.", _TRAINING),
]
SelectiveAccuracy = Annotated[
    str | None,
    typer.Option(
        "--selective-accuracy", metavar="95%", help="Refuse unsure answers, so that so many of the others are right."
    ),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Load a teacher's .pt2, which can run code. Only for files of your own making.")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out images that do not decode; they are named.")]
AcceptStandIn = Annotated[
    bool, typer.Option("--accept-stand-in", help="Let a latency measured elsewhere satisfy a budget.")
]
Pareto = Annotated[
    bool, typer.Option("--pareto", help="Also ship the smallest, a middle and the best student of the front.")
]
For = Annotated[
    list[str] | None,
    typer.Option("--for", metavar="KIND", help=f"Write application bundles too: {', '.join(plugins.names('apps'))}."),
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the run goes.", rich_help_panel=_WHERE)]
StoreAt = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="DIR", envvar="EDGEKD_STORE", help="Where answers are kept.", rich_help_panel=_WHERE
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]


def flags(context: typer.Context) -> Flags:
    """What the user said, from the options of a command that has those of Flags under the same names."""
    said = {name: value for name, value in context.params.items() if name in Flags.model_fields and value is not None}
    return Flags.model_validate({name: tuple(v) if isinstance(v, list) else v for name, v in said.items()})
