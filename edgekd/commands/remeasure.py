"""Measure bundles again where they run, and say of each budget: holds, broken, or inconclusive."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from edgekd import files, jobs
from edgekd.bundle.verify import certified, read
from edgekd.catalog import shown
from edgekd.certificate import AGAIN, Certificate, Term, Verdict, measured, overall
from edgekd.commands.subjects import subject
from edgekd.commands.timed import How, measure, together
from edgekd.errors import DeviceError, Problem, UsageError
from edgekd.results import Interval, Measurement
from edgekd.runtimes import digests
from edgekd.spec import Budget, Device, Protocol, Value


class Board(Value):
    """A device of one's own, the budget that it wants (None: that of the certificates), and the bundles it may get."""

    name: str
    device: Device
    budget: Budget | None = None
    bundles: tuple[Path, ...]


class Again(Value):
    """One bundle on one board: the budget held against a new measurement. `before` is the certified p90 in seconds,
    where it was of the same device."""

    board: str
    bundle: str
    verdict: Verdict
    terms: tuple[Term, ...] = ()
    accuracy: Interval | None = None
    measurement: Measurement
    before: float | None = None
    notes: tuple[str, ...] = ()


class Served(Value):
    """What a board gets: of all bundles that it may get the most accurate one that holds its budget, if any does."""

    board: str
    gets: str = ""
    verdict: Verdict
    tried: tuple[Again, ...]


def remeasure(
    boards: Sequence[Board], protocol: Protocol, every: bool, tell: Callable[[float, str], None]
) -> tuple[Served, ...]:
    """Measure on all boards at once, on each of them one bundle after the other, the most accurate first.

    With `every` all bundles are measured, else until one holds. Raises UsageError, before anything is measured, for
    bundles that are damaged, have no certificate, or whose budget holds nothing that a device decides.
    """
    known = _checked(boards)
    return tuple(together(lambda board, stopping: _on(board, known, (protocol, every), tell, stopping), boards))


def _checked(boards: Sequence[Board]) -> dict[Path, Certificate]:
    """The certificates of all bundles. Raises UsageError with all mistakes."""
    found, problems = dict[Path, Certificate](), dict[Problem, None]()
    for board in boards:
        for bundle in board.bundles:
            try:
                found[bundle] = read(bundle)
            except UsageError as error:
                problems |= dict.fromkeys(error.problems)
                continue
            if not _whole(bundle):
                hint = f"Run: edgekd verify {shown(bundle)}"
                problems[Problem(shown(bundle), "is not what was written, so nothing is measured", hint)] = None
            budget = board.budget or found[bundle].budget
            if all(getattr(budget, name) is None for name in AGAIN):
                hint = "Build with --max-latency, or give the board's own budget in a fleet file"
                message = f"has no budget that {board.name} could keep or break"
                problems[Problem(shown(bundle), message, hint)] = None
    if problems:
        raise UsageError(*problems)
    return found


def _whole(bundle: Path) -> bool:
    """Whether all files are as they were written, by the digests and by the certificate."""
    told = digests.check(bundle)
    return all(one["passed"] for one in told) and all(one.passed is not False for one in certified(bundle, None))


def _on(
    board: Board,
    known: dict[Path, Certificate],
    how: tuple[Protocol, bool],
    tell: Callable[[float, str], None],
    stopping: Event,
) -> Served:
    """Everything on one board; `how` are the protocol and whether every bundle is measured."""
    tried: list[Again] = []
    protocol, every = how
    reached = jobs.Reached(board.device)
    try:
        for bundle in sorted(board.bundles, key=lambda one: _rank(known[one])):
            tried.append(_again(board, bundle, known[bundle], reached, protocol, tell))
            if stopping.is_set() or (tried[-1].verdict == "holds" and not every):
                break
    finally:
        reached.leave()
    holding = next((one for one in tried if one.verdict == "holds"), None)
    if every:
        verdicts = [one.verdict for one in tried]
        worst: Verdict = "broken" if "broken" in verdicts else "inconclusive" if "inconclusive" in verdicts else "holds"
        return Served(board=board.name, verdict=worst, tried=tuple(tried))
    open_still = any(one.verdict == "inconclusive" for one in tried)
    verdict: Verdict = "holds" if holding else "inconclusive" if open_still else "broken"
    return Served(board=board.name, gets=holding.bundle if holding else "", verdict=verdict, tried=tuple(tried))


def _rank(certificate: Certificate) -> float:
    return -certificate.gauge.good(certificate.accuracy.value) if certificate.accuracy else 0.0


def _again(
    board: Board,
    bundle: Path,
    certificate: Certificate,
    reached: jobs.Reached,
    protocol: Protocol,
    tell: Callable[[float, str], None],
) -> Again:
    """One measurement and what it says; a device that cannot be reached is no end for the others."""
    one = subject(bundle)
    try:
        runtime = certificate.runtime.rpartition(" ")[0]
        own = "" if runtime == one.format else runtime
        (found,) = measure([one], reached, How(certificate.threads, own, protocol, tell))
    except DeviceError as error:
        found = Measurement(basis="not measured", why=str(error))
    terms = measured(board.budget or certificate.budget, files.size(one.model), found)
    before, notes = _before(certificate, found)
    verdict = overall(terms)
    if verdict == "holds" and found.basis != "measured":
        verdict = "inconclusive"
    return Again(
        board=board.name,
        bundle=shown(bundle),
        verdict=verdict,
        terms=terms,
        accuracy=certificate.accuracy,
        measurement=found,
        before=before,
        notes=notes,
    )


def _before(certificate: Certificate, found: Measurement) -> tuple[float | None, tuple[str, ...]]:
    """The certified p90 where it is of this very device, and what differs from when it was certified."""
    if certificate.device is None or found.device is None:
        return None, ()
    if certificate.device.fingerprint != found.device.fingerprint:
        return None, (f"certified on another device, {certificate.device.name}",)
    now = f"{found.conditions.runtime} {found.conditions.version}" if found.conditions else certificate.runtime
    notes = () if now == certificate.runtime else (f"certified with {certificate.runtime}, now {now}",)
    term = next((term for term in certificate.terms if term.limit == "max_latency"), None)
    return term.found.value if term and term.found else None, notes
