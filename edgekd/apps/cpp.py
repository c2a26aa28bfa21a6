"""A CMake project for C++ programs: the model as a library with typed answers, a program, a self-test in CTest."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgekd.bundle.content import Content
from edgekd.bundle.pages import pages

# Not tflite: no package brings the headers of TensorFlow Lite's or LiteRT's C API beside their library.
FORMATS = ("onnx",)
VERSION = 1

TEMPLATES = Path(__file__).parent / "templates/cpp"
PAGES = pages(TEMPLATES)
# Of ONNX Runtime, by what its header says of the functions that are called; the tests compile with 1.29.
LEAST = "1.23"
# Types of tensors that the library reads, and what holds them in C++.
TYPES = {
    "float32": "float",
    "float64": "double",
    "int8": "std::int8_t",
    "uint8": "std::uint8_t",
    "int16": "std::int16_t",
    "uint16": "std::uint16_t",
    "int32": "std::int32_t",
    "int64": "std::int64_t",
    "bool": "std::uint8_t",
}


def files(content: Content) -> dict[str, str]:
    """The application's own files by their paths in the folder."""
    told = _told(content)
    listed = {path.relative_to(TEMPLATES).as_posix(): path for path in sorted(TEMPLATES.rglob("*")) if path.is_file()}
    return {
        name.removesuffix(".jinja"): PAGES.get_template(name).render(told)
        if name.endswith(".jinja")
        else path.read_text(encoding="utf-8")
        for name, path in listed.items()
    }


def unfit(content: Content) -> tuple[str, ...]:
    """Why the library cannot run the file after all, as (message, hint), or nothing."""
    signature = content.model["signature"]
    specs = (*signature["inputs"], *signature["outputs"])
    strange = sorted({spec["dtype"] for spec in specs} - TYPES.keys())
    if strange:
        return f"the library reads no {' or '.join(strange)} tensors", "Build with --precision float32"
    if any(spec["shape"][0] not in (-1, 1) for spec in signature["inputs"]):
        return "the library runs one sample at a time, and the file takes several", "Build with batch 1"
    return ()


def _told(content: Content) -> dict[str, Any]:
    signature = content.model["signature"]
    return {
        "content": content,
        "table": table(content),
        "least": LEAST,
        "arrays": ", ".join(f"edge_model::Array::of({_name(spec['name'])})" for spec in signature["inputs"]),
        "numbers": bool(signature["columns"]),
        "confidence": bool(signature["confidence"]),
    }


def _name(text: str) -> str:
    """A name as one of C++."""
    return re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or "values"


def table(content: Content) -> str:
    """The Package of src/package.hpp, in its order."""
    model, golden = content.model, content.golden
    signature = model["signature"]
    heads = signature["heads"] or [{"name": "", "start": 0, "classes": signature["classes"]}]
    return braces(
        (
            model["slug"],
            model["format"],
            model["file"]["name"],
            model["file"]["sha256"],
            *(float(model[name]) for name in ("tolerance", "answer_tolerance", "probability_tolerance")),
            [(name, one["sha256"], one["size"]) for name, one in model["files"].items()],
            [_spec(spec) for spec in signature["inputs"]],
            [_spec(spec) for spec in signature["outputs"]],
            [(head["name"], head["start"], head["classes"]) for head in heads if head["classes"]],
            [(float(one["temperature"]), _optional(one["threshold"])) for one in signature["confidence"]],
            [(one["name"], one["unit"]) for one in signature["columns"]],
            golden["count"],
            golden["missing"],
            [_recorded(one) for one in golden["inputs"]],
            [_recorded(one) for one in golden["outputs"]],
            [_answer(one) for one in golden["answers"]],
            [_picture(one) for one in golden["pictures"]],
            [one["name"] for one in golden["front_ends"]],
        )
    )


class Code(str):
    """Text that is C++ already."""


NOTHING = Code("std::nullopt")


def braces(value: object, depth: int = 1) -> str:
    """A value as an initializer of C++: tuples are structures, a line for each member at the outer levels."""
    if isinstance(value, Code):
        return value
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 31 else f"{value}LL"
    if isinstance(value, float):
        return repr(value)
    assert isinstance(value, Iterable)
    inner = [braces(one, depth + 1) for one in value]
    if depth > 2 or not inner:
        return f"{{{' ' if inner and inner[0].startswith('{') else ''}{', '.join(inner)}}}"
    indent = "\n" + 4 * (depth + 1) * " "
    return f"{{{indent}{f',{indent}'.join(inner)}}}"


def literal(text: str) -> str:
    """A text as a string literal: UTF-8, with octal escapes for all that is no plain letter."""
    plain = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\{?' else f"\\{byte:03o}" for byte in text.encode()
    )
    return f'"{plain}"'


def _optional(value: float | None) -> object:
    return NOTHING if value is None else float(value)


def _floats(values: Iterable[float]) -> list[Code]:
    """Numbers that are float32: nine digits tell them exactly."""
    return [Code(f"{text}f" if re.search(r"[.e]", text := f"{float(one):.9g}") else f"{text}.0f") for one in values]


def _spec(spec: dict[str, Any]) -> tuple[object, ...]:
    how = spec["preprocess"]
    scale = NOTHING if spec["scale"] is None else _floats([spec["scale"]])[0]
    steps: object = NOTHING
    if how is not None:
        plain = (how["canvas"], how["size"], how["channels"], how["filter"], how["layout"])
        steps = Code(f"Preprocess{braces((*plain, _floats(how['mean']), _floats(how['std'])), 3)}")
    raw = spec["inside"] is not None
    return spec["name"], spec["dtype"], spec["shape"][1:], scale, spec["zero_point"] or 0, raw, steps


def _recorded(one: dict[str, Any]) -> tuple[object, ...]:
    return one["name"], one["dtype"], one["file"], one["shape"]


def _answer(one: dict[str, Any]) -> tuple[object, ...]:
    return one["labels"], [float(value) for value in one["probabilities"]], bool(one["decided"])


def _picture(one: dict[str, Any]) -> tuple[object, ...]:
    answer = NOTHING if one["answer"] is None else Code(f"Told{braces(_answer(one['answer']), 3)}")
    return one["file"], one["canvas"], one["input"], bool(one["exact"]), _floats(one["outputs"]), answer
