"""Terms that compare inner values against their papers' equations, written once more in numpy."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgekd.errors import UsageError
from edgekd.objectives import (
    adversarial,
    attention,
    crd,
    deep_to_shallow,
    hidden,
    hint,
    minilm,
    review,
    rkd,
    similarity,
)
from edgekd.plugins import Batch

SEEDS = st.integers(0, 2**16)
Arrays = Sequence[np.ndarray]
few = settings(max_examples=20)


def values(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.normal(0, 1, shape) for shape in shapes]


def tensors(arrays: Arrays) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(array, np.float32)) for array in arrays]


def batch(count: int, labels: Sequence[int] | None = None, **inputs: np.ndarray) -> Batch:
    given = torch.tensor(labels if labels is not None else [-1] * count)
    return Batch(labels=given, teacher=None, inputs={name: torch.from_numpy(value) for name, value in inputs.items()})


def matcher(kind: ModuleType, student: Arrays, teacher: Arrays, **written: Any) -> nn.Module:
    """The term with parts drawn at random, so that none is zero or the identity."""
    torch.manual_seed(1)
    made: nn.Module = kind.term(kind.Settings(**written), [a.shape for a in student], [a.shape for a in teacher])
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.5)
    return made


def loss(made: nn.Module, student: Arrays, teacher: Arrays, **about: Any) -> float:
    return float(made(tensors(student), tensors(teacher), batch(len(student[0]), **about)).item())


def weights(layer: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """A linear layer's, or a 1x1 convolution's, weight (out, in) and bias."""
    weight = layer.weight.detach().numpy().astype(float)
    return weight.reshape(weight.shape[:2]), layer.bias.detach().numpy().astype(float)


def pooled(maps: np.ndarray, side: int) -> np.ndarray:
    """Means over equal squares; the side must divide the map's."""
    count, channels, height, width = maps.shape
    return maps.reshape(count, channels, side, height // side, side, width // side).mean((3, 5))


# -- hints and attention maps --


@given(seed=SEEDS, finer=st.sampled_from(["student", "teacher", "none"]))
@few
def test_hint_is_the_equation_of_the_paper(seed: int, finer: str) -> None:
    sides = {"student": (8, 4), "teacher": (4, 8), "none": (4, 4)}[finer]
    (mine,), (taught,) = values(seed, (3, 2, sides[0], sides[0])), values(seed + 1, (3, 5, sides[1], sides[1]))
    made = matcher(hint, [mine], [taught])
    weight, bias = weights(made.regressors[0])
    regressed = np.einsum("oc,nchw->nohw", weight, pooled(mine, 4)) + bias[:, None, None]
    expected = 0.5 * np.mean((pooled(taught, 4) - regressed) ** 2)
    assert loss(made, [mine], [taught]) == pytest.approx(expected, rel=1e-4)


def test_hints_of_several_pairs_are_summed() -> None:
    student, teacher = values(0, (3, 4), (3, 6)), values(1, (3, 5), (3, 7))
    made, expected = matcher(hint, student, teacher), 0.0
    for layer, mine, taught in zip(made.regressors, student, teacher, strict=True):
        weight, bias = weights(layer)
        expected += 0.5 * np.mean((mine @ weight.T + bias - taught) ** 2)
    assert loss(made, student, teacher) == pytest.approx(expected, rel=1e-4)


def test_hint_starts_as_the_identity_where_widths_agree() -> None:
    (mine,) = values(0, (3, 4, 5, 5))
    made = hint.term(hint.Settings(), [mine.shape], [mine.shape])
    assert loss(made, [mine], [mine]) == pytest.approx(0, abs=1e-12)


@given(seed=SEEDS, power=st.sampled_from([1.0, 2.0, 4.0]))
@few
def test_attention_is_the_equation_of_the_paper(seed: int, power: float) -> None:
    student, teacher = values(seed, (3, 2, 8, 8), (3, 4, 4, 4)), values(seed + 1, (3, 5, 4, 4), (3, 3, 4, 4))
    expected = 0.0
    for mine, taught in zip(student, teacher, strict=True):
        maps = [(np.abs(pooled(a, 4)) ** power).sum(1).reshape(3, -1) for a in (mine, taught)]
        units = [q / np.linalg.norm(q, axis=1, keepdims=True) for q in maps]
        expected += 0.5 * np.mean(np.sum((units[0] - units[1]) ** 2, 1))
    made = matcher(attention, student, teacher, power=power)
    assert loss(made, student, teacher) == pytest.approx(expected, rel=1e-4, abs=1e-6)


# -- transformers --

MASK = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]])


