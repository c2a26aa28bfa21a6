"""What an application bundle holds of a bundle in the folder model/: the file, what to know of it, and golden files.

All of it is JSON, text and raw arrays (little-endian, in C order, without a header), so that any language can read it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import files, units
from edgekd.bundle import words
from edgekd.certificate import NAME as CERTIFICATE
from edgekd.certificate import Certificate
from edgekd.contrast import answering
from edgekd.errors import Problem, UsageError
from edgekd.results import Signature
from edgekd.runtimes import digests, replay

Array = NDArray[Any]
FOLDER = "model"
# Pages that go into an application bundle as they are.
PAGES = ("MODEL_CARD.md", "LICENSES", CERTIFICATE)


@dataclass(frozen=True)
class Content:
    """A bundle as those who write application bundles see it; `model` and `golden` are what the JSON files say.

    `slug` is a name for packages: small letters, digits and hyphens. `steps` are, for each input, what happens to a
    sample before the network sees it, `tensors` inputs and outputs in words, `facts` lines for a README. With an
    `image` the one input is an image that the application prepares. `bundle` is the folder that it is made of.
    """

    title: str
    slug: str
    edgekd: str
    model: Mapping[str, Any]
    golden: Mapping[str, Any]
    steps: Mapping[str, tuple[str, ...]]
    tensors: Mapping[str, str]
    facts: tuple[str, ...]
    image: bool
    bundle: Path


def write(bundle: Path, folder: Path) -> Content:
    """Write model/ and the pages of a bundle into `folder`. Raises UsageError where `bundle` is none that is whole."""
    signature, golden, arrays = _read(bundle)
    title = (bundle / "README.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    certificate = Certificate.model_validate_json((bundle / CERTIFICATE).read_text(encoding="utf-8"))
    inner = folder / FOLDER
    (inner / "golden").mkdir(parents=True)
    files.copy(bundle / golden["model"]["name"], inner / golden["model"]["name"])
    files.copy(bundle / "labels.txt", inner / "labels.txt")
    for name in PAGES:
        files.copy(bundle / name, folder / name)
    page = _golden(bundle / "golden", inner / "golden", signature, golden, arrays)
    _dump(inner / "golden/golden.json", page)
    model = _model(inner, title, certificate.edgekd, signature, golden)
    _dump(inner / "model.json", model)
    return Content(
        title=title,
        slug=model["slug"],
        edgekd=certificate.edgekd,
        model=model,
        golden=page,
        steps={spec.name: words.steps(spec) for spec in signature.inputs},
        tensors={spec.name: words.tensor(spec) for spec in (*signature.inputs, *signature.outputs)},
        facts=_facts(certificate, golden["model"]["size"]),
        image=words.is_image(signature),
        bundle=bundle,
    )


def _read(bundle: Path) -> tuple[Signature, dict[str, Any], dict[str, Array]]:
    """Signature, golden page and golden arrays of a whole bundle."""
    wrong = [one for one in digests.check(bundle) if one["passed"] is False]
    if wrong:
        told = "; ".join(filter(None, (f"{one['what']} {one['why']}".strip() for one in wrong[:3])))
        raise UsageError(Problem(str(bundle), f"is no whole bundle: {told}", "Build it again, or take another copy"))
    golden = json.loads((bundle / "golden/golden.json").read_text(encoding="utf-8"))
    if "margins" not in golden:
        message = "is a bundle of an earlier edgekd, whose golden files say too little"
        raise UsageError(Problem(str(bundle), message, "The same build with this edgekd writes it anew"))
    signature = Signature.model_validate_json((bundle / "signature.json").read_text(encoding="utf-8"))
    with np.load(bundle / "golden/golden.npz", allow_pickle=False) as stored:
        return signature, golden, {name: stored[name] for name in stored.files}


def slug(title: str) -> str:
    """A title as a package's name: small letters, digits and single hyphens, a letter first."""
    plain = re.sub(r"[^a-z0-9]+", "-", title.lower().replace(" for ", " ")).strip("-")
    return plain if plain[:1].isalpha() else f"model-{plain}".rstrip("-")


def _facts(certificate: Certificate, size: int) -> tuple[str, ...]:
    """How good, how fast and how large, with device and basis."""
    found = []
    if certificate.accuracy:
        told = certificate.gauge.show(certificate.accuracy.value)
        low, high = (certificate.gauge.show(value) for value in (certificate.accuracy.low, certificate.accuracy.high))
        found.append(f"{certificate.gauge.title}: {told} ({low} to {high}) on the test split")
    for term in certificate.terms:
        if term.limit == "max_latency" and term.held is not None and certificate.device:
            told = (
                f"{units.show_seconds(term.held)} ({term.statistic}), {certificate.basis} on {certificate.device.name}"
            )
            found.append(f"Latency: {told}, {certificate.threads} thread{'' if certificate.threads == 1 else 's'}")
    return (*found, f"Size: {units.show_size(size)}, {certificate.precision}")


