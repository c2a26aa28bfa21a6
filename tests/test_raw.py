"""What stands before raw inputs is what runtimes/preprocess.py does, in torch and in ONNX alike."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgekd.errors import UsageError
from edgekd.ort.fronts import with_fronts
from edgekd.raw import sensors
from edgekd.raw.front import fronts
from edgekd.raw.network import RawPixels, RawWave
from edgekd.results import AUDIO_SCALE, Preprocess, Signature, TensorSpec
from edgekd.runtimes import preprocess, tensors

LOGITS = (TensorSpec(name="logits", shape=(-1, 3)),)
LEVEL = 1 / 255


def signature(how: Preprocess, stored: int) -> Signature:
    """A network that takes one picture, with raw input."""
    channels = 1 if how.channels == "gray" else 3
    prepared = TensorSpec(name="image", shape=(-1, channels, how.size, how.size), preprocess=how)
    pixels = np.zeros((1, how.canvas, how.canvas, stored), np.uint8)
    return sensors.raw(Signature(inputs=(prepared,), outputs=LOGITS), {"image": [pixels]})


@st.composite
def cases(draw: st.DrawFn) -> tuple[Preprocess, np.ndarray]:
    """A preprocessing and pictures for it: noise and flat ones, where every rounding is seen."""
    channels = draw(st.sampled_from(("gray", "rgb", "bgr")))
    count = 1 if channels == "gray" else 3
    numbers = st.tuples(*[st.floats(0.05, 0.95)] * count)
    canvas = draw(st.integers(4, 40))
    how = Preprocess(
        canvas=canvas, size=draw(st.one_of(st.just(canvas), st.integers(3, canvas))), channels=channels,
        filter=draw(st.sampled_from(preprocess.FILTERS)), mean=draw(numbers), std=draw(numbers),
    )  # fmt: skip
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    stored = draw(st.sampled_from((1, 3)))
    pictures = random.integers(0, 256, (3, canvas, canvas, stored)).astype(np.uint8)
    pictures[0] = random.integers(0, 256)
    return how, pictures


def in_onnx(wanted: Signature, prepared: tuple[int, ...], folder: Path) -> onnxruntime.InferenceSession:
    """A file that gives its prepared input back, once raw input was put before it."""
    (spec,) = wanted.inputs
    given, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *prepared]) for name in (spec.name, "logits")
    )
    graph = helper.make_graph([helper.make_node("Identity", [spec.name], ["logits"])], "same", [given], [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "given.onnx")
    with_fronts(folder / "given.onnx", wanted, fronts(wanted), folder / "raw.onnx")
    return onnxruntime.InferenceSession(folder / "raw.onnx", providers=["CPUExecutionProvider"])


def check(found: np.ndarray, pictures: np.ndarray, how: Preprocess) -> None:
    """The same as preprocessing gives; of resized pictures some values that lie between two levels may be the other."""
    wanted = preprocess.prepare(pictures, how.model_dump())
    assert found.dtype == np.float32 and found.shape == wanted.shape
    gaps = np.abs(found - wanted) * np.array(how.std).reshape(-1, 1, 1)
    if how.size == how.canvas:
        assert gaps.max() < 1e-5
    else:
        assert gaps.max() < 2.01 * LEVEL and (gaps > 1e-5).mean() < 0.1
        assert gaps[0].max() < 1e-5, "a flat picture stays flat"


@settings(max_examples=30, deadline=None)
@given(case=cases())
def test_pixels_become_what_preprocessing_makes_of_them(case: tuple[Preprocess, np.ndarray]) -> None:
    how, pictures = case
    with torch.inference_mode():
        found = RawPixels(fronts(signature(how, pictures.shape[3]))["image"])(torch.from_numpy(pictures)).numpy()
    check(found, pictures, how)


@pytest.mark.parametrize("channels, stored, size", [("gray", 3, 12), ("rgb", 1, 8), ("bgr", 3, 8), ("rgb", 3, 12)])
def test_onnx_operators_do_the_same(channels: str, stored: int, size: int, tmp_path: Path) -> None:
    numbers = (0.4,) if channels == "gray" else (0.4, 0.3, 0.2)
    how = Preprocess(canvas=12, size=size, channels=channels, filter="bicubic", mean=numbers, std=numbers)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 12, 12, stored)).astype(np.uint8)
    pictures[0] = 77
    session = in_onnx(signature(how, stored), (len(numbers), size, size), tmp_path)
    check(session.run(None, {"image": pictures})[0], pictures, how)


def test_the_order_of_channels_and_the_filter_count() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3)).astype(np.uint8)
    seen = []
    for channels, filter in (("rgb", "bilinear"), ("bgr", "bilinear"), ("rgb", "box"), ("rgb", "lanczos")):
        how = Preprocess(canvas=20, size=10, channels=channels, filter=filter, mean=(0.5,) * 3, std=(0.2,) * 3)
        with torch.inference_mode():
            seen.append(RawPixels(fronts(signature(how, 3))["image"])(torch.from_numpy(pictures)).numpy())
    np.testing.assert_allclose(seen[0][:, ::-1], seen[1], atol=1e-6)
    assert min(np.abs(seen[0] - other).max() for other in seen[1:]) > LEVEL


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=50))
def test_16_bit_audio_is_known_and_comes_back_exactly(levels: list[int]) -> None:
    samples = np.array([levels], np.int16)
    floats = (samples / 2**15).astype(np.float32)
    assert sensors.is_audio(floats)
    prepared = TensorSpec(name="wave", shape=(-1, len(levels)))
    raw = sensors.raw(Signature(inputs=(prepared,), outputs=LOGITS), {"wave": [floats]})
    (spec,) = raw.inputs
    assert (spec.dtype, spec.scale, spec.is_raw, prepared.is_raw) == ("int16", AUDIO_SCALE, True, False)
    given = tensors.encode(floats, spec.model_dump())
    assert given.dtype == np.int16 and (given == samples).all()
    assert (tensors.encode(samples, spec.model_dump()) == samples).all(), "16-bit samples are fed as they are"
    assert (RawWave(fronts(raw)["wave"])(torch.from_numpy(samples)).numpy() == floats).all()


@pytest.mark.parametrize("values", [[0.3], [1.0], [-1.1], [1 / 2**16], [3.0]])
def test_other_floats_are_no_audio(values: list[float]) -> None:
    assert not sensors.is_audio(np.array([values], np.float32))


def test_data_without_a_sensor_is_refused_with_what_each_input_is() -> None:
    specs = (
        TensorSpec(name="ids", shape=(-1, 4), dtype="int64"),
        TensorSpec(name="mask", shape=(-1, 4), dtype="bool"),
        TensorSpec(name="x", shape=(-1, 4)),
    )
    stored = {"ids": [np.ones((2, 4), np.int64)], "mask": [np.ones((2, 4), bool)], "x": [np.full((2, 4), 0.3)]}
    with pytest.raises(UsageError) as caught:
        sensors.raw(Signature(inputs=specs, outputs=LOGITS), stored)
    (problem,) = caught.value.problems
    assert problem.where == "--input raw" and "default" in problem.hint
    for words in ("ids is int64, ids or a mask", "mask is bool", "x is float32, and not the 16 bits of audio"):
        assert words in problem.message
    # beside a picture they stay as they are
    how = Preprocess(canvas=8, size=8, channels="rgb", filter="box", mean=(0.5,) * 3, std=(0.5,) * 3)
    picture = TensorSpec(name="image", shape=(-1, 3, 8, 8), preprocess=how)
    pixels = {"image": [np.zeros((2, 8, 8, 3), np.uint8)]}
    made = sensors.raw(Signature(inputs=(picture, *specs), outputs=LOGITS), stored | pixels)
    assert made.inputs[1:] == specs and made.inputs[0].shape == (-1, 8, 8, 3)


@pytest.mark.parametrize("dtype", ["int16", "uint8"])
def test_what_the_network_takes_from_its_sensor_already_stays(dtype: str) -> None:
    given = Signature(inputs=(TensorSpec(name="wave", shape=(-1, 9), dtype=dtype),), outputs=LOGITS)
    made = sensors.raw(given, {"wave": [np.zeros((2, 9), dtype)]})
    assert made == given and not fronts(made)
