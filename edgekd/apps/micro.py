"""A folder for microcontrollers: the model as C arrays, a class around TensorFlow Lite Micro, a self-test in flash."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import files as disk
from edgekd import units
from edgekd.apps import _c
from edgekd.bundle.content import Content
from edgekd.bundle.pages import pages
from edgekd.contrast import answering
from edgekd.results import Signature
from edgekd.runtimes import preprocess, tensors
from edgekd.tflm import kernels

FORMATS = ("tflite",)
VERSION = 1
EXTRA = "micro"

Array = NDArray[Any]
Spec = dict[str, Any]
TEMPLATES = Path(__file__).parent / "templates/micro"
PAGES = pages(TEMPLATES)
PAGES.filters.update(c=_c.text, comment=_c.comment, float32=_c.number)
SOURCES = "edge_model"
# Recorded inputs take flash while the firmware tests itself: no more than this, but two samples at least.
GOLDEN_BYTES = 64 << 10
# What the self-test looks at; encoded pictures are decoded, turned and resized elsewhere.
CHECKS = ("files", "prepare", "model", "answers")
QUANTIZED = "Build with --precision int8-full, or float32 on a microcontroller with a floating-point unit"
SINGLE = "Build with --target tflite@micro, whose files are for one"


@dataclass(frozen=True)
class Tried:
    """What TensorFlow Lite Micro did with a bundle's file: `difference` is the largest one from recorded outputs."""

    methods: tuple[str, ...]
    custom: tuple[str, ...]
    numbers: dict[str, int]
    arena: int
    used: dict[str, int]
    version: str
    difference: float


@dataclass(frozen=True)
class Recorded:
    """Samples and pictures of a bundle as the folder holds them: inputs as the file stores them, outputs as numbers."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    frames: Array
    pictures: Array
    picture_outputs: Array


def files(content: Content) -> dict[str, str]:
    """The application's own files by their paths in the folder."""
    told = _told(content, _tried(content))
    found = {}
    for path in sorted((TEMPLATES / SOURCES).iterdir()):
        name = path.name.removesuffix(".jinja")
        if name.startswith("prepare.") and not told["frame"]:
            continue
        plain = path.read_text(encoding="utf-8")
        found[f"{SOURCES}/{name}"] = (
            plain if name == path.name else PAGES.get_template(f"{SOURCES}/{path.name}").render(told)
        )
    readme = PAGES.get_template("README.md.jinja").render(told)
    return {**found, "micro.json": json.dumps(_page(content, told), indent=1) + "\n", "README.md": readme}


def unfit(content: Content) -> tuple[str, ...]:
    """Why TensorFlow Lite Micro cannot run the file, as (message, hint), or nothing. Raises MissingExtra."""
    kernels.check()
    signature = content.model["signature"]
    if any(spec["shape"][0] != 1 for spec in signature["inputs"]):
        return "TensorFlow Lite Micro takes files for one sample at a time, and this one takes any number", SINGLE
    types = {spec["dtype"] for spec in (*signature["inputs"], *signature["outputs"])} - _c.TYPES.keys()
    if types:
        return f"there is nothing in C for tensors of {' or '.join(sorted(types))}", QUANTIZED
    if content.golden["missing"]:
        message = f"has no recorded outputs to hold those of TensorFlow Lite Micro against: {content.golden['missing']}"
        return message, SINGLE
    try:
        tried = _tried(content)
    except kernels.Refused as error:
        return f"TensorFlow Lite Micro does not run it: {error}", QUANTIZED
    if tried.custom:
        return f"its operators {', '.join(tried.custom)} are none of TensorFlow Lite's own", QUANTIZED
    tolerance = content.model["tolerance"]
    if not tried.difference <= tolerance:
        message = (
            f"TensorFlow Lite Micro gives outputs that differ from the recorded ones by {tried.difference:.3g}, "
            f"{tolerance:.3g} is allowed"
        )
        return message, QUANTIZED
    return ()


