"""Record what a bundle replays: golden tensors and golden encoded images with the artifact's own outputs."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import files, jobs, plugins
from edgekd.contrast import answering
from edgekd.errors import EdgekdError, NotVerified
from edgekd.results import Artifact, Basis, GoldenSet, Signature
from edgekd.runtimes import preprocess
from edgekd.samples import pictures
from edgekd.spec import Precision
from edgekd.steps import Golden
from edgekd.workspace import Workspace

VERSION = 3
PACKAGES = ("numpy", "pillow")

Array = NDArray[Any]
Arrays = dict[str, Array]

TIMEOUT = 300.0
# largest difference that another build of the same runtime may show, as a share of the largest output
SHARES: dict[Precision, float] = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 6e-2}
# for fewer bits: in quantization steps of the output
STEPS = 3


def run(step: Golden, out: Workspace) -> GoldenSet:
    """Write golden.npz, golden.json and golden images into one folder, with what the device's runtime gives for them.

    Raises DeviceError where the runtime is there but fails, EdgekdError where the program's golden vectors do not fit.
    """
    folder = out.path("golden")
    folder.mkdir(parents=True, exist_ok=True)
    signature = step.artifact.signature
    arrays, page = _inputs(step, out), _page(step)
    for name, file in step.splits.attached.items():
        files.copy(out.locate(file), folder / name)
    encoded, images = _images(folder, signature, arrays)
    arrays, page = arrays | encoded, page | images
    arrays, page["missing"], page["basis"] = _recorded(
        step, out, folder, arrays, [image["file"] for image in page["images"]]
    )
    judged = arrays.get(f"runtime:{signature.outputs[0].name}", arrays[f"output:{signature.outputs[0].name}"])
    page["tolerance"], page["tolerance_from"] = tolerance(judged, step.artifact.precision, signature.outputs[0].scale)
    page["margins"] |= answering.margins(judged.reshape(len(judged), -1), signature, page["tolerance"])
    np.savez(folder / "golden.npz", allow_pickle=False, **arrays)
    files.write(folder / "golden.json", json.dumps(page, indent=2, sort_keys=True) + "\n")
    return GoldenSet(folder=out.file("golden"), tolerance=page["tolerance"])


def _page(step: Golden) -> dict[str, Any]:
    """What golden.json says of the artifact itself."""
    return {
        "schema_version": 1,
        "format": step.artifact.format,
        "precision": step.artifact.precision,
        "model": {"name": step.artifact.file.name, "sha256": step.artifact.file.sha256, "size": step.artifact.size},
        "signature": step.artifact.signature.model_dump(mode="json"),
        "runtime": step.runtime,
    }


def _inputs(step: Golden, out: Workspace) -> Arrays:
    """The program's golden arrays, with inputs prepared as the artifact's own signature wants them."""
    with np.load(out.locate(step.artifact.golden), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for spec in step.artifact.signature.inputs:
        raw = arrays.get(f"raw:{spec.name}")
        if raw is None:
            raise EdgekdError(f"the golden vectors hold no samples of the input {spec.name}: {', '.join(arrays)}")
        if spec.preprocess:
            raw = preprocess.prepare(raw, spec.preprocess.model_dump(mode="json"))
        arrays[f"input:{spec.name}"] = raw
    return arrays


def _images(folder: Path, signature: Signature, arrays: Arrays) -> tuple[Arrays, dict[str, Any]]:
    """Write encoded images where the one input is an image; returns canvases, prepared inputs, and what each shows."""
    how = signature.inputs[0].preprocess
    if how is None or len(signature.inputs) > 1:
        return {}, {"images": [], "margins": {}}
    raw = arrays[f"raw:{signature.inputs[0].name}"]
    channels = "gray" if how.channels == "gray" else "rgb"
    written, margins = pictures.write(folder, raw, how.model_dump(mode="json"))
    canvases = np.stack([preprocess.decode(folder / one.file, how.canvas, channels, how.filter) for one in written])
    inputs = preprocess.prepare(canvases, how.model_dump(mode="json"))
    images = [
        {
            "file": one.file,
            "shows": one.shows,
            "exact": one.exact,
            "canvas": hashlib.sha256(canvas.tobytes()).hexdigest(),
        }
        for one, canvas in zip(written, canvases, strict=True)
    ]
    return {"image:canvas": canvases, "image:input": inputs}, {"images": images, "margins": margins}


def _recorded(
    step: Golden, out: Workspace, folder: Path, arrays: Arrays, images: list[str]
) -> tuple[Arrays, str, Basis]:
    """`arrays` and the file's outputs, by its runtime or by definition; or why there are none; and whose they are."""
    reached = jobs.Reached(step.device)
    artifact, facts = step.artifact, reached.facts()
    why = jobs.cannot_run(facts, step.fingerprint, artifact.format, step.runtime)
    if why and plugins.declared("formats", artifact.format).reference:
        return _evaluated(artifact, out, arrays, why)
    if why:
        return arrays, why, "not measured"
    with jobs.Job(out.path("job"), artifact, out.locate(artifact.file), runtime=step.runtime) as job:
        stored = {spec.name: arrays[f"raw:{spec.name}"] for spec in artifact.signature.inputs}
        found = _prefixed("runtime:", job.predict(reached, stored, TIMEOUT))
        for name in images:
            job.link(name, folder / name)
        if images:
            found |= _prefixed("image:runtime:", job.outputs(reached, {"files": images}, TIMEOUT))
    return arrays | found, "", jobs.basis(facts)


