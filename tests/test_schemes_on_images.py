"""Every scheme on real images: what it trains is good, and is what the scheme is about."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from edgekd import files
from edgekd.nets import inner, networks
from edgekd.policies.course import assisted, descended
from edgekd.policies.known import GROUND_TRUTH, Known, distillation, images, schedule
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Checkpoint, Option, Signature, SoftTargets, Trained
from edgekd.spec import Architecture, Choice, Data, Image, Objective, Plan, Teacher, UserFile
from edgekd.stages import train
from edgekd.steps import Count, Label, Policy, Split, Train
from edgekd.store import Store
from edgekd.workspace import Workspace

pytestmark = pytest.mark.slow

# Images to split, labels kept where labels are few, and images to judge on.
COUNT, FEW, TEST = 3200, 100, 300
VALIDATION = 500
EPOCHS = 8
TEMPERATURE = 2.0
SOFT = distillation(TEMPERATURE, 0.9)
IMAGE = Image(size=28, channels="gray", mean=(0.2860,), std=(0.3530,))
# Where each of the ten kinds is worn: above, below, on the feet, in the hand.
WORN = np.array([0, 1, 0, 0, 0, 2, 0, 2, 3, 2])
# Ten classes: a network that learned nothing is right about one image in ten.
GOOD = 0.65


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("schemes") / "store") as opened:
        yield opened


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The recipe of the embedded images with fewer of them."""
    whole, folder = load_plan("fashion-mnist", Flags(target=("onnx",))), tmp_path_factory.mktemp("images")
    own = {}
    for part, count in (("train", COUNT), ("test", TEST)):
        with np.load(whole.data.source.files[part].path) as found:
            np.savez(folder / f"{part}.npz", **{name: found[name][:count] for name in found})
        path = folder / f"{part}.npz"
        own[part] = UserFile(path=str(path), sha256=files.digest(path))
    settings = whole.data.source.settings | {part: file.path for part, file in own.items()}
    data = Data(source=Choice(name="arrays", settings=settings, files=own), validation=VALIDATION, calibration=64)
    return whole.model_copy(update={"data": data, "schedule": schedule(whole.schedule, EPOCHS)})


def known_of(store: Store, plan: Plan, teacher: Teacher | None = None) -> Known:
    """A plan's data, split and labelled by its teacher, and all sizes of its student."""
    (splits,) = store.do(Split(data=plan.data, images=images(plan), seed=0))
    who = plan.teacher if teacher is None else teacher
    (soft,) = store.do(Label(teacher=who, splits=splits, views=1, mirror=plan.mirror))
    (counted,) = store.do(Count(student=plan.student, teacher=plan.teacher, splits=splits))
    return Known(
        plan=plan, splits=splits, soft_targets=soft, options=counted.options, teacher=counted.teacher, facts={}
    )


@pytest.fixture(scope="module")
def known(store: Store, plan: Plan) -> Known:
    return known_of(store, plan)


def student(known: Known) -> Option:
    """The convnet of width 8 and depth 1, as the search counts it."""
    wanted = {"width": 8, "depth": 1}
    return next(o for o in known.options if wanted.items() <= o.architecture.family.settings.items())


def distil(known: Known, network: Architecture, seed: int = 0) -> Train:
    return Train(
        networks=(network,),
        objectives=SOFT,
        splits=known.splits,
        schedule=known.plan.schedule,
        soft_targets=known.soft_targets,
        seed=seed,
    )


def labels_alone(known: Known, *more: Objective, seed: int = 0) -> Train:
    step = distil(known, student(known).architecture, seed)
    return step.model_copy(update={"objectives": (*GROUND_TRUTH, *more), "soft_targets": None})


def trained(store: Store, *steps: Train) -> list[Checkpoint]:
    answers: Sequence[Trained] = store.do(*steps)
    return [one.checkpoints[0] for one in answers]


def followed(store: Store, policy: Policy[Any]) -> tuple[Any, list[Any]]:
    """What a policy comes to, and the steps that it asked for."""
    asked: list[Any] = []
    try:
        steps = next(policy)
        while True:
            asked += steps
            steps = policy.send(store.do(*steps))
    except StopIteration as done:
        return done.value, asked


def said(store: Store, checkpoint: Checkpoint) -> np.ndarray:
    """Logits for the validation part."""
    assert checkpoint.validation_outputs is not None
    return np.load(store.path(checkpoint.validation_outputs))


def accuracy(store: Store, known: Known, soft: SoftTargets, part: str = "validation") -> float:
    labels = np.load(store.path(known.splits.parts[part].labels))
    return float((np.load(store.path(soft.parts[part])).argmax(1) == labels).mean())


def divergence(given: np.ndarray, found: np.ndarray, temperature: float = 1.0) -> float:
    """KL(given || found), mean over samples."""
    p, q = (log_softmax(one.astype(float) / temperature, 1) for one in (given, found))
    return float((np.exp(p) * (p - q)).sum(1).mean())


