"""A full disk and folders that must not be written: status 1 or 2, one sentence, and the build goes on afterwards."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import toy

ROOM = 2 * 1024**3
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


def mount(*arguments: str) -> bool:
    """Whether a mount command worked; only an administrator of a Linux may."""
    return bool(shutil.which("mount")) and not subprocess.run(["mount", *arguments], capture_output=True).returncode


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, in memory: large, until `full` makes it as small as what is on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)):
        pytest.skip("only an administrator of a Linux can mount a disk to fill it")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def full(disk: Path) -> None:
    (disk / "something").write_bytes(b"x")  # a tmpfs of size 0 would be one without limit
    assert mount("-o", f"remount,size={shutil.disk_usage(disk).used}", str(disk))
    assert shutil.disk_usage(disk).free == 0


def test_a_disk_that_is_nearly_full_is_told_before_anything_is_spent(finished: Path, disk: Path) -> None:
    assert mount("-o", "remount,size=1M", str(disk))
    status, said = toy.build(finished / "task/toy.toml", disk)
    assert status == 1, said
    assert "left and a build wants" in said and "edgekd store gc --keep" in said
    assert "Traceback" not in said and not toy.manifests(disk / "store")


@pytest.mark.parametrize("stage", ["label", "convert"])  # a fresh process, and one of a fork server
def test_a_disk_that_fills_up_ends_the_step_and_the_build_goes_on_afterwards(
    finished: Path, tmp_path: Path, disk: Path, stage: str
) -> None:
    home, recipe = tmp_path / "home", finished / "task/toy.toml"
    gone = toy.answers_of(stage, finished)[-1]
    store = toy.copy(finished / "store", disk, gone)
    running = toy.start(recipe, home, "--store", str(store))
    assert toy.soon((store / "work" / gone / "request.json").is_file, 60)
    full(disk)
    assert running.wait(60) == 1
    said = (home / "said.txt").read_text()
    assert "Traceback" not in said and "this is a bug" not in said
    assert "No space left on device" in said or "is full" in said, said
    assert str(store) in said and "edgekd store gc --keep" in said
    toy.check_entries(store)
    assert gone not in toy.manifests(store) and not (home / "run").exists()
    assert mount("-o", f"remount,size={ROOM}", str(disk))
    status, said = toy.build(recipe, home, "--store", str(store))
    assert status == 0 and toy.report(home)["steps_run"] == 1, said


def test_a_run_folder_on_a_full_disk_is_one_sentence(finished: Path, tmp_path: Path, disk: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    toy.copy(finished / "store", home)
    full(disk)
    status, said = toy.build(finished / "task/toy.toml", home, "--out", str(disk / "run"))
    assert status == 1
    assert "No space left on device" in said and str(disk / "run") in said and "--out" in said
    assert "Traceback" not in said and "this is a bug" not in said


def obeying() -> None:
    """In a child process: an administrator who has to keep to permissions like everybody."""
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
        os._exit(77)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be written."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    probe = [sys.executable, "-c", "import os, sys; sys.exit(os.access(sys.argv[1], os.W_OK))", str(folder)]
    if subprocess.run(probe, preexec_fn=obeying).returncode:
        pytest.skip("this user may write everywhere")
    yield folder
    folder.chmod(0o755)


@pytest.mark.parametrize(("flag", "status"), [("--store", 1), ("--out", 2)])
def test_a_folder_without_permission_is_told_before_anything_is_spent(
    finished: Path, tmp_path: Path, locked: Path, flag: str, status: int
) -> None:
    arguments = ["build", str(finished / "task/toy.toml"), *toy.BUDGET, flag, str(locked / "there")]
    done = toy.ask(*arguments, home=tmp_path / "home", preexec_fn=obeying)
    assert done.returncode == status, done.stderr
    assert str(locked) in done.stderr and flag in done.stderr and "this is a bug" not in done.stderr
    assert not list(locked.iterdir()) and not (tmp_path / "home/store/entries").exists()


def test_a_store_that_may_be_read_but_not_written_is_told(finished: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    store = toy.copy(finished / "store", home, toy.answers_of("label", finished)[0])
    (store / "work").chmod(0o555)
    arguments = ["build", str(finished / "task/toy.toml"), *toy.BUDGET, "--out", str(home / "run")]
    done = toy.ask(*arguments, home=home, preexec_fn=obeying)
    (store / "work").chmod(0o755)
    assert done.returncode == 1, done.stderr
    assert f"cannot write the store at {store}: Permission denied" in done.stderr
    assert not (home / "run").exists()