def _evaluated(artifact: Artifact, out: Workspace, arrays: Arrays, why: str) -> tuple[Arrays, str, Basis]:
    """The same by the format's definitions, where its runtime cannot run."""
    inputs = {"runtime:": {spec.name: arrays[f"input:{spec.name}"] for spec in artifact.signature.inputs}}
    if "image:input" in arrays:
        inputs["image:runtime:"] = {artifact.signature.inputs[0].name: arrays["image:input"]}
    found: Arrays = {}
    try:
        evaluate = plugins.find("formats", artifact.format).evaluator(out.locate(artifact.file), artifact.signature)
        for prefix, values in inputs.items():
            found |= _prefixed(prefix, evaluate(values))
    except NotVerified as error:
        return arrays, f"{why}; not verified: {error}", "not measured"
    return arrays | found, "", "reference"


def _prefixed(prefix: str, outputs: Mapping[str, Array]) -> Arrays:
    return {f"{prefix}{name}": values for name, values in outputs.items()}


def tolerance(outputs: Array, precision: Precision, scale: float | None = None) -> tuple[float, str]:
    """The largest difference of an output that another build of the runtime may show, and how it was derived.

    `outputs` are (N, classes) float32; `scale` is the quantization step of an output that the file leaves quantized.
    """
    largest = max(float(np.abs(outputs).max()), 1e-6)
    if precision in SHARES:
        share = SHARES[precision]
        return share * largest, f"{precision}: {share:g} of the largest output, {largest:.4g}"
    step, source = (scale, "the output's scale") if scale else _step(outputs, largest)
    why = "processors round intermediate values differently by one step, which grows a little on its way to the output"
    return STEPS * step, f"{precision}: {STEPS} quantization steps of {step:.4g} ({source}); {why}"


def _step(outputs: Array, largest: float) -> tuple[float, str]:
    """The quantization step of outputs that were dequantized in the file, or that of 8 bits over their range."""
    values = np.unique(outputs.astype(np.float64))
    gaps = np.diff(values)
    gaps = gaps[gaps > 1e-6 * largest]
    if not len(gaps):
        return largest / 255, "8 bits over the largest output"
    step, spread = float(gaps.min()), float(values[-1] - values[0])
    off_grid = np.abs((values - values[0]) / step - np.rint((values - values[0]) / step)).max()
    if off_grid < 0.02 and spread / step <= 255:
        return step, "the smallest gap between outputs, all of which lie on that grid"
    return spread / 255, "8 bits over the range of the outputs, which lie on no grid"
