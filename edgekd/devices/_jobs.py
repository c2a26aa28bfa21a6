"""What every way to reach a device shares: the zipapp that runs there, and what its answers mean."""

import json
import signal
import zipfile
from pathlib import Path
from typing import Any

from edgekd import plugins, runtimes
from edgekd.errors import DeviceError
from edgekd.results import DeviceFacts

# Libraries that would take more threads than told.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

APP, REQUEST, RESULT = "runtimes.pyz", "request.json", "result.json"
MAIN = "import sys\n\nfrom runtimes.job import main\n\nsys.exit(main(sys.argv[1:]))\n"


def environment(threads: int) -> dict[str, str]:
    """What a job's environment has on every device: no telemetry, and no library that takes more threads than told."""
    return {"ORT_DISABLE_TELEMETRY": "1", "PYTHONHASHSEED": "0"} | dict.fromkeys(THREADS, str(threads))


def zipapp(target: Path) -> None:
    """Write the device side, with runtimes of other packages, as one file for `python3 runtimes.pyz request.json`.

    The same sources give the same bytes: stored, in order of their names, without times.
    """
    folder = Path(runtimes.__file__).parent
    sources = {f"runtimes/{path.name}": path.read_bytes() for path in folder.glob("*.py") if path.stem != "__main__"}
    for name in plugins.names("runtimes"):
        sources.setdefault(f"runtimes/{name}.py", plugins.declared("runtimes", name).file.read_bytes())
    sources["__main__.py"] = MAIN.encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, sources[name])


def prepare(folder: Path) -> dict[str, Any]:
    """Put the app into a job folder if it lacks it, take an older answer away, and read the request."""
    if not (folder / APP).is_file():
        zipapp(folder / APP)
    (folder / RESULT).unlink(missing_ok=True)
    request: dict[str, Any] = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    return request


def read_result(folder: Path, status: int, output: str) -> dict[str, Any]:
    """The answer of a job that ended with `status` after printing `output`. Raises DeviceError."""
    try:
        result: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        result = {}
    if status == 0 and result and "error" not in result:
        return result
    if "error" in result:
        raise DeviceError(result["error"])
    reason = f"was ended by {_signal(-status)}" if status < 0 else f"ended with status {status}"
    last = [line for line in output.splitlines() if line.strip()][-5:]
    raise DeviceError("\n    ".join([f"the runtime's process {reason} and left no result", *last]))


def facts(name: str, result: dict[str, Any]) -> DeviceFacts:
    """The answer of the verb `facts` as a value; `name` is how people call the device."""
    known = {key: value for key, value in result.items() if key in DeviceFacts.model_fields}
    return DeviceFacts(name=name, **known)


def _signal(number: int) -> str:
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")
