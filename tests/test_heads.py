"""Several heads, stage by stage: labels of each, what each learns, who teaches it, and how each is judged."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgekd.datasets import arrays
from edgekd.errors import UsageError
from edgekd.heads import agreement, per_sample
from edgekd.keys import question
from edgekd.metrics import accuracy
from edgekd.nets import networks
from edgekd.nets.terms import Sides, make
from edgekd.parity import parity
from edgekd.plugins import Batch, find
from edgekd.results import Head, PartFiles, Predictions, Signature, Splits, TensorSpec
from edgekd.spec import Choice, Data, Objective, UserFile
from edgekd.stages import compare, evaluate, split
from edgekd.steps import Compare, Evaluate, Split
from tests.test_numbers import entry

KIND, SEASON = (
    Head(name="kind", start=0, classes=("boot", "bag", "coat")),
    Head(name="season", start=3, classes=("s", "w")),
)
HEADS = (KIND, SEASON)
SIGNATURE = Signature(
    inputs=(TensorSpec(name="row", shape=(-1, 4)),),
    outputs=(TensorSpec(name="logits", shape=(-1, 5)),),
    classes=("kind: boot", "kind: bag", "kind: coat", "season: s", "season: w"),
    heads=HEADS,
)


def labels(count: int, seed: int = 0) -> np.ndarray:
    """Labels of both heads; the second is missing here and there."""
    random = np.random.default_rng(seed)
    found = np.stack([random.integers(0, 3, count), random.integers(0, 2, count)], 1)
    found[::5, 1] = -1
    return found


def told(known: np.ndarray, wrong: int = 0) -> np.ndarray:
    """Outputs that are right of both heads, but for the first `wrong` samples' kind."""
    outputs = np.zeros((len(known), 5), np.float32)
    kind = known[:, 0].copy()
    kind[:wrong] = (kind[:wrong] + 1) % 3
    outputs[np.arange(len(known)), kind] = 3
    outputs[np.arange(len(known)), 3 + np.maximum(known[:, 1], 0)] = 5
    return outputs


def saved(folder: Path, name: str, **named: np.ndarray) -> Path:
    np.savez(folder / name, **named)
    return folder / name


def data(folder: Path, known: np.ndarray, classes: object = None, **fields: object) -> Data:
    rows = np.random.default_rng(0).normal(0, 1, (len(known), 4)).astype(np.float32)
    path = saved(folder, "rows.npz", row=rows, y_kind=known[:, 0], y_season=known[:, 1])
    source = Choice(
        name="arrays",
        settings={"train": "rows.npz", "classes": classes or []},
        files={"train": UserFile(path=str(path), sha256="0")},
    )
    return Data(source=source, **({"validation": 60, "calibration": 16} | fields))


def parts(folder: Path, known: np.ndarray, **fields: object) -> Splits:
    return split.run(Split(data=data(folder, known, **fields), images=()), entry(folder, "split"))


def test_labels_of_each_head_are_split_together(tmp_path: Path) -> None:
    known = labels(400)
    names = {"kind": ["boot", "bag", "coat"], "season": ["s", "w"]}
    splits = parts(tmp_path, known, classes=names, labels=100)
    assert splits.heads == HEADS and splits.classes == SIGNATURE.classes and splits.outputs == 5
    for part, files in splits.parts.items():
        assert files.heads is not None and files.rows is not None
        found, rows = (np.asarray(entry(tmp_path, "split").load(file)) for file in (files.heads, files.rows))
        kept = found[:, 0] >= 0
        np.testing.assert_array_equal(found[kept], known[rows[kept]])
        assert (found[~kept] == -1).all() and (part == "train") == (not kept.all())
        plain = np.asarray(entry(tmp_path, "split").load(files.labels))
        np.testing.assert_array_equal(plain[kept], known[rows[kept], 0])
    assert splits.parts["train"].labelled == 100


def test_a_sample_may_have_a_label_of_one_head_alone(tmp_path: Path) -> None:
    known = labels(300)
    known[1::5, 0] = -1
    got = arrays.read(arrays.Settings(train="r"), {"train": saved_rows(tmp_path, known)}, None, False)
    assert got.train.heads is not None
    expected = np.where(known[:, 0] >= 0, known[:, 0], np.where(known[:, 1] >= 0, 3 + known[:, 1], -1))
    np.testing.assert_array_equal(got.train.labels, expected)
    assert got.classes == ("kind: 0", "kind: 1", "kind: 2", "season: 0", "season: 1")


