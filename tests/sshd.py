"""A real sshd on loopback with keys, port and ssh configuration of its own; nothing of the user's ~/.ssh is read."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

SSHD = shutil.which("sshd") or next((p for p in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if Path(p).exists()), "")


def absent() -> str:
    """Why there can be no sshd here; empty where there can."""
    missing = [name for name in ("ssh", "ssh-keygen") if not shutil.which(name)] + ([] if SSHD else ["sshd"])
    return f"sshd: {', '.join(missing)} missing: apt install openssh-server openssh-client" if missing else ""


class Server:
    """One sshd. `config` is the client's configuration, in which the host is called "board"."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self.temporary = folder, Path((environment or {}).get("TMPDIR", tempfile.gettempdir()))
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.config = folder / "config"
        for name in ("hostkey", "id", "stranger"):
            if not (folder / name).exists():
                command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
                subprocess.run(command, check=True)
        shutil.copyfile(folder / "id.pub", folder / "authorized_keys")
        told = {"EDGEKD_BOARD_LOCK": f"{folder}/lock"} | dict(environment or {})
        set_env = " ".join(f'"{name}={value}"' for name, value in told.items())
        lines = (
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {folder}/hostkey",
            f"PidFile {folder}/pid",
            f"AuthorizedKeysFile {folder}/authorized_keys",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "PermitRootLogin prohibit-password",
            f"SetEnv {set_env}",
        )
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        self.know("hostkey.pub")
        self.write()
        self._process: subprocess.Popen[bytes] | None = None

    def know(self, key: str | None) -> None:
        """Write known_hosts: the host with the public key in a file, or no host at all."""
        known = "" if key is None else " ".join((self.folder / key).read_text().split()[:2])
        line = f"[127.0.0.1]:{self.port} {known}\n" if known else ""
        (self.folder / "known_hosts").write_text(line)

    def write(self, identity: str = "id", **more: str | int) -> Path:
        """Write the client's configuration."""
        options = {
            "HostName": "127.0.0.1",
            "Port": self.port,
            "User": getpass.getuser(),
            "IdentityFile": f"{self.folder}/{identity}",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": f"{self.folder}/known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
        } | more
        self.config.write_text("Host board\n" + "".join(f"  {name} {value}\n" for name, value in options.items()))
        return self.config

    def command(self) -> list[str]:
        """What starts it, and stays in the foreground."""
        return [SSHD, "-D", "-f", str(self.folder / "sshd_config"), "-E", str(self.folder / "log")]

    def start(self) -> None:
        """Start it and wait until it listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        log = self.folder / "log"
        self._process = subprocess.Popen(self.command(), start_new_session=True)
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"sshd did not start: {log.read_text()}")

    def cut(self) -> None:
        """End every connection, as a network does that is gone; the server goes on listening, and jobs are not told."""
        assert self._process is not None
        for pid in _children(self._process.pid):
            if _name(pid).startswith("sshd"):
                os.kill(pid, 9)

    def stop(self) -> None:
        """End the server and its connections."""
        if self._process is not None:
            self.cut()
            self._process.kill()
            self._process.wait()
            self._process = None


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _name(pid: int) -> str:
    """What a process runs."""
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    """Processes below one, deepest last."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for word in task.read_text().split():
            found += [int(word), *_children(int(word))]
    return found
