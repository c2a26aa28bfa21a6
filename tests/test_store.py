"""The store: answers by question, whole or absent, checked on reading, shared by several builds."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgekd import files
from edgekd.errors import StoreError, UsageError
from edgekd.keys import key
from edgekd.spec import KEY, Choice, Data, Device, Student, UserFile
from edgekd.steps import Count, Each, Probe, Split
from edgekd.store import Event, Store


def arrays(folder: Path, count: int = 120, seed: int = 0) -> UserFile:
    """A small labelled set of integer ids with a mask: no images anywhere."""
    random = np.random.default_rng(seed)
    path = folder / "toy.npz"
    labels = np.arange(count) % 3
    ids = random.integers(0, 20, (count, 8)) + 20 * labels[:, None]
    np.savez(path, ids=ids.astype(np.int64), mask=np.ones((count, 8), np.float32), y=labels)
    return UserFile(path=str(path), sha256=files.digest(path))


def split(file: UserFile, seed: int = 0) -> Split:
    source = Choice(name="arrays", settings={"train": file.path}, files={"train": file})
    return Split(data=Data(source=source, validation=30, calibration=10), images=(), seed=seed)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def store(tmp_path: Path, events: list[Event]):
    with Store(tmp_path / "store", events.append) as opened:
        yield opened


def test_answers_once_and_then_from_what_it_knows(store: Store, tmp_path: Path, events: list[Event]) -> None:
    step = split(arrays(tmp_path))
    (first,) = store.do(step)
    with Store(store.root, events.append) as again:
        (second,) = again.do(step)
        assert [record.cached for record in again.records] == [True]
    assert first == second
    assert [e.kind for e in events if e.kind in ("start", "done", "cached")] == ["start", "done", "cached"]


def test_an_attempt_has_the_error_in_the_place_of_the_answer(store: Store, tmp_path: Path) -> None:
    good = split(arrays(tmp_path))
    missing = good.data.source.model_copy(update={"settings": {"train": "no.npz"}, "files": {}})
    bad = good.model_copy(update={"data": good.data.model_copy(update={"source": missing})})
    first, error, again = store.attempt(good, bad, good)
    assert first == again == store.do(good)[0] and isinstance(error, UsageError)

    def policy():
        return (yield Each([bad, good]))

    found = store.follow(policy())
    assert isinstance(found[0], UsageError) and found[1] == first


def test_moving_a_user_file_costs_nothing_and_changing_it_asks_anew(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    assert key(split(arrays(here))) == key(split(arrays(there)))
    assert key(split(arrays(here))) != key(split(arrays(there, seed=1)))
    assert key(split(arrays(here))) != key(split(arrays(here), seed=1))


def test_moving_files_of_nested_plug_ins_costs_nothing_either(tmp_path: Path) -> None:
    def source(folder: str, sha256: str = "a") -> str:
        member = {"name": "onnx", "file": f"{folder}/a.onnx", "activation": "logits"}
        files = {"members.0.file": UserFile(path=f"{folder}/a.onnx", sha256=sha256)}
        choice = Choice(name="ensemble", settings={"members": [member]}, files=files)
        return choice.model_dump_json(context=KEY)

    assert source("here") == source("there") != source("here", "b")
    assert "logits" in source("here") and "a.onnx" not in source("here")


NETWORK = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(80, 4), nn.Linear(4, 3)

    def forward(self, ids, mask):
        return self.head((self.table(ids) * mask.unsqueeze(-1)).mean(1))

def build():
    return Net()
"""


