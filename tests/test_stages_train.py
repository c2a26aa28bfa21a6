"""Training: what it learns from, that a killed run goes on bit for bit, and what it says when the loss is lost."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from edgekd.errors import EdgekdError, Unsuited, UsageError
from edgekd.keys import key, question
from edgekd.nets import fakequant
from edgekd.results import Checkpoint, File, Trained
from edgekd.spec import Architecture, Choice, Objective, Schedule
from edgekd.stages import train
from edgekd.steps import Train
from tests import converted as toy
from tests import learnable

TRUTH = Objective(use=Choice(name="cross_entropy"), weight=0.1)
TAUGHT = (TRUTH, Objective(use=Choice(name="kd", settings={"temperature": 2.0}), weight=0.9))
ALONE = (Objective(use=Choice(name="cross_entropy")),)
SCHEDULE = Schedule(epochs=5, batch=32, learning_rate=1e-2, ema_decay=0.9)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


@pytest.mark.parametrize(("count", "batch"), [(1, 16), (480, 16), (2944, 64), (8744, 128), (10**6, 128)])
def test_few_samples_are_learnt_in_small_batches(count: int, batch: int) -> None:
    assert train._batch(count) == batch


def taught(folder: Path, network: Architecture | None = None, schedule: Schedule = SCHEDULE, seed: int = 0) -> Train:
    """Distillation on `images` from cached soft targets."""
    splits = learnable.images(folder / "entries")
    soft = learnable.soft_targets(folder / "entries", splits, learnable.truth())
    return Train(
        networks=(network or learnable.bars(width=4, depth=1),),
        objectives=TAUGHT,
        splits=splits,
        schedule=schedule,
        soft_targets=soft,
        seed=seed,
    )


def alone(folder: Path, **fields: object) -> Train:
    """The control on `images`: no teacher."""
    step = taught(folder)
    return step.model_copy(update={"objectives": ALONE, "soft_targets": None, "views": 2} | fields)


def reading(folder: Path, drop: float = 0.1) -> Train:
    """Ground truth on `tokens` with a network of the user's own that has dropout."""
    splits = learnable.tokens(folder / "entries")
    return Train(networks=(learnable.reader(folder, drop=drop),), objectives=ALONE, splits=splits, schedule=SCHEDULE)


def rounded(folder: Path) -> Train:
    """Distillation under fake quantization."""
    return taught(folder).model_copy(update={"fake_quant": True})


def weights(folder: Path, trained: Trained, name: str = "work") -> bytes:
    return (folder / name / trained.checkpoints[0].weights.name).read_bytes()


def test_learns_from_soft_targets_more_than_from_few_labels(tmp_path: Path) -> None:
    longer = SCHEDULE.model_copy(update={"epochs": 12})
    distilled = train.run(taught(tmp_path, schedule=longer), learnable.workspace(tmp_path, "a")).checkpoints[0]
    step = alone(tmp_path, schedule=longer)
    # two labels cannot name three classes; the teacher does
    step = step.model_copy(update={"splits": learnable.images(tmp_path / "entries", labelled=2)})
    control = train.run(step, learnable.workspace(tmp_path, "b")).checkpoints[0]
    assert distilled.validation_accuracy > 0.9 and distilled.validation_accuracy > control.validation_accuracy + 0.1
    assert distilled.steps == control.steps == 12 * 5


def test_answer_describes_its_files(tmp_path: Path) -> None:
    step = taught(tmp_path)
    checkpoint = train.run(step, learnable.workspace(tmp_path)).checkpoints[0]
    assert checkpoint.architecture == step.networks[0] and (checkpoint.epochs, checkpoint.seed) == (5, 0)
    state = load_file(tmp_path / "work" / checkpoint.weights.name)
    assert state["head.weight"].shape == (3, 8) and state["head.weight"].dtype == torch.float32
    assert checkpoint.history is not None
    history = json.loads((tmp_path / "work" / checkpoint.history.name).read_text())
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4, 5]
    assert history[-1]["validation_accuracy"] == checkpoint.validation_accuracy
    assert history[-1]["loss"] < history[0]["loss"]
    progress = json.loads((tmp_path / "work" / "progress.json").read_text())
    assert progress["done"] == 1 and progress["text"].startswith("epoch 5 of 5, loss 0.")
    left = {path.name for path in (tmp_path / "work").iterdir()}
    assert left == {"weights-0.safetensors", "history-0.json", "validation-0.npy", "progress.json"}
    assert checkpoint.validation_outputs is not None
    said = np.load(tmp_path / "work" / checkpoint.validation_outputs.name)
    labels = np.load(tmp_path / "entries" / learnable.ENTRY[:2] / learnable.ENTRY / "validation-labels.npy")
    assert (said.argmax(1) == labels).mean() == pytest.approx(checkpoint.validation_accuracy)


