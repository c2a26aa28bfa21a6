"""From trained networks to judged files: teacher, control and student, each in the precisions that tell most."""

from collections.abc import Sequence

from edgekd.errors import EdgekdError
from edgekd.policies.files import Wanted, convert, reason, taking
from edgekd.policies.items import Item
from edgekd.policies.judge import Judged, judge
from edgekd.policies.known import PRICED, Known
from edgekd.results import Measurement, Predictions, Program, Role, Row
from edgekd.spec import Precision, Target, Value
from edgekd.steps import Evaluate, Policy, Train


class Networks(Value):
    """The programs of one round: student and control, and the teacher's where it can be exported (else why not).

    `train` is how the winner is trained under fake quantization, should its quantized file lose too much.
    """

    student: Program
    control: Program
    teacher: Program | None = None
    no_teacher: str = ""
    train: Train | None = None


def ship(known: Known, target: Target, networks: Networks, winner: Role) -> Policy[Judged]:
    """Judge teacher, control and student on one target; the best precision of the `winner` ships."""
    items, notes = yield from _convert(known, target, networks, winner)
    judged = yield from judge(known, target, items, known.soft_targets.parts, winner, networks.train)
    rows = list(judged.rows)
    if not any(row.role == "teacher" for row in rows):
        rows.append((yield from _teacher_without_file(known, target, (*notes, networks.no_teacher))))
    order = {"teacher": 0, "teacher-int8": 1, "control": 2, "student": 3}
    return judged.model_copy(update={"rows": tuple(sorted(rows, key=lambda row: order[row.role]))})


def _convert(
    known: Known, target: Target, networks: Networks, winner: Role
) -> Policy[tuple[list[Item], tuple[str, ...]]]:
    """The winner in every precision that may ship, the others in what tells most; float32 of each, to judge the rest.

    A file that is not asked for by name and cannot be made is no end: of the teacher's, the second value says why.
    """
    precisions: dict[Role, tuple[Precision, ...]] = {
        role: known.tried(target) if role == winner else known.priced(target) for role in ("control", "student")
    }
    programs = [networks.control, networks.student]
    if networks.teacher is not None:
        programs.append(networks.teacher)
        precisions["teacher"] = PRICED
    taken = yield from taking(target, known.splits, programs)
    pairs = zip(taken, precisions.items(), strict=True)
    wanted = {role: Wanted(program=program, precisions=tried) for program, (role, tried) in pairs}
    made = yield from convert(known, target, list(wanted.values()))
    items, notes = [], []
    for role, one in zip(wanted, made, strict=True):
        for precision, file in one.files.items():
            if isinstance(file, EdgekdError):
                if role != "teacher" and precision in ("float32", target.precision):
                    raise file
                notes += [f"the teacher has no {precision} file: {reason(file)}"] if role == "teacher" else []
                continue
            as_role: Role = "teacher-int8" if role == "teacher" and precision != "float32" else role
            items.append(Item(role=as_role, precision=precision, program=wanted[role].program, artifact=file))
    return items, tuple(notes)


def _teacher_without_file(known: Known, target: Target, why: Sequence[str]) -> Policy[Row]:
    """The teacher's row where it has no file: its own outputs are scored, nothing is timed."""
    own = Predictions(
        outputs=known.soft_targets.parts["test"], part="test", basis="reference", why="the teacher's own outputs"
    )
    (score,) = yield [Evaluate(predictions=own, splits=known.splits, metric=known.plan.data.metric)]
    reason = "; ".join(filter(None, why)) or "the teacher has no file for this target"
    return Row(
        role="teacher",
        target=target.name,
        precision="float32",
        size=known.teacher,
        measurement=Measurement(basis="not measured", why=reason, device=known.facts[target.device.name]),
        score=score,
        notes=(reason,),
    )
