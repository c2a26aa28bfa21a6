"""Numbers to be told, stage by stage: split, learned with mean 0 and deviation 1, judged by metrics of their own."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.errors import UsageError
from edgekd.keys import question
from edgekd.nets.numbers import InUnits
from edgekd.results import Checkpoint, Column, File, Predictions, SoftTargets, Splits
from edgekd.spec import Architecture, Choice, Data, Objective, Schedule, Teacher, UserFile
from edgekd.stages import compare, evaluate, split, train, tryout
from edgekd.steps import Compare, Evaluate, Split, Train, TryOut
from edgekd.workspace import Workspace

NETWORK = Architecture(family=Choice(name="mlp", settings={"width": 16, "depth": 1}))
LABELS = (Objective(use=Choice(name="squared_error")),)


def rows(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows and two numbers that they decide, of very different sizes and far from 0."""
    found = np.random.default_rng(seed).normal(0, 1, (count, 3)).astype(np.float32)
    told = np.stack([2000 + 300 * found[:, 0] + 100 * found[:, 1], 5 - 0.01 * found[:, 2]], 1)
    return found, told.astype(np.float32)


def data(folder: Path, y: np.ndarray, row: np.ndarray | None = None, **fields: object) -> Data:
    row = rows(len(y))[0] if row is None else row
    np.savez(folder / "rows.npz", row=row, y=y)
    file = UserFile(path=str(folder / "rows.npz"), sha256="0")
    source = Choice(name="arrays", settings={"train": "rows.npz"}, files={"train": file})
    return Data(source=source, **({"metric": "rmse", "validation": 60, "calibration": 16} | fields))


def entry(folder: Path, name: str) -> Workspace:
    """A stage's folder that is its entry in the store already."""
    key = hashlib.sha256(name.encode()).hexdigest()
    place = folder / "entries" / key[:2] / key
    place.mkdir(parents=True, exist_ok=True)
    return Workspace(place, folder / "entries", key)


def parts(folder: Path, wanted: Data) -> Splits:
    return split.run(Split(data=wanted, images=()), entry(folder, "split"))


def saved(folder: Path, splits: Splits, part: str, name: str) -> np.ndarray:
    return np.asarray(entry(folder, "split").load(getattr(splits.parts[part], name)))


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Splits]:
    told = rows()[1].copy()
    told[:40, 1] = np.nan  # a number is missing, so the sample has none
    return tmp_path, parts(tmp_path, data(tmp_path, told, targets=("mass", "width"), unit="g"))


def test_parts_hold_numbers_and_each_tenth_of_them(made: tuple[Path, Splits]) -> None:
    folder, splits = made
    told = saved(folder, splits, "train", "targets")
    labels = saved(folder, splits, "train", "labels")
    assert ((labels >= 0) == np.isfinite(told).all(1)).all() and (labels < 0).any()
    assert [(one.name, one.unit) for one in splits.columns] == [("mass", "g"), ("width", "g")]
    known = told[labels >= 0]
    assert [one.mean for one in splits.columns] == pytest.approx(known.mean(0).tolist())
    assert [one.deviation for one in splits.columns] == pytest.approx(known.std(0).tolist())
    assert splits.classes == () and splits.outputs == 2
    assert set(saved(folder, splits, "validation", "labels")) == set(range(10)), "every tenth is in the validation part"


