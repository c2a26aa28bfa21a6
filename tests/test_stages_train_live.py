"""Training beside a live teacher: what each method does to a student, what is kept, what is refused, going on."""

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
from safetensors.torch import load_file

from edgekd import plugins
from edgekd.errors import UsageError
from edgekd.keys import key, question, versions
from edgekd.nets import live, terms
from edgekd.results import Checkpoint, Signature
from edgekd.spec import Choice, Teacher
from edgekd.stages import label, train
from edgekd.steps import Label, Train
from tests import converted as toy
from tests import learnable, taught
from tests.taught import objective, reading, seeing
from tests.test_stages_train import KILLED

INNER = [name for name in plugins.names("objectives") if "inner" in plugins.declared("objectives", name).needs]
OF_TOKENS = ("hidden", "minilm")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


def run(step: Train, folder: Path, name: str = "work") -> Checkpoint:
    return train.run(step, learnable.workspace(folder, name)).checkpoints[0]


def first_and_last(step: Train, folder: Path) -> tuple[float, float]:
    """Losses of the first epoch and of the last."""
    checkpoint = run(step, folder)
    history = json.loads((folder / "work" / checkpoint.history.name).read_text())
    return history[0]["loss"], history[-1]["loss"]


@pytest.mark.parametrize("name", INNER)
def test_every_method_teaches_a_student_by_its_own_defaults(name: str, tmp_path: Path) -> None:
    task = reading if name in OF_TOKENS else seeing
    schedule = taught.SCHEDULE.model_copy(update={"epochs": 4})
    step = task(tmp_path, schedule=schedule)
    step = step.model_copy(update={"objectives": (objective(name),)})
    if not plugins.live(step.objectives[0]):
        step = step.model_copy(update={"objectives": (objective(name, student="features", teacher="layer2"),)})
    before, after = first_and_last(step, tmp_path)
    # the discriminator learns too, so that the sum of both sides says little
    assert np.isfinite(after) and (after < before or name == "adversarial")
    state = load_file(tmp_path / "work" / "weights-0.safetensors")
    with torch.random.fork_rng():
        torch.manual_seed(step.seed)
        network = train.networks.build(step.networks[0], signature(step, tmp_path))
    assert state.keys() == network.state_dict().keys()
    assert any(not torch.equal(value, state[name]) for name, value in network.state_dict().items())


def signature(step: Train, folder: Path) -> Signature:
    return train.networks.signature(step.splits, step.networks[0].image, learnable.workspace(folder))


def test_inner_values_are_matched_under_fake_quantization_too(tmp_path: Path) -> None:
    step = seeing(tmp_path, objective("hint"), fake_quant=True)
    training = train.Training(step, learnable.workspace(tmp_path))
    ranges = training.learners[0].state()["ranges"]
    assert all(not seen.any() for seen in ranges.values())  # the look into the network is no part of the training
    assert run(step, tmp_path).steps == 10 and ranges.keys()


def test_the_teachers_seconds_are_told(tmp_path: Path) -> None:
    checkpoint = run(seeing(tmp_path, objective("hint")), tmp_path)
    assert 0 < checkpoint.teacher_seconds < checkpoint.seconds
    assert run(seeing(tmp_path, teacher=None), tmp_path, "alone").teacher_seconds == 0


