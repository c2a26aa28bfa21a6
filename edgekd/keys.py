"""The name of a step's answer: what decides it, as one digest. And what does not: where the user's files are."""

import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgekd import plugins
from edgekd.spec import KEY
from edgekd.steps import Step

FORMAT = 1


@cache
def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def versions(step: Step[Any]) -> dict[str, str]:
    """Versions of the stage, of the plug-ins that the step names, of what these use, and of their packages."""
    found: dict[str, str] = {}
    wanted = [f"{kind}.{name}" for kind, name in (("stages", step.stage), *step.plugins())]
    while wanted:
        name = wanted.pop()
        if name not in found:
            declared = plugins.code(name)
            found[name] = str(declared.version)
            found |= {package: _installed(package) for package in declared.packages}
            wanted += declared.uses
    return dict(sorted(found.items()))


def question(step: Step[Any]) -> dict[str, Any]:
    """What a step asks, without what its answer does not depend on (where files are, names of people and places)."""
    return step.model_dump(mode="json", context=KEY)


def key(step: Step[Any]) -> str:
    """The name of a step's answer: a digest of the question and of everything that answers it."""
    whole = {"format": FORMAT, "stage": step.stage, "step": question(step), "versions": versions(step)}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def user_files(told: Any) -> dict[str, str]:
    """Where the user's files are today, by digest: every UserFile in a dumped step."""
    if isinstance(told, dict):
        if told.keys() >= {"path", "sha256"}:
            return {told["sha256"]: told["path"]}
        told = list(told.values())
    found: dict[str, str] = {}
    for part in told if isinstance(told, list) else ():
        found |= user_files(part)
    return found


def relocated(told: Any, places: dict[str, str]) -> Any:
    """A dumped result with the paths of the user's files as they are today: an answer outlives a moved folder."""
    if not places or not isinstance(told, dict | list):
        return told
    if isinstance(told, list):
        return [relocated(part, places) for part in told]
    if told.keys() >= {"path", "sha256"}:
        return told | {"path": places.get(told["sha256"], told["path"])}
    return {name: relocated(part, places) for name, part in told.items()}
