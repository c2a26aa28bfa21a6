"""The lock: what a run was made from, and whether two runs were made from the same answers."""

from pathlib import Path

from edgekd import lock as locks
from edgekd.lock import Lock, lock
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import StepRecord

STEP = StepRecord(stage="train", key="k", seconds=1.0, cached=False, versions={"stages.train": "1"}, files={"w": "d"})


def made(*steps: StepRecord) -> Lock:
    return lock(load_plan(None, Flags(target=("onnx",))), steps, {})


def test_it_names_the_recipe_and_every_card_by_digest() -> None:
    cards = made(STEP).cards
    assert {name.partition("/")[0] for name in cards} == {"recipes", "data", "teachers"}
    assert all(len(digest) == 64 for digest in cards.values())


def test_seconds_and_cache_hits_do_not_tell_runs_apart_and_files_do() -> None:
    again = STEP.model_copy(update={"seconds": 9.0, "cached": True})
    assert made(STEP).same_answers(made(again))
    assert not made(STEP).same_answers(made(STEP.model_copy(update={"files": {"w": "other"}})))


def test_what_cannot_be_read_is_no_lock(tmp_path: Path) -> None:
    assert locks.read(tmp_path) is None
    (tmp_path / locks.NAME).write_text('{"lock_version": 99}')
    assert locks.read(tmp_path) is None
    (tmp_path / locks.NAME).write_text(made(STEP).model_dump_json())
    assert locks.read(tmp_path) == made(STEP)
