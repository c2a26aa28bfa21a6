"""What a good engineer would warn of, once a build is done: with the numbers that say so, and what to do.

Judged on the validation part where it can be; nothing here chooses anything.
"""

import math
from statistics import mean

from edgekd import units
from edgekd.kept import Appraised, Calibration, Concern, Contrasted, Endured
from edgekd.policies.contenders import TITLES
from edgekd.policies.kept import Looked
from edgekd.policies.known import Known
from edgekd.policies.stepdown import Outcome
from edgekd.results import Size, Trial

# A gap in size and in accuracy; and the share of the latter that the teacher's help should have closed. Sources: Cho
# and Hariharan, ICCV 2019, https://arxiv.org/abs/1910.01348; Mirzadeh et al., AAAI 2020,
# https://arxiv.org/abs/1902.03393
TIMES_LARGER, FAR, CLOSED = 10.0, 0.05, 0.25
# A teacher should be this much better than the student without it, unless hardly anything is left to be learned.
BETTER, SOLVED = 0.01, 0.99
# Confidence further off accuracy than this is not to be learned from blindly.
MISCALIBRATED = 0.05
# Softened targets whose entropy is this share of the largest say nothing; nor do those that give one class this much.
ALIKE, ONE_HOT = 0.95, 0.995
# Of the coverage that data of one source would have, less than this share is too little.
COVERED = 0.5
# A class that is named in so many more of 1 samples than it stands in; one that has so many samples and is named for
# less than this share of them.
SWALLOWS, FEW, FORGOTTEN = 0.3, 20, 0.1
# Points that a student may lose to corruptions beyond its teacher.
FRAGILE = 0.05


def concerns(known: Known, outcome: Outcome, looked: Looked) -> tuple[Concern, ...]:
    """Everything that is worth a warning, in the order in which one would look."""
    kept, validation = looked.kept, looked.validation
    found = [
        *_teacher(validation, outcome),
        *_temperature(kept.transfer, outcome, _labelled(known, "validation")),
        *_gap(known, validation, outcome),
        *_transfer(kept.transfer),
        *_collapsed(kept.contrasted),
        *_fragile(kept.endured),
    ]
    return (*_control(known, outcome, kept.transfer, found), *found)


def _teacher(validation: Contrasted, outcome: Outcome) -> list[Concern]:
    """A teacher that is hardly better than no teacher, or surer than it is right."""
    judged, found = validation.teacher, []
    if judged is None or outcome.raced is None:
        return []
    alone = mean(one.validation_accuracy for one in outcome.raced.control)
    # what is known of the teacher here is its accuracy, so another metric is not held against it
    if outcome.gauge.share and judged.accuracy < SOLVED and judged.accuracy - alone < BETTER:
        message = (
            f"it is hardly better than the student without it: {units.show_share(judged.accuracy)} against "
            f"{units.show_share(alone)} on the validation part"
        )
        fix = "Train it longer or take a larger one; edgekd init checks its mean, std and order of classes"
        found.append(Concern(about="teacher", message=message, fix=fix))
    if _overconfident(judged):
        message = (
            f"it is surer than it is right: {units.show_share(judged.confidence)} sure, "
            f"{units.show_share(judged.accuracy)} right on the validation part (expected calibration error "
            f"{units.show_share(judged.error.value)}, at least {units.show_share(judged.error.low)})"
        )
        fix = "Try higher temperatures under [train] distill, or calibrate it: divide its logits by one fitted number"
        found.append(Concern(about="teacher", message=message, fix=fix))
    return found


def _overconfident(judged: Calibration) -> bool:
    return judged.error.low > MISCALIBRATED and judged.confidence > judged.accuracy


