"""All mistakes of a plan are found at once, each with its key, and nothing is raised."""

import os
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.keys import question
from edgekd.nets import networks
from edgekd.results import Checked
from edgekd.spec import Choice, Data, Effort, Image, Objective, Plan, Schedule, Student, Target, Teacher, UserFile
from edgekd.stages import check
from edgekd.steps import Check
from tests import learnable

GRAY = Image(size=12, channels="gray")
EFFORT = Effort(
    name="quick", seeds=1, trial_epochs=1, epochs=1, views=1, candidates=1, distill=(), control=(), train_seconds=1.0
)
MY_NET = """
from torch import nn

def build(classes=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(144, classes))
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan without mistakes: data of three classes, a teacher of the user's own, a small student, no targets."""
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 12, 12), np.uint8), y=np.zeros(4, np.int64))
    (tmp_path / "my_net.py").write_text(MY_NET)
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(144, 3)).state_dict(), tmp_path / "w.pt")
    return Plan(
        name="mine",
        data=Data(source=choice("arrays", tmp_path, train="x.npz", classes=["a", "b", "c"])),
        teacher=Teacher(source=choice("torch", tmp_path, make="my_net:build", weights="w.pt"), image=GRAY),
        student=Student(family=Choice(name="resnet", settings={"width": 4}), image=GRAY, search=False),
        targets=(),
        effort=EFFORT,
        schedule=Schedule(epochs=1),
    )


def choice(name: str, folder: Path, **settings: object) -> Choice:
    paths = {key: folder / str(settings[key]) for key in ("train", "weights", "file") if key in settings}
    paths |= {"make": folder / "my_net.py"} if "make" in settings else {}
    files = {key: UserFile(path=str(path), sha256="") for key, path in paths.items()}
    return Choice(name=name, settings=settings, files=files)


def ask(plan: Plan, folder: Path) -> Checked:
    return check.run(Check(plan=plan), learnable.workspace(folder))


def mistakes(plan: Plan, folder: Path) -> list[str]:
    return [str(mistake.problem()) for mistake in ask(plan, folder).mistakes]


def with_teacher(plan: Plan, folder: Path, **settings: object) -> Plan:
    kept = {key: value for key, value in plan.teacher.source.settings.items() if key not in settings}
    source = choice("torch", folder, **kept, **settings)
    return plan.model_copy(update={"teacher": plan.teacher.model_copy(update={"source": source})})


def test_a_good_plan_has_no_mistakes(plan: Plan, tmp_path: Path) -> None:
    assert ask(plan, tmp_path) == Checked()


def test_mistakes_of_every_section_come_at_once(plan: Plan, tmp_path: Path) -> None:
    bad = plan.model_copy(
        update={
            "data": plan.data.model_copy(
                update={"source": choice("arrays", tmp_path, train="x.npz", clases=["a"]), "metric": "acuracy"}
            ),
            "teacher": plan.teacher.model_copy(update={"source": choice("torch", tmp_path, make="my_net:biuld")}),
            "student": plan.student.model_copy(update={"family": Choice(name="resnet", settings={"width": "wide"})}),
            "targets": (Target(name="tflite", format="tflite", device={"reach": {"name": "pigeon"}}),),
        }
    )
    found = mistakes(bad, tmp_path)
    assert len(found) == 5
    for start, says in [
        ("data.metric", "there is no 'acuracy' among metrics"),
        ("target tflite", "there is no 'pigeon' among devices"),
        ("data.clases", "Did you mean 'classes'?"),
        ("teacher.make", "Did you mean 'build'?"),
        ("student.width", "'wide' is not a whole number"),
    ]:
        assert any(text.startswith(start) and says in text for text in found), (start, found)


# -- objectives --

SEES = """
from torch import nn

class Sees(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.layer1, self.layer2 = nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 8, 3, 2, 1)
        self.head = nn.Linear(72, classes)

    def forward(self, image):
        return self.head(self.layer2(self.layer1(image).relu()).flatten(1))

def build(classes=3):
    return Sees(classes)
"""