def saved_rows(folder: Path, known: np.ndarray) -> Path:
    return saved(folder, "r.npz", row=np.zeros((len(known), 2), np.float32), y_kind=known[:, 0], y_season=known[:, 1])


@pytest.mark.parametrize(
    ("classes", "change", "message"),
    [
        (["boot", "bag"], {}, "classes are listed, but there are labels of 2 heads"),
        ({"kinds": ["boot"]}, {}, "classes are given for kinds, but the heads are kind, season"),
        ({"kind": ["boot", "bag"]}, {}, "a label is 2, but there are 2 classes"),
        ((), {"y_season": np.zeros(300, int)}, "there is 1 class, and a choice needs at least 2"),
        ((), {"y_season": np.zeros(300)}, "labels are float64"),
        ((), {"y_season": np.zeros(7, int)}, "arrays have different numbers of samples"),
    ],
)
def test_mistakes_in_heads_are_named(tmp_path: Path, classes: object, change: dict, message: str) -> None:
    known = labels(300)
    given = {"row": np.zeros((300, 2), np.float32), "y_kind": known[:, 0], "y_season": known[:, 1]} | change
    path = saved(tmp_path, "r.npz", **given)
    with pytest.raises(UsageError, match=message):
        arrays.read(arrays.Settings(train="r", classes=classes), {"train": path}, None, False)


def test_beside_a_plain_label_an_array_of_that_name_is_an_input(tmp_path: Path) -> None:
    path = saved(tmp_path, "r.npz", y_speed=np.zeros((60, 2), np.float32), y=np.arange(60) % 2)
    got = arrays.read(arrays.Settings(train="r"), {"train": path}, None, False)
    assert list(got.train.inputs) == ["y_speed"] and got.heads == () and got.train.heads is None


def test_unlabelled_and_test_samples_have_the_same_heads(tmp_path: Path) -> None:
    known = labels(300)
    rows = {"row": np.zeros((300, 2), np.float32)}
    paths = {"train": saved_rows(tmp_path, known), "unlabelled": saved(tmp_path, "u.npz", **rows)}
    settings = arrays.Settings(train="r", unlabelled="u", test="t")
    got = arrays.read(settings, {**paths, "test": saved_rows(tmp_path, known)}, None, False)
    assert got.train.heads is not None and got.train.heads.shape == (600, 2) and (got.train.labels[300:] == -1).all()
    other = saved(tmp_path, "t.npz", **rows, y_kind=known[:, 0])
    with pytest.raises(UsageError, match=r"its arrays are row, y_kind; those of the training samples are"):
        arrays.read(settings, {**paths, "test": other}, None, False)


def test_a_metric_that_is_no_mean_over_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no mean over samples, and there are 2 heads"):
        parts(tmp_path, labels(300), metric="auc")


def test_a_class_of_any_head_without_a_sample_is_refused(tmp_path: Path) -> None:
    names = {"kind": ["boot", "bag", "coat"], "season": ["s", "w", "never"]}
    with pytest.raises(UsageError, match="1 classes have no labelled training sample: season: never"):
        parts(tmp_path, labels(300), classes=names)


@given(st.integers(0, 2**32 - 1))
def test_quality_is_the_mean_over_the_heads_of_which_a_sample_has_a_label(seed: int) -> None:
    known = labels(40, seed)
    outputs = np.random.default_rng(seed).normal(0, 1, (40, 5)).astype(np.float32)
    right = np.stack([outputs[:, :3].argmax(1) == known[:, 0], outputs[:, 3:].argmax(1) == known[:, 1]], 1)
    expected = np.where(known[:, 1] >= 0, right.mean(1), right[:, 0])
    np.testing.assert_allclose(per_sample(accuracy, outputs, known, HEADS), expected)
    other = np.random.default_rng(seed + 1).normal(0, 1, (40, 5)).astype(np.float32)
    each = [(outputs[:, c].argmax(1) == other[:, c].argmax(1)).mean() for c in (slice(0, 3), slice(3, 5))]
    assert agreement(outputs, other, HEADS) == pytest.approx(np.mean(each))