def _temperature(transfer: Appraised | None, outcome: Outcome, labelled: int) -> list[Concern]:
    """A temperature at which targets tell nothing, or at the end of those that were tried."""
    found = []
    if transfer is not None and transfer.entropy >= ALIKE:
        message = (
            f"at temperature {transfer.temperature:g} the targets of all classes are nearly alike: their entropy is "
            f"{units.show_share(transfer.entropy)} of the largest"
        )
        found.append(Concern(about="temperature", message=message, fix="Try lower temperatures under [train] distill"))
    if transfer is not None and transfer.peak >= ONE_HOT:
        message = (
            f"at temperature {transfer.temperature:g} the targets are nearly labels: the first class has "
            f"{units.show_share(transfer.peak)} in the mean"
        )
        found.append(Concern(about="temperature", message=message, fix="Try higher temperatures under [train] distill"))
    edge = _edge(outcome.raced.trials, labelled) if outcome.raced and outcome.gauge.share else ""
    if edge:
        fix = "Try temperatures beyond it under [train] distill"
        found.append(Concern(about="temperature", message=edge, fix=fix))
    return found


def _edge(trials: tuple[Trial, ...], labelled: int) -> str:
    """Whether the best temperature is the highest or lowest tried, and clearly better than the next one: in words."""
    by: dict[float, float] = {}
    fewest = min((trial.epochs for trial in trials if trial.epochs), default=0)  # after which all were judged
    for trial in trials:
        tried = trial.settings.get("temperature")
        if (trial.method, trial.epochs) == (TITLES["kd"], fewest) and isinstance(tried, int | float):
            by[tried] = max(by.get(tried, 0.0), trial.validation_accuracy or 0.0)
    order = sorted(by)
    if len(order) < 2 or not labelled:
        return ""
    top = max(order, key=lambda one: by[one])
    if top not in (order[0], order[-1]):
        return ""
    neighbour = order[1] if top == order[0] else order[-2]
    noise = math.sqrt(max(by[top] * (1 - by[top]), 1e-9) / labelled)
    if by[top] - by[neighbour] <= noise:
        return ""
    return (
        f"the best of those tried is the {'lowest' if top == order[0] else 'highest'}: {top:g} with "
        f"{units.show_share(by[top])} on the validation part, {neighbour:g} next to it with "
        f"{units.show_share(by[neighbour])}"
    )


def _gap(known: Known, validation: Contrasted, outcome: Outcome) -> list[Concern]:
    """A teacher far larger and far better, of whose lead its help closed little."""
    teacher, student = known.teacher, _size(outcome)
    if teacher is None or student is None or validation.teacher is None or validation.student is None:
        return []
    if not outcome.gauge.share:
        return []
    lead = validation.teacher.accuracy - validation.student.accuracy
    added = outcome.gain.difference.value if outcome.gain else 0.0
    times = teacher.params / max(1, student.params)
    if times < TIMES_LARGER or lead < FAR or added >= CLOSED * lead:
        return []
    message = (
        f"the teacher has {times:.0f} times the student's parameters and is {100 * lead:.1f} points better on the "
        f"validation part; its help added {100 * added:.1f}"
    )
    middle = units.show_count(round(math.sqrt(teacher.params * student.params)))
    fix = f"Distil into a network of about {middle} parameters first and take that as the teacher, or allow more"
    return [Concern(about="capacity gap", message=message, fix=fix)]


def _size(outcome: Outcome) -> Size | None:
    return next((row.size for row in outcome.rows if row.ships), None)


def _transfer(transfer: Appraised | None) -> list[Concern]:
    """Transfer data unlike the test data."""
    if transfer is None or transfer.coverage >= COVERED * transfer.expected:
        return []
    message = (
        f"they are unlike the test data: {units.show_share(transfer.coverage)} of the test samples have one nearby by "
        f"the teacher's answers, where data of one source would have {units.show_share(transfer.expected)}"
    )
    fix = "Add unlabelled samples from where the student will be used; they need no labels"
    return [Concern(about="transfer data", message=message, fix=fix)]