def test_an_answer_follows_the_users_files_when_their_folder_moves(store: Store, tmp_path: Path) -> None:
    (splits,) = store.do(split(arrays(tmp_path)))
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "net.py").write_text(NETWORK)

    def count(folder: Path) -> Count:
        code = UserFile(path=str(folder / "net.py"), sha256=files.digest(folder / "net.py"), member="build")
        family = Choice(name="module", settings={"make": "net:build"}, files={"make": code})
        return Count(student=Student(family=family, search=False), teacher=None, splits=splits)

    store.do(count(here))
    here.rename(there)
    with Store(store.root) as again:
        (counted,) = again.do(count(there))
        assert again.records[0].cached
    assert counted.options[0].architecture.family.files["make"].path == str(there / "net.py")


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete", "{", "[]", "null", '{"sha256": []}'])
def test_a_damaged_answer_is_made_again(store: Store, tmp_path: Path, events: list[Event], harm: str) -> None:
    step = split(arrays(tmp_path))
    (first,) = store.do(step)
    victim = store.path(first.parts["train"].labels)
    if harm == "flip":
        data = bytearray(victim.read_bytes())
        data[-1] ^= 1
        victim.write_bytes(data)
    elif harm == "truncate":
        victim.write_bytes(victim.read_bytes()[:-8])
    elif harm == "delete":
        victim.unlink()
    else:
        (victim.parent / "manifest.json").write_text(harm)
    with Store(store.root, events.append) as again:
        (second,) = again.do(step)
        assert [record.cached for record in again.records] == [False]
        assert files.digest(again.path(second.parts["train"].labels)) == first.parts["train"].labels.sha256
    assert any("damaged" in e.what for e in events if e.kind == "note")


def test_a_users_mistake_comes_back_as_a_usage_error_and_is_not_kept(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    np.savez(path, ids=np.zeros((10, 3), np.int64), y=np.zeros(10, np.int64))
    file = UserFile(path=str(path), sha256=files.digest(path))
    with pytest.raises(UsageError):
        store.do(split(file))
    assert not list(store.entries.glob("*/*"))


def test_independent_steps_are_answered_side_by_side_in_the_order_asked(store: Store, tmp_path: Path) -> None:
    file = arrays(tmp_path)
    results = store.do(*(split(file, seed) for seed in (3, 1, 3)))
    assert results[0] == results[2] != results[1]
    assert len(store.records) == 2


def test_a_killed_worker_is_an_error_that_says_how_to_repeat_it(store: Store, tmp_path: Path) -> None:
    step = split(arrays(tmp_path))
    folder = store.work / key(step)
    folder.mkdir()
    (folder / "request.json").write_text(json.dumps({"stage": "split", "key": "k", "entries": "/", "resumed": False}))
    done = subprocess.run([sys.executable, "-m", "edgekd.worker", str(folder)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "KeyError" in json.loads((folder / "error.json").read_text())["message"]


LEAVES = """
import tempfile
from pathlib import Path
import numpy as np

def make():
    left = tempfile.mkdtemp(prefix="left-")
    Path(__file__).with_name("left.txt").write_text(left)
    ids = np.arange(480).reshape(120, 4)
    return {"train": {"ids": ids, "y": np.arange(120) % 3}}
"""


@pytest.mark.parametrize("warm", [(), ("edgekd.stages.split",)], ids=["fresh", "forked"])
def test_what_a_library_leaves_in_the_temporary_folder_goes_with_its_worker(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: tuple[str, ...]
) -> None:
    (tmp_path / "mine.py").write_text(LEAVES)
    code = UserFile(path=str(tmp_path / "mine.py"), sha256=files.digest(tmp_path / "mine.py"), member="make")
    source = Choice(name="python", settings={"make": "mine:make"}, files={"make": code})
    monkeypatch.setattr(Split, "warm", lambda self: warm)
    store.do(Split(data=Data(source=source, validation=30, calibration=10), images=()))
    left = Path((tmp_path / "left.txt").read_text())
    assert left.name.startswith("left-") and left.parent.name.startswith("edgekd-")
    assert not left.parent.exists()


def test_two_builds_at_once_do_the_work_once(tmp_path: Path) -> None:
    step = split(arrays(tmp_path))
    script = (
        "import sys\nfrom pathlib import Path\nfrom edgekd.steps import Split\nfrom edgekd.store import Store\n"
        "with Store(Path(sys.argv[1])) as store:\n"
        "    store.do(Split.model_validate_json(sys.argv[2]))\n"
        "    print(store.records[0].cached)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "store"), step.model_dump_json()]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(p.communicate(timeout=60)[0].strip() for p in both) == ["False", "True"]


def test_gc_keeps_what_was_used_last(store: Store, tmp_path: Path) -> None:
    file = arrays(tmp_path)
    old, new = split(file, 1), split(file, 2)
    store.do(old)
    store.do(new)
    entry = store.entries / key(old)[:2] / key(old)
    assert store.gc(0) == 0, "what was used within the last hour stays"
    os.utime(entry, (time.time() - 7200,) * 2)
    one = files.size(store.entries / key(new)[:2] / key(new))
    assert store.gc(one + 10) > 0
    left = [p.name for p in store.entries.glob("*/*")]
    assert left == [key(new)]


def test_a_build_wants_room_only_when_a_step_has_to_be_run(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = split(arrays(tmp_path))
    store.do(known)
    left = SimpleNamespace(free=5 * 1024**2)
    with Store(store.root) as again, monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: left)
        again.want_room()
        again.do(known)
        with pytest.raises(StoreError, match="has 5 MiB left and a build wants 1 GiB"):
            again.do(split(arrays(tmp_path), seed=1))


def test_a_record_tells_what_was_asked_and_not_where_files_are(store: Store, tmp_path: Path) -> None:
    store.do(split(arrays(tmp_path)))
    (record,) = store.records
    assert record.asked["seed"] == 0 and record.asked["data"]["validation"] == 30
    assert str(tmp_path) not in json.dumps(record.asked)


def test_a_stage_that_tells_no_progress_is_expected_to_take_what_its_like_took(
    store: Store, tmp_path: Path, events: list[Event]
) -> None:
    step = Probe(device=Device())
    store._progress(step, "k", 0.0, "", 1.0)
    store._progress(split(arrays(tmp_path)), "k", 0.0, "", 1.0)  # tells itself, later
    store.do(step)
    (took,) = (record.seconds for record in store.records)
    store._progress(step, "k", 0.0, "", took / 2)
    store._progress(step, "k", 0.0, "", took + 1)
    store._progress(step, "k", 0.0, "waits", 0.0)
    first, second, late, waits = (event for event in events if event.key == "k")
    assert (first.done, first.seconds_left) == (1 / step.usual, step.usual - 1)
    assert second.seconds_left == pytest.approx(max(took, 0.5) - took / 2)
    assert late.seconds_left is None and waits.seconds_left is None


def test_a_store_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="--store"):
        Store(blocked / "store")
