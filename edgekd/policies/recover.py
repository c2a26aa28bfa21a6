"""Winning back what a quantized file lost, rung by rung, until it keeps accuracy and latency, or no rung is left.

Other ranges, then more samples to find them on; equalized layers; the most sensitive layers in float, the fewest that
suffice; training with the teacher under fake quantization. Each rung starts from what has helped before it.
"""

from collections.abc import Sequence
from typing import Any

from edgekd import units
from edgekd.errors import EdgekdError
from edgekd.policies import limits, outputs
from edgekd.policies.files import ask, reason, taking
from edgekd.policies.items import LOSS, Item, float_latency, p90, pointless
from edgekd.policies.known import Outlook
from edgekd.results import Artifact, File, Program, Rung
from edgekd.spec import Precision, Ranges, Target, Value
from edgekd.steps import Diff, Each, Equalize, Evaluate, Export, Measure, Policy, Train

# Samples that calibrate beyond the calibration part, and the most layers that are left in float.
MORE, MOST = 1024, 8


class Case(Value):
    """A quantized file that lost too much, its network's float32 file, and what may be tried.

    `teacher` are the outputs that drops are counted from; `train` asks for training under fake quantization, None where
    the network is not ours to train.
    """

    known: Outlook
    target: Target
    item: Item
    twin: Item
    teacher: File | None
    train: Train | None = None


class Setting(Value):
    """How a quantized file is made."""

    program: Program
    ranges: Ranges
    more: int = 0
    in_float: tuple[str, ...] = ()


class Attempt(Value):
    """What became of one setting: the item (None: no file, or nothing can be said of it) and the rung to report."""

    setting: Setting
    rung: Rung
    item: Item | None = None


class Recovered(Value):
    """All that was tried, and the item that keeps everything, if one does."""

    rungs: tuple[Rung, ...]
    item: Item | None = None


def limit(target: Target) -> float:
    """The share of accuracy that quantization may cost."""
    allowed = target.budget.max_quantization_loss
    return LOSS if allowed is None else allowed


def lost(item: Item, twin: Item) -> float | None:
    """What a file loses on validation against the same network's float32 file; of an error a share of it."""
    if item.validation is None or twin.validation is None:
        return None
    return twin.validation.gauge.lost(item.validation.accuracy.value, twin.validation.accuracy.value)


def too_lossy(target: Target, item: Item, twin: Item) -> bool:
    """Whether quantization costs more than it may, by more than one sample, or breaks a budget that float keeps."""
    loss = lost(item, twin)
    if loss is None or item.validation is None or twin.validation is None:
        return False
    broken = limits.accuracy(target.budget, item.validation, twin.validation)
    kept_by_float = not limits.accuracy(target.budget, twin.validation, None)
    return loss > limit(target) + 1 / item.validation.count or bool(broken and kept_by_float)


def recover(case: Case) -> Policy[Recovered]:
    """Climb until a file keeps accuracy and latency."""
    setting = Setting(program=case.item.program, ranges=case.target.ranges)
    best = Attempt(setting=setting, item=case.item, rung=_rung(case, "as calibrated", case.item, "it loses too much"))
    rungs = [best.rung]
    for climb in (_other_ranges, _more_samples, _equalized, _partly_float, _trained):
        found: list[Attempt] = yield from climb(case, best)
        rungs += [attempt.rung for attempt in found]
        good = [attempt for attempt in found if attempt.rung.kept]
        if good:
            return Recovered(rungs=tuple(rungs), item=good[-1].item)
        best = min((best, *found), key=_loss)
    return Recovered(rungs=tuple(rungs))


def _loss(attempt: Attempt) -> float:
    return 1.0 if attempt.rung.loss is None else attempt.rung.loss


def _rung(case: Case, name: str, item: Item, why: str, more: Sequence[str] = ()) -> Rung:
    """The record of an attempt that has a file."""
    latency = item.measurement.latency
    return Rung(
        target=case.target.name,
        precision=case.item.precision,
        name=name,
        loss=lost(item, case.twin),
        drop=item.validation.drop if item.validation else None,
        latency=latency.p90 if latency else None,
        size=item.artifact.size,
        kept=not why,
        why=why,
        entries=(*more, item.artifact.file.entry),
    )