def margins(content: Content) -> list[dict[str, Any]]:
    """The mistakes that this self-test sees, and by how many times what is allowed its own samples show each.

    Frames are prepared to the very bytes or not at all, so there any difference shows.
    """
    signature = Signature.model_validate(content.model["signature"])
    outputs = _recorded(content).outputs[0]
    after = answering.margins(outputs.reshape(len(outputs), -1), signature, content.model["tolerance"])
    seen = [one for one in content.golden["margins"] if one["caught_by"] in CHECKS]
    return [one | {"margin": after.get(one["fault"])} for one in seen]


def _tried(content: Content) -> Tried:
    """Run what was recorded through the kernels. Raises Refused and MissingExtra."""
    return _run(content.bundle, disk.digest(content.bundle / "digests.json"))


@lru_cache(maxsize=4)
def _run(bundle: Path, digest: str) -> Tried:
    """The same, once for a content of the bundle."""
    from edgekd.tflm import operators  # noqa: PLC0415 - needs tflite-micro, whose absence the kernels tell in words

    golden = json.loads((bundle / "golden/golden.json").read_text(encoding="utf-8"))
    model, signature = bundle / golden["model"]["name"], golden["signature"]
    asked = operators.asked(model.read_bytes())
    numbers = _numbers(signature, asked.inputs, "inputs") | _numbers(signature, asked.outputs, "outputs")
    arrays = _arrays(bundle)
    stored = [tensors.encode(arrays[f"input:{spec['name']}"], spec) for spec in signature["inputs"]]
    ran = kernels.run(model, signature, stored)
    gaps = [
        np.abs(tensors.decode(ran.outputs[k], spec) - arrays[f"runtime:{spec['name']}"])
        for k, spec in enumerate(signature["outputs"])
    ]
    difference = float(max(gap.max() for gap in gaps)) if all(np.isfinite(gap).all() for gap in gaps) else np.inf
    return Tried(asked.methods, asked.custom, numbers, ran.arena, ran.used, ran.version, difference)


def _numbers(signature: Spec, own: dict[str, int], side: str) -> dict[str, int]:
    """Which of the file's inputs or outputs each of the signature's is, by "inputs NAME" or "outputs NAME"."""
    wanted, names = tensors.names(signature, side), list(own)
    order = tensors.match(wanted, names, side)
    return {f"{side} {name}": own[names[place]] for name, place in zip(wanted, order, strict=True)}


