import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd import jobs, plugins
from edgekd.errors import DeviceError, EdgekdError, NotVerified
from edgekd.results import Artifact, DeviceFacts, GoldenSet
from edgekd.stages import golden
from edgekd.workspace import locate
from tests import small


@pytest.fixture(scope="module")
def facts() -> DeviceFacts:
    return small.device_facts()


@pytest.fixture
def store(tmp_path: Path) -> small.Store:
    return small.Store(tmp_path)


def opened(store: small.Store, found: GoldenSet) -> tuple[Path, dict[str, object], dict[str, np.ndarray]]:
    folder = locate(store.entries, found.folder)
    arrays = dict(np.load(folder / "golden.npz", allow_pickle=False))
    return folder, json.loads((folder / "golden.json").read_text()), arrays


def test_images_are_recorded_raw_prepared_and_encoded(store: small.Store, facts: DeviceFacts) -> None:
    made = small.artifact(store, images=True)
    found = small.golden_set(store, made, facts)
    folder, page, arrays = opened(store, found)
    assert sorted(path.name for path in folder.iterdir()) == [
        "alpha.png", "golden.json", "golden.npz", "odd-size.png", "turned.jpg",
    ]  # fmt: skip
    assert arrays["runtime:logits"].shape == (8, 3) and arrays["image:runtime:logits"].shape == (3, 3)
    assert arrays["image:canvas"].shape == (3, 12, 12, 1) and arrays["image:input"].shape == (3, 1, 12, 12)
    assert page["missing"] == "" and page["runtime"] == facts.runtimes["onnx"]
    assert page["signature"] == made.signature.model_dump(mode="json") and page["model"]["sha256"] == made.file.sha256
    assert found.tolerance == page["tolerance"] == pytest.approx(1e-3 * np.abs(arrays["runtime:logits"]).max())
    assert not list(folder.parent.glob("job*")), "no job is left in the entry"


def test_the_runtime_decoded_what_was_recorded(store: small.Store, facts: DeviceFacts) -> None:
    *_, arrays = opened(store, small.golden_set(store, small.artifact(store, images=True), facts))
    weights = small.numpy_helper.to_array(small._weights("weights", 144, 3))
    for kind in ("", "image:"):
        flat = arrays["image:input" if kind else "input:image"].reshape(-1, 144)
        np.testing.assert_allclose(arrays[f"{kind}runtime:logits"], flat @ weights, atol=1e-4)


def test_ids_and_a_mask_have_tensors_only(store: small.Store, facts: DeviceFacts) -> None:
    folder, page, arrays = opened(store, small.golden_set(store, small.artifact(store, images=False), facts))
    assert sorted(path.name for path in folder.iterdir()) == ["golden.json", "golden.npz"]
    assert page["images"] == [] and arrays["input:ids"].dtype == np.int64 and arrays["runtime:logits"].shape == (8, 3)


@pytest.fixture
def without(facts: DeviceFacts, monkeypatch: pytest.MonkeyPatch):
    """The facts of this computer, where onnx cannot run."""
    runtimes = {name: version for name, version in facts.runtimes.items() if name != "onnx"}
    absent = facts.model_copy(update={"runtimes": runtimes, "missing": {"onnx": "it is away"}})
    monkeypatch.setattr(jobs.Reached, "facts", lambda self: absent)
    return absent


def test_a_format_that_cannot_run_here_says_so(store: small.Store, without: DeviceFacts) -> None:
    _, page, arrays = opened(store, small.golden_set(store, small.artifact(store, images=True), without))
    assert "onnx cannot run on this computer" in page["missing"] and page["basis"] == "not measured"
    assert not [name for name in arrays if "runtime" in name] and "output:logits" in arrays


def by_definition(monkeypatch: pytest.MonkeyPatch, evaluator: Callable[..., object]) -> None:
    """Give onnx a reference evaluator."""
    declared = plugins.declared("formats", "onnx")
    monkeypatch.setattr(plugins, "declared", lambda *_: replace(declared, reference=True))
    find = plugins.find
    fake = SimpleNamespace(evaluator=evaluator)
    monkeypatch.setattr(plugins, "find", lambda kind, name: fake if kind == "formats" else find(kind, name))


def test_where_it_cannot_run_the_formats_evaluator_records(
    store: small.Store, without: DeviceFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = small.numpy_helper.to_array(small._weights("weights", 144, 3))
    by_definition(monkeypatch, lambda *_: lambda given: {"logits": given["image"].reshape(-1, 144) @ weights})
    _, page, arrays = opened(store, small.golden_set(store, small.artifact(store, images=True), without))
    assert page["missing"] == "" and page["basis"] == "reference"
    for kind, count in (("", 8), ("image:", 3)):
        expected = arrays["image:input" if kind else "input:image"].reshape(-1, 144) @ weights
        np.testing.assert_allclose(arrays[f"{kind}runtime:logits"], expected)
        assert len(expected) == count


def test_an_operator_without_a_rule_leaves_nothing_recorded(
    store: small.Store, without: DeviceFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluator(*_: object) -> object:
        raise NotVerified("no rule for lstm")

    by_definition(monkeypatch, evaluator)
    _, page, arrays = opened(store, small.golden_set(store, small.artifact(store, images=True), without))
    assert page["missing"].endswith("not verified: no rule for lstm") and page["basis"] == "not measured"
    assert not [name for name in arrays if "runtime" in name]


def test_the_same_step_gives_the_same_bytes(store: small.Store, facts: DeviceFacts) -> None:
    made = small.artifact(store, images=True)
    one, two = small.golden_set(store, made, facts), small.golden_set(store, made, facts)
    assert one.folder.sha256 == two.folder.sha256 and one.tolerance == two.tolerance


def test_another_device_or_other_golden_vectors_are_refused(store: small.Store, facts: DeviceFacts) -> None:
    made = small.artifact(store, images=True)
    with pytest.raises(DeviceError, match="not the device"):
        small.golden_set(store, made, facts.model_copy(update={"fingerprint": "other"}))
    words = small.artifact(store, images=False)
    mixed = Artifact.model_validate(made.model_dump() | {"golden": words.golden.model_dump()})
    with pytest.raises(EdgekdError, match="no samples of the input image"):
        small.golden_set(store, mixed, facts)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 2.0), st.integers(-40, 40))
def test_int8_tolerance_finds_the_step_of_a_grid(seed: int, step: float, zero: int) -> None:
    codes = np.random.default_rng(seed).integers(-128, 128, (8, 10))
    codes[0, :2] = 3, 4
    outputs = ((codes - zero) * step).astype(np.float32)
    value, why = golden.tolerance(outputs, "int8")
    assert value == pytest.approx(golden.STEPS * step, rel=1e-3) and "grid" in why


def test_int8_tolerance_without_a_grid_is_8_bits_of_the_range() -> None:
    outputs = np.random.default_rng(0).normal(size=(8, 10)).astype(np.float32)
    value, why = golden.tolerance(outputs, "int8")
    assert value == pytest.approx(golden.STEPS * np.ptp(outputs) / 255) and "no grid" in why
    assert golden.tolerance(outputs, "int8", 0.25)[0] == golden.STEPS * 0.25


def test_a_constant_output_still_has_a_tolerance() -> None:
    for precision in ("float32", "float16", "int8"):
        assert golden.tolerance(np.zeros((8, 3), np.float32), precision)[0] > 0
