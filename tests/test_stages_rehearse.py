from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import DeviceError
from edgekd.results import Artifact, DeviceFacts, Rehearsed
from edgekd.stages import rehearse
from edgekd.steps import Rehearse
from edgekd.workspace import locate
from tests import small


@pytest.fixture(scope="module")
def facts() -> DeviceFacts:
    return small.device_facts()


@pytest.fixture
def store(tmp_path: Path) -> small.Store:
    return small.Store(tmp_path)


def rehearsed(store: small.Store, made: Artifact, facts: DeviceFacts, outputs: np.ndarray | None = None) -> Rehearsed:
    """The answer, once torch's outputs are those of the file itself, or as given."""
    path = locate(store.entries, made.golden)
    arrays = dict(np.load(path, allow_pickle=False))
    if outputs is not None:
        np.savez(path, **(arrays | {"output:logits": outputs}))
    step = Rehearse(artifact=made, device=small.THIS, fingerprint=facts.fingerprint, runtime=facts.runtimes["onnx"])
    return rehearse.run(step, store.entry())


def right(store: small.Store, made: Artifact) -> np.ndarray:
    arrays = np.load(locate(store.entries, made.golden), allow_pickle=False)
    return arrays["input:image"].reshape(-1, 144) @ small.numpy_helper.to_array(small._weights("weights", 144, 3))


def test_a_file_that_gives_what_torch_gives_has_no_fault(store: small.Store, facts: DeviceFacts) -> None:
    made = small.artifact(store, images=True)
    found = rehearsed(store, made, facts, right(store, made))
    assert found.fault == "" and found.basis == "measured" and 0 <= found.relative_error < 1e-4


@pytest.mark.parametrize(
    ("precision", "change", "fault"),
    [
        ("float32", 1.01, "its relative error to torch is 0.0099; float32 may have 0.001"),
        ("float16", 1.01, ""),
        ("float16", 1.05, "float16 may have 0.02"),
        ("int8", 1.05, ""),
        ("int8", -1.0, ""),
    ],
)
def test_how_far_it_may_be_depends_on_the_precision(
    store: small.Store, facts: DeviceFacts, precision: str, change: float, fault: str
) -> None:
    made = small.artifact(store, images=True, precision=precision)
    found = rehearsed(store, made, facts, change * right(store, made)).fault
    assert fault in found and bool(found) is bool(fault)


def test_outputs_that_do_not_fit_are_named(store: small.Store, facts: DeviceFacts) -> None:
    made = small.artifact(store, images=True)
    assert "logits has the shape [8, 3], torch gives [8, 4]" in rehearsed(store, made, facts, np.ones((8, 4))).fault


def test_a_file_that_does_not_load_is_a_fault(store: small.Store, facts: DeviceFacts) -> None:
    made = small.artifact(store, images=True)
    locate(store.entries, made.file).write_bytes(b"no model")
    found = rehearsed(store, made, facts)
    assert found.fault.startswith("it does not run: ") and found.relative_error is None


@pytest.mark.parametrize(("values", "fault"), [(np.nan, "is not finite"), (1.0, "is the same for every input")])
def test_broken_outputs_are_a_fault(values: float, fault: str, store: small.Store) -> None:
    made, torch = small.artifact(store, images=True), np.random.default_rng(0).normal(0, 1, (8, 3))
    found = rehearse.judged(made, {"logits": np.full((8, 3), values)}, {"output:logits": torch}, "measured")
    assert fault in found.fault
    constant = rehearse.judged(made, {"logits": np.ones((8, 3))}, {"output:logits": np.ones((8, 3))}, "measured")
    assert constant.fault == "", "torch's own outputs are constant too"


def test_another_device_than_the_one_asked_about_is_an_error(store: small.Store, facts: DeviceFacts) -> None:
    made = small.artifact(store, images=True)
    step = Rehearse(artifact=made, device=small.THIS, fingerprint="another", runtime=facts.runtimes["onnx"])
    with pytest.raises(DeviceError, match="is not the device"):
        rehearse.run(step, store.entry())
