"""What a build knows before it starts to choose."""

from edgekd.gauge import ACCURACY, Gauge
from edgekd.results import DeviceFacts, Option, Size, SoftTargets, Splits
from edgekd.spec import Budget, Choice, Image, Objective, Plan, Precision, Ranges, Schedule, Target, Value

# What untrained students are priced in where any precision may ship: all of them would cost more than it tells.
PRICED: tuple[Precision, ...] = ("float32", "int8")


class Outlook(Value):
    """The plan, its split, the teacher's size (or why it has none), the students to choose from, the devices' facts.

    `cores` is how many trainings run side by side on the computer that builds; `references` are the formats whose files
    can be evaluated there without their runtime; `offers` are the precisions of each format and `ranges` its ways to
    find ranges, and `routes` its ways to lower programs; `settled` are those that are left of a target's after the
    rehearsal, and `refused` says of each target which precision came to nothing there, and why. `course` is what the
    scheme wants besides: how many "peers" that learn together, "assistants" between, "generations" after. `gauge` is
    what the metric counts in; `single` are the targets whose files are for one sample at a time.
    """

    plan: Plan
    splits: Splits
    options: tuple[Option, ...]
    teacher: Size | None
    no_teacher: str = ""
    facts: dict[str, DeviceFacts]
    cores: int = 1
    references: tuple[str, ...] = ()
    offers: dict[str, tuple[Precision, ...]] = {}
    ranges: dict[str, tuple[Ranges, ...]] = {}
    routes: dict[str, tuple[str, ...]] = {}
    settled: dict[str, tuple[str, ...]] = {}
    refused: dict[str, dict[Precision, str]] = {}
    course: dict[str, int] = {}
    single: tuple[str, ...] = ()
    gauge: Gauge = ACCURACY

    @property
    def numbers(self) -> bool:
        """Whether students learn to tell numbers, not to sort into classes."""
        return bool(self.splits.columns)

    def runtime(self, target: Target) -> str:
        """The version of the target's runtime on its device, behind its name where it is not the format's own; empty
        where it cannot run there."""
        found = self.facts[target.device.name].runtimes
        if not target.runtime:
            return found.get(target.format, "")
        version = found.get(target.runtime.replace("-", "_"), "")
        return f"{target.runtime} {version}" if version else ""

    def runnable(self) -> tuple[Target, ...]:
        """Targets that can be measured."""
        return tuple(target for target in self.plan.targets if self.runtime(target))

    def checkable(self, target: Target) -> bool:
        """Whether what a file of the target computes can be found out here, by its runtime or by definition."""
        return bool(self.runtime(target)) or target.format in self.references

    def tried(self, target: Target) -> tuple[Precision, ...]:
        """The precisions that the target may ship in: the one asked for, or all that its format has and that work."""
        if target.precision != "auto":
            return (target.precision,)
        refused = self.refused.get(target.name, {})
        return tuple(p for p in self.offers.get(target.format, PRICED) if p not in refused)

    def ways(self, target: Target) -> tuple[str, ...]:
        """The routes to take for files of a target, in that order; the format's first one has no name."""
        return self.settled.get(target.name) or ("", *self.routes.get(target.format, ())[1:])

    def refusals(self) -> tuple[str, ...]:
        """In words: what came to nothing in the rehearsal, and why."""
        return tuple(
            f"no {precision} file for {name}: {why}"
            for name, each in self.refused.items()
            for precision, why in each.items()
        )

    def priced(self, target: Target) -> tuple[Precision, ...]:
        """The precisions that untrained students are priced in."""
        tried = self.tried(target)
        return tried if target.precision != "auto" else tuple(p for p in PRICED if p in tried)


class Known(Outlook):
    """All that, and the teacher's soft targets."""

    soft_targets: SoftTargets


def tightest(plan: Plan) -> Budget:
    """The exact limits (parameters, MACs) that a student shared by all targets has to keep."""
    params = [t.budget.max_params for t in plan.targets if t.budget.max_params is not None]
    macs = [t.budget.max_macs for t in plan.targets if t.budget.max_macs is not None]
    return Budget(max_params=min(params, default=None), max_macs=min(macs, default=None))


def images(plan: Plan) -> tuple[Image, ...]:
    """The distinct ways in which teacher and student want their images stored; mean and deviation come later."""
    wanted = (plan.teacher.image, plan.student.image if plan.student else None)
    stored = (image.model_copy(update={"mean": (0.0,), "std": (1.0,)}) for image in wanted if image is not None)
    return tuple(dict.fromkeys(stored))


def distillation(temperature: float, teacher_weight: float) -> tuple[Objective, ...]:
    """(1 - teacher_weight) * cross-entropy + teacher_weight * T^2 * KL at temperature T."""
    soft = Objective(use=Choice(name="kd", settings={"temperature": temperature}), weight=teacher_weight)
    if teacher_weight == 1:
        return (soft,)
    return (Objective(use=Choice(name="cross_entropy"), weight=1 - teacher_weight), soft)


def imitation(teacher_weight: float) -> tuple[Objective, ...]:
    """(1 - teacher_weight) * squared error + teacher_weight * squared distance to the teacher's numbers."""
    soft = Objective(use=Choice(name="imitation"), weight=teacher_weight)
    if teacher_weight == 1:
        return (soft,)
    return (Objective(use=Choice(name="squared_error"), weight=1 - teacher_weight), soft)


# What a student of classes learns from labels alone.
GROUND_TRUTH = (Objective(use=Choice(name="cross_entropy")),)


def ground_truth(known: Outlook) -> tuple[Objective, ...]:
    """What a student learns from labels alone."""
    return (Objective(use=Choice(name="squared_error")),) if known.numbers else GROUND_TRUTH


def schedule(base: Schedule, epochs: int, rates: tuple[float, float] | None = None) -> Schedule:
    """The plan's schedule for so many epochs, with its own learning rate and weight decay where given."""
    learning_rate, weight_decay = rates or (base.learning_rate, base.weight_decay)
    return base.model_copy(update={"epochs": epochs, "learning_rate": learning_rate, "weight_decay": weight_decay})
