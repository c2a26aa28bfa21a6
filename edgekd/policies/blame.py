"""Where a file that does not compute what torch computes begins to differ, or to run, for the error that says so."""

from edgekd.errors import EdgekdError
from edgekd.policies.known import Outlook
from edgekd.results import Artifact, Diffed, Program
from edgekd.spec import Target
from edgekd.steps import Diff, Locate, Policy


def blame(known: Outlook, target: Target, program: Program, artifact: Artifact) -> Policy[str]:
    """Sentences on the first divergent layer, the likely cause and what to try next.

    Empty where nothing here can look into the file, or looking fails: the error that they belong to comes first.
    """
    runtime = known.runtime(target)
    if artifact.layers is None or not (runtime or target.format in known.references):
        return ""
    try:
        (found,) = yield [
            Diff(
                program=program,
                artifact=artifact,
                device=target.device,
                fingerprint=known.facts[target.device.name].fingerprint,
                runtime=runtime,
            )
        ]
    except EdgekdError:
        return ""
    return _sentences(found)


def stops(known: Outlook, target: Target, program: Program, artifact: Artifact) -> Policy[str]:
    """A sentence on the operator with which a file stops running; empty where that cannot be found out."""
    if not known.runtime(target):
        return ""
    try:
        (found,) = yield [
            Locate(
                program=program,
                artifact=artifact,
                device=target.device,
                fingerprint=known.facts[target.device.name].fingerprint,
                runtime=known.runtime(target),
            )
        ]
    except EdgekdError:
        return ""
    return f"It stops at {found.operator}. Instead, {found.advice}" if found.operator else ""


def _sentences(found: Diffed) -> str:
    if found.basis == "not measured":
        return ""
    layer = next((layer for layer in found.layers if layer.node == found.first), None)
    if layer is None:
        return f"On {found.samples} golden samples no layer that can be seen differs by more than rounding."
    return (
        f"First divergent layer: {layer.name} ({layer.snr:.1f} dB, {found.threshold:.0f} dB is the least). "
        f"Likely cause: {found.cause}. Try next: {found.advice}."
    )
