"""The runner of the table of distillation methods, on one tiny case through the real steps."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.runners import methods
from edgekd import files
from edgekd.policies.race import race
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.spec import Choice, Data, Plan, UserFile
from edgekd.store import Store


def tiny(store: Store, folder: Path, given: Namespace) -> Plan:
    """Three kinds of stripes, as images of 28 pixels, and a small teacher that learned them."""
    path, generator = folder / "stripes.npz", np.random.default_rng(0)
    labels = np.arange(360) % 3
    stripes = np.stack([np.tile(np.arange(28) // (2 + 2 * label) % 2, (28, 1)) for label in labels])
    noisy = np.clip(160 * stripes[..., None] + generator.integers(0, 90, (360, 28, 28, 1)), 0, 255).astype(np.uint8)
    np.savez(path, image=noisy, y=labels.astype(np.int64))
    source = Choice(
        name="arrays",
        settings={"train": str(path), "classes": ["fine", "medium", "coarse"]},
        files={"train": UserFile(path=str(path), sha256=files.digest(path))},
    )
    data = Data(source=source, test_share=0.3, validation=60, calibration=16)
    plan = load_plan("fashion-mnist", Flags(target=("onnx",))).model_copy(update={"data": data, "mirror": False})
    return plan.model_copy(update={"teacher": methods.taught(store, plan, width=4, epochs=2)})


@pytest.mark.slow
def test_a_tiny_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = Choice(name="convnet", settings={"width": 4, "depth": 1})
    case = methods.Case(tiny, student, methods.Size(epochs=3, trial=1, views=1), ("kd", "dkd"))
    monkeypatch.setattr(methods, "CASES", {"stripes": case})
    wanted = methods.arguments(["--seeds", "2"])
    with Store(tmp_path / "store") as store:
        answer = methods.compared(store, tmp_path, wanted)
        told = [(row["what"].removeprefix("stripes: "), row) for row in answer["rows"]]
        known = methods.Bench(store, case, tiny(store, tmp_path, wanted), 2).known
        raced = store.follow(race(known, methods.Architecture(family=student, image=known.plan.student.image)))
    own = methods.AUTOMATIC
    assert [name for name, _ in told] == ["teacher", "student from labels alone", "KD", "decoupled KD", own, own]
    first, *_, third, fourth, race_row, beside = (row for _, row in told)
    assert 0 <= float(first["value"]) <= 100
    assert all("points over the control" in row["unit"] and "±" in row["value"] for row in (third, fourth, race_row))
    assert beside["unit"].startswith(("points beside the best, KD;", "points beside the best, decoupled KD;"))
    assert float(beside["value"].rpartition("; ")[2]) > 1
    # what the race says of each method is paired by sample, from what Train kept of validation
    taught = [trial for trial in raced.trials if trial.kind == "distilled" and trial.epochs]
    assert taught and all(trial.against_control is not None for trial in taught)
    assert raced.terms.trial_steps_distilled == raced.terms.trial_steps_control > 0


def test_parts_of_the_table_can_be_asked_for() -> None:
    wanted = methods.arguments(["--case", "MNIST, 5,000 images", "--method", "kd", "--method", "dkd"])
    assert (wanted.case, wanted.method, wanted.seeds) == (["MNIST, 5,000 images"], ["kd", "dkd"], 3)
    with pytest.raises(SystemExit):
        methods.arguments(["--method", "dkt"])


def test_a_case_without_its_data_is_told_as_not_measured(tmp_path: Path) -> None:
    wanted = methods.arguments(["--case", "film reviews"])
    with Store(tmp_path / "store") as store:
        (row,) = methods.compared(store, tmp_path, wanted)["rows"]
    assert row["what"] == "film reviews" and row["basis"] == "not measured: it needs --films"