def _collapsed(contrasted: Contrasted) -> list[Concern]:
    """A student that says one class for everything, or forgets one."""
    known = sum(one.labelled for one in contrasted.classes)
    if not known:
        return []
    found = []
    for one in contrasted.classes:
        said, theirs, is_so = one.student / contrasted.samples, one.teacher / contrasted.samples, one.labelled / known
        if said - is_so >= SWALLOWS:
            message = (
                f"it says {one.name!r} for {units.show_share(said)} of the test samples, where "
                f"{units.show_share(is_so)} are; the teacher does for {units.show_share(theirs)}"
            )
            fix = "Train longer or with a lower learning rate, and look whether classes are as frequent as they seem"
            found.append(Concern(about="student", message=message, fix=fix))
        elif one.labelled >= FEW and one.student < FORGOTTEN * one.labelled:
            message = (
                f"it says {one.name!r} for {one.student} test samples, where {one.labelled} are; the teacher does for "
                f"{one.teacher}"
            )
            fix = "Add samples of that class, or allow a larger student"
            found.append(Concern(about="student", message=message, fix=fix))
    return found


def _fragile(endured: Endured | None) -> list[Concern]:
    """A student that loses much more than its teacher where it saw nothing."""
    if endured is None:
        return []
    every = endured.rows[-1]
    if every.behind is None or every.behind.low <= FRAGILE:
        return []
    each = [row for row in endured.rows[:-1] if row.corruption and row.severity == 0 and row.behind]
    worst = max(each, key=lambda row: row.behind.value if row.behind else 0.0)
    assert worst.behind is not None
    message = (
        f"the student loses {100 * every.behind.value:.1f} points more than the teacher on corrupted test samples (at "
        f"least {100 * every.behind.low:.1f}), most to {worst.corruption}: {100 * worst.behind.value:.1f} more"
    )
    fix = f"Add such samples ({worst.corruption}) to the transfer data: the teacher labels them"
    return [Concern(about="corruptions", message=message, fix=fix)]


def _control(known: Known, outcome: Outcome, transfer: Appraised | None, found: list[Concern]) -> list[Concern]:
    """The student without teacher was better, and the likely reason: the first that the numbers speak for."""
    if outcome.winner != "control" or outcome.raced is None:
        return []
    raced, gauge = outcome.raced, outcome.gauge
    alone, taught = (mean(one.validation_accuracy for one in seeds) for seeds in (raced.control, raced.distilled))
    about = {one.about for one in found}
    train = known.splits.parts["train"]
    if gauge.share and taught >= SOLVED:
        reason, fix = "there is hardly anything left to learn", "Leave the teacher away, or take a smaller student"
    elif "teacher" in about:
        reason, fix = "the teacher is weak or surer than it is right, see below", "See to the teacher first"
    elif transfer is not None and transfer.peak >= ONE_HOT:
        reason = "the teacher's targets hold no more than labels, see below"
        fix = "Try higher temperatures under [train] distill"
    elif "capacity gap" in about:
        reason, fix = (
            "the student is too small to follow this teacher, see below",
            "Take a teacher nearer to it in size",
        )
    elif "transfer data" in about:
        reason, fix = "the transfer data are unlike the rest, see below", "Add unlabelled samples from where it is used"
    elif train.labelled == train.count:
        reason = f"labels are plenty: all {train.count} training samples have one, so targets add little"
        fix = "Add unlabelled samples, where a teacher is worth most, or leave it away"
    else:
        reason, fix = "nothing that was looked at tells why", "Try more seeds with --effort standard"
    better = "better" if gauge.good(alone) > gauge.good(taught) else "as good"
    message = (
        f"the student without teacher was {better} on the validation part "
        f"({gauge.show(alone)} against {gauge.show(taught)}) and is what ships; likely because {reason}"
    )
    return [Concern(about="control", message=message, fix=fix)]


def _labelled(known: Known, part: str) -> int:
    return next((files.labelled for name, files in known.splits.parts.items() if name == part), 0)
