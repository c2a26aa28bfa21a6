"""Which recipes race: methods of the field with the settings that their papers, or our own tables, speak for."""

from typing import NamedTuple

from edgekd import plugins, units
from edgekd.policies import limits
from edgekd.policies.known import Known, distillation, imitation
from edgekd.spec import Architecture, Choice, Objective, Settings

# What a reader calls a method; "yours" is what a recipe asks for by name.
TITLES = {
    "kd": "KD",
    "standardized": "KD with standardized logits",
    "dkd": "decoupled KD",
    "dist": "DIST",
    "multi_level": "multi-level logits",
    "hint": "FitNets hints",
    "attention": "attention transfer",
    "similarity": "similarity-preserving KD",
    "rkd": "relational KD",
    "crd": "contrastive distillation",
    "review": "knowledge review",
    "hidden": "hidden states",
    "minilm": "attention relations",
    "adversarial": "an adversary",
    "imitation": "imitation of the teacher",
    "bounded": "teacher-bounded regression",
    "yours": "the recipe's own objectives",
}
# Methods for numbers that are told and weights of the teacher's part, in the order in which they are worth a trial.
NUMBERS = (("imitation", 0.9), ("bounded", 0.5), ("imitation", 0.5), ("bounded", 1.0), ("imitation", 1.0))
METHODS = tuple(name for name in TITLES if name not in ("yours", *dict(NUMBERS)))
# Weights of inner values beside labels and soft targets: at the first step of the default student each term then counts
# half as much as they do, about (hint 0.5, attention 0.6, similarity 0.003, rkd 5.5, crd 11, review 2.4 were measured).
INNER = {
    "hint": 2.0,
    "attention": 2.0,
    "similarity": 300.0,
    "rkd": 0.2,
    "crd": 0.1,
    "review": 0.4,
    "hidden": 0.1,
    "minilm": 0.1,
    "adversarial": 0.1,
}


class Contender(NamedTuple):
    """A method with its settings: what is told of it, and the objectives that it is."""

    method: str
    settings: Settings
    objectives: tuple[Objective, ...]

    @property
    def live(self) -> bool:
        """Whether the teacher runs beside the student."""
        return any(map(plugins.live, self.objectives))


def contenders(known: Known, network: Architecture | None = None) -> list[Contender]:
    """All that race, plain distillation first; a recipe's own objectives alone where it names some.

    Methods that look into the teacher are left out where that is not possible, or would take too long for `network`.
    """
    every = _every(known)
    return every if known.plan.objectives or not beyond_reach(known, network) else [c for c in every if not c.live]


def left_out(known: Known, network: Architecture) -> list[Contender]:
    """Those that would race but for what `beyond_reach` says."""
    racing = contenders(known, network)
    return [one for one in _every(known) if one not in racing]


def _every(known: Known) -> list[Contender]:
    plan = known.plan
    if plan.objectives:
        told: Settings = {f"{one.use.name} weight": one.weight for one in plan.objectives}
        return [Contender("yours", told, plan.objectives)]
    if known.numbers:
        return [_of_numbers(method, weight) for method, weight in NUMBERS[: len(plan.effort.control)]]
    return [one for method in plan.effort.methods for one in points(method, plan.effort.distill)]


def _of_numbers(method: str, weight: float) -> Contender:
    """A way to learn numbers from a teacher."""
    if method == "imitation":
        return Contender(method, {"teacher_weight": weight}, imitation(weight))
    labels = Objective(use=Choice(name="squared_error"))
    return Contender(method, {"weight": weight}, (labels, Objective(use=Choice(name=method), weight=weight)))


def beyond_reach(known: Known, network: Architecture | None) -> str:
    """Why no method that looks into the teacher can race; empty where it can.

    The teacher's inner values are taken to be asked for once a view, as they are where they fit in memory.
    """
    plan, effort = known.plan, known.plan.effort
    if known.course.get("peers", 1) > 1:
        return "peers are trained together, and inner values are of one student"
    if known.teacher is None or plan.teacher.source.name not in ("torch", "ensemble", "heads"):
        return "the teacher is no torch network whose inside can be seen"
    own = next((option.size.macs for option in known.options if option.architecture == network), 0)
    samples = known.splits.parts["train"].count
    views = min(effort.epochs, known.soft_targets.views)
    taken = limits.training_seconds(plan, samples, own, effort.epochs)
    taken += views * samples * known.teacher.macs / limits.TRAINING_RATE
    if taken <= effort.train_seconds:
        return ""
    allowed = f"effort {effort.name} allows {units.show_seconds(effort.train_seconds)}"
    return f"with the teacher beside it one training would take about {units.show_seconds(taken)}; {allowed}"


def count(methods: tuple[str, ...], grid: tuple[tuple[float, float], ...]) -> int:
    """How many contenders so many methods are."""
    return sum(len(points(method, grid)) for method in methods)


def points(method: str, grid: tuple[tuple[float, float], ...]) -> list[Contender]:
    """The settings of a method that race; of plain distillation the effort's grid."""
    labels = Objective(use=Choice(name="cross_entropy"))
    match method:
        case "kd":
            return [Contender(method, {"temperature": t, "teacher_weight": w}, distillation(t, w)) for t, w in grid]
        case "standardized":
            soft = Choice(name="kd", settings={"temperature": 2.0, "standardize": True})
            told: Settings = {"temperature": 2.0, "teacher_weight": 0.9}
            few = labels.model_copy(update={"weight": 0.1})
            return [Contender(method, told, (few, Objective(use=soft, weight=0.9)))]
        case "dkd":
            settings: Settings = {"temperature": 1.0, "alpha": 1.0, "beta": 2.0}
            return [Contender(method, settings, (labels, Objective(use=Choice(name=method, settings=settings))))]
        case "dist" | "multi_level":
            settings = {"inter": 2.0, "intra": 2.0} if method == "dist" else {"temperatures": [1.0, 2.0, 4.0]}
            return [Contender(method, settings, (labels, Objective(use=Choice(name=method, settings=settings))))]
    weight = INNER[method]
    inner = Objective(use=Choice(name=method), weight=weight)
    return [Contender(method, {"weight": weight}, (*distillation(*grid[0]), inner))]