def _failed(case: Case, setting: Setting, name: str, why: str) -> Attempt:
    rung = Rung(target=case.target.name, precision=case.item.precision, name=name, why=why)
    return Attempt(setting=setting, rung=rung)


def _attempt(case: Case, name: str, setting: Setting, behind: Sequence[str] = ()) -> Policy[Attempt]:
    """Convert with a setting, judge on validation, and time what keeps its accuracy beside the float32 file."""
    base = yield from _convert(case, setting.program, "float32")
    file = (yield from _convert(case, setting.program, case.item.precision, setting, base)) if _made(base) else base
    if not isinstance(file, Artifact):
        return _failed(case, setting, name, reason(file))
    item = Item(role=case.item.role, precision=case.item.precision, program=setting.program, artifact=file)
    (predictions,) = yield [outputs.ask(case.known, case.target, file, "validation")]
    if not outputs.answered([predictions]):
        return _failed(case, setting, name, predictions.why)
    (score,) = yield [
        Evaluate(
            predictions=predictions,
            splits=case.known.splits,
            teacher=case.teacher,
            reference=setting.program.reference,
            precision=case.item.precision,
            metric=case.known.plan.data.metric,
        )
    ]
    item = item.model_copy(update={"validation": score, "notes": (f"recovered by {name}",)})
    behind = (*behind, predictions.outputs.entry)
    if too_lossy(case.target, item, case.twin):
        return Attempt(setting=setting, item=item, rung=_rung(case, name, item, "it loses too much", behind))
    if case.known.runtime(case.target):
        item = yield from _timed(case, item)
    return Attempt(setting=setting, item=item, rung=_rung(case, name, item, _too_slow(case, item), behind))


def _made(file: Artifact | EdgekdError) -> bool:
    return isinstance(file, Artifact)


def _convert(
    case: Case,
    program: Program,
    precision: Precision,
    setting: Setting | None = None,
    base: Artifact | EdgekdError | None = None,
) -> Policy[Artifact | EdgekdError]:
    """A file, or the error that stands in its place."""
    how: dict[str, Any] = setting.model_dump(include={"ranges", "more", "in_float"}) if setting else {}
    (file,) = yield Each(
        [
            ask(
                case.known,
                case.target,
                program,
                precision,
                case.item.artifact.route,
                base if isinstance(base, Artifact) else None,
            ).model_copy(update=how)
        ]
    )
    made: Artifact | EdgekdError = file
    return made


def _timed(case: Case, item: Item) -> Policy[Item]:
    """The item, timed beside its float32 twin."""
    target = case.target
    (measured,) = yield [
        Measure(
            artifacts=(item.artifact, case.twin.artifact),
            splits=case.known.splits,
            device=target.device,
            fingerprint=case.known.facts[target.device.name].fingerprint,
            runtime=case.known.runtime(target),
            threads=target.threads,
        )
    ]
    return item.model_copy(update={"measurement": measured.measurements[0]})


def _too_slow(case: Case, item: Item) -> str:
    """Why a file that keeps its accuracy is no good all the same; empty where it is."""
    over = limits.physical(case.target.budget, item.artifact.size, item.measurement.memory, p90(item))
    if over:
        return "; ".join(over)
    timed = float_latency([case.twin], case.twin.role)
    if case.target.precision == "auto" and timed is not None and pointless(item, timed):
        return f"no faster than float: p90 {units.show_seconds(p90(item) or 0.0)}"
    return ""


def _other_ranges(case: Case, best: Attempt) -> Policy[list[Attempt]]:
    """Every other way in which the format finds ranges."""
    found: list[Attempt] = []
    for ranges in case.known.ranges.get(case.target.format, ()):
        if ranges != best.setting.ranges and not any(attempt.rung.kept for attempt in found):
            setting = best.setting.model_copy(update={"ranges": ranges})
            found.append((yield from _attempt(case, f"{ranges} ranges", setting)))
    return found