def _arrays(bundle: Path) -> dict[str, Array]:
    with np.load(bundle / "golden/golden.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _recorded(content: Content) -> Recorded:
    """What was recorded, as much of it as flash is spent on; the sample that shows a wrong softmax best is in it."""
    arrays, signature = _arrays(content.bundle), content.model["signature"]
    inputs = [tensors.encode(arrays[f"input:{spec['name']}"], spec) for spec in signature["inputs"]]
    outputs = [arrays[f"runtime:{spec['name']}"] for spec in signature["outputs"]]
    each = sum(values[0].nbytes for values in inputs)
    count = max(2, GOLDEN_BYTES // each)
    rows = np.arange(len(outputs[0]))
    if count < len(rows):
        rows = np.sort(_telling(outputs[0], Signature.model_validate(signature))[:count])
    how, pictures = signature["inputs"][0]["preprocess"], len(content.golden["pictures"])
    frames = prepared = np.empty((0, 0))
    if content.image and pictures:
        taken = slice(max(1, min(pictures, GOLDEN_BYTES // max(1, each))))
        frames = preprocess.resize(arrays["image:canvas"][taken], how["size"], how["filter"])
        prepared = tensors.encode(arrays["image:input"][taken], signature["inputs"][0])
    told = arrays.get(f"image:runtime:{signature['outputs'][0]['name']}", np.empty((0, 0)))[: len(frames)]
    kept = [[values[rows] for values in side] for side in (inputs, outputs)]
    return Recorded(tuple(kept[0]), tuple(kept[1]), frames, prepared, told)


def _telling(outputs: Array, signature: Signature) -> Array:
    """Rows of outputs, those first that are most unsure: there another softmax shows."""
    if not signature.classes:
        return np.arange(len(outputs))
    shares = [
        [share for _, share in heads] for heads in answering.answers(outputs.reshape(len(outputs), -1), signature)
    ]
    return np.argsort(np.mean(shares, axis=1), kind="stable")


def _told(content: Content, tried: Tried) -> Spec:
    """What the templates print."""
    signature, model = content.model["signature"], (content.bundle / content.model["file"]["name"]).read_bytes()
    recorded, pictures = _recorded(content), content.golden["pictures"]
    return {
        "content": content,
        "facts": [fact for fact in content.facts if not fact.startswith("Latency")],  # that of another device
        "file": content.model["file"],
        "bytes": _c.numbers(np.frombuffer(model, np.uint8)),
        "crc": zlib.crc32(model),
        "inputs": [_tensor(spec, tried.numbers[f"inputs {spec['name']}"]) for spec in signature["inputs"]],
        "outputs": [_tensor(spec, tried.numbers[f"outputs {spec['name']}"]) for spec in signature["outputs"]],
        "labels": signature["classes"] and _labels(signature),
        "heads": _heads(signature),
        "columns": signature["columns"],
        "tolerance": content.model["tolerance"],
        "answer_tolerance": content.model["answer_tolerance"],
        "probability_tolerance": content.model["probability_tolerance"],
        "methods": tried.methods,
        "arena": tried.arena,
        "tried": tried,
        "show": units.show_size,
        "flash": len(model),
        "samples_flash": sum(a.nbytes for a in (*recorded.inputs, *recorded.outputs, recorded.frames)),
        "frame": _frame(content, signature["inputs"][0]),
        "golden": _samples(recorded, Signature.model_validate(signature), content.model["tolerance"]),
        "pictures": [
            {
                "name": pictures[row]["file"],
                "frame": f"frame_{row}",
                "crc": zlib.crc32(np.ascontiguousarray(recorded.pictures[row]).tobytes()),
                "outputs": f"picture_output_{row}",
                **_answer(f"picture_{row}", pictures[row]["answer"] if signature["classes"] else None),
            }
            for row in range(len(recorded.frames))
        ],
    }


def _tensor(spec: Spec, number: int) -> Spec:
    count = int(np.prod(spec["shape"][1:], dtype=np.int64))
    return {
        "name": spec["name"],
        "dtype": spec["dtype"],
        "count": count,
        "bytes": count * np.dtype(spec["dtype"]).itemsize,
        "scale": spec["scale"] or 0.0,
        "zero_point": spec["zero_point"] or 0,
        "number": number,
    }


def _labels(signature: Spec) -> list[str]:
    return [name for head in signature["heads"] for name in head["classes"]] or list(signature["classes"])


def _heads(signature: Spec) -> list[Spec]:
    """One entry for each answer of a sample."""
    if not signature["classes"]:
        return []
    own = signature["heads"] or [{"name": "", "start": 0, "classes": signature["classes"]}]
    sure = signature["confidence"] or [{"temperature": 1.0, "threshold": None}] * len(own)
    return [
        {
            "name": head["name"],
            "start": head["start"],
            "count": len(head["classes"]),
            "temperature": one["temperature"],
            "threshold": one["threshold"] or 0.0,
        }
        for head, one in zip(own, sure, strict=True)
    ]


def _frame(content: Content, spec: Spec) -> Spec | None:
    """What a frame is and how it is prepared; nothing where the input is no image."""
    if spec.get("inside"):
        _, height, width, channels = spec["shape"]
        told = "The model scales it itself, so it is taken as it is."
        return {"width": width, "height": height, "channels": channels, "levels": (), "told": told}
    if not content.image:
        return None
    how = spec["preprocess"]
    channels = 1 if how["channels"] == "gray" else 3
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None, None], (256, 1, 1, channels))
    values = preprocess.normalize(ramp, how | {"layout": "NHWC"})
    stored = tensors.encode(values, spec | {"shape": [-1, 1, 1, channels]})[:, 0, 0].T
    index = {"gray": "pixel", "rgb": "pixel * 3 + channel", "bgr": "pixel * 3 + 2 - channel"}[how["channels"]]
    return {
        "width": how["size"],
        "height": how["size"],
        "channels": channels,
        "planes": channels,
        "levels": [_c.numbers(row, 6) for row in stored],
        "type": _c.TYPES[spec["dtype"]],
        "quantized": spec["scale"] is not None,
        "first": how["layout"] == "NCHW",
        "swapped": how["channels"] == "bgr",
        "index": index,
        "told": "Levels become what they were in training, by a table.",
    }


def _samples(recorded: Recorded, signature: Signature, tolerance: float) -> Spec:
    """The arrays of golden.c, and which of them belong to each sample."""
    arrays, samples, answers = [], [], []
    outputs = recorded.outputs[0].reshape(len(recorded.outputs[0]), -1)
    told = answering.answers(outputs, signature) if signature.classes else [[]] * len(outputs)
    clear = list(zip(*answering.settled(outputs, signature, tolerance), strict=True)) if signature.classes else []
    for row in range(len(outputs)):
        inputs = [f"input_{row}_{k}" for k in range(len(recorded.inputs))]
        given = [f"output_{row}_{k}" for k in range(len(recorded.outputs))]
        arrays += [_array(name, values[row]) for name, values in zip(inputs, recorded.inputs, strict=True)]
        arrays += [_array(name, values[row]) for name, values in zip(given, recorded.outputs, strict=True)]
        known = f"answer_{row}" if told[row] else "NULL"
        answers += [(known, _pairs(told[row]))] if told[row] else []
        decided = _c.truth(bool(clear) and all(clear[row]))
        samples.append({"inputs": inputs, "outputs": given, "answers": known, "decided": decided})
    flat = np.reshape(recorded.picture_outputs, (len(recorded.frames), outputs.shape[1]))
    arrays += [_array(f"frame_{row}", frame) for row, frame in enumerate(recorded.frames)]
    arrays += [_array(f"picture_output_{row}", flat[row]) for row in range(len(flat))]
    shown = answering.answers(flat, signature) if signature.classes and len(flat) else []
    answers += [(f"picture_{row}", _pairs(heads)) for row, heads in enumerate(shown)]
    return {"count": len(samples), "arrays": arrays, "samples": samples, "answers": answers}


def _array(name: str, values: Array) -> Spec:
    return {"name": name, "type": _c.TYPES[values.dtype.name], "elements": _c.numbers(values.reshape(-1))}


def _pairs(heads: Sequence[tuple[int, float]]) -> str:
    return ", ".join(f"{{{index}, {_c.number(share)}}}" for index, share in heads)


def _answer(name: str, answer: Spec | None) -> dict[str, str]:
    return (
        {"answers": name, "decided": _c.truth(answer["decided"])} if answer else {"answers": "NULL", "decided": "false"}
    )


def _page(content: Content, told: Spec) -> Spec:
    """What micro.json says: what was seen when the folder was written, here, in TensorFlow Lite Micro's own kernels."""
    tried: Tried = told["tried"]
    return {
        "schema_version": 1,
        "kernels": f"tflite-micro {tried.version}",
        "arena": {
            "bytes": tried.arena,
            "used": tried.used,
            "pointers": "64 bits, on the computer that wrote this; those of 32 bits take less",
            "kernels": "reference kernels; optimized ones want buffers of their own",
        },
        "flash": {
            "model": told["flash"],
            "self_test": told["samples_flash"],
            "not_counted": "code: TensorFlow Lite Micro's, and what stands in edge_model/",
        },
        "operators": list(tried.methods),
        "difference": tried.difference,
        "tolerance": content.model["tolerance"],
        "samples": told["golden"]["count"],
        "recorded": content.golden["count"],
        "margins": margins(content),
    }
