"""Weights from files: what is taken, and what each wrong file is told."""

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from edgekd import files
from edgekd.errors import UsageError
from edgekd.nets.weights import load_weights


def network(seed: int, inner: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, inner), nn.BatchNorm1d(inner), nn.Linear(inner, 2))


def same(one: nn.Module, two: nn.Module) -> bool:
    left, right = one.state_dict(), two.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def refusal(path: Path, module: nn.Module | None = None, sha256: str = "") -> str:
    with pytest.raises(UsageError) as caught:
        load_weights(module or network(1), path, sha256)
    assert str(path) in str(caught.value)
    return str(caught.value)


WRAPPED = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "twice": lambda s: {"model": {"state_dict": s}},
    "parallel": lambda s: {f"module.{k}": v for k, v in s.items()},
    "compiled": lambda s: {"model": {f"_orig_mod.module.{k}": v for k, v in s.items()}},
    "lightning": lambda s: {"state_dict": {f"net.{k}": v for k, v in s.items()}, "lr": 0.1},
    "no counters": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("shape", WRAPPED)
def test_wrappers_and_prefixes_are_taken_off(tmp_path: Path, shape: str) -> None:
    torch.save(WRAPPED[shape](network(0).state_dict()), tmp_path / "w.pt")
    module = network(1)
    load_weights(module, tmp_path / "w.pt")
    assert same(module, network(0))


@pytest.mark.parametrize("name", ["w.safetensors", "renamed.bin"])
def test_safetensors_are_known_by_their_content(tmp_path: Path, name: str) -> None:
    save_file(network(0).state_dict(), tmp_path / name)
    module = network(1)
    load_weights(module, tmp_path / name, files.digest(tmp_path / name))
    assert same(module, network(0))


@given(st.lists(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), max_size=3))
def test_any_common_prefix_comes_off(prefixes: list[str]) -> None:
    from_file = network(0).state_dict()
    for prefix in prefixes:
        from_file = {f"{prefix}.{key}": value for key, value in from_file.items()}
    module = network(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.safetensors"
        save_file(from_file, path)
        load_weights(module, path)
    assert same(module, network(0))


def test_half_precision_weights_fill_a_float_network(tmp_path: Path) -> None:
    torch.save(network(0).half().state_dict(), tmp_path / "w.pt")
    module = network(1)
    load_weights(module, tmp_path / "w.pt")
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert same(module, network(0).half().float())


def test_missing_unexpected_and_mismatched_weights_are_named_all_at_once(tmp_path: Path) -> None:
    state = network(0, inner=5).state_dict()
    state["extra.weight"] = state.pop("2.bias")
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(UsageError) as caught:
        load_weights(network(1), tmp_path / "w.pt")
    lacks, has, shapes = (problem.message for problem in caught.value.problems)
    assert lacks == "lacks 1 of 9 weights: 2.bias (2,)"
    assert has == "has 1 weights that the network lacks: extra.weight (2,)"
    assert shapes.startswith("has 7 weights of another shape: 0.weight is (5, 3) in the file, (4, 3) in the network")
    assert shapes.endswith("and 4 more")


def test_modules_for_which_the_weights_are_not_begin_afresh(tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 7))
    torch.save({"model": {f"module.{k}": v for k, v in other.state_dict().items()}}, tmp_path / "w.pt")
    module, before = network(1), network(1)
    load_weights(module, tmp_path / "w.pt", fresh=("2",))
    assert torch.equal(module[0].weight, other[0].weight) and torch.equal(module[2].weight, before[2].weight)
    with pytest.raises(UsageError, match=r"has 2 weights of another shape: 2\.weight"):
        load_weights(module, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="fresh: the network has no module 'head'"):
        load_weights(module, tmp_path / "w.pt", fresh=("head",))


def test_a_network_is_left_alone_by_weights_that_do_not_fit(tmp_path: Path) -> None:
    torch.save(network(0, inner=5).state_dict(), tmp_path / "w.pt")
    module = network(1)
    refusal(tmp_path / "w.pt", module)
    assert same(module, network(1))


def test_a_whole_pickled_model_is_refused_with_the_fix(tmp_path: Path) -> None:
    torch.save(network(0), tmp_path / "w.pt")
    message = refusal(tmp_path / "w.pt")
    assert "whole pickled model" in message
    assert "torch.save(model.state_dict()" in message


class Planted:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("planted"),))


def test_code_in_a_file_of_weights_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": network(0).state_dict(), "args": Planted()}, tmp_path / "w.pt")
    assert "would run code" in refusal(tmp_path / "w.pt")
    assert not (tmp_path / "planted").exists()


def damaged(path: Path, kind: str) -> Path:
    torch.save(network(0).state_dict(), path)
    whole = path.read_bytes()
    contents = {
        "empty": b"",
        "text": b"not weights at all, but text" * 4,
        "cut short": whole[: len(whole) // 2],
        "flipped": whole[:200] + bytes([whole[200] ^ 255]) + whole[201:],
        "safetensors cut short": b"\x40\x00\x00\x00\x00\x00\x00\x00{",
    }
    path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize("kind", ["empty", "text", "cut short", "flipped", "safetensors cut short"])
def test_damaged_files_are_named(tmp_path: Path, kind: str) -> None:
    assert refusal(damaged(tmp_path / "w.pt", kind))


@pytest.mark.parametrize("content", [{"epoch": 3}, {}, [1, 2], {"state_dict": {}}])
def test_files_without_weights_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    assert "torch.save(model.state_dict()" in refusal(tmp_path / "w.pt")


def test_an_exported_program_is_not_weights(tmp_path: Path) -> None:
    program = torch.export.export(network(0).eval(), (torch.zeros(1, 3),))
    torch.export.save(program, tmp_path / "w.pt2")
    assert "archive without weights" in refusal(tmp_path / "w.pt2")


def test_a_missing_file_and_a_wrong_checksum(tmp_path: Path) -> None:
    assert "is not there" in refusal(tmp_path / "w.pt")
    torch.save(network(0).state_dict(), tmp_path / "w.pt")
    message = refusal(tmp_path / "w.pt", sha256="0" * 64)
    assert "0" * 64 in message
    assert files.digest(tmp_path / "w.pt") in message
