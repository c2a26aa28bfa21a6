"""The way to TFLite by ONNX: what is said where its tool is missing, too old or fails. The tool itself: e2e."""

from pathlib import Path

import pytest

from edgekd.errors import UsageError
from edgekd.litert import by_onnx
from edgekd.results import Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec(name="ids", shape=(-1, 4), dtype="int64"),), outputs=(TensorSpec(name="logits", shape=(-1, 3)),)
)


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A command of the tool's name in PATH, which is not the tool."""
    command = folder / "bin" / by_onnx.TOOL
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")


def test_without_the_tool_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"onnx2tf is not installed.*pipx install onnx2tf"):
        by_onnx.float32(tmp_path / "model.onnx", SIGNATURE, tmp_path / "made")


def test_a_version_that_wants_tensorflow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(tmp_path, monkeypatch, "echo 1.29.24")
    with pytest.raises(UsageError, match=r"onnx2tf 1\.29\.24 wants TensorFlow.*2\.4 or newer"):
        by_onnx.float32(tmp_path / "model.onnx", SIGNATURE, tmp_path / "made")


def test_where_it_fails_its_last_word_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(tmp_path, monkeypatch, 'test "$1" = --version && echo 2.6.9 && exit; echo no such operator: Foo; exit 3')
    with pytest.raises(RuntimeError, match=r"^no such operator: Foo$"):
        by_onnx.float32(tmp_path / "model.onnx", SIGNATURE, tmp_path / "made")