def test_parity_looks_at_every_head() -> None:
    reference = told(labels(200))
    assert parity(reference, reference, "float32", HEADS).passed
    swapped = reference.copy()
    swapped[:, 3:] = reference[:, [4, 3]]  # the largest column of all may still be the same
    found = parity(swapped, reference, "float32", HEADS)
    assert not found.passed and found.agreement == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["cross_entropy", "kd", "dkd", "dist", "multi_level"])
def test_an_objective_sees_one_head_after_the_other(name: str) -> None:
    random = torch.Generator().manual_seed(0)
    outputs = {"logits": torch.randn(16, 5, generator=random, requires_grad=True)}
    teacher, known = torch.randn(16, 5, generator=random), torch.from_numpy(labels(16))
    batch = Batch(known[:, 0], teacher, heads=HEADS, known=known)
    kind = find("objectives", name)
    each = [
        kind.loss(kind.Settings(), {"logits": outputs["logits"][:, c]}, Batch(known[:, i], teacher[:, c]))
        for i, c in enumerate((slice(0, 3), slice(3, 5)))
    ]

    def term(head: str = "") -> torch.Tensor:
        (only,) = make([Objective(use=Choice(name=name), weight=0.5, head=head)], Sides(True)).terms
        return only(outputs, batch)

    torch.testing.assert_close(term(), 0.5 * torch.stack(each).mean())
    torch.testing.assert_close(term("season"), 0.5 * each[1])
    (gradient,) = torch.autograd.grad(term("season"), outputs["logits"])
    assert (gradient[:, :3] == 0).all() and (gradient[:, 3:] != 0).any()


def test_one_head_is_no_other_question_than_before() -> None:
    plain = Objective(use=Choice(name="kd"))
    assert "head" not in question(plain)
    assert question(plain.model_copy(update={"head": "kind"}))["head"] == "kind"
    bare = SIGNATURE.model_copy(update={"heads": ()})
    assert "heads" not in question(bare) and "heads" in question(SIGNATURE)


