"""The application bundle for C++ without a compiler: what its files say, and which models it refuses."""

import ast
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgekd import plugins
from edgekd.apps import cpp
from edgekd.bundle import content
from edgekd.bundle.content import Content
from tests.test_bundle import written


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Content]:
    found = {}
    for name, images in (("images", True), ("words", False)):
        home = tmp_path_factory.mktemp(name)
        found[name] = content.write(written(home / "bundle", images), home / "app")
    return found


def changed(held: Content, **signature: Any) -> Content:
    return dataclasses.replace(held, model={**held.model, "signature": {**held.model["signature"], **signature}})


@pytest.mark.parametrize(
    "text", ["plain", 'a "quote"', "back\\slash", "löft 靴", "line\nbreak", "{{ x }} {% y %}", "??/", ""]
)
def test_texts_are_string_literals(text: str) -> None:
    """Python reads octal escapes as C++ does."""
    told = cpp.literal(text)
    assert told.isascii() and "{{" not in told and "??" not in told
    assert ast.literal_eval(f"b{told}").decode() == text


def test_values_are_initializers() -> None:
    assert cpp.braces((True, 3, 1 << 40, 0.1, "a", [], [("x", [1, 2])]), 3) == (
        '{true, 3, 1099511627776LL, 0.1, "a", {}, { {"x", {1, 2}}}}'
    )
    assert cpp._floats([1, 0.1, 1e-7, -3.5]) == ["1.0f", "0.1f", "1e-07f", "-3.5f"]


@pytest.mark.parametrize("kind", ["images", "words"])
def test_the_table_holds_what_the_json_files_say(contents: dict[str, Content], kind: str) -> None:
    held = contents[kind]
    text = cpp.files(held)["src/package.cpp"]
    assert text.count("{") == text.count("}") and max(map(len, text.splitlines())) < 2000
    told = [held.model["slug"], held.model["file"]["sha256"], *held.model["files"], *held.model["signature"]["classes"]]
    told += [one["file"] for one in (*held.golden["inputs"], *held.golden["outputs"], *held.golden["pictures"])]
    for one in told:
        assert cpp.literal(one) in text
    assert repr(float(held.model["tolerance"])) in text
    how = held.model["signature"]["inputs"][0]["preprocess"]
    assert (how is not None) == ("Preprocess{" in text)


@pytest.mark.parametrize("kind", ["images", "words"])
def test_its_files_are_a_project(contents: dict[str, Content], kind: str) -> None:
    found = cpp.files(contents[kind])
    sources = {name for name in found if name.endswith(".cpp")}
    assert sources == set(re.findall(r"src/\w+\.cpp", found["CMakeLists.txt"])), "CMake knows every source"
    for name, text in found.items():
        if name.endswith((".cpp", ".hpp")):
            for own in re.findall(r'#include "([^"]+)"', text):
                assert f"src/{own}" in found or f"include/{own}" in found, (name, own)
            if name != "src/package.cpp":
                assert max(map(len, text.splitlines())) <= 120, name
    readers = {name for name, text in found.items() if "<png.h>" in text or "<jpeglib.h>" in text}
    assert readers == {"src/decode.cpp"}
    assert [name for name, text in found.items() if "onnxruntime_cxx_api.h>" in text] == ["src/onnx.cpp"]
    code = found["README.md"].split("```cpp\n")[1].split("```")[0]
    assert ("classify(" in code) == contents[kind].image and ("infer(" in code) != contents[kind].image


def test_telemetry_is_off_before_a_session_is_made(contents: dict[str, Content]) -> None:
    text = cpp.files(contents["images"])["src/onnx.cpp"]
    assert text.index("ORT_DISABLE_TELEMETRY") < text.index("Ort::Env made") < text.index("DisableTelemetryEvents()")
    assert "session_(environment()," in text


def test_what_the_library_cannot_run_is_refused(contents: dict[str, Content]) -> None:
    held = contents["images"]
    (spec,) = held.model["signature"]["inputs"]
    assert cpp.unfit(held) == ()
    message, _ = cpp.unfit(changed(held, inputs=[{**spec, "dtype": "float16"}]))
    assert "float16" in message
    message, _ = cpp.unfit(changed(held, inputs=[{**spec, "shape": [8, *spec["shape"][1:]]}]))
    assert "one sample at a time" in message
    assert plugins.declared("apps", "cpp").formats == ("onnx",)


def test_the_code_of_the_page_is_that_of_the_header() -> None:
    page = (Path(__file__).parents[1] / "docs/cpp.md").read_text(encoding="utf-8")
    header = (cpp.TEMPLATES / "include/edge_model/edge_model.hpp").read_text(encoding="utf-8")
    for name in (
        "Classifier",
        "classify",
        "answer",
        "label",
        "confidence",
        "accepted",
        "infer",
        "Frame",
        "Candidate",
        "Options",
    ):
        assert name in page and re.search(rf"\b{name}\b", header), name
    main = (cpp.TEMPLATES / "src/main.cpp").read_text(encoding="utf-8")
    assert all(json.dumps(option) in main for option in ("--self-test", "--number", "--accelerator"))
