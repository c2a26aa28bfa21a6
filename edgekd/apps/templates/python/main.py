"""Ask the model about files or a camera, or test it here. See README.md.

python main.py photo.jpg ...      an answer for each (WAV files, texts or .npz files, if the model takes those)
python main.py --camera           an answer for each frame, until Ctrl-C
python main.py --self-test        does it answer here as was recorded? Writes selftest.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from edge_model import Answer, ModelError, cameras, load, selftest
from edge_model.package import HOME
from edge_model.runtime.fault import Fault

UNREADABLE = (ModelError, Fault, ValueError, OSError, ModuleNotFoundError)
WORDS = {True: "ok", False: "FAILED", None: "not looked at"}


def main() -> int:
    """Do what the command line says; 0: all is well, 1: something failed, 2: the command line is wrong."""
    arguments = _parser().parse_args()
    try:
        if arguments.self_test:
            return self_test(arguments)
        if arguments.camera is not None:
            return camera(arguments)
        if arguments.samples:
            return files(arguments)
    except UNREADABLE as error:
        return _fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 0 if arguments.camera is not None else 130
    _parser().print_usage(sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("samples", nargs="*", help="files, or texts if the model takes those")
    add("--camera", nargs="?", type=int, const=0, metavar="N", help="ask about the frames of a camera")
    add("--frames", type=int, metavar="N", help="stop after so many frames")
    add("--self-test", action="store_true", help="test the model here")
    add("--number", action="store_true", help="with --self-test: time it for a minute, for a number to rely on")
    add("--out", type=Path, default=Path("selftest.json"), metavar="FILE", help="where the self-test's result goes")
    add("--accelerator", action="append", default=[], metavar="NAME", help="try this one; auto: all that are here")
    add("--threads", type=int, default=1, metavar="N", help="threads of the CPU")
    return parser


def files(arguments: argparse.Namespace) -> int:
    """Answer about files or texts; 1 if one of them could not be read."""
    model = load(arguments.accelerator, arguments.threads)
    status = 0
    for name in arguments.samples:
        try:
            for label, sample in _samples(name, model.samples.kind):
                _say(f"{label}: {told(model.classify(sample))}")
        except UNREADABLE as error:
            status = _fail(error, name)
    return status


def _samples(name: str, kind: str) -> Iterator[tuple[str, Any]]:
    """What a word of the command line stands for."""
    if kind == "text":
        yield name, name
    elif kind == "arrays" or name.endswith(".npz"):
        with np.load(name, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        for i in range(min(map(len, arrays.values()), default=0)):
            yield f"{name} {i}", {key: values[i] for key, values in arrays.items()}
    else:
        yield name, name


def camera(arguments: argparse.Namespace) -> int:
    """Answer about each frame until Ctrl-C; 1 if the camera stops before."""
    model = load(arguments.accelerator, arguments.threads)
    if model.samples.kind not in ("image", "pixels"):
        raise ModelError("the model takes no pictures, so a camera is of no use")
    for number, frame in enumerate(cameras.frames(cameras.opened(arguments.camera)), 1):
        _say(told(model.classify(frame)))
        if number == arguments.frames:
            return 0
    return _fail("the camera gives no more frames")


def self_test(arguments: argparse.Namespace) -> int:
    """Test the model, print what was found, write the result; 1 if a check failed."""
    protocol = "number" if arguments.number else "look"
    result = selftest.run(HOME, arguments.accelerator, arguments.threads, protocol, _progress)
    for one in result["checks"]:
        _say(f"{WORDS[one['passed']]:13} {one['what']}" + (f": {one['why']}" if one["why"] else ""))
    for one in result["accelerator"]["tried"]:
        _say(f"{'kept' if one['kept'] else 'not kept':13} {one['name']}" + (f": {one['why']}" if one["why"] else ""))
    if result["latency"]:
        times = result["latency"]["seconds"]
        middle = f"{statistics.median(times) * 1e3:.3g} ms a run (median)"
        _say(f"{'latency':13} {middle} on {result['device']['name']}, by {result['accelerator']['used']}")
    elif result["device"]["emulated"]:
        _say(f"{'not timed':13} programs run in {result['device']['emulated']} here, whose seconds are no device's")
    arguments.out.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    _say(f"{'passed' if result['passed'] else 'FAILED'}: see {arguments.out}")
    return 0 if result["passed"] else 1


def told(result: Any) -> str:
    """A result as one line."""
    if isinstance(result, Answer):
        return f"{_answer(result)}, {result.milliseconds:.2f} ms"
    if isinstance(result, dict):
        spent = next(iter(result.values())).milliseconds
        return "; ".join(f"{head} {_answer(one)}" for head, one in result.items()) + f", {spent:.2f} ms"
    values = ", ".join(f"{name} {value:.5g} {result.units[name]}".rstrip() for name, value in result.values.items())
    return f"{values}, {result.milliseconds:.2f} ms"


def _answer(one: Answer) -> str:
    share = f"{one.label} {100 * one.confidence:.1f} %"
    return share if one.accepted else f"not sure ({share})"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _fail(error: object, name: str = "") -> int:
    """Say in one line what went wrong."""
    text = " ".join(str(error).split()) or type(error).__name__
    _progress(f"{name}: {text}" if name and name not in text else text)
    return 1


if __name__ == "__main__":
    sys.exit(main())
