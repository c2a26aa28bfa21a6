"""A Gradle library module for Android: the model in typed Kotlin, with its runtime and a self-test."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.bundle.content import Content
from edgekd.bundle.pages import pages

VERSION = 1
FORMATS = ("onnx", "tflite")

TEMPLATES = Path(__file__).parent / "templates/android"
PAGES = pages(TEMPLATES)
PAGES.filters["kotlin"] = lambda text: json.dumps(text, ensure_ascii=False).replace("$", "\\$")
# The package of the templates, in whose place that of the model stands.
PLACE = "edgemodel"
COROUTINES = "1.10.2"
JUNIT = "1.2.1"
RUNNER = "1.6.2"
# Kotlin's arrays of samples. Quantized inputs take plain numbers and are encoded.
ARRAYS = {
    "float32": "FloatArray",
    "float64": "DoubleArray",
    "int8": "ByteArray",
    "uint8": "ByteArray",
    "int16": "ShortArray",
    "int32": "IntArray",
    "int64": "LongArray",
    "bool": "ByteArray",
}


@dataclass(frozen=True)
class Library:
    """What runs a format on Android: its artifact, the oldest system, and the tensors that this module gives it."""

    artifact: str
    version: str
    min_sdk: int
    source: str
    types: tuple[str, ...]
    accelerators: str
    seen: str


LIBRARIES = {
    "onnx": Library(
        artifact="com.microsoft.onnxruntime:onnxruntime-android",
        version="1.29.0",
        min_sdk=24,
        source="OnnxRuntime.kt",
        types=tuple(ARRAYS),
        accelerators="XNNPACK, NNAPI",
        seen="Compiled against the runtime's real classes; never run on a phone by edgekd.",
    ),
    # its AARs declare 24, its documentation says 23
    "tflite": Library(
        artifact="com.google.ai.edge.litert:litert",
        version="2.3.2",
        min_sdk=24,
        source="LiteRt.kt",
        types=("float32", "int8", "int32", "int64"),
        accelerators="GPU, NPU",
        seen="Compiled against a stub of LiteRT's documented interface; never run on a phone by edgekd.",
    ),
}


def files(content: Content) -> dict[str, str]:
    """The application's own files by their paths in the folder."""
    library, package = LIBRARIES[content.model["format"]], package_of(content)
    home = package.replace(".", "/")
    named = [(f"src/main/kotlin/{home}", path) for path in sorted((TEMPLATES / "main").glob("*.kt"))]
    named.append((f"src/main/kotlin/{home}", TEMPLATES / "engine" / library.source))
    named += [(f"src/androidTest/kotlin/{home}", path) for path in sorted((TEMPLATES / "test").glob("*.kt"))]
    told = _told(content)
    made = {name: PAGES.get_template(f"{name}.jinja").render(told) for name in ("build.gradle.kts", "README.md")}
    return {f"{folder}/{path.name}": _source(path, package, library) for folder, path in named} | made


def unfit(content: Content) -> tuple[str, ...]:
    """Why Android's runtime cannot run the file after all, as (message, hint), or nothing."""
    format, signature = content.model["format"], content.model["signature"]
    if format == "tflite" and any(size == -1 for spec in signature["inputs"] for size in spec["shape"]):
        message = "LiteRT's CompiledModel runs files of fixed shapes, and this one takes any number of samples"
        return message, "Build with --target tflite@browser"
    types = {spec["dtype"] for spec in (*signature["inputs"], *signature["outputs"])} - set(LIBRARIES[format].types)
    if types:
        message = f"the application gives and takes no {' or '.join(sorted(types))} tensors"
        return message, "Build a file whose inputs and outputs are floats, for example with --precision float32"
    return ()


def package_of(content: Content) -> str:
    """The package of Kotlin, of which every model has its own: two modules go into one application."""
    return f"{PLACE}.{content.slug.replace('-', '_')}"


def _source(path: Path, package: str, library: Library) -> str:
    """A file of Kotlin in the model's package, whose assets have a folder of that name too."""
    text = path.read_text(encoding="utf-8").replace(f"package {PLACE}\n", f"package {package}\n", 1)
    text = text.replace(f'FOLDER = "{PLACE}"', f'FOLDER = "{package.replace(".", "/")}"')
    return text.replace('LITERT = "VERSION"', f'LITERT = "{library.version}"')


def _told(content: Content) -> dict[str, Any]:
    """What the templates print."""
    signature, library = content.model["signature"], LIBRARIES[content.model["format"]]
    package = package_of(content)
    quantized = {spec["name"] for spec in signature["inputs"] if spec["scale"] is not None}
    return {
        "content": content,
        "signature": signature,
        "package": package,
        "assets": package.replace(".", "/"),
        "module": content.slug,
        "min_sdk": library.min_sdk,
        "suffix": content.model["format"],
        "dependency": f"{library.artifact}:{library.version}",
        "coroutines": COROUTINES,
        "junit": JUNIT,
        "runner": RUNNER,
        "accelerators": library.accelerators,
        "seen": library.seen,
        "onnx": content.model["format"] == "onnx",
        "arrays": {
            spec["name"]: "FloatArray" if spec["name"] in quantized else ARRAYS[spec["dtype"]]
            for spec in signature["inputs"]
        },
        "numbers": bool(signature["columns"]),
        "heads": signature["heads"],
        "classes": signature["classes"],
    }
