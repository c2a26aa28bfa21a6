"""Made-up boards: files below /sys and /proc as Linux has them, and a vcgencmd as a Raspberry Pi has it."""

import shutil
from pathlib import Path

SHELL = shutil.which("sh") or "/bin/sh"


def board(
    root: Path,
    temperature: float = 45.0,
    clock: float = 1.8e9,
    ceiling: float = 1.8e9,
    governor: str = "performance",
) -> None:
    """Write sensors of two cores; all counters have fixed values."""
    files = {
        "sys/class/thermal/thermal_zone0/temp": f"{1000 * temperature:.0f}",
        "sys/class/thermal/thermal_zone1/temp": "20000",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": governor,
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": f"{clock / 1000:.0f}",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_max_freq": f"{ceiling / 1000:.0f}",
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3",
        "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "4",
        "sys/class/power_supply/AC/type": "Mains",
        "sys/class/power_supply/AC/online": "1",
        "proc/pressure/cpu": "some avg10=1.25 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=0",
        "proc/stat": "cpu  1 2 3 4 5 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")


def vcgencmd(folder: Path, bits: str, clock: int = 2_400_000_000, temperature: float = 48.3) -> None:
    """Put a vcgencmd into a folder of the PATH; `bits` may also be a shell command that prints them."""
    folder.mkdir(exist_ok=True)
    program = folder / "vcgencmd"
    program.write_text(
        f"#!{SHELL}\ncase $1 in\n"
        f"get_throttled) echo throttled={bits};;\n"
        f"measure_clock) echo 'frequency(48)={clock}';;\n"
        f'measure_temp) echo "temp={temperature}\'C";;\nesac\n'
    )
    program.chmod(0o755)
