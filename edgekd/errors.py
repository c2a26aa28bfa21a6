"""Every error that edgekd raises on purpose, and the exit status that each one means.

EdgekdError              1  something failed; the message says what to do next
├── UsageError           2  the user's input has one or more problems, all listed at once
│   ├── MissingExtra     2  an optional package is needed; the message holds the pip line
│   ├── Unsuited         2  a precision can do nothing for a network on a target
│   └── NotConverted     2  a converter failed on a network; names operator and module
├── StepFailed           1  a step's worker failed; names its log and the command that runs it again
│   └── WorkerKilled     1  it was ended from outside, which says nothing about the step
├── StoreError           1  the store cannot be read or written
├── NotVerified          1  a reference evaluator cannot say what a file computes; names the operator that it lacks
└── DeviceError          4  a device cannot be reached or does not answer
    └── Unreachable      4  it could not be asked, which says nothing about the file; the same command goes on
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands (file, then key), what is wrong, and what to do about it."""

    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}. {self.hint}" if self.hint else text


class EdgekdError(Exception):
    """Something failed for a reason that edgekd can name."""

    exit_status = 1


class UsageError(EdgekdError):
    """The user's input has problems; `problems` lists all of them."""

    exit_status = 2

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class MissingExtra(UsageError):
    """An optional part of edgekd is not installed."""

    def __init__(self, package: str, install: str) -> None:
        super().__init__(Problem("", f"{package} is not installed", f"Run: {install}"))


class Unsuited(UsageError):
    """A precision can do nothing for a network on a target, for a reason that is known beforehand."""


class NotConverted(UsageError):
    """A converter failed on a network; says at which operator and in which module of it, as far as can be known."""


class StepFailed(EdgekdError):
    """A step's worker ended without a result.

    Attributes: `stage` (its name), `log` (path of the worker's output), `rerun` (a command that repeats it by hand).
    """

    def __init__(self, stage: str, reason: str, log: str, rerun: str) -> None:
        self.stage, self.reason, self.log, self.rerun = stage, reason, log, rerun
        super().__init__(f"{stage} failed: {reason}\n  log: {log}\n  run it again by hand: {rerun}")


class WorkerKilled(StepFailed):
    """A step's worker was ended from outside: by a person, or by the system for want of memory."""


FREE_SPACE = "Free some space, for example with: edgekd store gc --keep 1GiB"


class StoreError(EdgekdError):
    """The store cannot be read or written."""


class NotVerified(EdgekdError):
    """A reference evaluator cannot say what a file computes: an operator has no rule. Never a pass."""


class DeviceError(EdgekdError):
    """A device cannot be reached, or does not answer."""

    exit_status = 4


class Unreachable(DeviceError):
    """A device could not be asked (no connection, or one that was lost; no room there), which says nothing about the
    file. Once it can, the same command goes on."""
