"""Wall seconds of one build of the embedded default, and of the same command again."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROUNDS = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        command = [sys.executable, "-m", "edgekd", "build", "--target", "tflite", "--max-latency", "20ms"]
        command += ["--store", str(Path(folder, "store")), "--out", str(out)]
        taken, steps = [], []
        for _ in range(1 + ROUNDS):
            started = time.perf_counter()
            done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, text=True, check=True)
            taken.append(time.perf_counter() - started)
            steps.append(json.loads(done.stdout)["steps_run"])
    again = taken[1:]
    rows = [
        {"what": "first build", "value": f"{taken[0]:.0f}", "unit": "s", "basis": "measured"},
        {"what": "the same again", "value": f"{median(again):.2f}", "unit": "s, median", "basis": "measured"},
        {"what": "the same again, slowest", "value": f"{max(again):.2f}", "unit": "s", "basis": "measured"},
        {"what": "first / again", "value": f"{taken[0] / median(again):.0f}", "unit": "x", "basis": "measured"},
        {"what": "steps run again", "value": str(max(steps[1:])), "unit": "steps", "basis": "counted"},
    ]
    print(json.dumps({"rows": rows, "how": f"`edgekd build --target tflite --max-latency 20ms`, then {ROUNDS} times."}))


if __name__ == "__main__":
    main()
