"""Sign a certificate with an ssh key of one's own, and see who signed one: by ssh-keygen, keys stay where they are."""

import subprocess
from pathlib import Path

from edgekd import files
from edgekd.catalog import shown
from edgekd.certificate import NAME, SIGNATURE
from edgekd.errors import EdgekdError, Problem, UsageError

# What a signature is for, so that none of another purpose passes for one.
PURPOSE = "edgekd"
BEGIN = "-----BEGIN SSH SIGNATURE"
NO_KEYGEN = "signatures need ssh-keygen of OpenSSH 8.2 or later: install OpenSSH's client"


class NoKeygen(EdgekdError):
    """There is no ssh-keygen here."""


def sign(folder: Path, key: Path) -> None:
    """Write certificate.json.sig with a private ssh key (a passphrase is asked for). Raises UsageError, EdgekdError."""
    if not key.is_file():
        hint = "Name a private key such as ~/.ssh/id_ed25519; ssh-keygen -t ed25519 makes one"
        raise UsageError(Problem(f"--key {shown(key)}", "this file is not there", hint))
    command = ["ssh-keygen", "-Y", "sign", "-q", "-n", PURPOSE, "-f", str(key.absolute())]
    done = _run(command, folder, (folder / NAME).read_bytes())
    if done.returncode or not done.stdout.startswith(BEGIN):
        raise UsageError(Problem(f"--key {shown(key)}", f"cannot sign: {_last(done.stderr)}"))
    files.write(folder / SIGNATURE, done.stdout)


def signed_by(folder: Path, signers: Path | None) -> tuple[bool, str]:
    """Whether the signature is good, and who made it: one of `signers` (an allowed_signers file), else which key.

    Raises UsageError where `signers` cannot be read, EdgekdError where there is no ssh-keygen.
    """
    text = (folder / NAME).read_bytes()
    if signers is None:
        done = _run(["ssh-keygen", "-Y", "check-novalidate", "-n", PURPOSE, "-s", SIGNATURE], folder, text)
        return not done.returncode, _last(done.stdout if not done.returncode else done.stderr)
    if not signers.is_file():
        hint = "It has lines such as: anna@example.com ssh-ed25519 AAAA... (ssh-keygen(1), allowed signers)"
        raise UsageError(Problem(f"--signers {shown(signers)}", "this file is not there", hint))
    allowed = str(signers.absolute())
    found = _run(["ssh-keygen", "-Y", "find-principals", "-s", SIGNATURE, "-f", allowed], folder, None)
    who = (found.stdout.splitlines() or [""])[0].strip()
    if found.returncode or not who:
        return False, f"none of those in {shown(signers)} made it"
    command = ["ssh-keygen", "-Y", "verify", "-n", PURPOSE, "-f", allowed, "-I", who, "-s", SIGNATURE]
    done = _run(command, folder, text)
    return not done.returncode, f"made by {who}" if not done.returncode else _last(done.stdout + done.stderr)


def _run(command: list[str], folder: Path, text: bytes | None) -> subprocess.CompletedProcess[str]:
    """Run ssh-keygen in the bundle; it asks for a passphrase at the terminal itself."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            input=text,
            stdin=None if text is not None else subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise NoKeygen(NO_KEYGEN) from None
    return subprocess.CompletedProcess(
        command, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )


def _last(said: str) -> str:
    return (said.strip().splitlines() or ["ssh-keygen gave no reason"])[-1].strip()