def _model(inner: Path, title: str, edgekd: str, signature: Signature, golden: Mapping[str, Any]) -> dict[str, Any]:
    """What model.json says."""
    divisors = [one.temperature for one in signature.confidence] or [1.0]
    listed = sorted(path for path in inner.rglob("*") if path.is_file())
    return {
        "schema_version": 1,
        "title": title,
        "slug": slug(title),
        "edgekd": edgekd,
        "format": golden["format"],
        "precision": golden["precision"],
        "file": golden["model"],
        "runtime": golden["runtime"],
        "signature": signature.model_dump(mode="json"),
        "tolerance": golden["tolerance"],
        "tolerance_from": golden["tolerance_from"],
        # outputs that differ by as much in opposite directions move a probability by no more
        # of answers to recorded outputs, which are the same everywhere
        "answer_tolerance": answering.PROBABLE,
        "probability_tolerance": min(1.0, golden["tolerance"] / min(divisors) / 2 + answering.PROBABLE),
        "files": {
            path.relative_to(inner).as_posix(): {"sha256": files.digest(path), "size": path.stat().st_size}
            for path in listed
        },
    }


def _golden(
    source: Path, folder: Path, signature: Signature, golden: Mapping[str, Any], arrays: Mapping[str, Array]
) -> dict[str, Any]:
    """Write golden arrays and pictures; returns what golden.json says."""
    known = not golden["missing"]
    inputs = [(spec.name, arrays[f"input:{spec.name}"]) for spec in signature.inputs]
    outputs = [(spec.name, arrays[f"runtime:{spec.name}"]) for spec in signature.outputs] if known else []
    attached = [spec.front_end.file for spec in signature.inputs if spec.front_end and spec.front_end.kind == "tokens"]
    for name in (*attached, *(image["file"] for image in golden["images"])):
        files.copy(source / name, folder / name)
    tolerance = golden["tolerance"]
    return {
        "schema_version": 1,
        "count": len(inputs[0][1]),
        "missing": golden["missing"],
        "inputs": [_array(folder, name, array) for name, array in inputs],
        "outputs": [_array(folder, name, array) for name, array in outputs],
        "answers": _answers(outputs[0][1], signature, tolerance) if known else [],
        "pictures": list(_pictures(folder, signature, golden, arrays)),
        "front_ends": list(_front_ends(source, folder, signature)),
        "margins": [
            {"fault": name, "title": told, "caught_by": check, "margin": golden["margins"].get(name)}
            for name, (told, check) in words.MISTAKES.items()
            if name in golden["margins"] or check == "files"
        ],
    }


def _array(folder: Path, name: str, array: Array) -> dict[str, Any]:
    """Write an array without a header; returns how to read it, with the shape of one sample."""
    file = f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.bin"
    little = array.astype(array.dtype.newbyteorder("<"))
    (folder / file).write_bytes(np.ascontiguousarray(little).tobytes())
    return {"name": name, "dtype": array.dtype.name, "shape": list(array.shape[1:]), "file": file}


def _answers(outputs: Array, signature: Signature, tolerance: float) -> list[dict[str, Any]]:
    """What an application has to answer of each sample; nothing of a file that tells numbers."""
    if not signature.classes:
        return []
    flat = outputs.reshape(len(outputs), -1)
    classes = [head.classes for head in signature.heads] or [signature.classes]
    clear = zip(*answering.settled(flat, signature, tolerance), strict=True)
    return [
        {
            "labels": [names[index] for names, (index, _) in zip(classes, heads, strict=True)],
            "probabilities": [share for _, share in heads],
            "decided": all(decided),
        }
        for heads, decided in zip(answering.answers(flat, signature), clear, strict=True)
    ]


def _pictures(
    folder: Path, signature: Signature, golden: Mapping[str, Any], arrays: Mapping[str, Array]
) -> Iterator[dict[str, Any]]:
    """Encoded images with their canvas, their input and what is answered of them."""
    outputs = arrays.get(f"image:runtime:{signature.outputs[0].name}")
    told = [] if outputs is None else _answers(outputs, signature, golden["tolerance"])
    for row, image in enumerate(golden["images"]):
        stem = image["file"].partition(".")[0]
        canvas = _array(folder, f"{stem}.canvas", arrays["image:canvas"][row : row + 1])
        prepared = _array(folder, f"{stem}.input", arrays["image:input"][row : row + 1])
        yield {
            "file": image["file"],
            "shows": image["shows"],
            "exact": image["exact"],
            "canvas": canvas["file"],
            "input": prepared["file"],
            "outputs": [] if outputs is None else outputs[row].reshape(-1).tolist(),
            "answer": told[row] if told else None,
        }


def _front_ends(source: Path, folder: Path, signature: Signature) -> Iterator[dict[str, Any]]:
    """Recorded sounds and texts with the inputs that were made of them."""
    for spec in signature.inputs:
        if spec.front_end is None:
            continue
        told = {"name": spec.name, "kind": spec.front_end.kind}
        if spec.front_end.kind == "tokens":
            yield told | {"texts": json.loads((source / replay.TEXTS).read_text(encoding="utf-8"))}
            continue
        with np.load(source / replay.SOUNDS, allow_pickle=False) as stored:
            heard = {key: _array(folder, f"{spec.name}.{key}", stored[key]) for key in ("sound", "input")}
            yield told | {"count": len(stored["sound"]), **heard}


def _dump(path: Path, page: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")
