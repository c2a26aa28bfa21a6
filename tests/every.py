"""A network's files in every precision of a format, made in a fresh process: python -m tests.every FOLDER FORMAT NET

FOLDER holds the network's program (python -m tests.converted FOLDER program NET); what cannot be made because it would
do nothing is in FOLDER/unsuited-FORMAT-NET.json, by precision, with the reason.
"""

import json
import sys
from pathlib import Path

from edgekd import plugins
from edgekd.errors import Unsuited
from edgekd.results import Artifact
from edgekd.spec import CALIBRATED
from edgekd.stages import convert
from edgekd.steps import Convert
from tests import converted as toy


def wanted(format: str) -> list[tuple[str, str]]:
    """Each precision of a format, with each way to find ranges where it needs any; float32 is first."""
    declared = plugins.declared("formats", format)
    found = []
    for precision in declared.precisions:
        found += [(precision, way) for way in (declared.ranges if precision in CALIBRATED else ("min-max",))]
    return sorted(found, key=lambda pair: pair != ("float32", "min-max"))


def artifact(folder: Path, format: str, net: str, precision: str, ranges: str) -> Artifact:
    return Artifact.model_validate_json((folder / f"every-{format}-{net}-{precision}-{ranges}.json").read_text())


def main(folder: Path, format: str, net: str) -> None:
    unsuited, base = {}, None
    for precision, ranges in wanted(format):
        step = Convert(
            program=toy.program(folder, net),
            format=format,
            precision=precision,
            splits=toy.splits(folder)[net],
            base=base,
            ranges=ranges,
        )
        name = f"every-{format}-{net}-{precision}-{ranges}"
        try:
            made = convert.run(step, toy.entry(folder, name))
        except Unsuited as error:
            unsuited[precision] = str(error)
            continue
        base = base or made
        (folder / f"{name}.json").write_text(made.model_dump_json())
    (folder / f"unsuited-{format}-{net}.json").write_text(json.dumps(unsuited))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
