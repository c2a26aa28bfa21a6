"""Every objective's equation as its paper has it, in bare torch with the objective's usual settings: no edgekd code.

Each takes the student's and the teacher's inner values (lists), both logits, and labels, and gives one scalar. Where
something is learned beside the student it is a module, whose weights the runner sets to those of the objective.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Values = Sequence[Tensor]


class Maths(nn.Module):
    """Of the shapes of inner values: what is learned by the way, and the term."""

    def __init__(self, student: Sequence[tuple[int, ...]], teacher: Sequence[tuple[int, ...]]) -> None:
        super().__init__()

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError


class CrossEntropy(Maths):
    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels)


class Kd(Maths):
    """Hinton et al., https://arxiv.org/abs/1503.02531; temperature 1."""

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        return F.kl_div(logits.log_softmax(1), soft.log_softmax(1), reduction="batchmean", log_target=True)


class Dkd(Maths):
    """Zhao et al., https://arxiv.org/abs/2203.08679; alpha 1, beta 8, temperature 4."""

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        target = F.one_hot(labels, logits.shape[1]).bool()
        pairs, rests = [], []
        for values in (logits / 4, soft / 4):
            right = values.softmax(1)[target]
            pairs.append(torch.stack([right, 1 - right], 1))
            rests.append((values - 1000 * target).log_softmax(1))
        first = F.kl_div(pairs[0].log(), pairs[1], reduction="batchmean")
        second = F.kl_div(rests[0], rests[1], reduction="batchmean", log_target=True)
        return 16 * (first + 8 * second)


class Dist(Maths):
    """Huang et al., https://arxiv.org/abs/2205.10536."""

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        p, q = logits.softmax(1), soft.softmax(1)
        return sum((self._apart(a, b) for a, b in ((p, q), (p.T, q.T))), logits.new_zeros(()))

    @staticmethod
    def _apart(a: Tensor, b: Tensor) -> Tensor:
        a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
        return (1 - F.cosine_similarity(a, b, dim=1)).mean()


class MultiLevel(Maths):
    """Jin et al., CVPR 2023; temperatures 2 to 6."""

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        total = logits.new_zeros(())
        for t in (2.0, 3.0, 4.0, 5.0, 6.0):
            total = total + t * t * F.kl_div(
                (logits / t).log_softmax(1), (soft / t).log_softmax(1), reduction="batchmean", log_target=True
            )
            p, q = (logits / t).softmax(1), (soft / t).softmax(1)
            total = total + (p @ p.T - q @ q.T).square().sum() / p.shape[0]
            total = total + (p.T @ p - q.T @ q).square().sum() / p.shape[1]
        return total


class Hint(Maths):
    """Romero et al., https://arxiv.org/abs/1412.6550: a 1x1 convolution to the teacher's channels."""

    def __init__(self, student: Sequence[tuple[int, ...]], teacher: Sequence[tuple[int, ...]]) -> None:
        super().__init__(student, teacher)
        self.regressor = nn.Conv2d(student[0][1], teacher[0][1], 1)

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        one, other = smaller(mine[0], given[0])
        return 0.5 * F.mse_loss(self.regressor(one), other)


class Attention(Maths):
    """Zagoruyko and Komodakis, https://arxiv.org/abs/1612.03928."""

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        total = logits.new_zeros(())
        for pair in zip(mine, given, strict=True):
            one, other = (F.normalize(x.square().sum(1).flatten(1)) for x in smaller(*pair))
            total = total + 0.5 * (one - other).square().sum(1).mean()
        return total


class Similarity(Maths):
    """Tung and Mori, https://arxiv.org/abs/1907.09682."""

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        one, other = (F.normalize(x.flatten(1) @ x.flatten(1).T) for x in (mine[0], given[0]))
        return (one - other).square().sum() / len(one) ** 2


class Rkd(Maths):
    """Park et al., https://arxiv.org/abs/1904.05068; weights 25 and 50."""

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        one, other, count = vector(mine[0]), vector(given[0]), len(labels)
        with torch.no_grad():
            far, wide = self._distances(other), self._angles(other)
        apart = F.huber_loss(self._distances(one), far, reduction="sum") / (count * (count - 1))
        turned = F.huber_loss(self._angles(one), wide, reduction="sum") / (count * (count - 1) * (count - 2))
        return 25 * apart + 50 * turned

    @staticmethod
    def _distances(x: Tensor) -> Tensor:
        apart = (x[:, None] - x[None]).square().sum(2).clamp(min=1e-12).sqrt()
        return apart / (apart.sum() / (len(x) * (len(x) - 1)))

    @staticmethod
    def _angles(x: Tensor) -> Tensor:
        ways = F.normalize(x[None] - x[:, None], dim=2)
        return torch.bmm(ways, ways.transpose(1, 2))


class Crd(Maths):
    """Tian et al., https://arxiv.org/abs/1910.10699, with the negatives of the batch; 128 numbers, temperature 0.07."""

    def __init__(self, student: Sequence[tuple[int, ...]], teacher: Sequence[tuple[int, ...]]) -> None:
        super().__init__(student, teacher)
        self.one, self.other = (nn.Linear(x[0][-1 if len(x[0]) < 4 else 1], 128) for x in (student, teacher))

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        a, b = F.normalize(self.one(vector(mine[0]))), F.normalize(self.other(vector(given[0])))
        alike, partner = a @ b.T / 0.07, torch.arange(len(labels))
        same = labels[:, None] == labels[None]
        alike = alike.masked_fill(same.fill_diagonal_(False), -torch.inf)
        return F.cross_entropy(alike, partner) + F.cross_entropy(alike.T, partner)