def stopped(step: Train, folder: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Stop a training before step `at`; gives what it left."""
    with monkeypatch.context() as patch:
        patch.setattr(train, "SAVE_SECONDS", 0.0)
        real = train.Training.advance

        def advance(self: train.Training, position: train.Position) -> None:
            if position.step == at:
                raise KeyboardInterrupt
            real(self, position)

        patch.setattr(train.Training, "advance", advance)
        with pytest.raises(KeyboardInterrupt):
            run(step, folder, "cut")
    state: dict[str, object] = torch.load(folder / "cut" / train.RESUME, weights_only=True)
    return state


@pytest.mark.parametrize(
    ("names", "epochs"),  # where views are met again, the teacher's answers are kept
    [(("hint", "crd"), 2), (("hint", "crd"), 3), (("review", "adversarial"), 2), (("hidden", "minilm"), 2)],
)
def test_a_stopped_run_goes_on_bit_for_bit_with_its_learned_parts(
    names: tuple[str, ...], epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = reading if names[0] in OF_TOKENS else seeing
    schedule = taught.SCHEDULE.model_copy(update={"epochs": epochs})
    step = task(tmp_path, *map(objective, names), schedule=schedule)
    run(step, tmp_path, "whole")
    state = stopped(step, tmp_path, 7, monkeypatch)
    assert state["parts"] and all(name.startswith(("0.", "1.")) for name in state["parts"])
    train.run(step, learnable.workspace(tmp_path, "cut", resumed=True))
    one, other = ((tmp_path / name / "weights-0.safetensors").read_bytes() for name in ("cut", "whole"))
    assert one == other
    assert not (tmp_path / "cut" / train.RESUME).exists()


@pytest.mark.slow
def test_a_killed_process_goes_on_bit_for_bit_with_its_learned_parts(tmp_path: Path) -> None:
    schedule = taught.SCHEDULE.model_copy(update={"epochs": 3})
    step = seeing(tmp_path, objective("review"), objective("crd"), schedule=schedule)
    (tmp_path / "step.json").write_text(step.model_dump_json())
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run(command, cwd=Path(__file__).parents[1], env=os.environ | {"PYTHONPATH": "."}, check=False)
    assert killed.returncode == -signal.SIGKILL
    state = torch.load(tmp_path / "work" / train.RESUME, weights_only=True)
    assert state["step"] == 10 and state["parts"]
    train.run(step, learnable.workspace(tmp_path, resumed=True))
    run(step, tmp_path, "whole")
    one, other = ((tmp_path / name / "weights-0.safetensors").read_bytes() for name in ("work", "whole"))
    assert one == other


def test_a_stopped_run_counts_the_teachers_seconds_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = seeing(tmp_path, objective("similarity"))
    stopped(step, tmp_path, 7, monkeypatch)
    path = tmp_path / "cut" / train.RESUME
    torch.save(torch.load(path, weights_only=True) | {"teacher_seconds": 1000.0}, path)
    checkpoint = train.run(step, learnable.workspace(tmp_path, "cut", resumed=True)).checkpoints[0]
    assert checkpoint.teacher_seconds > 1000


def test_the_student_starts_the_same_with_and_without_a_teacher(tmp_path: Path) -> None:
    weights, random = [], []
    for step in (seeing(tmp_path, teacher=None), seeing(tmp_path, objective("crd"), objective("review"))):
        torch.manual_seed(3)
        training = train.Training(step, learnable.workspace(tmp_path))
        weights.append(training.learners[0].module.state_dict())
        random.append(torch.get_rng_state())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert torch.equal(*random)


def test_the_teacher_sees_the_views_that_it_labelled(tmp_path: Path) -> None:
    step = seeing(tmp_path, objective("similarity"), view_seed=9)
    asked = Label(teacher=step.teacher, splits=step.splits, views=2, seed=9)
    soft = label.run(asked, toy.entry(tmp_path, "soft"))
    training = train.Training(step.model_copy(update={"soft_targets": soft}), learnable.workspace(tmp_path))
    rows, views = training.order(0)
    assert set(views) == {0, 1}
    training.learners[0](rows, views)
    batch = training._given(rows, views)
    assert batch.teacher.dtype == torch.float16
    torch.testing.assert_close(batch.teacher.float(), batch.inner["logits"], rtol=1e-2, atol=1e-2)
    assert not training.live.network.training
    # without soft targets the teacher's own logits are the soft targets, on the same views
    training = train.Training(step, learnable.workspace(tmp_path))
    training.learners[0](rows, views)
    again = training._given(rows, views)
    torch.testing.assert_close(again.teacher, batch.inner["logits"])
    assert (training.labels[np.concatenate([training.order(i)[0] for i in range(5)])] == -1).any()


def test_a_teacher_whose_answers_fit_is_asked_once_for_each_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = seeing(tmp_path, objective("hint"), schedule=taught.SCHEDULE.model_copy(update={"epochs": 3}))
    monkeypatch.setattr(live, "TELL_SECONDS", 0.0)
    kept = train.Training(step, learnable.workspace(tmp_path))
    monkeypatch.setattr(live, "ROOM", 2 * 160 * (2 * (3 + 12 * 4 * 4)) - 1)
    asked = train.Training(step, learnable.workspace(tmp_path))
    assert kept.spent > 0 == asked.spent
    progress = json.loads((tmp_path / "work" / "progress.json").read_text())
    assert progress == {"done": 0.0, "text": "the teacher's inner values: 100%"}
    kept.live.module = None  # it is not needed any more
    for number in range(3):
        rows, views = kept.order(number)
        answers = kept.live(rows, views)
        again = asked.live(rows, views)
        assert answers.keys() == again.keys() == {"logits", "layer2"}
        for name, value in again.items():
            assert answers[name].dtype == torch.float16
            torch.testing.assert_close(answers[name].float(), value, rtol=1e-3, atol=1e-3)


def test_a_live_teacher_serves_objectives_of_logits_too(tmp_path: Path) -> None:
    step = seeing(tmp_path).model_copy(update={"objectives": (objective("kd", temperature=2.0),)})
    before, after = first_and_last(step, tmp_path)
    assert after < before


@pytest.mark.parametrize(
    "name", [name for name in INNER if name not in OF_TOKENS and name not in ("attention", "review")]
)
def test_logits_as_inner_values_need_soft_targets_alone(name: str, tmp_path: Path) -> None:
    step = seeing(tmp_path, objective(name, student="logits", teacher="logits"), teacher=None)
    soft = learnable.soft_targets(tmp_path / "entries", step.splits, learnable.truth())
    assert run(step.model_copy(update={"soft_targets": soft}), tmp_path).teacher_seconds == 0
    with pytest.raises(UsageError, match=rf"train.objectives\[1\]: {name}: needs a teacher"):
        train.Training(step, learnable.workspace(tmp_path))


# -- names --


def test_a_module_of_the_users_own_is_matched_by_path(tmp_path: Path) -> None:
    named = objective("hint", student=["layer1", "layer2.0"], teacher=["layer1", "layer2"])
    step = seeing(tmp_path, named, networks=(taught.student(tmp_path, "sees", True, width=3),))
    training = train.Training(step, learnable.workspace(tmp_path))
    assert training.terms.student == ("layer1", "layer2.0") and training.terms.teacher == ("layer1", "layer2")
    assert [layer.weight.shape[:2] for layer in training.terms.parts[0].regressors] == [(6, 3), (12, 6)]
    assert run(step, tmp_path).steps == 10


def test_hidden_states_of_a_deeper_teacher_are_taken_in_even_steps(tmp_path: Path) -> None:
    training = train.Training(
        reading(tmp_path, objective("hidden"), objective("minilm")), learnable.workspace(tmp_path)
    )
    first, second = (training.loss.keywords["terms"][i] for i in (1, 2))
    assert first.student == tuple(f"hidden_states[{i}]" for i in range(3))
    assert first.teacher == ("hidden_states[0]", "hidden_states[2]", "hidden_states[4]")
    assert second.student == ("attentions[1]", "values[1]") and second.teacher == ("attentions[3]", "values[3]")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"use": "hint", "teacher": "layer3"},
            r"train.objectives\[1\].teacher: hint: the teacher has no inner value 'layer3'. Did you mean 'layer",
        ),
        (
            {"use": "hint", "student": "blok", "teacher": "layer9"},
            r"train.objectives\[1\].student: hint: the student has no inner value 'blok'. Did you mean 'blocks'\?",
        ),
        (
            {"use": "hint", "student": ["blocks.0", "blocks"], "teacher": "layer1"},
            r"2 inner values of the student \(blocks.0, blocks\) stand against 1 of the teacher \(layer1\)",
        ),
        ({"use": "attention", "teacher": "head"}, r"compares feature maps .* and one is \[3, 3\]"),
        (
            {"use": "minilm"},
            r"student: minilm: nothing in the student suggests itself as attentions. Name one: student",
        ),
        ({"use": "hint", "weigth": 2}, r"train.objectives\[1\].weigth"),
    ],
)
def test_mistakes_in_names_are_told_before_anything_is_trained(
    settings: dict[str, object], says: str, tmp_path: Path
) -> None:
    step = seeing(tmp_path, objective(str(settings.pop("use")), **settings))
    with pytest.raises(UsageError, match=says):
        train.Training(step, learnable.workspace(tmp_path))


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    step = seeing(tmp_path, objective("hint", student="a", teacher="b"), objective("rkd", teacher="c"))
    with pytest.raises(UsageError) as caught:
        train.Training(step, learnable.workspace(tmp_path))
    where = [problem.where for problem in caught.value.problems]
    assert where == ["train.objectives[1].student", "train.objectives[1].teacher", "train.objectives[2].teacher"]


def test_an_inner_value_without_the_teacher_beside_it_is_refused(tmp_path: Path) -> None:
    step = seeing(tmp_path, objective("hint"), teacher=None)
    soft = learnable.soft_targets(tmp_path / "entries", step.splits, learnable.truth())
    with pytest.raises(UsageError, match="hint: needs a teacher that runs beside the student, and there is none"):
        train.Training(step.model_copy(update={"soft_targets": soft}), learnable.workspace(tmp_path))


def test_a_teacher_that_cannot_be_seen_into_is_refused_with_the_reason(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs.npz"
    np.savez(outputs, train=np.zeros((160, 3), np.float32), test=np.zeros((16, 3), np.float32))
    file = taught.UserFile(path=str(outputs), sha256=taught.files.digest(outputs))
    saved = Teacher(source=Choice(name="saved", settings={"file": str(outputs)}, files={"file": file}))
    step = seeing(tmp_path, objective("hint"), teacher=saved)
    with pytest.raises(UsageError, match="teacher: its inner values cannot be seen: "):
        train.Training(step, learnable.workspace(tmp_path))


def test_several_networks_are_not_matched_at_once() -> None:
    with pytest.raises(UsageError, match="compares the inner values of one network, and several are trained"):
        terms.make((objective("hint"),), terms.Sides(True))


def test_a_mask_hides_padding_from_the_objectives(tmp_path: Path) -> None:
    step = reading(tmp_path, objective("hidden"))
    training = train.Training(step, learnable.workspace(tmp_path))
    rows, views = training.order(0)
    outputs = training.learners[0](rows, views)
    batch = training._given(rows, views)
    term = training.loss.keywords["terms"][1]
    plain = term(outputs, batch).item()
    padding = batch.inputs["mask"] == 0
    assert padding.any()
    for name in term.teacher:
        batch.inner[name][padding] += 100
    assert term(outputs, batch).item() == pytest.approx(plain)


# -- store keys --


def test_questions_without_a_live_teacher_are_what_they_were(tmp_path: Path) -> None:
    alone, beside = seeing(tmp_path, teacher=None), seeing(tmp_path)
    assert "teacher" not in question(alone) and "teacher" in question(beside)
    assert key(alone) != key(beside)
    assert "teachers.torch" in versions(beside) and "teachers.torch" not in versions(alone)


def test_the_teachers_seconds_are_in_no_key(tmp_path: Path) -> None:
    step = seeing(tmp_path, teacher=None)
    file = learnable.store(tmp_path / "entries", "w.npy", np.zeros(1))
    keys = {
        key(step.model_copy(update={"init": (Checkpoint(
            architecture=step.networks[0], weights=file, validation_accuracy=0.5, seconds=s, teacher_seconds=s
        ),)}))
        for s in (0.0, 3.0)
    }  # fmt: skip
    assert len(keys) == 1
