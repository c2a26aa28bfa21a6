"""Training with heads on inner layers: from labels alone and beside a teacher, going on, and what is left of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgekd.errors import UsageError
from edgekd.nets import networks, programs
from edgekd.stages import export, train
from edgekd.steps import Export, Train
from tests import converted as toy
from tests import learnable, taught
from tests.taught import objective, seeing
from tests.test_stages_train_live import first_and_last, run, signature, stopped

HEADS = objective("deep_to_shallow")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


def alone(folder: Path, *more: object, **fields: object) -> Train:
    """Ground truth and heads, and no teacher."""
    return seeing(folder, HEADS, *more, **({"teacher": None} | fields))


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(folder / name / "weights-0.safetensors")


def test_from_labels_alone_heads_sit_at_the_ends_of_the_stages(tmp_path: Path) -> None:
    step = alone(tmp_path, schedule=taught.SCHEDULE.model_copy(update={"epochs": 4}))
    training = train.Training(step, learnable.workspace(tmp_path))
    assert training.terms.student == ("blocks.0", "blocks") and training.terms.teacher == ()
    (heads,) = training.terms.parts
    assert len(heads.bottlenecks) == len(heads.classifiers) == 1 and training.live is None
    assert (training.labels[training.rows] >= 0).all()
    before, after = first_and_last(step, tmp_path)
    assert after < 0.95 * before


def test_what_the_heads_learn_reaches_the_layers_below_them_alone(tmp_path: Path) -> None:
    step = alone(tmp_path).model_copy(update={"objectives": (HEADS,)})
    training = train.Training(step, learnable.workspace(tmp_path))
    (learner,) = training.learners
    rows, views = training.order(0)
    training.loss([learner(rows, views)], training._given(rows, views)).backward()
    reached = {
        name: one.grad is not None and one.grad.abs().sum() > 0 for name, one in learner.module.named_parameters()
    }
    last = {name for name in reached if name.startswith(("blocks.1", "head"))}
    assert last and not any(reached[name] for name in last)
    assert all(reached[name] for name in reached.keys() - last)


def test_beside_soft_targets_unlabelled_samples_count_too(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries")
    soft = learnable.soft_targets(tmp_path / "entries", splits, learnable.truth())
    step = alone(
        tmp_path, objective("kd"), soft_targets=soft, schedule=taught.SCHEDULE.model_copy(update={"epochs": 4})
    )
    assert len(train.Training(step, learnable.workspace(tmp_path)).rows) == learnable.COUNTS["train"]
    before, after = first_and_last(step, tmp_path)
    assert after < 0.95 * before


def test_a_stopped_run_goes_on_bit_for_bit_with_its_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = alone(tmp_path, schedule=taught.SCHEDULE.model_copy(update={"epochs": 2}))
    run(step, tmp_path, "whole")
    state = stopped(step, tmp_path, 7, monkeypatch)
    assert any(name.startswith("0.bottlenecks.0") for name in state["parts"])
    train.run(step, learnable.workspace(tmp_path, "cut", resumed=True))
    one, other = ((tmp_path / name / "weights-0.safetensors").read_bytes() for name in ("cut", "whole"))
    assert one == other


def test_heads_change_what_is_learned_and_are_in_no_file(tmp_path: Path) -> None:
    step = alone(tmp_path)
    out = toy.entry(tmp_path, "trained with heads")
    (checkpoint,) = train.run(step, out).checkpoints
    found = load_file(out.locate(checkpoint.weights))
    run(step.model_copy(update={"objectives": step.objectives[:1]}), tmp_path, "plain")
    plain = weights(tmp_path, "plain")
    assert found.keys() == plain.keys() and any(not torch.equal(found[name], plain[name]) for name in found)
    exported = toy.entry(tmp_path, "exported")
    made = export.run(Export(source=checkpoint, splits=step.splits), exported)
    program = programs.load(exported.locate(made.file))
    network = networks.build(step.networks[0], signature(step, tmp_path))
    wanted = {f"network.{name}": value.shape for name, value in network.named_parameters()}
    assert {name: value.shape for name, value in program.module().named_parameters()} == wanted


def test_heads_sit_where_they_are_wanted_in_a_network_of_the_users_own(tmp_path: Path) -> None:
    own = (taught.student(tmp_path, "sees", True, width=3),)
    named = objective("deep_to_shallow", student=["layer1.0", "layer2"])
    training = train.Training(seeing(tmp_path, named, networks=own, teacher=None), learnable.workspace(tmp_path))
    (heads,) = training.terms.parts
    assert training.terms.student == ("layer1.0", "layer2") and heads.classifiers[0].weight.shape == (3, 6)
    wrong = seeing(tmp_path, objective("deep_to_shallow", student=["layer3", "layer2"]), networks=own, teacher=None)
    with pytest.raises(UsageError, match=r"train.objectives\[1\].student: deep_to_shallow: the student has no inner"):
        train.Training(wrong, learnable.workspace(tmp_path))