def _more_samples(case: Case, best: Attempt) -> Policy[list[Attempt]]:
    """Ranges over more samples, of each class as many."""
    count = min(MORE, case.known.splits.parts["train"].count)
    setting = best.setting.model_copy(update={"more": count})
    return [(yield from _attempt(case, f"ranges over {count:,} more samples, of each class as many", setting))]


def _equalized(case: Case, best: Attempt) -> Policy[list[Attempt]]:
    """Layers whose channels are scaled so that they use the same range."""
    name = "equalized layers"
    (program,) = yield Each([Equalize(program=best.setting.program, splits=case.known.splits)])
    if isinstance(program, EdgekdError):
        return [_failed(case, best.setting, name, reason(program))]
    setting = best.setting.model_copy(update={"program": program})
    return [(yield from _attempt(case, name, setting, (program.file.entry,)))]


def _partly_float(case: Case, best: Attempt) -> Policy[list[Attempt]]:
    """The most sensitive layers in float: twice as many each time until it is enough, then as few as suffice."""
    sensitive = yield from _sensitive(case, best)
    if isinstance(sensitive, str):
        return [_failed(case, best.setting, "the most sensitive layers in float", sensitive)]
    found: list[Attempt] = []

    def enough(count: int) -> Policy[bool]:
        setting = best.setting.model_copy(update={"in_float": tuple(sensitive[:count])})
        noun = "the most sensitive layer" if count == 1 else f"the {count} most sensitive layers"
        found.append((yield from _attempt(case, f"{noun} in float", setting)))
        return found[-1].rung.kept

    low, high = 0, 1
    while not (yield from enough(high)):
        if high >= min(MOST, len(sensitive)):
            return found
        low, high = high, min(2 * high, MOST, len(sensitive))
    while high - low > 1:
        middle = (low + high) // 2
        if (yield from enough(middle)):
            high = middle
        else:
            low = middle
    return sorted(found, key=lambda attempt: (attempt.rung.kept, -len(attempt.setting.in_float)))


def _sensitive(case: Case, best: Attempt) -> Policy[list[str] | str]:
    """Nodes of the program, those first that lose most of the signal; or why that is not known."""
    if best.item is None:
        return "there is no file to look into"
    target = case.target
    (found,) = yield Each(
        [
            Diff(
                program=best.setting.program,
                artifact=best.item.artifact,
                device=target.device,
                fingerprint=case.known.facts[target.device.name].fingerprint,
                runtime=case.known.runtime(target),
            )
        ]
    )
    if isinstance(found, EdgekdError):
        return reason(found)
    seen = [layer.node for layer in sorted(found.layers, key=lambda layer: -layer.lost)]
    return seen or found.why or "no layer can be seen"


def _trained(case: Case, best: Attempt) -> Policy[list[Attempt]]:
    """A few epochs under fake quantization, with the teacher where the network had one."""
    name = "training under fake quantization"
    if case.train is None:
        return [_failed(case, best.setting, name, "the network is not edgekd's to train: it came as it is")]
    (trained,) = yield Each([case.train])
    if isinstance(trained, EdgekdError):
        return [_failed(case, best.setting, name, reason(trained))]
    checkpoint = trained.checkpoints[0]
    (program,) = yield Each([Export(source=checkpoint, splits=case.known.splits)])
    if isinstance(program, EdgekdError):
        return [_failed(case, best.setting, name, reason(program))]
    (program,) = yield from taking(case.target, case.known.splits, [program])
    name = f"{checkpoint.epochs} epochs under fake quantization{' with the teacher' if case.train.soft_targets else ''}"
    # the network is another one now, so what was found for the old one's layers does not hold for it
    setting = Setting(program=program, ranges=best.setting.ranges, more=best.setting.more)
    return [(yield from _attempt(case, name, setting, (checkpoint.weights.entry, program.file.entry)))]