def test_same_step_gives_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    made = []
    for number, seed in enumerate((0, 0, 1)):
        step = taught(tmp_path, seed=seed)
        made.append(weights(tmp_path, train.run(step, learnable.workspace(tmp_path, str(number))), str(number)))
    assert made[0] == made[1] != made[2]


def test_many_epochs_are_judged_about_ten_times(tmp_path: Path) -> None:
    step = alone(tmp_path, schedule=SCHEDULE.model_copy(update={"epochs": 25, "batch": 160}))
    checkpoint = train.run(step, learnable.workspace(tmp_path)).checkpoints[0]
    history = json.loads((tmp_path / "work" / checkpoint.history.name).read_text())
    assert [entry["epoch"] for entry in history] == [*range(2, 25, 2), 25]


@pytest.mark.parametrize("task", [taught, alone, reading, rounded])
@pytest.mark.parametrize("at", [7, 10, 20])
def test_a_stopped_run_goes_on_bit_for_bit(task, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = task(tmp_path)
    whole = train.run(step, learnable.workspace(tmp_path, "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(train, "SAVE_SECONDS", 0.0)
        real = train.Training.advance

        def advance(self: train.Training, position: train.Position) -> None:
            if position.step == at:
                raise KeyboardInterrupt
            real(self, position)

        patch.setattr(train.Training, "advance", advance)
        with pytest.raises(KeyboardInterrupt):
            train.run(step, learnable.workspace(tmp_path, "cut"))
    taken = []
    monkeypatch.setattr(train.Training, "advance", lambda self, position: (taken.append(1), real(self, position))[1])
    cut = train.run(step, learnable.workspace(tmp_path, "cut", resumed=True))
    assert len(taken) == 25 - at
    assert weights(tmp_path, cut, "cut") == weights(tmp_path, whole, "whole")
    histories = [(tmp_path / name / "history-0.json").read_text() for name in ("cut", "whole")]
    assert histories[0] == histories[1]


KILLED = """
import os, signal, sys
from pathlib import Path
from edgekd.stages import train
from edgekd.steps import Train
from tests import learnable
folder = Path(sys.argv[1])
step = Train.model_validate_json((folder / "step.json").read_text())
real = train.Training.advance
def advance(self, position):
    if position.step == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, position)
train.Training.advance = advance
train.run(step, learnable.workspace(folder))
"""


def test_a_killed_process_loses_less_than_an_epoch(tmp_path: Path) -> None:
    step = taught(tmp_path)
    (tmp_path / "step.json").write_text(step.model_dump_json())
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run(command, cwd=Path(__file__).parents[1], env=os.environ | {"PYTHONPATH": "."}, check=False)
    assert killed.returncode == -signal.SIGKILL
    state = torch.load(tmp_path / "work" / train.RESUME, weights_only=True)
    assert state["step"] == 10
    again = train.run(step, learnable.workspace(tmp_path, resumed=True))
    whole = train.run(step, learnable.workspace(tmp_path, "whole"))
    assert weights(tmp_path, again) == weights(tmp_path, whole, "whole")


def test_an_unreadable_state_starts_over(tmp_path: Path) -> None:
    step = taught(tmp_path)
    whole = train.run(step, learnable.workspace(tmp_path, "whole"))
    out = learnable.workspace(tmp_path, "cut", resumed=True)
    out.path(train.RESUME).write_bytes(b"PK\x03\x04 cut short")
    assert weights(tmp_path, train.run(step, out), "cut") == weights(tmp_path, whole, "whole")


def test_control_sees_labelled_samples_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, seen = alone(tmp_path), []
    real = train.Learner.__call__
    monkeypatch.setattr(train.Learner, "__call__", lambda self, *drawn: (seen.append(drawn), real(self, *drawn))[1])
    train.run(step, learnable.workspace(tmp_path))
    rows, views = np.concatenate([drawn[0] for drawn in seen]), np.concatenate([drawn[1] for drawn in seen])
    assert set(rows) == set(range(40)) and set(views) == {0, 1} and len(seen) == 25


def test_each_sample_meets_the_soft_targets_of_its_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, met = taught(tmp_path), []
    cached = np.load(tmp_path / "entries" / learnable.ENTRY[:2] / learnable.ENTRY / "soft-train.npy")
    monkeypatch.setattr(train.Learner, "__call__", lambda self, *drawn: met.append(drawn) or {"logits": LOGITS})
    training = train.Training(step, learnable.workspace(tmp_path))
    batches = []
    LOGITS = torch.zeros(32, 3, requires_grad=True)

    def loss(outputs, batch):
        batches.append(batch)
        return outputs[0]["logits"].sum()

    training.loss = loss
    position = train.Position()
    for _ in range(6):
        training.advance(position)
    for (rows, views), batch in zip(met, batches, strict=True):
        assert np.array_equal(batch.teacher.numpy(), cached[views, rows])
        assert batch.teacher.dtype == torch.float16
        assert np.array_equal(batch.labels.numpy(), training.labels[rows])
    assert set(np.concatenate([views for _, views in met])) == {0, 1}
    assert (training.labels[np.concatenate([rows for rows, _ in met])] == -1).any()


def test_starts_from_given_weights(tmp_path: Path) -> None:
    step = alone(
        tmp_path, schedule=SCHEDULE.model_copy(update={"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0})
    )
    first = train.run(taught(tmp_path), learnable.workspace(tmp_path)).checkpoints[0]
    folder = tmp_path / "entries" / learnable.ENTRY[:2] / learnable.ENTRY
    save_file(load_file(tmp_path / "work" / first.weights.name), folder / "first.safetensors")
    file = File(entry=learnable.ENTRY, name="first.safetensors", sha256="", size=0)
    init = Checkpoint(architecture=first.architecture, weights=file, validation_accuracy=0.5)
    step = step.model_copy(update={"init": (init,)})
    again = train.run(step, learnable.workspace(tmp_path, "again")).checkpoints[0]
    before, after = load_file(folder / "first.safetensors"), load_file(tmp_path / "again" / again.weights.name)
    for name in ("head.weight", "head.bias", "blocks.0.body.0.weight"):
        torch.testing.assert_close(before[name], after[name], rtol=1e-5, atol=1e-7)


def test_lost_loss_stops_names_the_place_and_keeps_the_last_good_weights(tmp_path: Path) -> None:
    step = taught(tmp_path)
    cached = np.load(tmp_path / "entries" / learnable.ENTRY[:2] / learnable.ENTRY / "soft-train.npy")
    out = learnable.workspace(tmp_path)
    training = train.Training(step, out)
    position = train.Position()
    for _ in range(5):
        training.advance(position)
    training.save(position)
    good = {name: tensor.clone() for name, tensor in training.learners[0].average.state_dict().items()}
    training.advance(position)
    training.soft = np.full_like(cached, np.nan)
    with pytest.raises(EdgekdError) as caught:
        training.advance(position)
    text = str(caught.value)
    assert text.startswith("The loss became nan at step 7 of 25 (epoch 2, learning rate 0.0")
    kept = tmp_path / "work" / "last-good-0.safetensors"
    assert f"of step 5, are in {kept}" in text and "Try a learning rate of 0.003" in text
    for name, tensor in load_file(kept).items():
        assert torch.equal(tensor, good[name])


def test_a_rate_that_is_far_too_high_is_stopped(tmp_path: Path) -> None:
    step = taught(tmp_path, schedule=SCHEDULE.model_copy(update={"learning_rate": 1e30, "warmup_share": 0.0}))
    with pytest.raises(EdgekdError, match="The loss became"):
        train.run(step, learnable.workspace(tmp_path))
    kept = load_file(tmp_path / "work" / "last-good-0.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())


def test_weights_that_were_never_good_are_not_called_good(tmp_path: Path) -> None:
    step = reading(tmp_path)
    broken = learnable.READER.replace(
        "self.drop = ", "nn.init.constant_(self.keys.bias, float('nan'))\n        self.drop = "
    )
    (tmp_path / "my_reader.py").write_text(broken)
    with pytest.raises(EdgekdError, match=r"at step 1 of 25 .* No weights before it were finite"):
        train.run(step, learnable.workspace(tmp_path))
    assert not (tmp_path / "work" / "last-good-0.safetensors").exists()


def test_fake_quantization_goes_on_from_given_weights_and_leaves_plain_ones(tmp_path: Path) -> None:
    first = train.run(taught(tmp_path), toy.entry(tmp_path, "first")).checkpoints[0]
    schedule = SCHEDULE.model_copy(update={"epochs": 2, "learning_rate": 1e-3})
    step = rounded(tmp_path).model_copy(update={"init": (first,), "schedule": schedule})
    second = train.run(step, toy.entry(tmp_path, "second")).checkpoints[0]
    before, after = (
        load_file(tmp_path / "entries" / c.weights.entry[:2] / c.weights.entry / c.weights.name)
        for c in (first, second)
    )
    assert before.keys() == after.keys() and {k: v.shape for k, v in before.items()} == {
        k: v.shape for k, v in after.items()
    }
    name = "blocks.0.body.0.weight"
    assert 0 < (before[name] - after[name]).abs().max() < 0.1
    # plain weights, not those rounded to 255 steps
    assert len(after[name].unique()) > 0.99 * after[name].numel()
    assert second.validation_accuracy > 0.9 and second.steps == 10


def test_fake_quantization_is_told_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    monkeypatch.setattr(fakequant.FakeQuantized, "at", lambda self, share: told.append(share))
    train.run(rounded(tmp_path), learnable.workspace(tmp_path))
    assert told == [step / 25 for step in range(25)]


def test_accuracy_under_fake_quantization_is_that_of_the_rounded_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = train.run(rounded(tmp_path), learnable.workspace(tmp_path, "one")).checkpoints[0]

    def judged_blind(given: torch.Tensor, range: torch.Tensor) -> torch.Tensor:
        return given if torch.is_grad_enabled() else given * 0

    monkeypatch.setattr(fakequant, "_activation", judged_blind)
    other = train.run(rounded(tmp_path), learnable.workspace(tmp_path, "other")).checkpoints[0]
    assert one.validation_accuracy > 0.65 > 0.5 > other.validation_accuracy


def test_a_network_with_nothing_to_quantize_is_unsuited(tmp_path: Path) -> None:
    step = reading(tmp_path).model_copy(update={"fake_quant": True})
    text = "from torch import nn\n\nclass Sums(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    text += "        self.table = nn.Embedding(20, 3)\n\n    def forward(self, ids, mask):\n"
    text += "        return self.table(ids).sum(1)\n\ndef build(**_):\n    return Sums()\n"
    (tmp_path / "my_reader.py").write_text(text)
    with pytest.raises(Unsuited, match="no convolution and no linear layer"):
        train.run(step, learnable.workspace(tmp_path))


def test_attention_over_ids_is_learnt_under_fake_quantization(tmp_path: Path) -> None:
    schedule = SCHEDULE.model_copy(update={"epochs": 20, "learning_rate": 2e-2})
    step = reading(tmp_path, drop=0.0).model_copy(update={"schedule": schedule, "fake_quant": True})
    assert train.run(step, learnable.workspace(tmp_path)).checkpoints[0].validation_accuracy > 0.9


def test_questions_without_fake_quantization_are_what_they_were(tmp_path: Path) -> None:
    step = taught(tmp_path)
    assert "fake_quant" not in question(step) and question(rounded(tmp_path))["fake_quant"] is True
    assert key(step) != key(rounded(tmp_path))


def test_kd_without_a_teacher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kd needs a teacher, and there is none"):
        train.run(alone(tmp_path, objectives=TAUGHT), learnable.workspace(tmp_path))


def test_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    silent = (Objective(use=Choice(name="cross_entropy"), weight=0.0),)
    with pytest.raises(UsageError, match="nothing to learn from"):
        train.run(alone(tmp_path, objectives=silent), learnable.workspace(tmp_path))


def test_control_without_labels_is_refused(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries", labelled=0)
    step = Train(networks=(learnable.bars(width=4),), objectives=ALONE, splits=splits, schedule=SCHEDULE)
    with pytest.raises(UsageError, match="the train part has no labelled samples"):
        train.run(step, learnable.workspace(tmp_path))


def test_ids_and_masks_are_learnt_by_a_network_of_the_users_own(tmp_path: Path) -> None:
    step = reading(tmp_path, drop=0.0)
    step = step.model_copy(update={"schedule": SCHEDULE.model_copy(update={"epochs": 20, "learning_rate": 2e-2})})
    checkpoint = train.run(step, learnable.workspace(tmp_path)).checkpoints[0]
    assert checkpoint.validation_accuracy > 0.9
    assert set(load_file(tmp_path / "work" / checkpoint.weights.name)) > {"words.weight", "head.bias"}
