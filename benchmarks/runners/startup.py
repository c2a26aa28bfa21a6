"""Wall seconds of small commands, interleaved with a bare interpreter, so that a busy computer shows in both."""

import json
import subprocess
import sys
import time
from statistics import median

ROUNDS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "edgekd --help": [sys.executable, "-m", "edgekd", "--help"],
    "edgekd list formats": [sys.executable, "-m", "edgekd", "list", "formats"],
}


def seconds(command: list[str]) -> float:
    """How long one run takes."""
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    for command in COMMANDS.values():
        seconds(command)
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    rows = []
    for name, values in taken.items():
        rows.append({"what": name, "value": f"{median(values):.3f}", "unit": "s, median", "basis": "measured"})
        rows.append({"what": f"{name}, slowest", "value": f"{max(values):.3f}", "unit": "s", "basis": "measured"})
    how = f"{ROUNDS} rounds, the commands interleaved, files already in the system's cache."
    print(json.dumps({"rows": rows, "how": how}))


if __name__ == "__main__":
    main()
