"""The application bundle for Android without a compiler: what its files are and say."""

import re
from typing import Any

import pytest

from edgekd import plugins
from edgekd.apps import android
from tests.test_apps_web import KINDS, held, tensor
from tests.test_docs import ROOT, blocks

each = pytest.mark.parametrize("kind", KINDS)
HOME = "kotlin/edgemodel/clothes_onnx"


@pytest.fixture(params=android.FORMATS)
def format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@each
def test_an_application_is_a_whole_module(format: str, kind: str) -> None:
    found = android.files(held(format, **KINDS[kind]))
    assert found == android.files(held(format, **KINDS[kind]))
    library = android.LIBRARIES[format]
    gradle = found["build.gradle.kts"]
    assert f'implementation("{library.artifact}:{library.version}")' in gradle
    assert f"minSdk = {library.min_sdk}" in gradle and f'noCompress += "{format}"' in gradle
    assert 'namespace = "edgemodel.clothes_onnx"' in gradle and "model-assets/edgemodel/clothes_onnx" in gradle
    assert all(
        re.search(r":[0-9]+\.[0-9]+\.[0-9]+\"\)", line) for line in gradle.splitlines() if "mplementation(" in line
    )
    sources = {name for name in found if name.endswith(".kt")}
    assert {name for name in sources if "/androidTest/" in name} == {f"src/androidTest/{HOME}/SelfTestOnDevice.kt"}
    engines = {name.rpartition("/")[2] for name in sources} & {one.source for one in android.LIBRARIES.values()}
    assert engines == {library.source}
    for name in sources:
        assert found[name].startswith("package edgemodel.clothes_onnx\n"), name
        assert found[name].count("{") == found[name].count("}") and 'VERSION"' not in found[name], name


@each
def test_the_first_page_fits_a_screen_and_says_how_far_it_was_run(format: str, kind: str) -> None:
    page = android.files(held(format, **KINDS[kind]))["README.md"]
    assert len(page.splitlines()) <= 45 and max(map(len, page.splitlines())) <= 160
    compiled = {"onnx": "real classes", "tflite": "a stub of LiteRT"}[format]
    for told in ("91.2 %", "edgekd report RUN --add selftest.json", "never run on a phone", compiled, "load(context)"):
        assert told in page


def test_only_two_files_know_of_android_and_the_runtime(format: str) -> None:
    found = android.files(held(format))
    bound = {
        name.rpartition("/")[2]
        for name, text in found.items()
        if "/main/" in name and re.search(r"^import (android|ai\.onnxruntime|com\.google)", text, re.MULTILINE)
    }
    assert bound == {"Android.kt", android.LIBRARIES[format].source}


def test_the_telemetry_of_onnxruntime_is_off() -> None:
    assert "setTelemetry(false)" in android.files(held())[f"src/main/{HOME}/OnnxRuntime.kt"]


def test_two_models_have_packages_and_assets_of_their_own() -> None:
    found = android.files(held())
    assert 'FOLDER = "edgemodel/clothes_onnx"' in found[f"src/main/{HOME}/Android.kt"]


def test_names_of_inputs_are_text_in_kotlin() -> None:
    odd: dict[str, Any] = {"inputs": [tensor('a "$b"', 6)]}
    assert r'mapOf("a \"\$b\"" to floatArray)' in android.files(held(**odd))["README.md"]


def test_files_that_android_does_not_run_are_refused() -> None:
    assert plugins.declared("apps", "android").formats == android.FORMATS
    assert not android.unfit(held()) and not android.unfit(held("tflite"))
    loose = {"inputs": [{**tensor("image", 3, 32, 32), "shape": [-1, 3, 32, 32]}]}
    assert "fixed shapes" in android.unfit(held("tflite", **loose))[0] and not android.unfit(held(**loose))
    unsigned = {"inputs": [tensor("image", 3, 32, 32, dtype="uint8", scale=0.1)]}
    assert "no uint8 tensors" in android.unfit(held("tflite", **unsigned))[0] and not android.unfit(held(**unsigned))
    assert "float16" in android.unfit(held(inputs=[tensor("image", 3, dtype="float16")]))[0]


def test_the_code_of_the_page_is_that_of_the_folder() -> None:
    _, code = (text for kind, _, _, text in blocks(ROOT / "docs/android-app.md") if kind == "kotlin")
    sources = "".join(
        android.files(held())[f"src/main/{HOME}/{name}.kt"] for name in ("Android", "Answers", "Classifier")
    )
    for name in ("load", "classify", "close"):
        assert f"{name}(" in code and re.search(rf"fun (Classifier\.)?{name}\(", sources)
    for name in ("answer", "accepted", "label", "confidence"):
        assert name in code and f"val {name}:" in sources
