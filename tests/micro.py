"""Files for one sample at a time, as microcontrollers want them, of a toy network: python -m tests.micro FOLDER

FOLDER/PRECISION.json describes each; their files are in FOLDER/entries. "raw" takes pixels as a camera gives them.
"""

import sys
from pathlib import Path

from edgekd.results import Artifact
from edgekd.stages import convert, export, raw
from edgekd.steps import Convert, Export, Raw
from tests import converted as toy

PRECISIONS = ("int8-full", "int8", "float16", "int8-dynamic")


def artifact(folder: Path, name: str) -> Artifact:
    return Artifact.model_validate_json((folder / f"{name}.json").read_text())


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
    made["raw"] = convert.run(step.model_copy(update={"precision": "int8-full", "base": base}), toy.entry(folder, "rawi"))
    for name, one in made.items():
        (folder / f"{name}.json").write_text(one.model_dump_json())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
