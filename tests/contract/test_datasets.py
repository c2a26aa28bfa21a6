"""What every dataset plug-in must be and do; a new one is tested by being there."""

import gzip
import hashlib
import subprocess
import sys
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from tokenizers import Tokenizer, models, pre_tokenizers

from edgekd.errors import UsageError
from edgekd.plugins import Canvas, Source, declared, find, names
from edgekd.spec import Value

CANVAS = Canvas(12, "gray", "bilinear")
COUNTS = (20, 8)
Written = tuple[dict[str, Any], dict[str, Path]]


def part(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(seed).integers(0, 256, (count, 16, 14), dtype=np.uint8)
    return images, np.arange(count) % 4


def write_arrays(folder: Path, module: ModuleType, patch: pytest.MonkeyPatch) -> Written:
    for name, count in zip(("train", "test"), COUNTS, strict=True):
        image, y = part(count, count)
        np.savez(folder / f"{name}.npz", image=image, y=y)
    return {}, {name: folder / f"{name}.npz" for name in ("train", "test")}


def write_folder(folder: Path, module: ModuleType, patch: pytest.MonkeyPatch) -> Written:
    for name, count in zip(("folder", "test"), COUNTS, strict=True):
        for i, (image, label) in enumerate(zip(*part(count, count), strict=True)):
            (folder / name / f"class{label}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / name / f"class{label}" / f"{i}.png")
    return {}, {name: folder / name for name in ("folder", "test")}


def write_python(folder: Path, module: ModuleType, patch: pytest.MonkeyPatch) -> Written:
    body = "".join(
        f"    i = np.random.default_rng({n}).integers(0, 256, ({n}, 16, 14), dtype=np.uint8)\n"
        f'    d["{name}"] = {{"image": i, "y": np.arange({n}) % 4}}\n'
        for name, n in zip(("train", "test"), COUNTS, strict=True)
    )
    (folder / "data.py").write_text(f"import numpy as np\n\ndef make():\n    d = {{}}\n{body}    return d\n")
    return {"make": "data:make"}, {"make": folder / "data.py"}


def write_fashion_mnist(folder: Path, module: ModuleType, patch: pytest.MonkeyPatch) -> Written:
    digests = {}
    for prefix, count in zip(("train", "t10k"), COUNTS, strict=True):
        images, labels = part(count, count)
        for name, values in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
            header = bytes([0, 0, 8, values.ndim]) + b"".join(side.to_bytes(4, "big") for side in values.shape)
            content = header + values.tobytes()
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
            digests[f"{prefix}-{name}-ubyte.gz"] = hashlib.sha256(content).hexdigest()
    patch.setattr(module, "DIGESTS", digests)
    return {}, {"folder": folder}


def write_texts(folder: Path, module: ModuleType, patch: pytest.MonkeyPatch) -> Written:
    words = {word: i for i, word in enumerate(("[PAD]", "[UNK]", "good", "bad", "film", "dull", "bright"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, count in zip(("train", "test"), COUNTS, strict=True):
        lines = [f"class{i % 4}\tgood film number {name} {i}\n" for i in range(count)]
        (folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    return {"length": 8}, {name: next(folder.glob(f"{name}.*")) for name in ("train", "test", "tokenizer")}


def write_sounds(folder: Path, module: ModuleType, patch: pytest.MonkeyPatch) -> Written:
    random = np.random.default_rng(0)
    for name, count in zip(("folder", "test"), COUNTS, strict=True):
        for i in range(count):
            path = folder / name / f"class{i % 4}" / f"{i}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 4000, 0, "NONE", ""))
                file.writeframes(random.integers(-999, 999, 1000).astype("<i2").tobytes())
    return {"seconds": 0.25, "mels": 8}, {name: folder / name for name in ("folder", "test")}


WRITERS: Mapping[str, Callable[[Path, ModuleType, pytest.MonkeyPatch], Written]] = {
    "arrays": write_arrays,
    "folder": write_folder,
    "python": write_python,
    "fashion_mnist": write_fashion_mnist,
    "texts": write_texts,
    "sounds": write_sounds,
}


@pytest.fixture(params=names("datasets"))
def plugin(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, find("datasets", request.param)


def read(plugin: tuple[str, Any], folder: Path, patch: pytest.MonkeyPatch, canvas: Canvas | None = CANVAS) -> Source:
    name, module = plugin
    settings, files = WRITERS[name](folder, module, patch)
    chosen = module.Settings(**{key: str(path) for key, path in files.items()} | settings)
    source = module.read(chosen, files, canvas, False)
    assert isinstance(source, Source)
    return source


def test_it_declares_itself(plugin: tuple[str, Any]) -> None:
    name, module = plugin
    said = declared("datasets", name)
    assert said.version >= 1 and "numpy" in said.packages and said.summary.endswith(".")
    assert issubclass(module.Settings, Value)
    assert {*said.files, *said.code} <= set(module.Settings.model_fields) and (said.files or said.code)
    with pytest.raises(ValidationError):
        module.Settings.model_validate({"no_such_setting": 1})


def test_it_imports_no_torch() -> None:
    modules = ", ".join(f"edgekd.datasets.{name}" for name in names("datasets"))
    code = f"import sys, {modules}, edgekd.stages.split\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_samples_are_as_the_contract_says(
    plugin: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = read(plugin, tmp_path, monkeypatch)
    assert source.test is not None
    for pool, count in ((source.train, COUNTS[0]), (source.test, COUNTS[1])):
        for array in pool.inputs.values():
            assert len(array) == count and array.dtype.kind in "biuf" and array[0].size
        if "image" in pool.inputs:
            assert pool.inputs["image"].shape == (count, 12, 12, 1) and pool.inputs["image"].dtype == np.uint8
        assert pool.groups is None or len(pool.groups) == count
        assert pool.labels.shape == (count,) and pool.labels.dtype == np.int64
        assert (pool.labels >= 0).all() and (pool.labels < len(source.classes)).all()
        assert len(pool.names) in (0, count)
        assert np.bincount(pool.labels)[:4].tolist() == [count // 4] * 4


def test_what_it_makes_of_other_things_has_a_front_end(
    plugin: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = read(plugin, tmp_path, monkeypatch)
    assert bool(source.front_ends) == bool(source.attached) == (plugin[0] in ("texts", "sounds"))
    assert set(source.front_ends) <= set(source.train.inputs)
    assert all("/" not in name and content for name, content in source.attached.items())


def test_reading_again_gives_the_same(plugin: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (read(plugin, tmp_path, monkeypatch).train for _ in range(2))
    for name, array in first.inputs.items():
        np.testing.assert_array_equal(array, second.inputs[name])
    np.testing.assert_array_equal(first.labels, second.labels)


def test_all_plugins_make_the_same_pixels(
    plugin: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = read(plugin, tmp_path, monkeypatch).train.inputs
    if "image" not in inputs:
        pytest.skip("it reads no images")
    got = inputs["image"]
    (tmp_path / "reference").mkdir()
    arrays = find("datasets", "arrays")
    expected = read(("arrays", arrays), tmp_path / "reference", monkeypatch).train.inputs["image"]
    assert sorted(image.tobytes() for image in got) == sorted(image.tobytes() for image in expected)


def test_missing_files_are_a_usage_error(plugin: tuple[str, Any], tmp_path: Path) -> None:
    name, module = plugin
    said = declared("datasets", name)
    required = [key for key in (*said.files, *said.code) if module.Settings.model_fields[key].is_required()] or [
        "folder"
    ]
    values = {key: "gone:make" if key in said.code else str(tmp_path / "gone") for key in required}
    files = dict.fromkeys(required, tmp_path / "gone")
    with pytest.raises(UsageError) as caught:
        module.read(module.Settings(**values), files, CANVAS, False)
    assert all(problem.where.startswith("data.") and "gone" in str(problem) for problem in caught.value.problems)
