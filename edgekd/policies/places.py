"""Where the operators of files run: asked once a target's files are timed, of those that a choice depends on."""

from collections.abc import Sequence

from edgekd.errors import EdgekdError
from edgekd.policies.files import reason
from edgekd.policies.items import Item
from edgekd.policies.known import Outlook
from edgekd.results import Profiled, Role
from edgekd.spec import Target
from edgekd.steps import Each, Policy, Profile


def place(known: Outlook, target: Target, items: Sequence[Item], winner: Role) -> Policy[list[Item]]:
    """The winner's items with where their operators run; all items where a budget asks for it.

    A file that cannot be looked into is no end: where its operators run is then not measured, and why.
    """
    asked = [item for item in items if item.role == winner or target.budget.max_fallback is not None]
    answers: Sequence[Profiled | EdgekdError] = yield Each(_ask(known, target, item) for item in asked)
    found = {id(item): _answer(answer) for item, answer in zip(asked, answers, strict=True)}
    return [item.model_copy(update={"placement": found.get(id(item))}) for item in items]


def _ask(known: Outlook, target: Target, item: Item) -> Profile:
    return Profile(
        program=item.program,
        artifact=item.artifact,
        splits=known.splits,
        device=target.device,
        fingerprint=known.facts[target.device.name].fingerprint,
        runtime=known.runtime(target),
        threads=target.threads,
    )


def _answer(answer: Profiled | EdgekdError) -> Profiled:
    if isinstance(answer, EdgekdError):
        return Profiled(basis="not measured", why=reason(answer))
    return answer
