"""A folder for web pages: the model behind one function, typed, with its runtime, a self-test and a page to try it."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from edgekd.bundle.content import Content
from edgekd.bundle.pages import pages
from edgekd.devices import _npm

VERSION = 1
FORMATS = ("onnx", "tflite")

TEMPLATES = Path(__file__).parent / "templates/web"
PAGES = pages(TEMPLATES)
# Types that LiteRT.js takes and gives; those of 64 bits are its own of 32 there.
LITE = ("float32", "int32", "int64", "uint8")
# The array of JavaScript that holds samples of a type. Quantized inputs take plain numbers and are encoded.
ARRAYS = {
    "float32": "Float32Array",
    "float64": "Float64Array",
    "int8": "Int8Array",
    "uint8": "Uint8Array",
    "int16": "Int16Array",
    "uint16": "Uint16Array",
    "int32": "Int32Array",
    "int64": "BigInt64Array",
    "bool": "Uint8Array",
}
IMPORTS = {
    "onnx": {
        "onnxruntime-web/wasm": "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs",
        "onnxruntime-web/webgpu": "./node_modules/onnxruntime-web/dist/ort.webgpu.min.mjs",
    },
    "tflite": {
        "@litertjs/core": "./node_modules/@litertjs/core/dist/index.js",
        "@litertjs/wasm-utils": "./node_modules/@litertjs/wasm-utils/dist/index.js",
    },
}
# What a project needs of the folder; the other pages are for people.
PACKED = ("*.js", "*.d.ts", "demo.*", "model", "MODEL_CARD.md", "LICENSES", "certificate.json")


def files(content: Content) -> dict[str, str]:
    """The application's own files by their paths in the folder."""
    plain = {
        path.name: path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.iterdir()) if path.suffix != ".jinja"
    }
    told = _told(content)
    made = {name: PAGES.get_template(f"{name}.jinja").render(told) for name in ("index.d.ts", "demo.html", "README.md")}
    engine = PAGES.get_template(f"engine-{content.model['format']}.js.jinja").render(told)
    return {**plain, **made, "engine.js": engine, "package.json": _dump(_package(content))}


def unfit(content: Content) -> tuple[str, ...]:
    """Why a browser's runtime cannot run the file after all, as (message, hint), or nothing."""
    signature = content.model["signature"]
    types = {spec["dtype"] for spec in (*signature["inputs"], *signature["outputs"])}
    if content.model["format"] == "tflite":
        if any(spec["shape"][0] != 1 for spec in signature["inputs"]):
            message = "LiteRT.js runs files for one sample at a time, and this one takes any number"
            return message, "Build with --target tflite@browser"
        if types - set(LITE):
            message = f"LiteRT.js takes and gives no {' or '.join(sorted(types - set(LITE)))} tensors"
            return message, "Build a file whose inputs and outputs are floats, for example with --precision int8"
    if types - ARRAYS.keys():
        return (
            f"JavaScript has no arrays of {' or '.join(sorted(types - ARRAYS.keys()))}",
            "Build with --precision float32",
        )
    return ()


def runtime(format: str) -> _npm.Package:
    """The package of npm that runs a format in browsers."""
    return next(package for package in _npm.PACKAGES if package.runtime == format)


def _told(content: Content) -> dict[str, Any]:
    signature = content.model["signature"]
    package = runtime(content.model["format"])
    imports = f"\n{_dump({'imports': IMPORTS[content.model['format']]})}"
    return {
        "content": content,
        "signature": signature,
        "package": package.name,
        "version": package.version,
        "imports": imports,
        "imports_digest": base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode(),
        "arrays": {spec["name"]: _array(spec) for spec in signature["inputs"]},
        "litert": content.model["format"] == "tflite",
        "numbers": bool(signature["columns"]),
        "heads": signature["heads"],
        "classes": signature["classes"],
    }


def _array(spec: dict[str, Any]) -> str:
    return "Float32Array" if spec["scale"] is not None and not spec["inside"] else ARRAYS[spec["dtype"]]


def _package(content: Content) -> dict[str, Any]:
    package = runtime(content.model["format"])
    return {
        "name": content.slug,
        "version": "1.0.0",
        "private": True,
        "description": content.title,
        "license": "SEE LICENSE IN LICENSES",
        "type": "module",
        "main": "./index.js",
        "types": "./index.d.ts",
        "exports": {
            ".": {"types": "./index.d.ts", "default": "./index.js"},
            "./model/*": "./model/*",
            "./package.json": "./package.json",
        },
        "files": list(PACKED),
        "dependencies": {package.name: package.version},
    }


def _dump(page: dict[str, Any]) -> str:
    return json.dumps(page, indent=2, ensure_ascii=False) + "\n"
