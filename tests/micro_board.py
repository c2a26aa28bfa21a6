"""A board that runs an application for microcontrollers: its C sources compiled, with what TFLM's kernels gave."""

import json
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.apps import _c
from edgekd.runtimes import tensors
from edgekd.tflm import kernels, operators

HERE = Path(__file__).parent
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror")
LIES = ("honest", "stale", "huge", "nan", "throws", "scale", "type", "missing")
ARM = "arm-none-eabi-gcc"
CORTEX = ("-mcpu=cortex-m4", "-mthumb", "-Os")
# Where a Cortex-M4 begins: its stack, and what newlib starts with.
VECTORS = """
extern void _start(void);
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {(void *)0x20200000, (void *)_start};
"""


def table(app: Path, model: Path | None = None) -> str:
    """What the kernels give for everything that was recorded, or what those of another `model` give."""
    told = json.loads((app / "model/model.json").read_text())
    golden = json.loads((app / "model/golden/golden.json").read_text())
    signature, folder = told["signature"], app / "model/golden"
    path = model or app / "model" / told["file"]["name"]
    asked = operators.asked(path.read_bytes())

    def read(one: dict[str, Any], file: str) -> np.ndarray:
        return np.fromfile(folder / file, np.dtype(one["dtype"]).newbyteorder("<")).reshape(-1, *one["shape"])

    stored = [tensors.encode(read(one, one["file"]), spec) for one, spec in
              zip(golden["inputs"], signature["inputs"], strict=True)]  # fmt: skip
    for picture in golden["pictures"]:
        more = tensors.encode(read(golden["inputs"][0], picture["input"]), signature["inputs"][0])
        stored[0] = np.concatenate([stored[0], more])
    ran = kernels.run(path, signature, stored)
    sums = [zlib.crc32(row.tobytes()) for row in stored[0]]
    for more in stored[1:]:
        sums = [one ^ zlib.crc32(row.tobytes()) for one, row in zip(sums, more, strict=True)]
    order = [list(asked.outputs.values()).index(k) for k in range(len(ran.outputs))]
    outputs = [signature["outputs"][k] for k in order]
    given = [ran.outputs[k] for k in order]
    rows = [[_c.numbers(np.frombuffer(out[row].tobytes(), np.uint8)) for out in given] for row in range(len(sums))]
    most = max(len(out[0].tobytes()) for out in given)
    inputs = [signature["inputs"][list(asked.inputs.values()).index(k)] for k in range(len(stored))]
    return "\n".join([
        f"#define TABLE_ROWS {len(sums)}",
        f"#define TABLE_INPUT_BYTES {max(len(one[0].tobytes()) for one in stored)}",
        f"#define TABLE_OUTPUT_BYTES {most}",
        f"static const edgekd_slot TABLE_INPUTS[] = {{{', '.join(map(_slot, inputs))}}};",
        f"static const edgekd_slot TABLE_OUTPUTS[] = {{{', '.join(map(_slot, outputs))}}};",
        f"static const uint32_t table_sums[] = {{{', '.join(f'{one}u' for one in sums)}}};",
        f"static const uint8_t table_rows[][{len(outputs)}][{most}] = {{",
        ",\n".join("{" + ", ".join("{" + out + "}" for out in row) + "}" for row in rows) + "};\n",
    ])  # fmt: skip


def _slot(spec: dict[str, Any]) -> str:
    """A tensor as the interpreter has it, without its memory."""
    size = int(np.prod(spec["shape"][1:])) * np.dtype(spec["dtype"]).itemsize
    scale, zero = _c.number(spec["scale"] or 0), spec["zero_point"] or 0
    return f"{{0, EDGEKD_{spec['dtype'].upper()}, {size}, {scale}, {zero}}}"


def compiled(app: Path, folder: Path, given: str, lie: str = "honest", arm: bool = False) -> Path:
    """A program of the application's own C sources and the board, for this computer or a Cortex-M4."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.h").write_text(given)
    emulated = 'EMULATED="QEMU\'s Cortex-M4"' if arm else "EMULATED=0"
    flags = [*WARNINGS, f"-I{app / 'edge_model'}", f"-I{folder}", f"-DLIE={LIES.index(lie)}", f"-D{emulated}"]
    sources = [HERE / "micro_board.c", *sorted((app / "edge_model").glob("*.c"))]
    if arm:
        (folder / "vectors.c").write_text(VECTORS)
        sources.append(folder / "vectors.c")
        flags += [*CORTEX, "--specs=rdimon.specs", "-Wl,--section-start=.vectors=0", "-Wno-pedantic"]
    command = [ARM if arm else "gcc", *flags, *map(str, sources), "-lm", "-o", str(folder / "program")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "program"


def by_model(app: Path, folder: Path, given: str, lie: str = "honest", arena: int = 1) -> Path:
    """The same with model.cc, against stand-ins for TensorFlow Lite Micro's headers; `arena` is what they ask for."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.h").write_text(given)
    flags = ["-Wall", "-Wextra", "-Werror", f"-I{app / 'edge_model'}", f"-I{folder}", f"-I{HERE / 'tflm_stub'}"]
    flags += [f"-DLIE={LIES.index(lie)}", "-DEMULATED=0", "-DBY_MODEL", f"-DSTAND_IN_ARENA={arena}"]
    if (app / "edge_model/prepare.h").exists() and "[EDGEKD_PICTURES]" in (app / "edge_model/golden.h").read_text():
        flags.append("-DFRAMES")
    objects = []
    own = [app / "edge_model/model.cc", *sorted((app / "edge_model").glob("*.c"))]
    for source in (HERE / "micro_board.c", HERE / "micro_model.cc", *own):
        language = ["g++", "-std=c++17"] if source.suffix == ".cc" else ["gcc", "-std=c11"]
        objects.append(str(folder / f"{source.name}.o"))
        done = subprocess.run(
            [*language, *flags, "-c", str(source), "-o", objects[-1]], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
    subprocess.run(["g++", *objects, "-lm", "-o", str(folder / "program")], check=True)
    return folder / "program"


def run(program: Path) -> dict[str, Any]:
    """What the program prints, on this computer."""
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def run_on_cortex(program: Path) -> dict[str, Any]:
    """What the program prints on the emulated board mps2-an386, a Cortex-M4."""
    command = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def missing(*programs: str) -> str:
    """Which of these programs are not here."""
    return ", ".join(program for program in programs if not shutil.which(program))
