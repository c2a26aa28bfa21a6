"""Toys of the tasks beyond images, small and of real structure: each writes data, a teacher's outputs and a recipe.

What is to be learnt: which wave a signal has, which of two words stands in a text, how high a tone is,
which side of a line a point lies on, and which items users like.
"""

import wave
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

RATE = 4000
# a user's vector is seen by one in many samples
EPOCHS = {"pairs": "20", "sound": "30"}
TRAIN = """
[teacher]
saved = "outputs.npz"
[train]
trial_epochs = 1
epochs = EPOCHS
learning_rate = 0.01
batch = 32
views = 1
candidates = 2
distill = [[1.0, 0.5]]
control = [[1.0, 1.0]]
augment = false
"""


def sensors(folder: Path, count: int = 360) -> str:
    """Signals of two channels by six people: slow or fast waves, or a square one, each in noise."""
    random = np.random.default_rng(0)
    labels, person = np.arange(count) % 3, np.arange(count) // 3 % 6
    phase = np.linspace(0, 8 * np.pi, 48)[None] * np.where(labels == 1, 2.0, 1.0)[:, None]
    phase = phase + random.uniform(0, 6, (count, 1))
    shape = np.where(labels[:, None] == 2, np.sign(np.sin(phase)), np.sin(phase))
    strength = (1 + person / 6)[:, None]
    signal = np.stack([5 * strength * shape, shape], 2) + random.normal(0, 0.2, (count, 48, 2))
    np.savez(folder / "signals.npz", signal=signal.astype(np.float32), y=labels, group=person)
    _teacher(folder, labels)
    return '[data]\ntrain = "signals.npz"\nvalidation = 60\ncalibration = 16\n[student]\nfamily = "conv1d"\n'


def text(folder: Path, count: int = 360) -> str:
    """Sentences of some words, one of which says the class."""
    random = np.random.default_rng(1)
    words = ["[PAD]", "[UNK]", *(f"word{i}" for i in range(20)), "good", "bad"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    lines, labels = [], np.arange(count) % 2
    for label in labels:
        sentence = [words[i] for i in random.integers(2, 22, random.integers(3, 9))]
        sentence[random.integers(0, len(sentence))] = ("bad", "good")[label]
        lines.append(f"{('no', 'yes')[label]}\t{' '.join(sentence)}\n")
    (folder / "texts.tsv").write_text("".join(lines), encoding="utf-8")
    _teacher(folder, labels)
    return (
        '[data]\nuse = "texts"\ntrain = "texts.tsv"\ntokenizer = "tokenizer.json"\nlength = 12\nvalidation = 60\n'
        'calibration = 16\n[student]\nfamily = "transformer"\nwidth = 16\n'
    )


def sound(folder: Path, count: int = 240) -> str:
    """WAV files of half a second: a low, a middle or a high tone in noise."""
    random = np.random.default_rng(2)
    labels = np.repeat(np.arange(3), count // 3)  # as the plug-in reads them: class after class
    time = np.arange(RATE // 2) / RATE
    for i, label in enumerate(labels):
        tone = np.sin(2 * np.pi * (300.0, 700.0, 1500.0)[label] * random.uniform(0.9, 1.1) * time)
        samples = 3000 * random.uniform(0.3, 1) * tone + random.normal(0, 300, len(time))
        path = folder / "tones" / ("high", "low", "middle")[label] / f"{i:03}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
    _teacher(folder, labels)
    return (
        '[data]\nuse = "sounds"\nfolder = "tones"\nseconds = 0.5\nmels = 20\nvalidation = 48\ncalibration = 16\n'
        '[student]\nfamily = "dscnn"\ndepth = 2\n'
    )


def table(folder: Path, count: int = 360) -> str:
    """Points whose columns have very different units; the class is a side of a line."""
    random = np.random.default_rng(3)
    points = random.normal(0, 1, (count, 4))
    labels = (points[:, 0] + points[:, 1] > 0).astype(np.int64)
    np.savez(folder / "rows.npz", row=(points * [1, 100, 1, 5] + [0, 1000, 3, 0]).astype(np.float32), y=labels)
    _teacher(folder, labels)
    return '[data]\ntrain = "rows.npz"\nvalidation = 60\ncalibration = 16\n[student]\nfamily = "mlp"\n'


def pairs(folder: Path, users: int = 24, items: int = 30) -> str:
    """Every user with every item: all like one half of the items, and some users like everything."""
    user, item = np.divmod(np.random.default_rng(4).permutation(users * items), items)
    labels = ((item % 2 == 1) | (user % 5 == 0)).astype(np.int64)
    np.savez(folder / "pairs.npz", user=user[:, None], item=item[:, None], y=labels)
    _teacher(folder, labels)
    return (
        '[data]\ntrain = "pairs.npz"\nvalidation = 60\ncalibration = 16\n'
        f'[student]\nfamily = "two_tower"\nusers = {users}\nitems = {items}\ndepth = 0\n'
    )


def _teacher(folder: Path, labels: np.ndarray) -> None:
    """Outputs of somebody who is sure and right."""
    np.savez(folder / "outputs.npz", train=(8 * np.eye(labels.max() + 1)[labels] - 4).astype(np.float32))


TASKS: Mapping[str, Callable[[Path], str]] = {
    "sensors": sensors, "text": text, "sound": sound, "table": table, "pairs": pairs
}  # fmt: skip


def write(folder: Path, task: str) -> Path:
    """Write everything of a task; returns the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{task}.toml"
    page.write_text(TASKS[task](folder) + TRAIN.replace("EPOCHS", EPOCHS.get(task, "6")), encoding="utf-8")
    return page
