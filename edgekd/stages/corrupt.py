"""Make corrupted copies of test samples, by the first plug-in that suits what the samples are."""

import hashlib
from pathlib import Path
from types import ModuleType

import numpy as np

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.plugins import Array
from edgekd.results import Corrupted, PartFiles
from edgekd.samples.spoken import Spoken
from edgekd.steps import Corrupt
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("numpy",)

# Samples that a plug-in looks at to see whether it suits them, and bytes that all copies may take.
LOOK, ROOM = 64, 512 * 1024**2
# Texts are spoiled by their letters where this share of ids can be told from the text that they were cut from.
FAITHFUL = 0.9
OWN = Path(plugins.__file__).parent / "corruptions"


def run(step: Corrupt, out: Workspace) -> Corrupted:
    """Labelled test samples as they are, then under each corruption at each severity. Raises EdgekdError where none is
    made for such samples, or none of them is labelled."""
    test = step.splits.parts["test"]
    labels = np.asarray(out.load(test.labels), np.int64)
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        raise EdgekdError("no test sample is labelled")
    stored = {name: out.load(file) for name, file in test.inputs.items()}
    look = {key: np.asarray(values[known[:LOOK]]) for key, values in stored.items()}
    name, plugin, spoken = _suiting(step, look, Spoken.of(step.splits, out))
    kinds = (("", 0), *((kind, severity) for kind in plugin.KINDS for severity in step.severities))
    room = ROOM // (len(kinds) * sum(values[:1].nbytes for values in stored.values()))
    rows = np.sort(np.random.default_rng(step.seed).permutation(known)[: max(1, min(step.samples, room))])
    samples = {key: np.asarray(values[rows]) for key, values in stored.items()}
    copies = [dict(samples)]
    for i, (kind, severity) in enumerate(kinds[1:], 1):
        random = np.random.default_rng((step.seed, i))
        copies.append(_spoiled(plugin, (kind, severity, random), samples, spoken))
        out.progress(i / len(kinds), f"{kind} {severity}")
    arrays = {key: np.concatenate([copy[key] for copy in copies]) for key in samples}
    repeated = np.tile(labels[rows], len(kinds))
    part = PartFiles(
        inputs={key: out.save(f"test.{key}.npy", values) for key, values in arrays.items()},
        labels=out.save("test-labels.npy", repeated),
        count=len(repeated),
        labelled=len(repeated),
        digest=hashlib.sha256(b"".join(values.tobytes() for values in arrays.values())).hexdigest(),
    )
    return Corrupted(part=part, kinds=kinds, samples=len(rows), by=name)


def _suiting(step: Corrupt, samples: dict[str, Array], spoken: Spoken | None) -> tuple[str, ModuleType, Spoken | None]:
    """The first plug-in that suits the samples: those of other packages before edgekd's own, each by name; and the
    tokenizer where it is their texts that it suits."""
    order = sorted(step.among, key=lambda one: (plugins.declared("corruptions", one).file.parent == OWN, one))
    every: list[tuple[str, ModuleType]] = [(name, plugins.find("corruptions", name)) for name in order]
    if spoken is not None and spoken.faithful(samples) >= FAITHFUL:
        texts = {spoken.name: spoken.texts(samples)}
        for name, plugin in every:
            if plugin.suits(texts, None):
                return name, plugin, spoken
    for name, plugin in every:
        if plugin.suits(samples, step.splits.canvas):
            return name, plugin, None
    told = ", ".join(f"{name} ({values.dtype} {values.shape[1:]})" for name, values in samples.items())
    raise EdgekdError(f"no corruption is made for such inputs: {told}")


def _spoiled(
    plugin: ModuleType,
    how: tuple[str, int, np.random.Generator],
    samples: dict[str, Array],
    spoken: Spoken | None,
) -> dict[str, Array]:
    """A corrupted copy; with a tokenizer of the texts, of which those that stay the same keep their ids."""
    if spoken is None:
        return dict(plugin.corrupt(samples, *how))
    texts = spoken.texts(samples)
    found = np.asarray(plugin.corrupt({spoken.name: texts}, *how)[spoken.name])
    changed = np.flatnonzero(found != texts)
    copy = {name: values.copy() for name, values in samples.items()}
    if len(changed):
        for name, values in spoken.inputs(found[changed].tolist(), samples).items():
            copy[name][changed] = values
    return copy
