"""What ssh and a board say where something goes wrong, as a sentence that says what to do."""

import errno
from collections.abc import Mapping
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT)
# A word of ssh's own messages, what it means, what to do; the first that fits counts.
KNOWN = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that ssh knows: it was set up anew, or another machine answers",
        "If you did so: ssh-keygen -R {host}, then log in once by hand and compare the fingerprint: ssh {address}",
    ),
    (
        "Host key verification failed",
        "ssh does not know its host key",
        "Log in once by hand and compare the fingerprint: ssh {address}",
    ),
    (
        "Permission denied",
        "it refuses your key",
        "Run: ssh-copy-id {address}, or name the key in your ssh configuration",
    ),
    ("Too many authentication failures", "it refuses your keys", "Name the right one in your ssh configuration"),
    ("Connection refused", "nothing answers at its port", "Switch sshd on there: sudo systemctl enable --now ssh"),
    (
        "Could not resolve hostname",
        "there is no such host",
        "Check the name, or give its address in numbers with --at {name}=USER@ADDRESS",
    ),
    ("timed out", "it does not answer", "Is it switched on, and in the same network?"),
    ("No route to host", "it does not answer", "Is it switched on, and in the same network?"),
    ("Network is unreachable", "it does not answer", "Is this computer in its network?"),
    ("Can't open user config file", "ssh cannot read its configuration", "Look at EDGEKD_SSH_CONFIG"),
    ("Bad configuration option", "ssh cannot read its configuration", "Mend the line that it names"),
    ("No space left on device", "its disk is full", "Free some space there; the same command goes on"),
    ("No usable temporary directory", "its disk is full", "Free some space there; the same command goes on"),
)
NOT_FOUND = 127
# ssh's own exit status for failures of the connection.
SSH = 255


def at_login(name: str, address: str, python: str, status: int, said: str) -> str:
    """Why a board cannot be asked at all; `status` is that of ssh."""
    start = f"{name} cannot be reached at {address}"
    for word, reason, hint in KNOWN:
        if word in said:
            host = address.removeprefix("ssh://").rpartition("@")[2]
            return f"{start}: {reason}. {hint.format(name=name, address=address, host=host)}{_quoted(said)}"
    if status == NOT_FOUND:
        return f"{name} has no {python}. Run there: sudo apt install python3"
    if status != SSH:
        return f"{python} on {name} ended with status {status}{_quoted(said)}"
    return f"{start}. Try by hand: ssh {address}{_quoted(said)}"


def in_mid_run(name: str, address: str, status: int, said: str) -> str:
    """Why a board that answered no longer does."""
    hint = "Is it plugged in, with enough power? The same command goes on from here"
    return f"the connection to {name} at {address} was lost in mid-run. {hint}{_quoted(said)}"


def unwritable(name: str, told: Mapping[str, Any]) -> str:
    """Why a board could not take the files of a job."""
    if told["errno"] in FULL:
        return full(name, f" ({told['at']})")
    return f"{name} cannot write {told['at']}: {told['failed']}"


def full(name: str, where: str = "") -> str:
    """A board without room."""
    return f"the disk of {name} is full{where}. Free some space there; the same command goes on"


def _quoted(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip(" @\r\n")]
    return "".join(f"\n    {line}" for line in lines[-3:])