def are_answers_of(store: Store, soft: SoftTargets, checkpoint: Checkpoint) -> bool:
    """Whether soft targets are what a trained network says."""
    return np.allclose(np.load(store.path(soft.parts["validation"])), said(store, checkpoint), atol=1e-3)


def test_offline_brings_a_student_nearer_to_its_teacher(store: Store, known: Known) -> None:
    network = student(known).architecture
    taught, alone = trained(store, distil(known, network), labels_alone(known))
    teacher = np.load(store.path(known.soft_targets.parts["validation"]))
    assert taught.validation_accuracy > GOOD and alone.validation_accuracy > GOOD
    near, far = (divergence(teacher, said(store, one), TEMPERATURE) for one in (taught, alone))
    assert near < 0.9 * far


def test_peers_differ_and_agree_more_than_networks_that_never_met(store: Store, known: Known) -> None:
    together = {"networks": labels_alone(known).networks * 2, "scheme": Choice(name="mutual", settings={"peers": 2})}
    (both,) = store.do(labels_alone(known).model_copy(update=together))
    one, other = (said(store, peer) for peer in both.checkpoints)
    assert all(peer.validation_accuracy > GOOD for peer in both.checkpoints)
    assert (one.argmax(1) != other.argmax(1)).any()
    apart = [said(store, one) for one in trained(store, labels_alone(known), labels_alone(known, seed=1))]
    assert divergence(one, other) < 0.7 * divergence(*apart)


def test_each_generation_is_taught_by_the_one_before(store: Store, known: Known) -> None:
    network = student(known).architecture
    first = trained(store, distil(known, network))
    course = known.model_copy(update={"course": {"generations": 2}})
    line, asked = followed(store, descended(course, first, distil))
    one, two = trained(store, *(step for step in asked if isinstance(step, Train)))
    labels = store.do(*(step for step in asked if isinstance(step, Label)))
    assert are_answers_of(store, labels[0], first[0]) and are_answers_of(store, labels[1], one)
    assert not are_answers_of(store, labels[1], first[0])
    assert one.validation_accuracy > GOOD and two.validation_accuracy > GOOD
    assert [lesson.what for lesson in line.lessons] == ["generation"] * 3
    best = max(c.validation_accuracy for c in (*first, one, two))
    assert line.checkpoints[0].validation_accuracy == best
    # the second generation is nearer to the first one, which taught it, than to the one that it never saw
    assert divergence(said(store, one), said(store, two)) < divergence(said(store, first[0]), said(store, two))


def test_an_assistant_lies_between_and_teaches(store: Store, known: Known) -> None:
    own = student(known)
    course = known.model_copy(update={"course": {"assistants": 1}})
    helped, asked = followed(store, assisted(course, own.architecture, distil))
    (lesson,) = helped.lessons
    assert known.teacher is not None and known.teacher.params > lesson.params > own.size.params
    (between,) = trained(store, *(step for step in asked if isinstance(step, Train)))
    assert between.architecture != own.architecture
    assert not are_answers_of(store, known.soft_targets, between)
    assert are_answers_of(store, helped.known.soft_targets, between)
    (last,) = trained(store, distil(helped.known, own.architecture))
    assert min(between.validation_accuracy, last.validation_accuracy) > GOOD


def test_an_ensemble_learns_whom_to_believe(store: Store, plan: Plan, known: Known) -> None:
    # one epoch at a thirtieth of the usual rate makes hardly any network
    (weak,) = trained(store, labels_alone(known).model_copy(update={"schedule": _slow(plan)}))
    path = str(store.path(weak.weights))
    network = weak.architecture.family
    poor = {"name": "torch", "family": network.name, "axes": dict(network.settings), "weights": path}
    good = {"name": "torch", **plan.teacher.source.settings}
    paths = {f"members.0.{key}": file for key, file in plan.teacher.source.files.items()}
    paths["members.1.weights"] = UserFile(path=path, sha256=files.digest(Path(path)))
    found = {}
    for name, shares in (("learned", "learned"), ("mean", [])):
        settings = {"members": [good, poor], "shares": shares, "mean": "logits"}
        source = Choice.model_validate({"name": "ensemble", "settings": settings, "files": paths})
        found[name] = known_of(store, plan, Teacher(source=source, image=plan.teacher.image)).soft_targets
    assert weak.validation_accuracy < GOOD
    assert found["learned"].shares[0] > 0.8 and sum(found["learned"].shares) == pytest.approx(1)
    alone = accuracy(store, known, known.soft_targets)
    assert accuracy(store, known, found["learned"]) > alone - 0.01
    taught = known.model_copy(update={"soft_targets": found["learned"]})
    (checkpoint,) = trained(store, distil(taught, student(known).architecture))
    assert checkpoint.validation_accuracy > GOOD


def _slow(plan: Plan) -> Any:
    return plan.schedule.model_copy(update={"epochs": 1, "learning_rate": 1e-4})