@given(seed=SEEDS, masked=st.booleans())
@few
def test_hidden_is_the_equation_of_the_paper(seed: int, masked: bool) -> None:
    student, teacher = values(seed, (3, 4, 2), (3, 4, 6)), values(seed + 1, (3, 4, 5), (3, 4, 6))
    made, expected = matcher(hidden, student, teacher), 0.0
    for layer, mine, taught in zip(made.maps, student, teacher, strict=True):
        weight, bias = weights(layer)
        errors = (mine @ weight.T + bias - taught) ** 2
        expected += errors[MASK == 1].mean() if masked else errors.mean()
    assert loss(made, student, teacher, **({"mask": MASK} if masked else {})) == pytest.approx(expected, rel=1e-4)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def relation(sequence: np.ndarray, heads: int, mask: np.ndarray) -> np.ndarray:
    """MiniLM's equation 6 head by head: (N, heads, L, L), rows and columns of real tokens only are right."""
    count, length, width = sequence.shape
    found = np.zeros((count, heads, length, length))
    for n in range(count):
        real = int(mask[n].sum())
        for head in range(heads):
            v = sequence[n, :real, head * width // heads : (head + 1) * width // heads]
            found[n, head, :real, :real] = softmax(v @ v.T / np.sqrt(width // heads))
    return found


def divergence(p: np.ndarray, q: np.ndarray, mask: np.ndarray) -> float:
    """Mean over heads and real tokens of KL, from the definition."""
    rows = []
    for n in range(len(p)):
        real = int(mask[n].sum())
        a, b = p[n, :, :real, :real], q[n, :, :real, :real]
        rows.append(np.sum(a * np.log(a / b), -1).reshape(-1))
    return float(np.concatenate(rows).mean())


@given(seed=SEEDS, masked=st.booleans(), heads=st.sampled_from([1, 2, 4]))
@few
def test_relations_are_the_equation_of_the_paper(seed: int, masked: bool, heads: int) -> None:
    (mine,), (taught,) = values(seed, (3, 4, 8)), values(seed + 1, (3, 4, 12))
    mask = MASK if masked else np.ones_like(MASK)
    expected = divergence(relation(taught, heads, mask), relation(mine, heads, mask), mask)
    made = matcher(minilm, [mine], [taught], heads=heads)
    assert loss(made, [mine], [taught], mask=mask) == pytest.approx(expected, rel=1e-3, abs=1e-5)


@given(seed=SEEDS)
@few
def test_attentions_are_the_equation_of_the_paper(seed: int) -> None:
    hide = np.where(MASK[:, None, None] == 1, 0.0, -1e9)
    mine, taught = (softmax(a + hide) for a in values(seed, (3, 2, 4, 4), (3, 2, 4, 4)))
    made = matcher(minilm, [mine], [taught])
    expected = divergence(taught, mine, MASK)
    assert loss(made, [mine], [taught], mask=MASK) == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(("widths", "heads"), [((384, 128), 8), ((768, 312), 12), ((8, 12), 4), ((5, 7), 1)])
def test_relation_heads_divide_both_widths(widths: tuple[int, int], heads: int) -> None:
    made = minilm.term(minilm.Settings(), [(3, 4, widths[0])], [(3, 4, widths[1])])
    assert made.heads == [heads]


@pytest.mark.parametrize(
    ("kind", "written", "student", "teacher", "says"),
    [
        (
            minilm,
            {"heads": 5},
            (3, 4, 8),
            (3, 4, 12),
            "5 heads do not divide the widths 8 and 12. Choose from: 1, 2, 4",
        ),
        (minilm, {}, (3, 2, 4, 4), (3, 4, 4, 4), "the student has 2 attention heads, the teacher 4. Name queries"),
        (minilm, {}, (3, 2, 4, 5), (3, 2, 4, 5), "Name attentions"),
        (minilm, {}, (3, 4, 8), (3, 5, 8), "the student sees 4 tokens, the teacher 5"),
        (hidden, {}, (3, 4, 8), (3, 8), r"compares sequences \(samples, tokens, width\), and one is \[3, 8\]"),
        (hint, {}, (3, 4), (3, 4, 5, 5), r"the student's value is \[3, 4\], the teacher's \[3, 4, 5, 5\]"),
        (attention, {}, (3, 4), (3, 4), "student: compares feature maps"),
    ],
)
def test_values_that_do_not_suit_are_named(
    kind: ModuleType, written: dict[str, Any], student: tuple[int, ...], teacher: tuple[int, ...], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        kind.term(kind.Settings(**written), [student], [teacher])


def test_a_mask_that_is_asked_for_has_to_be_there() -> None:
    (mine,) = values(0, (3, 4, 2))
    made = matcher(hidden, [mine], [mine], mask="attention_mask")
    with pytest.raises(UsageError, match=r"mask: the student has no input 'attention_mask' .* mask \[3, 4\]"):
        loss(made, [mine], [mine], mask=MASK)


# -- relations of samples --


@given(seed=SEEDS, weights=st.tuples(st.floats(0, 50), st.floats(0, 50)))
@few
def test_rkd_is_the_equation_of_the_paper(seed: int, weights: tuple[float, float]) -> None:
    (mine,), (taught,) = values(seed, (5, 3)), values(seed + 1, (5, 7))

    def huber(x: float, y: float) -> float:
        return 0.5 * (x - y) ** 2 if abs(x - y) <= 1 else abs(x - y) - 0.5

    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    distances = []
    for v in (mine, taught):
        found = {(i, j): float(np.linalg.norm(v[i] - v[j])) for i, j in pairs}
        mean = np.mean(list(found.values()))
        distances.append({pair: d / mean for pair, d in found.items()})
    distance = np.mean([huber(distances[0][pair], distances[1][pair]) for pair in pairs])

    def angle(v: np.ndarray, i: int, j: int, k: int) -> float:
        a, b = v[i] - v[j], v[k] - v[j]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    triplets = [(i, j, k) for i, j in pairs for k in range(5) if k not in (i, j)]
    angles = np.mean([huber(angle(mine, *t), angle(taught, *t)) for t in triplets])
    made = matcher(rkd, [mine], [taught], distance=weights[0], angle=weights[1])
    assert loss(made, [mine], [taught]) == pytest.approx(
        weights[0] * distance + weights[1] * angles, rel=1e-3, abs=1e-4
    )


@given(seed=SEEDS, scale=st.floats(0.1, 10), shift=st.floats(-3, 3))
@few
def test_rkd_does_not_see_size_shift_or_rotation(seed: int, scale: float, shift: float) -> None:
    (taught,) = values(seed, (5, 3))
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    moved = scale * taught @ turn + shift
    assert loss(matcher(rkd, [moved], [taught]), [moved], [taught]) == pytest.approx(0, abs=1e-3)


@given(seed=SEEDS)
@few
def test_similarity_is_the_equation_of_the_paper(seed: int) -> None:
    (mine,), (taught,) = values(seed, (5, 3, 2, 2)), values(seed + 1, (5, 7))
    grams = []
    for v in (mine, taught):
        flat = v.reshape(5, -1)
        gram = flat @ flat.T
        grams.append(gram / np.linalg.norm(gram, axis=1, keepdims=True))
    expected = np.sum((grams[0] - grams[1]) ** 2) / 25
    made = matcher(similarity, [mine], [taught])
    assert loss(made, [mine], [taught]) == pytest.approx(expected, rel=1e-3, abs=1e-6)


@given(seed=SEEDS, labels=st.lists(st.integers(-1, 2), min_size=6, max_size=6))
@few
def test_crd_is_infonce_over_the_batch(seed: int, labels: list[int]) -> None:
    (mine,), (taught,) = values(seed, (6, 3, 2, 2)), values(seed + 1, (6, 7))
    made, temperature = matcher(crd, [mine], [taught], dimension=5, temperature=0.5), 0.5
    units = []
    for v, layer in ((mine.mean((2, 3)), made.of_student[0]), (taught, made.of_teacher[0])):
        weight, bias = weights(layer)
        embedded = v @ weight.T + bias
        units.append(embedded / np.linalg.norm(embedded, axis=1, keepdims=True))
    expected = 0.0
    for one, other in (units, units[::-1]):
        for i in range(6):
            others = [j for j in range(6) if j == i or labels[i] == -1 or labels[j] != labels[i]]
            scores = np.exp([one[i] @ other[j] / temperature for j in others])
            expected -= np.log(scores[others.index(i)] / scores.sum()) / 6
    assert loss(made, [mine], [taught], labels=labels) == pytest.approx(expected, rel=1e-3)


# -- knowledge review --


def test_review_is_the_equations_of_the_paper() -> None:
    student, teacher = values(0, (4, 2, 8, 8), (4, 3, 4, 4)), values(1, (4, 5, 8, 8), (4, 6, 4, 4))
    made = matcher(review, student, teacher).eval()

    def convolved(x: np.ndarray, sequence: nn.Sequential) -> np.ndarray:
        """A convolution without bias and a batch norm in eval mode, whose statistics are 0 and 1."""
        convolution, norm = sequence
        kernel = convolution.weight.detach().numpy().astype(float)
        reach = kernel.shape[2] // 2
        padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:], (2, 3))
        y = np.einsum("nchwij,ocij->nohw", windows, kernel) / np.sqrt(1 + norm.eps)
        scale, shift = (p.detach().numpy().astype(float)[:, None, None] for p in (norm.weight, norm.bias))
        return y * scale + shift

    def context(one: np.ndarray, other: np.ndarray) -> float:
        total, weight, seen = np.mean((one - other) ** 2), 1.0, 1.0
        for side in (4, 2, 1):
            if side < one.shape[2]:
                weight /= 2
                total, seen = total + weight * np.mean((pooled(one, side) - pooled(other, side)) ** 2), seen + weight
        return float(total / seen)

    shallow, deep = made.fusions
    first = convolved(student[1], deep.enter)
    expected = context(convolved(first, deep.leave), teacher[1])
    mine, upper = convolved(student[0], shallow.enter), first.repeat(2, 2).repeat(2, 3)
    weight, bias = weights(shallow.weigh)
    both = np.einsum("oc,nchw->nohw", weight, np.concatenate([mine, upper], 1)) + bias[:, None, None]
    gates = 1 / (1 + np.exp(-both))
    fused = mine * gates[:, :1] + upper * gates[:, 1:]
    expected += context(convolved(fused, shallow.leave), teacher[0])
    assert loss(made, student, teacher) == pytest.approx(expected, rel=1e-4)


# -- adversarial --


@given(seed=SEEDS)
@few
def test_adversarial_is_the_games_two_sides(seed: int) -> None:
    (mine,), (taught,) = values(seed, (5, 3)), values(seed + 1, (5, 4))
    made = matcher(adversarial, [mine], [taught], hidden=6)

    def probability(v: np.ndarray) -> np.ndarray:
        for layer in made.discriminators[0]:
            if isinstance(layer, nn.Linear):
                weight, bias = weights(layer)
                v = v @ weight.T + bias
            else:
                v = np.where(v > 0, v, 0.2 * v)
        return 1 / (1 + np.exp(-v))

    weight, bias = weights(made.projections[0])
    real, false = probability(taught), probability(mine @ weight.T + bias)
    told, deceived = -np.mean(np.log(real)) - np.mean(np.log(1 - false)), -np.mean(np.log(false))
    assert loss(made, [mine], [taught]) == pytest.approx(told + deceived, rel=1e-3)


def test_each_side_of_the_game_learns_from_its_own_loss_alone() -> None:
    mine, taught = tensors(values(0, (8, 4), (8, 4)))
    made = adversarial.term(adversarial.Settings(hidden=5), [(8, 4)], [(8, 4)])
    judge = made.discriminators[0]
    made([mine.requires_grad_()], [taught], batch(8)).backward()
    told = nn.functional.softplus(-judge(taught)).mean() + nn.functional.softplus(judge(mine.detach())).mean()
    for parameter, alone in zip(judge.parameters(), torch.autograd.grad(told, list(judge.parameters())), strict=True):
        torch.testing.assert_close(parameter.grad, alone)
    deceived = nn.functional.softplus(-judge(mine)).mean()
    torch.testing.assert_close(mine.grad, torch.autograd.grad(deceived, mine)[0])


# -- a student that teaches itself --


def separable(block: Sequence[nn.Module], maps: np.ndarray) -> np.ndarray:
    """A 3x3 convolution of each channel, stride 2, a 1x1 one, and batch norm by the batch's own statistics."""
    depthwise, pointwise, norm = block
    kernel = depthwise.weight.detach().numpy().astype(float)[:, 0]
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    side = -(-maps.shape[2] // 2)
    found = np.zeros((*maps.shape[:2], side, side))
    for row in range(side):
        for column in range(side):
            window = padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            found[:, :, row, column] = (window * kernel).sum((2, 3))
    mixed = np.einsum("oc,nchw->nohw", pointwise.weight.detach().numpy().astype(float)[:, :, 0, 0], found)
    mean, variance = (f(mixed, axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.var))
    weight, bias = (getattr(norm, name).detach().numpy()[:, None, None] for name in ("weight", "bias"))
    return (mixed - mean) / np.sqrt(variance + norm.eps) * weight + bias


@given(seed=SEEDS, alpha=st.floats(0, 1), temperature=st.floats(0.5, 5), hint_weight=st.floats(0, 3))
@few
def test_deep_to_shallow_is_the_equation_of_the_paper(
    seed: int, alpha: float, temperature: float, hint_weight: float
) -> None:
    """Maps of 11 and 6 pixels come to the deepest one's 3 by two separable convolutions and by one."""
    student = values(seed, (4, 2, 11, 11), (4, 3, 6, 6), (4, 5, 3, 3))
    (outputs,) = values(seed + 1, (4, 7))
    labels = [3, -1, 0, 6]
    written = {"alpha": alpha, "temperature": temperature, "hint": hint_weight}
    torch.manual_seed(1)
    made = deep_to_shallow.term(deep_to_shallow.Settings(**written), [a.shape for a in student], [outputs.shape])
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.5)
    expected = 0.0
    soft = softmax(outputs / temperature)
    for bottleneck, classifier, shallow in zip(made.bottlenecks, made.classifiers, student[:-1], strict=True):
        layers, features = list(bottleneck), shallow
        for start in range(0, len(layers), 4):
            features = separable(layers[start : start + 3], features if start == 0 else np.maximum(features, 0))
        assert features.shape == student[-1].shape
        weight, bias = weights(classifier)
        head = np.maximum(features, 0).mean((2, 3)) @ weight.T + bias
        known = [(n, label) for n, label in enumerate(labels) if label >= 0]
        truth = -np.mean([np.log(softmax(head)[n, label]) for n, label in known])
        mine = softmax(head / temperature)
        told = temperature**2 * np.mean(np.sum(soft * np.log(soft / mine), 1))
        expected += (1 - alpha) * truth + alpha * told + hint_weight * np.mean((features - student[-1]) ** 2)
    found = made(tensors(student), tensors([outputs]), batch(4, labels)).item()
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("shapes", [[(4, 6), (4, 9)], [(4, 5, 6), (4, 5, 9)]])
def test_heads_on_vectors_and_sequences_are_linear(shapes: list[tuple[int, ...]]) -> None:
    student, (outputs,) = values(0, *shapes), values(1, (4, 3))
    made = deep_to_shallow.term(deep_to_shallow.Settings(alpha=0.0, hint=1.0), shapes, [outputs.shape])
    weight, bias = weights(made.bottlenecks[0])
    features = student[0] @ weight.T + bias
    pooled = np.maximum(features, 0)
    weight, bias = weights(made.classifiers[0])
    head = (pooled.mean(1) if pooled.ndim == 3 else pooled) @ weight.T + bias
    expected = -np.mean(np.log(softmax(head)[np.arange(4), [0, 1, 2, 0]])) + np.mean((features - student[1]) ** 2)
    found = made(tensors(student), tensors([outputs]), batch(4, [0, 1, 2, 0])).item()
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ([(4, 6, 3, 3)], "heads need a shallower value beside the deepest one, and there is one value alone. Name two"),
        ([(4, 6, 3, 3), (4, 6)], r"a head at \[4, 6, 3, 3\] cannot learn from the deepest value \[4, 6\]"),
        ([(4, 5, 6), (4, 7, 6)], r"a head at \[4, 5, 6\] cannot learn from the deepest value \[4, 7, 6\]"),
        ([(4, 6), (4,)], r"compares vectors, sequences or feature maps, and one is \[4\]"),
    ],
)
def test_places_that_no_head_can_sit_at_are_named(shapes: list[tuple[int, ...]], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        deep_to_shallow.term(deep_to_shallow.Settings(), shapes, [(4, 3)])
