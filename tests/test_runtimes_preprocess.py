"""From encoded images to inputs: every mode, orientation and layout, and laws that hold for all images."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from edgekd.runtimes import preprocess
from edgekd.runtimes.preprocess import decode, prepare

PLAIN = {
    "canvas": 8,
    "size": 8,
    "channels": "rgb",
    "filter": "bilinear",
    "mean": (0.0,),
    "std": (1.0,),
    "layout": "NHWC",
}
FEW = settings(max_examples=25, deadline=None)


def encoded(image: Image.Image, format: str = "PNG", **more: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **more)
    return stream.getvalue()


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@FEW
@given(st.integers(1, 4), st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 99))
def test_prepare_is_the_identity_when_nothing_is_asked(count: int, side: int, channels: int, seed: int) -> None:
    images = noise((count, side, side, channels), seed)
    order = "gray" if channels == 1 else "rgb"
    got = prepare(images, PLAIN | {"canvas": side, "size": side, "channels": order})
    assert got.dtype == np.float32
    np.testing.assert_array_equal(np.round(got * 255).astype(np.uint8), images)
    np.testing.assert_array_equal(got, images.astype(np.float32) / np.float32(255))


@FEW
@given(
    st.sampled_from([1, 3]),
    st.sampled_from(["gray", "rgb", "bgr"]),
    st.sampled_from([5, 8, 11]),
    st.sampled_from(["bilinear", "bicubic", "lanczos", "box"]),
    st.sampled_from(["NCHW", "NHWC"]),
)
def test_a_batch_equals_its_images_one_by_one(stored: int, order: str, size: int, filter: str, layout: str) -> None:
    images = noise((3, 8, 8, stored))
    asked = PLAIN | {"size": size, "channels": order, "filter": filter, "layout": layout, "mean": (0.4,), "std": (0.2,)}
    singles = [prepare(images[i : i + 1], asked) for i in range(3)]
    np.testing.assert_array_equal(prepare(images, asked), np.concatenate(singles))


def test_layouts_agree() -> None:
    images = noise((2, 8, 8, 3))
    last = prepare(images, PLAIN | {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "size": 6})
    first = prepare(images, PLAIN | {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "size": 6, "layout": "NCHW"})
    assert first.shape == (2, 3, 6, 6) and first.flags.c_contiguous
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), last)


def test_mean_and_std_are_for_each_channel_after_255() -> None:
    image = np.full((1, 8, 8, 3), (255, 51, 0), np.uint8)
    got = prepare(image, PLAIN | {"mean": (0.5, 0.2, 0.25), "std": (0.5, 2.0, 0.5)})[0, 3, 4]
    np.testing.assert_allclose(got, [1.0, 0.0, -0.5], atol=1e-7)


def test_bgr_is_rgb_backwards_and_gray_is_pillows() -> None:
    images = noise((1, 8, 8, 3))
    np.testing.assert_array_equal(
        prepare(images, PLAIN | {"channels": "bgr"})[..., ::-1], prepare(images, PLAIN | {"channels": "rgb"})
    )
    gray = prepare(images, PLAIN | {"channels": "gray"})[0, :, :, 0]
    np.testing.assert_array_equal(np.round(gray * 255), np.asarray(Image.fromarray(images[0]).convert("L")))
    repeated = prepare(images[..., :1], PLAIN)
    assert repeated.shape == (1, 8, 8, 3) and (repeated == repeated[..., :1]).all()


@pytest.mark.parametrize(
    ("images", "changed", "message"),
    [
        (noise((1, 8, 9, 3)), {}, r"\(N, 8, 8, C\)"),
        (noise((1, 8, 8, 3)).astype(np.float32), {}, "uint8"),
        (noise((1, 8, 8, 4)), {}, "1 or 3 channels"),
        (noise((1, 8, 8, 3)), {"mean": (0.1, 0.2)}, "mean has 2 values for 3 channels"),
        (noise((1, 8, 8, 3)), {"channels": "hsv"}, "hsv"),
        (noise((1, 8, 8, 3)), {"filter": "sinc", "size": 4}, "sinc"),
    ],
)
def test_what_does_not_fit_is_refused(images: np.ndarray, changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(images, PLAIN | changed)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_undone(orientation: int, format: str) -> None:
    upright = Image.fromarray(np.kron(noise((2, 2, 3), 5), np.ones((8, 8, 1), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    # the stored pixels are those whose turning by `orientation` gives the upright picture: try all eight
    turned = [upright] + [upright.transpose(method) for method in Image.Transpose]
    lossless = {} if format == "PNG" else {"quality": 100}
    upright_again = []
    for image in turned:
        with_tag = Image.open(io.BytesIO(encoded(image, "PNG", exif=exif)))
        if np.array_equal(np.asarray(ImageOps.exif_transpose(with_tag)), np.asarray(upright)):
            upright_again.append(decode(encoded(image, format, exif=exif, **lossless), 16, "rgb"))
    assert len(upright_again) == 1
    difference = np.abs(upright_again[0].astype(int) - np.asarray(upright).astype(int))
    assert difference.mean() < (1 if format == "PNG" else 20)


def test_alpha_is_dropped_on_white() -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0], pixels[:2, :, 3], pixels[2:, :, 3] = 200, 255, 0
    got = decode(encoded(Image.fromarray(pixels)), 4, "rgb")
    assert (got[:2] == (200, 0, 0)).all() and (got[2:] == 255).all()
    half = np.full((4, 4, 2), (0, 128), np.uint8)
    assert (decode(encoded(Image.fromarray(half)), 4, "gray") == 127).all()


def test_transparent_colours_of_palette_gray_and_16_bit_become_white() -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 200, 0, 0])
    assert (decode(encoded(palette), 4, "rgb") == (200, 0, 0)).all()
    assert (decode(encoded(palette, transparency=1), 4, "rgb") == 255).all()
    gray = Image.new("L", (4, 4), 7)
    assert (decode(encoded(gray, transparency=7), 4, "gray") == 255).all()
    deep = Image.fromarray(np.full((4, 4), 1000, np.uint16))
    assert (decode(encoded(deep, transparency=1000), 4, "gray") == 255).all()


def test_16_bit_gray_is_scaled_not_clipped() -> None:
    values = np.array([[0, 257], [32896, 65535]], np.uint16)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(values)), 2, "gray")[:, :, 0], [[0, 1], [128, 255]])


def test_bilevel_cmyk_and_gray_images_decode() -> None:
    assert (decode(encoded(Image.new("1", (4, 4), 1)), 4, "gray") == 255).all()
    cmyk = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100), 8, "rgb")
    assert np.abs(cmyk.astype(int) - (255, 0, 0)).max() < 6
    gray = decode(encoded(Image.new("L", (4, 4), 77)), 4, "rgb")
    assert gray.shape == (4, 4, 3) and (gray == 77).all()


@FEW
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 7, 16]), st.sampled_from(["gray", "rgb"]))
def test_any_size_becomes_the_square(width: int, height: int, canvas: int, channels: str) -> None:
    got = decode(encoded(Image.fromarray(noise((height, width, 3))), "BMP"), canvas, channels)
    assert got.shape == (canvas, canvas, 1 if channels == "gray" else 3) and got.dtype == np.uint8


def test_the_centre_of_the_longer_side_is_kept() -> None:
    columns = np.arange(13, dtype=np.uint8) * 10
    wide = np.broadcast_to(columns, (8, 13))
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(wide.copy())), 8, "gray")[0, :, 0], columns[2:10])
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(wide.T.copy())), 8, "gray")[:, 0, 0], columns[2:10])


def test_a_long_strip_does_not_ask_for_gigabytes() -> None:
    assert decode(encoded(Image.new("RGB", (50_000, 1), "red")), 256, "rgb").shape == (256, 256, 3)


@pytest.mark.parametrize("data", [b"", b"no image", encoded(Image.new("RGB", (64, 64)))[:60], b"GIF89a" + bytes(40)])
def test_what_is_no_image_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a readable PNG, JPEG, WEBP, BMP image"):
        decode(data, 8, "rgb")


def test_a_path_is_read_and_a_missing_one_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (9, 5), "blue")))
    assert (decode(tmp_path / "a.png", 4, "rgb") == (0, 0, 255)).all()
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "b.png", 4, "rgb")
    with pytest.raises(ValueError, match="bgr"):
        decode(tmp_path / "a.png", 4, "bgr")


def test_without_pillow_tensors_still_pass_and_images_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "Image", None)
    assert prepare(noise((1, 8, 8, 3)), PLAIN).shape == (1, 8, 8, 3)
    for ask in (lambda: decode(b"", 8, "rgb"), lambda: prepare(noise((1, 8, 8, 3)), PLAIN | {"size": 4})):
        with pytest.raises(ModuleNotFoundError, match="pip install pillow"):
            ask()


def test_the_file_is_python_3_9() -> None:
    ast.parse(Path(preprocess.__file__).read_text(encoding="utf-8"), feature_version=(3, 9))
