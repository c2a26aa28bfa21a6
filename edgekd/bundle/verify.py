"""Is a bundle what was written, and does its model still give what was recorded?

Digests show damage, and the golden vectors show that files, preprocessing and runtime still belong together, also where
somebody has changed a file and its digest. They do not show the work of a forger who records everything anew.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from edgekd import files
from edgekd.bundle.signing import NoKeygen, signed_by
from edgekd.certificate import NAME, SIGNATURE, Certificate
from edgekd.errors import Problem, UsageError
from edgekd.runtimes import digests
from edgekd.spec import Value

TIMEOUT = 300.0
# What only application bundles hold (content.py).
APPLICATION = "model/model.json"


class Finding(Value):
    """One thing that was looked at: is it right (None: it could not be looked at here), and what was seen."""

    what: str
    passed: bool | None
    why: str = ""


def verify(folder: Path, signers: Path | None = None) -> tuple[Finding, ...]:
    """Check every digest and the certificate, then replay golden vectors and images in a fresh process.

    With `signers` (an allowed_signers file of ssh) the certificate must be signed by one of them. A bundle is sound if
    no finding has `passed` False. Raises UsageError where `folder` holds no bundle.
    """
    if not (folder / digests.NAME).is_file():
        hint = "Name the folder that build wrote for one target"
        raise UsageError(Problem(str(folder), f"is not a bundle: it holds no {digests.NAME}", hint))
    found = [Finding.model_validate(one) for one in digests.check(folder)]
    if (folder / APPLICATION).is_file():
        return (*_but_added(found), *_application(folder))
    return (*found, *certified(folder, signers), *_model(folder), *_replayed(folder))


def _but_added(found: list[Finding]) -> list[Finding]:
    """What a user adds to an application is no damage."""
    kept = [one for one in found if one.why != digests.UNLISTED]
    return kept or [Finding(what="digests", passed=True, why="the files that were written are as they were")]


def _application(folder: Path) -> tuple[Finding, ...]:
    """Whether an application holds the model that its certificate is of; what it computes its self-test tells."""
    certificate, inner = read(folder), (folder / APPLICATION).parent
    model = Path(certificate.model).name
    wanted = {name: value for name, value in certificate.sha256.items() if name.split("/")[0] == model}
    here = {name: value for name, value in digests.listing(inner).items() if name.split("/")[0] == model}
    why = "" if here == wanted else "the certificate is of another file"
    test = Finding(what="self-test", passed=None, why="it runs in the application; its README.md says how")
    return Finding(what=model, passed=not why, why=why), test


def sound(findings: tuple[Finding, ...]) -> bool:
    """Whether nothing that could be looked at is wrong."""
    return all(finding.passed is not False for finding in findings)


def certified(folder: Path, signers: Path | None) -> tuple[Finding, ...]:
    """Whether the certificate is of these very files, and whose signature it has; an older bundle has none."""
    if not (folder / NAME).is_file():
        why = "it has no certificate, so nobody signed it"
        return (Finding(what="signature", passed=False, why=why),) if signers else ()
    try:
        certificate = read(folder)
    except UsageError as error:
        return (Finding(what=NAME, passed=False, why=error.problems[0].message),)
    own = {name: value for name, value in digests.listing(folder).items() if name not in (NAME, SIGNATURE)}
    same = own == certificate.sha256
    why = f"{certificate.verdict}, {certificate.created}" if same else "it is not of these files"
    found = [Finding(what="certificate", passed=same, why=why)]
    if (folder / SIGNATURE).is_file():
        found.append(_signature(folder, signers))
    elif signers:
        found.append(Finding(what="signature", passed=False, why="nobody signed the certificate"))
    return tuple(found)


def _signature(folder: Path, signers: Path | None) -> Finding:
    """Whose signature it is; without ssh-keygen that cannot be looked at here, which is no reason to trust it."""
    try:
        good, who = signed_by(folder, signers)
    except NoKeygen as error:
        return Finding(what="signature", passed=False if signers else None, why=str(error))
    return Finding(what="signature", passed=good, why=who)


def read(folder: Path) -> Certificate:
    """The certificate of a bundle. Raises UsageError where there is none that can be read."""
    try:
        return Certificate.model_validate_json((folder / NAME).read_text(encoding="utf-8"))
    except OSError as error:
        hint = "Build again: bundles of this version have one"
        raise UsageError(Problem(str(folder / NAME), f"cannot be read: {error.strerror}", hint)) from None
    except ValueError:
        raise UsageError(Problem(str(folder / NAME), "is no certificate of this version")) from None


def _model(folder: Path) -> tuple[Finding, ...]:
    """The model must be the file that the golden vectors were recorded with, whatever digests.json says."""
    try:
        model = json.loads((folder / "golden" / "golden.json").read_text(encoding="utf-8"))["model"]
        path = folder / Path(model["name"]).name
        same = files.digest(path) == model["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return (Finding(what="model", passed=False, why=f"{type(error).__name__}: {error}"),)
    return (Finding(what=path.name, passed=same, why="" if same else "it is not the model that was recorded"),)


def _replayed(folder: Path) -> tuple[Finding, ...]:
    """Findings of the replay; a crash of the runtime is one too."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as work:
        answer = Path(work) / "findings.json"
        command = [sys.executable, "-P", "-m", "edgekd.bundle.replay", str(folder.absolute()), str(answer)]
        try:
            done = subprocess.run(
                command,
                env=os.environ | {"PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return (Finding(what="replay", passed=False, why=f"the runtime did not answer within {TIMEOUT:.0f} s"),)
        if not answer.is_file():
            last = "; ".join(done.stderr.strip().splitlines()[-2:]) or "no message"
            return (
                Finding(what="replay", passed=False, why=f"the runtime ended with status {done.returncode}: {last}"),
            )
        return tuple(Finding.model_validate(one) for one in json.loads(answer.read_text(encoding="utf-8")))
