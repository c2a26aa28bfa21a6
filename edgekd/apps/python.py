"""A folder for Python programs on a Raspberry Pi or any Linux board: the model as a package, a program, a self-test."""

import json
from pathlib import Path
from typing import Any

from edgekd.bundle.bundle import runtime_sources
from edgekd.bundle.content import Content
from edgekd.bundle.pages import pages
from edgekd.runtimes import facts

# Not executorch: its Python package brings all of torch with it.
FORMATS = ("onnx", "tflite", "openvino")
VERSION = 1

TEMPLATES = Path(__file__).parent / "templates/python"
PAGES = pages(TEMPLATES)
PACKAGE = "edge_model"
# Modules of runtimes/ that the package imports besides the runtime; what these import comes along.
NEEDS = ("facts", "fault", "logmel", "preprocess", "replay", "tensors", "tokens")
NUMPY = "numpy>=1.24"
PILLOW = "pillow>=9.4"
TOKENIZERS = "tokenizers>=0.20"
ACCELERATORS = {
    "onnx": "Accelerators are execution providers of ONNX Runtime: `--accelerator NAME`, or `auto` for all.",
    "tflite": "Accelerators are delegates in libraries: `--accelerator /usr/lib/libedgetpu.so.1`.",
    "openvino": "It runs on the CPU; `load` takes a Candidate of your own for anything else.",
}
# What the command line and a program are given, by the kind of sample.
SAMPLES = {
    "image": ("photo.jpg                       # or --camera", '"photo.jpg"', "  # or a frame of a camera"),
    "sound": ("clip.wav", '"clip.wav"', ""),
    "text": ('"a text"', '"a text"', ""),
    "arrays": ("inputs.npz                      # an array for each input, sample first", "{NAMES}", ""),
}


def files(content: Content) -> dict[str, str]:
    """The application's own files by their paths in the folder."""
    format = content.model["format"]
    told = _told(content)
    plain = {f"{PACKAGE}/{path.name}": _text(path) for path in sorted((TEMPLATES / PACKAGE).glob("*.py"))}
    made = {f"{PACKAGE}/{name}": _render(f"{PACKAGE}/{name}.jinja", told) for name in ("labels.py", "result.py")}
    runtime = {f"{PACKAGE}/runtime/{name}": text for name, text in runtime_sources(format, NEEDS).items()}
    return {
        **plain,
        **made,
        **runtime,
        f"{PACKAGE}/accelerators.py": _text(TEMPLATES / f"accelerators/{format}.py"),
        f"{PACKAGE}/py.typed": "",
        "main.py": _text(TEMPLATES / "main.py"),
        "requirements.txt": _render("requirements.txt.jinja", told),
        f"{content.slug}.service": _render("service.jinja", told),
        "README.md": _render("README.md.jinja", told),
    }


def unfit(content: Content) -> tuple[str, ...]:
    """Nothing: what edgekd's own runtime ran, the same sources run here."""
    return ()


def requirements(content: Content) -> tuple[str, ...]:
    """What pip has to install, with the floors that the runtime's module declares."""
    kind = _kind(content)
    declared = facts.declared(content.model["format"])
    more = {"image": (PILLOW,), "text": (TOKENIZERS,)}.get(kind, ())
    return (NUMPY, *declared.get("REQUIRES", declared["PACKAGES"]), *more)


def _kind(content: Content) -> str:
    """What a sample is: "image", "sound", "text" or "arrays"."""
    inputs = content.model["signature"]["inputs"]
    fronts = {one["front_end"]["kind"] for one in inputs if one.get("front_end")}
    if "tokens" in fronts:
        return "text"
    if len(inputs) > 1:
        return "arrays"
    if fronts:
        return "sound"
    return "image" if content.image or inputs[0].get("inside") else "arrays"


def _told(content: Content) -> dict[str, Any]:
    """What the templates print."""
    signature = content.model["signature"]
    heads = signature["heads"]
    labels = [name for head in heads for name in head["classes"]] or signature["classes"]
    example, sample, _ = SAMPLES[_kind(content)]
    names = ", ".join(f"{json.dumps(one['name'])}: ..." for one in signature["inputs"])
    least = signature["confidence"][0]["threshold"] if len(signature["confidence"]) == 1 else None
    return {
        "content": content,
        "labels": tuple(dict.fromkeys(labels)),
        "numbers": bool(signature["columns"]),
        "heads": [head["name"] for head in heads],
        "confidence": bool(signature["confidence"]),
        "threshold": "" if least is None else f"{least:.2f}",
        "requirements": requirements(content),
        "accelerators": ACCELERATORS[content.model["format"]],
        "example": example,
        "sample": sample.replace("NAMES", names),
    }


def _render(name: str, told: dict[str, Any]) -> str:
    return PAGES.get_template(name).render(told)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
