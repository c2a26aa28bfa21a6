"""Replay the golden vectors and golden images of a bundle: does this runtime, here, still give what was recorded?

Each link of the chain is looked at alone, so that a finding names what broke: decode (encoded image to canvas), prepare
(stored sample to input), and the model (input to outputs, within the recorded tolerance).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import logmel, preprocess, tokens
from .digests import Finding, finding
from .fault import Fault
from .tensors import Array, decode, encode, pad

Golden = Mapping[str, Any]

# Inputs are computed by the same few float32 operations everywhere; only their last bits may differ.
PREPARED = 1e-5
# Decoders of JPEG may round differently; those of PNG may not. Levels of 255, largest and mean.
JPEG_LARGEST, JPEG_MEAN = 8, 1.0
# Examples of sounds and texts beside the golden vectors, as data sets write them.
SOUNDS, TEXTS = "sounds.npz", "texts.json"
_BROKEN = (Fault, ValueError, KeyError, TypeError, OSError, EOFError, ArithmeticError, AttributeError)


def replay(folder: Path, load: Callable[[str], Any]) -> list[Finding]:
    """Findings for the bundle in `folder`; `load` finds a runtime module by its format's name."""
    try:
        signature = json.loads((folder / "signature.json").read_text(encoding="utf-8"))
        golden = json.loads((folder / "golden" / "golden.json").read_text(encoding="utf-8"))
        with np.load(folder / "golden" / "golden.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except _BROKEN as error:
        return [finding("golden", False, f"the golden files cannot be read: {error}")]
    found = _tried("signature.json", lambda: [_signature(folder, signature, golden)])
    found += _tried("prepare", lambda: _samples(signature, arrays))
    found += _tried("front end", lambda: _front_ends(folder / "golden", signature))
    found += _tried("decode", lambda: _images(folder, signature, golden, arrays))
    return found + _tried("model", lambda: _model(folder, signature, golden, arrays, load))


def _tried(what: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """A check that breaks is a finding, not a crash; one that lacks Pillow could not be made here."""
    try:
        return check()
    except ModuleNotFoundError as error:
        return [finding(what, None, str(error))]
    except _BROKEN as error:
        return [finding(what, False, f"{type(error).__name__}: {error}")]


def _signature(folder: Path, signature: Golden, golden: Golden) -> Finding:
    """signature.json and labels.txt must be those that the golden vectors were recorded with."""
    if signature != golden.get("signature"):
        return finding("signature.json", False, "it is not the signature that the golden vectors were recorded with")
    labels = folder / "labels.txt"
    if signature["classes"] and labels.read_text(encoding="utf-8").splitlines() != lines(signature["classes"]):
        return finding("labels.txt", False, "its classes are not those of signature.json")
    return finding("signature.json", True)


def lines(classes: list[str]) -> list[str]:
    """Class names as the lines of labels.txt."""
    return [" ".join(name.split()) for name in classes]


def _samples(signature: Golden, arrays: Golden) -> list[Finding]:
    """Stored samples to prepared inputs."""
    found = []
    for spec in signature["inputs"]:
        if spec.get("preprocess"):
            prepared = preprocess.prepare(arrays[f"raw:{spec['name']}"], spec["preprocess"])
            found.append(_near(f"prepare {spec['name']}", prepared, arrays[f"input:{spec['name']}"]))
    return found


def _front_ends(golden: Path, signature: Golden) -> list[Finding]:
    """Recorded sounds and texts to inputs."""
    found = []
    for spec in signature["inputs"]:
        how = spec.get("front_end") or {}
        what = f"{how.get('kind')} {spec['name']}"
        if how.get("kind") == "log-mel":
            with np.load(golden / SOUNDS, allow_pickle=False) as stored:
                found.append(_near(what, logmel.prepare(stored["sound"], how), stored["input"]))
        elif how:
            examples = json.loads((golden / TEXTS).read_text(encoding="utf-8"))
            ids = tokens.prepare(golden, [one["text"] for one in examples], spec)[spec["name"]]
            same = ids.tolist() == [one["ids"] for one in examples]
            found.append(finding(what, same, "" if same else "the tokenizer gives other ids than were recorded"))
    return found


def _images(folder: Path, signature: Golden, golden: Golden, arrays: Golden) -> list[Finding]:
    """Encoded images to canvases to prepared inputs."""
    images = golden.get("images", [])
    if not images:
        return []
    how = signature["inputs"][0]["preprocess"]
    found = []
    for i, image in enumerate(images):
        path = folder / "golden" / _plain(image["file"])
        canvas = preprocess.decode(path, how["canvas"], channels(how), how["filter"])
        found.append(_decoded(f"decode {path.name}", canvas, arrays["image:canvas"][i], image))
    prepared = preprocess.prepare(arrays["image:canvas"], how)
    return [*found, _near("prepare images", prepared, arrays["image:input"])]


def _decoded(what: str, canvas: Array, recorded: Array, image: Golden) -> Finding:
    if hashlib.sha256(recorded.tobytes()).hexdigest() != image["canvas"]:
        return finding(what, False, "the recorded canvas does not have its digest")
    if canvas.shape != recorded.shape:
        return finding(what, False, f"the canvas is {canvas.shape}, recorded was {recorded.shape}")
    if (canvas == recorded).all():
        return finding(what, True)
    gaps = np.abs(canvas.astype(np.int16) - recorded)
    why = f"the canvas differs by up to {gaps.max()} of 255 levels, {gaps.mean():.2g} on average"
    close = not image["exact"] and gaps.max() <= JPEG_LARGEST and gaps.mean() <= JPEG_MEAN
    return finding(what, bool(close), f"{why}: another JPEG decoder" if close else why)


def _near(what: str, values: Array, recorded: Array) -> Finding:
    if values.shape != recorded.shape:
        return finding(what, False, f"the shape is {values.shape}, recorded was {recorded.shape}")
    gap = float(np.abs(values - recorded).max())
    limit = PREPARED * max(1.0, float(np.abs(recorded).max()))
    return finding(what, gap <= limit, "" if gap <= limit else f"prepared inputs differ by up to {gap:.3g}")


def _model(
    folder: Path, signature: Golden, golden: Golden, arrays: Golden, load: Callable[[str], Any]
) -> list[Finding]:
    """Prepared inputs to outputs, in the file's own runtime."""
    if golden.get("missing"):
        return [finding("model", None, f"no outputs were recorded: {golden['missing']}")]
    try:
        kind = load(golden["format"])
    except Fault as error:
        return [finding("model", None, str(error))]
    model = kind.load(folder / _plain(golden["model"]["name"]), 1, signature, 1)
    runs = [
        ("golden samples", {spec["name"]: arrays[f"input:{spec['name']}"] for spec in signature["inputs"]}, "runtime:")
    ]
    if golden.get("images"):
        runs.append(("golden images", {signature["inputs"][0]["name"]: arrays["image:input"]}, "image:runtime:"))
    found = []
    for what, inputs, prefix in runs:
        answers = outputs(model, signature, inputs)
        for i, spec in enumerate(signature["outputs"]):
            recorded = arrays[prefix + spec["name"]]
            found.append(_within(f"{what}, {spec['name']}", answers[i], recorded, golden["tolerance"]))
    return found


def channels(how: Golden) -> str:
    """What encoded images are decoded to for a network's preprocessing: "gray" or "rgb"; bgr is a matter of order."""
    return "gray" if how["channels"] == "gray" else "rgb"


def outputs(model: Any, signature: Golden, inputs: Mapping[str, Array]) -> list[Array]:
    """Outputs of a loaded model for prepared inputs by name, in the signature's order, as float32 (N, ...)."""
    arrays = [encode(inputs[spec["name"]], spec) for spec in signature["inputs"]]
    pieces: list[list[Array]] = []
    for start in range(0, len(arrays[0]), model.batch):
        piece = [array[start : start + model.batch] for array in arrays]
        model.feed(pad(piece, model.batch))
        model.invoke()
        pieces.append([np.array(values[: len(piece[0])]) for values in model.outputs()])
    return [decode(np.concatenate([p[i] for p in pieces]), spec) for i, spec in enumerate(signature["outputs"])]


def _within(what: str, values: Array, recorded: Array, tolerance: float) -> Finding:
    if values.shape != recorded.shape:
        return finding(what, False, f"the shape is {values.shape}, recorded was {recorded.shape}")
    if not np.isfinite(values).all():
        return finding(what, False, "some outputs are not finite numbers")
    gap = float(np.abs(values - recorded).max())
    why = f"largest difference {gap:.3g}, tolerance {tolerance:.3g}"
    return finding(what, gap <= tolerance, why)


def _plain(name: str) -> str:
    """A name that stays in its folder. Raises Fault."""
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise Fault(f"{name!r} is not a plain file name")
    return name