@pytest.mark.parametrize(
    ("y", "fields", "told"),
    [
        (np.arange(400) % 3, {}, "RMSE cannot judge these data: their labels are whole numbers"),
        (rows()[1], {"metric": "accuracy"}, "accuracy cannot judge these data: their labels are floats"),
        (rows()[1], {"targets": ("one",)}, "1 names for 2 columns of y"),
        (np.full(400, 7.0), {}, "column 0 of y is 7 for every sample"),
        (np.where(np.arange(400) == 3, np.inf, 1.0), {}, "1 numbers are infinite"),
        (np.arange(400) % 3, {"metric": "auc"}, "AUC is of 2 classes, and there are 3"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, y: np.ndarray, fields: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parts(tmp_path, data(tmp_path, y, **fields))


def test_init_says_that_it_tries_teachers_of_classes_only(tmp_path: Path) -> None:
    step = TryOut(data=data(tmp_path, rows()[1]), teacher=Teacher(source=Choice(name="saved")))
    with pytest.raises(UsageError, match="these data tell numbers"):
        tryout.run(step, entry(tmp_path, "tryout"))


def test_no_question_of_classes_has_changed(tmp_path: Path) -> None:
    plain = data(tmp_path, np.arange(400) % 3, metric="accuracy")
    named = plain.model_copy(update={"targets": ("a",), "unit": "g"})
    asked = [question(Split(data=one, images=()))["data"].keys() & {"targets", "unit"} for one in (plain, named)]
    assert asked == [set(), {"targets", "unit"}]
    splits = parts(tmp_path, plain)
    step = Train(networks=(NETWORK,), objectives=LABELS, splits=splits, schedule=Schedule(epochs=1))
    assert not {"columns", "targets"} & (
        question(step)["splits"].keys() | question(step)["splits"]["parts"]["train"].keys()
    )


def test_a_network_tells_numbers_in_their_units() -> None:
    columns = (Column(name="mass", mean=2000.0, deviation=300.0), Column(name="width", mean=5.0, deviation=0.01))
    inner = nn.Linear(3, 2)
    x = torch.randn(7, 3)
    told = InUnits(inner, "logits", columns)(x)["logits"]
    assert torch.allclose(told, inner(x) * torch.tensor([300.0, 0.01]) + torch.tensor([2000.0, 5.0]))


def learned(made: tuple[Path, Splits], name: str, **fields: object) -> Checkpoint:
    """A network that learned from labels, or as `fields` say."""
    folder, splits = made
    schedule = Schedule(epochs=15, batch=32, learning_rate=1e-2, ema_decay=0.9)
    step = Train(networks=(NETWORK,), objectives=LABELS, splits=splits, schedule=schedule, metric="rmse")
    try:
        return train.run(step.model_copy(update=fields), entry(folder, name)).checkpoints[0]
    finally:
        torch.set_flush_denormal(False)


def said(checkpoint: Checkpoint) -> Predictions:
    assert checkpoint.validation_outputs is not None
    return Predictions(outputs=checkpoint.validation_outputs, part="validation", basis="reference")


def rmse(folder: Path, splits: Splits, file: File) -> float:
    told = np.asarray(entry(folder, "any").load(file), np.float64)
    return float(np.sqrt(np.square(told - saved(folder, splits, "validation", "targets")).mean()))


def taught(made: tuple[Path, Splits]) -> SoftTargets:
    """What a teacher that knows every number says, also of samples without one."""
    folder, splits = made
    out = entry(folder, "label")
    every = {part: rows()[1][saved(folder, splits, part, "rows")] for part in ("train", "validation")}
    train_file = out.save("train.npy", every["train"][None])
    return SoftTargets(
        train=train_file,
        parts={"validation": out.save("v.npy", every["validation"])},
        views=1,
        seed=0,
        seconds_per_view=0,
    )


def test_numbers_are_learned_judged_and_compared(made: tuple[Path, Splits]) -> None:
    folder, splits = made
    soft, before = taught(made), torch.get_num_threads()
    short = learned(made, "short", schedule=Schedule(epochs=2, batch=32, learning_rate=1e-2, ema_decay=0.9))
    long = learned(made, "long")
    copied = learned(made, "copied", objectives=(Objective(use=Choice(name="imitation")),), soft_targets=soft)
    torch.set_num_threads(before)
    assert (
        copied.validation_accuracy < 60 > long.validation_accuracy
        and long.validation_accuracy < short.validation_accuracy
    )
    assert long.validation_accuracy == pytest.approx(rmse(folder, splits, said(long).outputs), rel=1e-6)
    assert long.validation_spread is not None and 0 < long.validation_spread < 0.5 * long.validation_accuracy
    step = Evaluate(
        predictions=said(long),
        splits=splits,
        teacher=soft.parts["validation"],
        reference=said(long).outputs,
        metric="rmse",
    )
    score = evaluate.run(step, entry(folder, "evaluate"))
    assert score.accuracy.low < score.accuracy.value < score.accuracy.high
    assert score.accuracy.value == pytest.approx(long.validation_accuracy)
    assert score.gauge.unit == "g" and score.gauge.lower and score.per_class == () and score.agreement is None
    assert score.drop is not None and score.drop.value == pytest.approx(score.accuracy.value), (
        "the teacher errs nowhere"
    )
    assert score.parity is not None and score.parity.passed and score.parity.agreement is None
    far = step.model_copy(update={"reference": said(short).outputs})
    parity = evaluate.run(far, entry(folder, "far")).parity
    assert parity is not None and not parity.passed, "two networks are not one"
    both = Compare(distilled=(said(long),), control=(said(short),), splits=splits, metric="rmse")
    gain = compare.run(both, entry(folder, "compare")).gain
    assert gain.difference.value == pytest.approx(short.validation_accuracy - long.validation_accuracy, rel=1e-6)
    assert gain.difference.low > 0, "less of an error is better"
    assert gain.distilled == pytest.approx((long.validation_accuracy,))
