"""What tensors a bare model file takes and gives: python -m edgekd.commands.describe FORMAT FILE, a process of its own.

A file from elsewhere may crash the library that reads it: then only this process is lost. Prints one JSON object.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str]) -> int:
    """Print what the runtime arguments[0] says of the file arguments[1]."""
    runtime = importlib.import_module(f"edgekd.runtimes.{arguments[0]}")
    sys.stdout.write(json.dumps(runtime.described(Path(arguments[1]))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
