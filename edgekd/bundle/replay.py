"""Replay a bundle in a process of its own: python -m edgekd.bundle.replay FOLDER RESULT.json

The model may be damaged, and a runtime that reads it may crash: then only this process is lost. Runs edgekd's own code,
never that of the bundle.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edgekd.runtimes import job, replay


def main(arguments: Sequence[str]) -> int:
    """Write the findings for the bundle arguments[0] to the file arguments[1]."""
    found = replay.replay(Path(arguments[0]), job.runtime)
    Path(arguments[1]).write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