class TwoHeads(nn.Module):
    """A network that gives one tensor for each head, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.season, self.kind = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, row: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"season": self.season(row), "kind": self.kind(row)}


def test_a_network_may_give_one_tensor_for_each_head() -> None:
    network, row = TwoHeads(), torch.randn(6, 4)
    found = networks.forward(network, {"row": row}, SIGNATURE)["logits"]
    torch.testing.assert_close(found, torch.cat([network.kind(row), network.season(row)], 1))


def alone(outputs: np.ndarray, path: Path) -> dict[str, object]:
    np.savez(path, train=outputs)
    return {"name": "saved", "file": str(path)}


def test_each_head_may_have_a_teacher_of_its_own(tmp_path: Path) -> None:
    kind = find("teachers", "heads")
    random = np.random.default_rng(0)
    seasons, kinds = random.normal(0, 1, (9, 2)), random.normal(0, 1, (9, 3))
    season, of_kind = alone(seasons, tmp_path / "season.npz"), alone(kinds, tmp_path / "kind.npz")
    settings = kind.Settings(heads={"season": season, "kind": of_kind})
    oracle = kind.load(settings, {}, SIGNATURE, False)
    found = oracle.outputs({}, np.arange(4), "train")
    np.testing.assert_allclose(found, np.concatenate([kinds, seasons], 1)[:4], rtol=1e-6)
    assert oracle.count == 9 and not oracle.live and oracle.why_no_module.startswith("kind: saved outputs")
    wrong = kind.Settings(heads={"season": season, "kinds": of_kind})
    with pytest.raises(UsageError, match="there are teachers of season, kinds, but the heads are kind, season"):
        kind.load(wrong, {}, SIGNATURE, False)
    with pytest.raises(ValueError, match="at least two heads"):
        kind.Settings(heads={"kind": of_kind})


def test_teachers_that_are_networks_stand_side_by_side_as_one(tmp_path: Path) -> None:
    code = "from torch import nn\n\ndef build(classes):\n    return nn.Linear(4, classes)\n"
    (tmp_path / "nets.py").write_text(code, encoding="utf-8")
    members = {
        head.name: {"name": "torch", "make": "nets:build", "arguments": {"classes": len(head.classes)}}
        for head in reversed(HEADS)
    }
    kind = find("teachers", "heads")
    files = {f"heads.{name}.make": tmp_path / "nets.py" for name in members}
    oracle = kind.load(kind.Settings(heads=members), files, SIGNATURE, False)
    row = np.random.default_rng(0).normal(0, 1, (5, 4)).astype(np.float32)
    asked = oracle.outputs({"row": row}, np.arange(5), "train")
    assert asked.shape == (5, 5) and oracle.live
    with torch.inference_mode():
        np.testing.assert_allclose(oracle.module(torch.from_numpy(row))["logits"].numpy(), asked, rtol=1e-5, atol=1e-6)


def test_an_ensemble_takes_the_mean_of_each_heads_probabilities(tmp_path: Path) -> None:
    kind = find("teachers", "ensemble")
    random = np.random.default_rng(0)
    answers = [random.normal(0, 2, (6, 5)).astype(np.float32) for _ in range(2)]
    members = []
    for i, outputs in enumerate(answers):
        np.savez(tmp_path / f"{i}.npz", train=outputs)
        members.append({"name": "saved", "file": str(tmp_path / f"{i}.npz")})
    found = kind.load(kind.Settings(members=members), {}, SIGNATURE, False).outputs({}, np.arange(6), "train")
    for head in HEADS:
        own = [torch.from_numpy(each[:, head.columns]).softmax(1) for each in answers]
        torch.testing.assert_close(torch.from_numpy(found[:, head.columns]).exp(), (own[0] + own[1]) / 2)
    with pytest.raises(UsageError, match="there are 2 heads"):
        kind.load(kind.Settings(members=members, shares="learned"), {}, SIGNATURE, False)


def judged(folder: Path, known: np.ndarray) -> Splits:
    out = entry(folder, "judged")
    flat = np.where(known[:, 0] >= 0, known[:, 0], 3 + known[:, 1])
    part = PartFiles(
        inputs={},
        labels=out.save("labels.npy", flat),
        count=len(known),
        labelled=len(known),
        digest="0",
        heads=out.save("heads.npy", known),
    )
    return Splits(parts={"test": part}, classes=SIGNATURE.classes, heads=HEADS)


def said(folder: Path, name: str, outputs: np.ndarray) -> Predictions:
    return Predictions(outputs=entry(folder, name).save("outputs.npy", outputs), part="test", basis="measured")


def test_each_head_is_judged_alone_and_all_together(tmp_path: Path) -> None:
    known = labels(200)
    splits, perfect = judged(tmp_path, known), said(tmp_path, "teacher", told(known))
    step = Evaluate(
        predictions=said(tmp_path, "student", told(known, wrong=50)), splits=splits, teacher=perfect.outputs
    )
    score = evaluate.run(step, entry(tmp_path, "score"))
    kind, season = score.heads
    assert (kind.name, kind.count, kind.accuracy.value) == ("kind", 200, 0.75)
    assert (season.name, season.count, season.accuracy.value) == ("season", 160, 1.0)
    assert kind.drop is not None and kind.drop.value == 0.25 and kind.agreement == 0.75 and season.agreement == 1.0
    # of the first 50 samples ten have no season: they are wrong altogether, the others by half
    assert score.accuracy.value == pytest.approx(1 - (10 + 40 / 2) / 200)
    assert score.drop is not None and score.drop.value == pytest.approx(1 - score.accuracy.value)
    assert score.per_class == () and score.agreement == pytest.approx((0.75 + 1) / 2)


def test_what_the_teacher_added_is_told_of_each_head(tmp_path: Path) -> None:
    known = labels(200)
    step = Compare(
        distilled=(said(tmp_path, "distilled", told(known)),),
        control=(said(tmp_path, "control", told(known, wrong=50)),),
        splits=judged(tmp_path, known),
    )
    gain = compare.run(step, entry(tmp_path, "gain")).gain
    assert gain.heads["kind"].value == 0.25 and gain.heads["season"].value == 0.0
    assert gain.heads["kind"].low > 0 and gain.difference.value == pytest.approx((10 + 40 / 2) / 200)