def with_objectives(plan: Plan, folder: Path, *objectives: dict[str, object]) -> Plan:
    """The plan with a teacher of two convolutions and these objectives: use, weight, and settings."""
    (folder / "my_net.py").write_text(SEES)
    teacher = plan.teacher.model_copy(update={"source": choice("torch", folder, make="my_net:build")})
    made = tuple(
        Objective(
            use=Choice(name=str(one["use"]), settings={k: v for k, v in one.items() if k not in ("use", "weight")}),
            weight=one.get("weight", 1.0),
        )
        for one in objectives
    )
    return plan.model_copy(update={"teacher": teacher, "objectives": made})


@pytest.mark.parametrize(
    "objectives",
    [
        [{"use": "cross_entropy"}, {"use": "dkd", "weight": 0.9, "temperature": 4.0}],
        [{"use": "hint", "student": "blocks.1", "teacher": "layer1"}, {"use": "attention"}, {"use": "adversarial"}],
        [{"use": "rkd", "student": "features", "teacher": "layer2"}],
        [{"use": "crd", "student": "features", "teacher": "logits"}],
    ],
)
def test_objectives_that_suit_are_no_mistake(objectives: list[dict[str, object]], plan: Plan, tmp_path: Path) -> None:
    assert ask(with_objectives(plan, tmp_path, *objectives), tmp_path) == Checked()


def test_mistakes_in_objectives_are_told_with_their_place(plan: Plan, tmp_path: Path) -> None:
    bad = [{"use": "dkd", "temprature": 4}, {"use": "dist", "inter": -1}, {"use": "hnit"}]
    found = mistakes(with_objectives(plan, tmp_path, *bad), tmp_path)
    assert len(found) == 3
    assert found[0] == "train.objectives[0].temprature: is not a known key. Did you mean 'temperature'?"
    assert found[1].startswith("train.objectives[1].inter: ") and "greater than or equal to 0" in found[1]
    assert found[2].startswith("train.objectives[2]: there is no 'hnit' among objectives")
    (below,) = mistakes(with_objectives(plan, tmp_path, {"use": "kd", "weight": -0.5}), tmp_path)
    assert below == "train.objectives[0].weight: -0.5 is no share of a loss. 0 or more"
    (nothing,) = mistakes(with_objectives(plan, tmp_path, {"use": "kd", "weight": 0.0}), tmp_path)
    assert nothing == "train.objectives: there is nothing to learn from. Weigh one above zero"


def test_inner_values_that_are_not_there_or_do_not_suit(plan: Plan, tmp_path: Path) -> None:
    bad = [
        {"use": "hint", "teacher": "layer3"},
        {"use": "attention", "student": "head", "teacher": "layer1"},
        {"use": "minilm"},
    ]
    found = mistakes(with_objectives(plan, tmp_path, *bad), tmp_path)
    assert found[0].startswith(
        "train.objectives[0].teacher: hint: the teacher has no inner value 'layer3'. Did you mean"
    )
    assert found[1].startswith("train.objectives[1].student: attention: compares feature maps")
    assert found[2].startswith("train.objectives[2].student: minilm: nothing in the student suggests itself as")
    assert found[3].startswith("train.objectives[2].teacher: minilm: nothing in the teacher suggests itself as")
    assert len(found) == 4


def test_heads_within_the_student_need_no_look_into_the_teacher(plan: Plan, tmp_path: Path) -> None:
    np.savez(tmp_path / "o.npz", train=np.zeros((4, 3), np.float32))
    saved = plan.teacher.model_copy(update={"source": choice("saved", tmp_path, file="o.npz")})
    blind = plan.model_copy(update={"teacher": saved})
    good = [{"use": "deep_to_shallow"}, {"use": "deep_to_shallow", "student": ["stem", "blocks.0", "blocks"]}]
    assert mistakes(with_objectives(blind, tmp_path, *good), tmp_path) == []
    bad = [
        {"use": "deep_to_shallow", "student": "blocks"},
        {"use": "deep_to_shallow", "student": ["block.0", "blocks"]},
        {"use": "deep_to_shallow", "student": ["blocks.0", "head"]},
    ]
    found = mistakes(with_objectives(blind, tmp_path, *bad), tmp_path)
    assert found[0].startswith("train.objectives[0].student: deep_to_shallow: heads need a shallower value")
    assert found[1].startswith(
        "train.objectives[1].student: deep_to_shallow: the student has no inner value 'block.0'. Did you mean 'blocks.0"
    )
    assert "a head at [3, 4, 12, 12] cannot learn from the deepest value [3, 3]" in found[2]
    (unknown,) = mistakes(with_objectives(blind, tmp_path, {"use": "deep_to_shallow", "teacher": "layer1"}), tmp_path)
    assert unknown.startswith("train.objectives[0].teacher: ")


