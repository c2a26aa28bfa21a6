"""Runtimes for browsers, as npm has them: which, where they are kept, and how they come there once."""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import EdgekdError

TIMEOUT = 600.0
# Where a file imports its sister package by a bare name, which only bundlers and import maps understand.
BARE, BESIDE = b'"@litertjs/wasm-utils"', b'"./wasm-utils.js"'


@dataclass(frozen=True)
class Package:
    """One package of npm: of which files are kept (`path in it: name here`), for which format's runtime."""

    name: str
    version: str
    integrity: str
    runtime: str
    keeps: dict[str, str]


def _named(folder: str, *names: str) -> dict[str, str]:
    return {f"{folder}/{name}": name for name in names}


PACKAGES = (
    Package(
        "onnxruntime-web",
        "1.30.0",
        "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        "onnx",
        _named(
            "dist",
            "ort.wasm.min.mjs",
            "ort.webgpu.min.mjs",
            "ort-wasm-simd-threaded.mjs",
            "ort-wasm-simd-threaded.wasm",
            "ort-wasm-simd-threaded.asyncify.mjs",
            "ort-wasm-simd-threaded.asyncify.wasm",
        ),
    ),
    Package(
        "@litertjs/core",
        "2.5.3",
        "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        "tflite",
        {
            "dist/index.js": "index.js",
            **_named(
                "wasm",
                "litert_wasm_internal.js",
                "litert_wasm_internal.wasm",
                "litert_wasm_compat_internal.js",
                "litert_wasm_compat_internal.wasm",
                "litert_wasm_threaded_internal.js",
                "litert_wasm_threaded_internal.wasm",
            ),
        },
    ),
    Package(
        "@litertjs/wasm-utils",
        "2.5.3",
        "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        "tflite",
        {"dist/index.js": "wasm-utils.js"},
    ),
)


def folder() -> Path:
    """Where they are kept: EDGEKD_WEB, or a folder of the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("EDGEKD_WEB") or cache / "edgekd" / "web")


def kept(package: Package) -> Path:
    """The folder of one package's files; it has a name of its own for each version."""
    return folder() / f"{package.name.replace('/', '-').lstrip('@')}-{package.version}"


def there(package: Package) -> bool:
    """Whether all files of a package are there."""
    return all((kept(package) / name).is_file() for name in package.keeps.values())


def versions() -> dict[str, str]:
    """Versions of the runtimes whose packages are all there, by format."""
    found: dict[str, str] = {}
    for runtime in dict.fromkeys(package.runtime for package in PACKAGES):
        own = [package for package in PACKAGES if package.runtime == runtime]
        if all(there(package) for package in own):
            found[runtime] = own[0].version
    return found


def unfetched() -> tuple[str, ...]:
    """Formats whose runtime for browsers is not here."""
    return tuple(sorted({package.runtime for package in PACKAGES} - versions().keys()))


def served() -> dict[str, Path]:
    """Files by the path under which a page finds them: "onnx/ort.wasm.min.mjs"."""
    return {
        f"{package.runtime}/{name}": kept(package) / name
        for package in PACKAGES
        if there(package)
        for name in package.keeps.values()
    }


def fetch(package: Package) -> None:
    """Bring a package from npm's registry, look whether it is the one that is meant, and keep what is used of it.

    Raises EdgekdError; nothing half-written is left.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise EdgekdError(f"npm is not here, which fetches {package.name}. Install Node.js (https://nodejs.org)")
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder()) as name:
        command = [npm, "pack", "--ignore-scripts", f"{package.name}@{package.version}"]
        try:
            done = subprocess.run(command, cwd=name, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired as error:
            raise EdgekdError(f"npm did not fetch {package.name} within {TIMEOUT:.0f} s") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise EdgekdError(f"npm could not fetch {package.name} {package.version}: {last}")
        (archive,) = Path(name).glob("*.tgz")
        unpack(package, archive.read_bytes(), Path(name, "unpacked"))
        shutil.rmtree(kept(package), ignore_errors=True)
        Path(name, "unpacked").replace(kept(package))


def unpack(package: Package, archive: bytes, target: Path) -> None:
    """Write the files that are kept of a package's archive. Raises EdgekdError for another archive than is meant."""
    digest = f"sha512-{base64.b64encode(hashlib.sha512(archive).digest()).decode()}"
    if digest != package.integrity:
        raise EdgekdError(f"{package.name} {package.version} is not the package that is meant: its digest is {digest}")
    target.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        for path, name in package.keeps.items():
            member = opened.extractfile(f"package/{path}")
            assert member is not None, path  # the digest says what is in it
            (target / name).write_bytes(member.read().replace(BARE, BESIDE))
