"""Where a file's outputs come from: its own runtime, or its format's definitions where that cannot run."""

from collections.abc import Sequence

from edgekd.policies.known import Outlook
from edgekd.results import Artifact, Predictions
from edgekd.spec import Part, Target
from edgekd.steps import Predict, Reference


def ask(known: Outlook, target: Target, artifact: Artifact, part: Part) -> Predict | Reference:
    """The question for the outputs of a file over one part."""
    runtime = known.runtime(target)
    if not runtime:
        return Reference(artifact=artifact, splits=known.splits, part=part)
    return Predict(
        artifact=artifact,
        splits=known.splits,
        part=part,
        device=target.device,
        fingerprint=known.facts[target.device.name].fingerprint,
        runtime=runtime,
    )


def answered(predictions: Sequence[Predictions]) -> bool:
    """Whether there are outputs of every part."""
    return all(one.basis != "not measured" for one in predictions)


def basis(predictions: Sequence[Predictions]) -> tuple[str, ...]:
    """What a reader must know of where a file's accuracy is from; nothing where its own runtime gave it."""
    missing = next((one.why for one in predictions if one.basis == "not measured"), "")
    if missing:
        return (f"not verified: {missing}",)
    return tuple(dict.fromkeys(f"accuracy by {one.basis}: {one.why}" for one in predictions if one.basis != "measured"))
