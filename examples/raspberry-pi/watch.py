"""Watch a camera, or a folder that pictures are put into, and log what is there whenever that changes.

python watch.py --app onnx-for-python                    the camera
python watch.py --app onnx-for-python --folder inbox     new pictures of a folder

A line of JSON for each change goes to standard output, and with --log to a file. It ends with Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class Steady:
    """An answer counts once it was given `alike` times in a row; None stands for not being sure, "" for none yet."""

    def __init__(self, alike: int) -> None:
        self._alike = alike
        self._label: str | None = ""
        self._count = 0
        self.told: str | None = ""

    def changed(self, label: str | None) -> bool:
        """Take one more answer; whether what counts is another one now."""
        self._count = self._count + 1 if label == self._label else 1
        self._label = label
        if self._count < self._alike or label == self.told:
            return False
        self.told = label
        return True


def pictures(folder: Path, pause: float, once: bool) -> Iterator[tuple[str, Any]]:
    """Pictures of a folder by their names, then those that are put there; a file is taken once its size stays."""
    sizes: dict[Path, int] = {}
    done: set[Path] = set()
    while True:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in PICTURES or path in done:
                continue
            size = path.stat().st_size
            if once or sizes.get(path) == size:
                done.add(path)
                yield path.name, path
            sizes[path] = size
        if once:
            return
        time.sleep(pause)


def main() -> int:
    """Do what the command line says; 0: it was ended, 1: it could not be done."""
    arguments = _parser().parse_args()
    sys.path.insert(0, str(arguments.app))
    try:
        from edge_model import ModelError, cameras, load  # noqa: PLC0415 - it lies in the application's folder
    except ModuleNotFoundError as error:
        return _fail(f"{arguments.app} holds no edge_model, or lacks a package of its requirements.txt: {error}")
    try:
        model = load(threads=arguments.threads)
        if arguments.folder:
            samples = pictures(arguments.folder, arguments.pause, arguments.once)
        else:
            samples = (("camera", frame) for frame in cameras.frames(cameras.opened(arguments.camera)))
        return watch(model, samples, Steady(1 if arguments.folder else 3), arguments.log)
    except (ModelError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 0


def watch(model: Any, samples: Iterator[tuple[str, Any]], steady: Steady, log: Path | None) -> int:
    """Ask about every sample, and tell each change."""
    for name, sample in samples:
        answer = model.classify(sample)
        if steady.changed(answer.label if answer.accepted else None):
            told = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "from": name,
                "label": steady.told,
                "confidence": round(answer.confidence, 3),
            }
            line = json.dumps(told)
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            if log:
                with log.open("a", encoding="utf-8") as file:
                    file.write(f"{line}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--app", type=Path, required=True, help="the folder that `edgekd bundle --for python` wrote")
    add("--camera", type=int, default=0, metavar="N", help="which camera")
    add("--folder", type=Path, help="watch this folder instead of a camera")
    add("--once", action="store_true", help="with --folder: end after the pictures that are there")
    add("--pause", type=float, default=1.0, metavar="S", help="with --folder: seconds between looks")
    add("--log", type=Path, metavar="FILE", help="append the lines to a file too")
    add("--threads", type=int, default=1, metavar="N", help="threads of the processor")
    return parser


def _fail(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