@pytest.mark.parametrize("name", ["hint", "deep_to_shallow"])
def test_peers_are_not_looked_into(name: str, plan: Plan, tmp_path: Path) -> None:
    peers = plan.model_copy(update={"scheme": Choice(name="mutual")})
    (found,) = mistakes(with_objectives(peers, tmp_path, {"use": name}), tmp_path)
    assert found.startswith("train.scheme: mutual trains several networks together")
    assert mistakes(with_objectives(peers, tmp_path, {"use": "kd"}), tmp_path) == []


def test_a_teacher_without_a_network_has_no_inner_values(plan: Plan, tmp_path: Path) -> None:
    np.savez(tmp_path / "o.npz", train=np.zeros((4, 3), np.float32))
    saved = plan.teacher.model_copy(update={"source": choice("saved", tmp_path, file="o.npz")})
    bad = with_objectives(plan, tmp_path, {"use": "hint"}).model_copy(update={"teacher": saved})
    (found,) = mistakes(bad, tmp_path)
    assert (
        found.startswith("teacher: its inner values cannot be seen: ") and "objectives that need soft targets" in found
    )


def test_objectives_are_in_the_question_only_where_there_are_some(plan: Plan, tmp_path: Path) -> None:
    assert "objectives" not in question(Check(plan=plan))["plan"]
    step = Check(plan=with_objectives(plan, tmp_path, {"use": "hint"}))
    assert question(step)["plan"]["objectives"] and ("objectives", "hint") in step.plugins()


# -- teachers --


def test_a_teacher_of_other_classes_than_the_data(plan: Plan, tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(144, 5)).state_dict(), tmp_path / "w.pt")
    (text,) = mistakes(with_teacher(plan, tmp_path, arguments={"classes": 5}), tmp_path)
    assert text.startswith("teacher: knows 5 classes, but the data has 3")


def test_weights_missing_wrong_or_of_another_checksum(plan: Plan, tmp_path: Path) -> None:
    (gone,) = mistakes(with_teacher(plan, tmp_path, weights="gone.pt"), tmp_path)
    assert gone.startswith("teacher.weights: ")
    assert "gone.pt is not there" in gone
    (digest,) = mistakes(with_teacher(plan, tmp_path, sha256="0" * 64), tmp_path)
    assert digest.startswith(f"teacher.weights ({tmp_path / 'w.pt'}): has sha256")
    torch.save(nn.Linear(1, 1), tmp_path / "w.pt")
    (pickled,) = mistakes(plan, tmp_path)
    assert "Save the state dict instead" in pickled


def test_a_program_without_trust(plan: Plan, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(144, 3)).eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 1, 12, 12),)), tmp_path / "t.pt2")
    teacher = plan.teacher.model_copy(update={"source": choice("program", tmp_path, file="t.pt2")})
    (text,) = mistakes(plan.model_copy(update={"teacher": teacher}), tmp_path)
    assert text.startswith("teacher.file: ")
    assert "--trust" in text
    trusted = teacher.model_copy(update={"trust": True})
    assert ask(plan.model_copy(update={"teacher": trusted}), tmp_path) == Checked()


def test_saved_outputs_are_a_warning(plan: Plan, tmp_path: Path) -> None:
    np.savez(tmp_path / "o.npz", train=np.ones((4, 3)))
    teacher = plan.teacher.model_copy(update={"source": choice("saved", tmp_path, file="o.npz")})
    found = ask(plan.model_copy(update={"teacher": teacher}), tmp_path)
    assert found.mistakes == ()
    assert found.warnings == (
        "the teacher's own latency, memory and file cannot be measured: saved outputs are not a network",
    )


def test_a_network_that_does_not_take_such_images(plan: Plan, tmp_path: Path) -> None:
    image = Image(size=14, channels="gray")
    (text,) = mistakes(plan.model_copy(update={"teacher": plan.teacher.model_copy(update={"image": image})}), tmp_path)
    assert text.startswith("teacher.make: ")
    assert "RuntimeError" in text


