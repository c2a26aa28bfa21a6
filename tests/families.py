"""Small students of the families that take no images, in a format: python -m tests.families FOLDER FORMAT

FOLDER/FAMILY-PRECISION/ holds the file, signature.json and samples.npz: inputs by name, and "expected" by torch.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from edgekd import plugins
from edgekd.nets import networks, programs
from edgekd.plugins import Conversion, Lowered
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Architecture, Choice

OUTPUTS = (TensorSpec(name="logits", shape=(-1, 4)),)
COUNT, WORDS, LENGTH = 64, 60, 16
SMALL = {
    "conv1d": {"width": 6, "depth": 2},
    "dscnn": {"width": 8, "depth": 2},
    "transformer": {"width": 32, "depth": 2, "vocabulary": WORDS},
    "mlp": {"width": 24, "depth": 2},
    "two_tower": {"width": 16, "depth": 1, "users": WORDS, "items": WORDS},
}
SERIES = {"conv1d": (64, 3), "dscnn": (30, 20)}


def samples(family: str) -> dict[str, np.ndarray]:
    """Noise around a slow wave, as sensors and sounds have; columns of a table; ids of words, or of two things."""
    random = np.random.default_rng(0)
    if family in SERIES:
        steps, channels = SERIES[family]
        wave = np.sin(np.arange(steps) / random.uniform(2, 9, (COUNT, 1)))[:, :, None]
        values = 3 * wave + random.normal(0, 1, (COUNT, steps, channels)) - 2
        return {"signal": values.astype(np.float32)}
    if family == "mlp":
        return {"row": (random.normal(0, 1, (COUNT, 10)) * np.arange(1, 11) + 5).astype(np.float32)}
    if family == "two_tower":
        return {name: random.integers(0, WORDS, (COUNT, 1)) for name in ("user", "item")}
    ids = random.integers(0, WORDS, (COUNT, LENGTH))
    mask = np.arange(LENGTH) < random.integers(1, LENGTH + 1, (COUNT, 1))
    return {"ids": ids * mask, "mask": mask.astype(np.int64)}


def network(family: str, signature: Signature, rows: dict[str, np.ndarray]) -> torch.nn.Module:
    """The family's network after some steps towards random labels: norms have seen data, and classes differ."""
    torch.manual_seed(0)
    module = networks.build(Architecture(family=Choice(name=family, settings=SMALL[family])), signature).train()
    labels = torch.arange(COUNT) % 4
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(networks.forward(module, rows, signature)["logits"], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.eval()


def main(folder: Path, format: str) -> None:
    """Convert every family."""
    kind = plugins.find("formats", format)
    for family in SMALL:
        rows = samples(family)
        inputs = tuple(TensorSpec(name=n, shape=(-1, *v.shape[1:]), dtype=str(v.dtype)) for n, v in rows.items())
        wanted = Signature(inputs=inputs, outputs=OUTPUTS)
        module = network(family, wanted, rows)
        with torch.no_grad():
            expected = networks.forward(module, rows, wanted)["logits"].numpy()
        program, given = programs.trace(module, wanted, {name: values[:8] for name, values in rows.items()}, family)
        base = None
        for precision in ("float32", "int8"):
            work = folder / f"{family}-{precision}"
            work.mkdir()
            programs.write(program, work / "program.pt2")
            made = kind.convert(Conversion(work / "program.pt2", given, precision, rows, work, base))
            base = base or Lowered(work / made.name, made.signature, made.made_by, made.layers)
            (work / "signature.json").write_text(made.signature.model_dump_json())
            (work / "name.txt").write_text(made.name)
            np.savez(work / "samples.npz", expected=expected, **rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
