"""edgekd.lock.json: every step that a build used, with its question's key, versions, output digests and seconds."""

import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path

from edgekd.results import DeviceFacts, StepRecord
from edgekd.spec import KEY, Plan, Value

NAME = "edgekd.lock.json"


class Lock(Value):
    """What a run folder was made from. `plan` is the digest of the plan's question; `source` the git state if any.

    `cards` are the digests of the recipe and of every card that it names. A step's key is
    the digest of its question and of the versions that answer it.
    """

    lock_version: int = 1
    edgekd: str
    source: str
    plan: str
    cards: dict[str, str] = {}
    seeds: tuple[int, ...]
    devices: dict[str, DeviceFacts]
    steps: tuple[StepRecord, ...]

    def same_answers(self, other: "Lock") -> bool:
        """Whether both name the same plan, the same steps and the same files."""
        mine, theirs = (
            {step.key: step.files for step in lock.steps if step.stage != "probe"} for lock in (self, other)
        )
        return (self.plan, self.edgekd, mine) == (other.plan, other.edgekd, theirs)


def lock(plan: Plan, steps: tuple[StepRecord, ...], devices: dict[str, DeviceFacts]) -> Lock:
    """Describe a build."""
    return Lock(
        edgekd=version("edgekd"),
        source=_git_state(),
        plan=hashlib.sha256(plan.model_dump_json(context=KEY).encode()).hexdigest(),
        cards=plan.cards,
        seeds=tuple(range(plan.seed, plan.seed + plan.effort.seeds)),
        devices=devices,
        steps=steps,
    )


def read(folder: Path) -> Lock | None:
    """The lock of a run folder; None where there is none that this version reads."""
    try:
        return Lock.model_validate_json((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _git_state() -> str:
    """The commit that edgekd itself runs from, with "+changes" for an altered tree; empty for an installed wheel."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        changes = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
