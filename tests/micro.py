"""Files for one sample at a time, as microcontrollers want them, of toy networks: python -m tests.micro FOLDER

FOLDER/NAME.json describes each; their files are in FOLDER/entries. "raw" takes pixels as a camera gives them, and
"words" ids and a mask.
"""

import sys
from pathlib import Path

import numpy as np

from edgekd.results import Artifact
from edgekd.stages import convert, export, raw
from edgekd.steps import Convert, Export, Raw
from edgekd.workspace import locate
from tests import converted as toy

PRECISIONS = ("int8-full", "int8", "float16", "int8-dynamic")


def artifact(folder: Path, name: str) -> Artifact:
    return Artifact.model_validate_json((folder / f"{name}.json").read_text())


def samples(folder: Path, made: Artifact) -> dict[str, np.ndarray]:
    """The stored samples that are its golden vectors."""
    with np.load(locate(folder / "entries", made.golden)) as stored:
        return {name.removeprefix("raw:"): stored[name] for name in stored.files if name.startswith("raw:")}


def main(folder: Path) -> None:
    data = toy.splits(folder)["images"]
    source = toy.sources(folder)["images"]
    program = export.run(Export(source=source, splits=data, seed=3), toy.entry(folder, "images"))
    plain = Convert(program=program, format="tflite", precision="float32", splits=data, one=True)
    base = convert.run(plain, toy.entry(folder, "float32"))
    made = {"float32": base}
    for precision in PRECISIONS:
        step = plain.model_copy(update={"precision": precision, "base": base})
        made[precision] = convert.run(step, toy.entry(folder, precision))
    pixels = raw.run(Raw(program=program, splits=data), toy.entry(folder, "raw"))
    step = plain.model_copy(update={"program": pixels})
    base = convert.run(step, toy.entry(folder, "raw-float32"))
    made["raw"] = convert.run(
        step.model_copy(update={"precision": "int8-full", "base": base}), toy.entry(folder, "rawi")
    )
    told = toy.splits(folder)["words"]
    program = export.run(Export(source=toy.sources(folder)["words"], splits=told, seed=3), toy.entry(folder, "words"))
    step = plain.model_copy(update={"program": program, "splits": told})
    made["words"] = convert.run(step, toy.entry(folder, "words-float32"))
    for name, one in made.items():
        (folder / f"{name}.json").write_text(one.model_dump_json())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
