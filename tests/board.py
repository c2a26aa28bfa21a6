"""An emulated board: a root file system of arm64 with an sshd inside, run by qemu as a Cortex-A72.

It computes what a board computes, at the speed of nothing: latency and memory there are no device's. The root file
system (about 200 MB, and 350 MB of wheels) is made once by `make board`, in EDGEKD_BOARD or ~/.cache/edgekd-board.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tests import sshd

SUITE = "bookworm"
PACKAGES = (
    "python3-minimal,libpython3-stdlib,python3.11,libstdc++6,libgomp1,openssh-server,bash,coreutils,dash,grep,procps"
)
NEEDED = {"mmdebstrap": "mmdebstrap", "qemu-aarch64-static": "qemu-user-static", "unshare": "util-linux"}
BINFMT = Path("/proc/sys/fs/binfmt_misc")
RULE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
DEVICES = ("null", "zero", "random", "urandom", "ptmx", "tty")
# As a Raspberry Pi 4 tells it: without, runtimes read the host's processor there and crash.
CORE = """processor\t: {}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
CPUINFO = "".join(CORE.format(i) for i in range(4)) + "Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"


def absent() -> str:
    """Why there can be no emulated board here; empty where there can."""
    missing = [package for program, package in NEEDED.items() if not shutil.which(program)]
    missing += [] if sshd.SSHD else ["openssh-server"]
    if missing:
        return f"the emulated board needs {', '.join(missing)}: apt install --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0:
        return "the emulated board needs root, for its mounts"
    return "" if registered() else "the emulated board needs binfmt_misc, which this kernel does not let one mount"


def registered() -> bool:
    """Whether programs of arm64 run here by themselves; tells the kernel so if it may."""
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=False, capture_output=True)
    if not (BINFMT / "qemu-aarch64").exists() and RULE.is_file():
        try:
            (BINFMT / "register").write_bytes(RULE.read_bytes())
        except OSError:
            return False
    return (BINFMT / "qemu-aarch64").exists()


def home() -> Path:
    """Where the root file system is kept."""
    folder = Path(os.environ.get("EDGEKD_BOARD") or Path.home() / ".cache" / "edgekd-board")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def alone() -> FileLock:
    """Whose turn the root file system is: tests change what is installed there."""
    return FileLock(home() / "lock")


def root() -> Path:
    """The root file system, made by the first who asks for it."""
    made = home() / f"{SUITE}-arm64"
    if not made.is_dir():
        new = made.with_name(f"{made.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        command = ["mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64", f"--include={PACKAGES}"]
        subprocess.run([*command, SUITE, str(new), *_mirrors()], check=True)
        _complete(new)
        new.rename(made)
    return made


def _mirrors() -> list[str]:
    """Where this computer has its packages from, if that is the same distribution."""
    for line in (
        Path("/etc/apt/sources.list").read_text().splitlines() if Path("/etc/apt/sources.list").is_file() else ()
    ):
        words = [word for word in line.split() if not word.startswith(("[", "signed-by", "arch"))]
        if len(words) > 3 and words[0] == "deb" and words[2] == SUITE:
            return [f"deb {words[1]} {SUITE} main"]
    for file in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for line in file.read_text().splitlines():
            if line.startswith("URIs:"):
                return [f"deb {line.split()[1]} {SUITE} main"]
    return []


def _complete(folder: Path) -> None:
    """What packages that were only unpacked lack."""
    (folder / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
    )
    (folder / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    for name in ("run/sshd", "dev/shm", "proc", "sys", "root", "board"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in DEVICES:
        (folder / "dev" / name).touch()
    if not (folder / "usr/bin/python3").exists():
        (folder / "usr/bin/python3").symlink_to("python3.11")


class Board(sshd.Server):
    """The emulated board, as a server whose sshd is a program of arm64."""

    def __init__(self, folder: Path, processor: str = "cortex-a72") -> None:
        self.root = root()
        super().__init__(folder, {"QEMU_CPU": processor, "TMPDIR": "/tmp"})
        told = (folder / "sshd_config").read_text().replace(str(folder), "/board")
        (folder / "sshd_config").write_text(told)

    def command(self) -> list[str]:
        """Its sshd; all of it ends with the process that unshared the mounts."""
        return mounted(
            self.root, self.folder, f"chroot {self.root} /usr/sbin/sshd -D -f /board/sshd_config -E /board/log"
        )


def mounted(root: Path, folder: Path, program: str) -> list[str]:
    """A program beside the root file system with mounts, host name and processes of its own; `folder` is /board there.

    All of it ends with the process that is started.
    """
    (folder / "cpuinfo").write_text(CPUINFO)
    devices = "\n".join(f"mount --bind /dev/{name} {root}/dev/{name}" for name in DEVICES)
    script = f"""set -e
hostname emulated
mount -t proc proc {root}/proc
mount --bind {folder}/cpuinfo {root}/proc/cpuinfo
mount -t sysfs -o ro sysfs {root}/sys
mount -t tmpfs tmpfs {root}/dev/shm
mount -t tmpfs tmpfs {root}/tmp
mount --bind {folder} {root}/board
{devices}
exec {program}
"""
    unshared = ["unshare", "--mount", "--propagation", "private", "--uts", "--pid", "--fork", "--kill-child"]
    return [*unshared, "bash", "-c", script]


if __name__ == "__main__":
    why = absent()
    if why:
        sys.exit(why)
    with alone():
        sys.stdout.write(f"{root()}\n")