def test_heads_on_inner_layers_tell_classes_apart_the_deeper_the_better(
    store: Store, known: Known, tmp_path: Path
) -> None:
    heads = Objective(use=Choice(name="deep_to_shallow"))
    network = Architecture(family=Choice(name="convnet", settings={"width": 8, "depth": 2}), image=IMAGE)
    step = labels_alone(known, heads).model_copy(update={"networks": (network,)})
    training = train.Training(step, Workspace(tmp_path, store.entries, "ef" + "0" * 62))
    position = train.Position()
    while position.step < training.total:
        training.advance(position)
    (learner,), (parts,) = training.learners, training.terms.parts
    first, second, last = exits(store, known, learner.module.eval(), learner.signature, parts.eval())
    assert last > GOOD and second > GOOD - 0.1 and first > GOOD - 0.2
    assert min(second, last) > first


def exits(
    store: Store, known: Known, network: nn.Module, signature: Signature, heads: nn.Module
) -> tuple[float, float, float]:
    """Accuracies on the validation part: of the two heads, the shallower one first, and of the network itself."""
    part = known.splits.parts["validation"]
    pixels = np.load(store.path(part.inputs["image"])).astype(np.float32) / 255
    image = torch.from_numpy((pixels - IMAGE.mean[0]) / IMAGE.std[0]).permute(0, 3, 1, 2)
    labels = torch.from_numpy(np.load(store.path(part.labels)))

    def run() -> Mapping[str, torch.Tensor]:
        return networks.forward(network, {"image": image}, signature)

    survey = inner.survey(network, run)
    taps = inner.Taps(network, survey, survey.stages[:2])
    with torch.no_grad():
        answers, values = [run()["logits"]], taps.take()
        for number, stage in enumerate(survey.stages[:2]):
            features = heads.bottlenecks[number](values[stage]).relu().mean((2, 3))
            answers.insert(number, heads.classifiers[number](features))
    first, second, last = (float((one.argmax(1) == labels).float().mean()) for one in answers)
    return first, second, last


def test_unlabelled_images_teach_where_labels_are_few(store: Store, plan: Plan) -> None:
    data = plan.data.model_copy(update={"labels": FEW})
    scarce = known_of(store, plan.model_copy(update={"data": data}))
    part = scarce.splits.parts["train"]
    assert part.labelled == FEW and part.count > 20 * FEW
    taught, alone = trained(store, distil(scarce, student(scarce).architecture), labels_alone(scarce))
    assert taught.steps == alone.steps
    assert taught.validation_accuracy > GOOD
    assert taught.validation_accuracy > alone.validation_accuracy + 0.05


def test_two_heads_learn_from_a_teacher_each_at_once(store: Store, plan: Plan, tmp_path: Path) -> None:
    own, answers = {}, {}
    for part, file in plan.data.source.files.items():
        with np.load(file.path) as found:
            kind = found["y"].astype(np.int64)
            np.savez(tmp_path / f"{part}.npz", image=found["image"], y_kind=kind, y_worn=WORN[kind])
        own[part] = UserFile(path=str(tmp_path / f"{part}.npz"), sha256=files.digest(tmp_path / f"{part}.npz"))
        answers[part] = 6 * np.eye(4, dtype=np.float32)[WORN[kind]]
    np.savez(tmp_path / "worn.npz", **answers)
    settings = {part: file.path for part, file in own.items()}
    data = plan.data.model_copy(update={"source": Choice(name="arrays", settings=settings, files=own)})
    usual, worn = plan.teacher.source, str(tmp_path / "worn.npz")
    heads = {"kind": {"name": usual.name, **usual.settings}, "worn": {"name": "saved", "file": worn}}
    paths = {f"heads.kind.{name}": file for name, file in usual.files.items()}
    paths["heads.worn.file"] = UserFile(path=worn, sha256=files.digest(Path(worn)))
    source = Choice(name="heads", settings={"heads": heads}, files=paths)
    teacher = plan.teacher.model_copy(update={"source": source})
    known = known_of(store, plan.model_copy(update={"data": data, "teacher": teacher}))
    assert [head.name for head in known.splits.heads] == ["kind", "worn"]
    (both,) = trained(store, distil(known, student(known).architecture))
    labels = known.splits.parts["validation"].heads
    assert labels is not None
    truth = np.load(store.path(labels))
    right = {
        head.name: float((said(store, both)[:, head.columns].argmax(1) == truth[:, i]).mean())
        for i, head in enumerate(known.splits.heads)
    }
    assert right["kind"] > GOOD and right["worn"] > 0.9, right
    assert both.validation_accuracy == pytest.approx(np.mean(list(right.values())))
    # the shared layers learn the kinds as well as a network that has nothing else to learn
    (single,) = trained(store, distil(known_of(store, plan), student(known).architecture))
    assert right["kind"] > single.validation_accuracy - 0.05