def test_a_family_as_the_teacher_is_loaded_where_the_classes_are_known(plan: Plan, tmp_path: Path) -> None:
    family, settings = networks.configured("students", Choice(name="resnet", settings={"width": 4}))
    signature = check._signature(GRAY, 3)
    torch.save(family.build(settings, signature.inputs, signature.outputs).state_dict(), tmp_path / "w.pt")
    source = choice("torch", tmp_path, family="resnet", axes={"width": 4}, weights="w.pt")
    good = plan.model_copy(update={"teacher": plan.teacher.model_copy(update={"source": source})})
    assert ask(good, tmp_path) == Checked()
    unknown = good.model_copy(update={"data": Data(source=choice("arrays", tmp_path, train="x.npz"))})
    assert ask(unknown, tmp_path) == Checked()
    member = {"name": "torch", **source.settings}
    pinned = {f"members.{i}.weights": source.files["weights"] for i in range(2)}
    both = Choice(name="ensemble", settings={"members": [member, member]}, files=pinned)
    for data in (good.data, unknown.data):
        teacher = plan.teacher.model_copy(update={"source": both})
        assert ask(good.model_copy(update={"teacher": teacher, "data": data}), tmp_path) == Checked()
    two = good.model_copy(update={"data": Data(source=choice("arrays", tmp_path, train="x.npz", classes=["a", "b"]))})
    (text,) = mistakes(two, tmp_path)
    assert "head.weight is (3, 16) in the file, (2, 16) in the network" in text


def test_ids_and_a_mask_are_not_taken_for_images(plan: Plan, tmp_path: Path) -> None:
    tokens = plan.model_copy(
        update={
            "teacher": plan.teacher.model_copy(update={"image": None}),
            "student": plan.student.model_copy(update={"image": None}),
        }
    )
    assert ask(tokens, tmp_path) == Checked()
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "w.pt")
    found = mistakes(tokens, tmp_path)
    assert found
    assert all(text.startswith("teacher.weights") for text in found)


def target(**settings: object) -> Target:
    return Target(name="tflite", format="tflite", **settings)


def test_a_missing_extra_is_one_sentence_with_the_pip_line(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(package: str) -> None:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(check.networks, "configured", lambda *_: (None, None))
    known = {"packages": ("lost-package",), "extra": "tflite", "precisions": ("float32",)}
    declared = check.plugins.Declared(file=tmp_path, version=1, **known)
    monkeypatch.setattr(check.plugins, "declared", lambda *_: declared)
    monkeypatch.setattr(check.metadata, "distribution", lost)
    with pytest.raises(check.UsageError) as caught:
        check._check_target(target(precision="int8"))
    extra, precision = (str(problem) for problem in caught.value.problems)
    assert extra == "lost-package is not installed. Run: pip install 'edgekd[tflite]'"
    assert precision.startswith("precision: tflite files cannot be made in int8")


def test_a_plugin_whose_package_is_missing_is_not_imported(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = metadata.distribution

    def lost(package: str) -> metadata.Distribution:
        if package == "onnxruntime":
            raise metadata.PackageNotFoundError(package)
        return found(package)

    monkeypatch.setattr(check.metadata, "distribution", lost)
    teacher = plan.teacher.model_copy(update={"source": Choice(name="onnx", settings={"file": "t.onnx"})})
    (text,) = mistakes(plan.model_copy(update={"teacher": teacher}), tmp_path)
    assert text == "teacher: onnxruntime is not installed. Run: pip install 'edgekd[onnx-run]'"


def test_the_store_must_be_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check._check_store(tmp_path / "not" / "yet" / "made")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(check.UsageError, match="cannot be written"):
        check._check_store(tmp_path)


def test_remarks_stop_nothing(plan: Plan, tmp_path: Path) -> None:
    student = plan.student.model_copy(update={"image": Image(size=24)})
    found = ask(plan.model_copy(update={"student": student}), tmp_path)
    assert found.mistakes == ()
    assert any("larger than the teacher's" in text for text in found.warnings)
    assert any("sees colour" in text for text in found.warnings)