class Review(Maths):
    """Chen et al., https://arxiv.org/abs/2104.09044."""

    def __init__(self, student: Sequence[tuple[int, ...]], teacher: Sequence[tuple[int, ...]]) -> None:
        super().__init__(student, teacher)
        wide, count = min(512, student[-1][1]), len(student)
        self.stages = nn.ModuleList()
        for i, (one, other) in enumerate(zip(student, teacher, strict=True)):
            enter = nn.Sequential(nn.Conv2d(one[1], wide, 1, bias=False), nn.BatchNorm2d(wide))
            leave = nn.Sequential(nn.Conv2d(wide, other[1], 3, padding=1, bias=False), nn.BatchNorm2d(other[1]))
            weigh = [nn.Conv2d(2 * wide, 2, 1)] if i < count - 1 else []
            self.stages.append(nn.ModuleList([enter, leave, *weigh]))

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        total, deeper = logits.new_zeros(()), logits.new_zeros(())
        for i in range(len(mine) - 1, -1, -1):
            enter, leave, *weigh = self.stages[i]
            x = enter(mine[i])
            if weigh:
                deeper = F.interpolate(deeper, x.shape[2:])
                gate = weigh[0](torch.cat([x, deeper], 1)).sigmoid()
                x = x * gate[:, :1] + deeper * gate[:, 1:]
            deeper = x
            one, other = smaller(leave(x), given[i])
            levels = [1.0] + [0.5**k for k, side in enumerate((s for s in (4, 2, 1) if s < one.shape[2]), 1)]
            sizes = [0, *(s for s in (4, 2, 1) if s < one.shape[2])]
            errors = [
                weight * F.mse_loss(F.adaptive_avg_pool2d(one, s), F.adaptive_avg_pool2d(other, s))
                if s
                else F.mse_loss(one, other)
                for weight, s in zip(levels, sizes, strict=True)
            ]
            total = total + sum(errors, logits.new_zeros(())) / sum(levels)
        return total


class Adversarial(Maths):
    """Xu et al., https://arxiv.org/abs/1709.00513: on logits, two layers of 128 units."""

    def __init__(self, student: Sequence[tuple[int, ...]], teacher: Sequence[tuple[int, ...]]) -> None:
        super().__init__(student, teacher)
        wide = teacher[0][1]
        self.judge = nn.Sequential(
            nn.Linear(wide, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
        )

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        told = F.softplus(-self.judge(soft)).mean() + F.softplus(self.judge(logits.detach())).mean()
        for parameter in self.judge.parameters():
            parameter.requires_grad_(False)
        deceived = F.softplus(-self.judge(logits)).mean()
        for parameter in self.judge.parameters():
            parameter.requires_grad_(True)
        return told + deceived


class Hidden(Maths):
    """Jiao et al., https://arxiv.org/abs/1909.10351; every token is real here."""

    def __init__(self, student: Sequence[tuple[int, ...]], teacher: Sequence[tuple[int, ...]]) -> None:
        super().__init__(student, teacher)
        self.maps = nn.ModuleList(nn.Linear(a[2], b[2]) for a, b in zip(student, teacher, strict=True))

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        errors = [F.mse_loss(f(a), b) for f, a, b in zip(self.maps, mine, given, strict=True)]
        return sum(errors, logits.new_zeros(()))


class MiniLm(Maths):
    """Wang et al., https://arxiv.org/abs/2002.10957: attentions, and relations of values; every token is real here."""

    def forward(self, mine: Values, given: Values, logits: Tensor, soft: Tensor, labels: Tensor) -> Tensor:
        total = logits.new_zeros(())
        for a, b in zip(mine, given, strict=True):
            if a.ndim == 3:
                heads = max(h for h in range(1, 13) if not a.shape[2] % h and not b.shape[2] % h)
                a, b = self._relation(a, heads), self._relation(b, heads)
            total = total + (b * (b.clamp(min=1e-9).log() - a.clamp(min=1e-9).log())).sum(3).mean()
        return total

    @staticmethod
    def _relation(x: Tensor, heads: int) -> Tensor:
        x = x.unflatten(2, (heads, -1)).transpose(1, 2)
        return (x @ x.transpose(2, 3) / x.shape[3] ** 0.5).softmax(3)


def smaller(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps at the smaller resolution."""
    side = min(one.shape[2], other.shape[2])
    a, b = (x if x.shape[2] == side else F.adaptive_avg_pool2d(x, side) for x in (one, other))
    return a, b


def vector(x: Tensor) -> Tensor:
    return x.mean((2, 3)) if x.ndim == 4 else x


ALL: dict[str, type[Maths]] = {
    "cross_entropy": CrossEntropy,
    "kd": Kd,
    "dkd": Dkd,
    "dist": Dist,
    "multi_level": MultiLevel,
    "hint": Hint,
    "attention": Attention,
    "similarity": Similarity,
    "rkd": Rkd,
    "crd": Crd,
    "review": Review,
    "adversarial": Adversarial,
    "hidden": Hidden,
    "minilm": MiniLm,
}
