"""What the command line (or a Python caller) says about a build, as written; it is read together with the recipe."""

from collections.abc import Iterable
from pathlib import Path

from edgekd.catalog import Entry, Table
from edgekd.spec import Value


class Flags(Value):
    """What the command line said, as written; None or empty where it said nothing."""

    target: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    max_latency: str | None = None
    max_params: str | None = None
    max_macs: str | None = None
    max_size: str | None = None
    max_memory: str | None = None
    max_arena: str | None = None
    max_flash: str | None = None
    max_drop: str | None = None
    min_accuracy: str | None = None
    max_quantization_loss: str | None = None
    max_fallback: str | None = None
    max_error: str | None = None
    precision: str | None = None
    ranges: str | None = None
    input: str | None = None
    runtime: str | None = None
    threads: str | None = None
    effort: str | None = None
    max_time: str | None = None
    seed: str | None = None
    bench: str | None = None
    teacher_share: str | None = None
    selective_accuracy: str | None = None
    accept_stand_in: bool = False
    skip_bad: bool = False
    trust: bool = False
    pareto: bool = False
    https: bool = False

    def table(self, keys: Iterable[str]) -> Table:
        """The flags among `keys` that were given, as entries that know their flag."""
        given = {key: getattr(self, key) for key in keys if key in Flags.model_fields}
        here = Path.cwd()
        return {k: Entry(v, f"--{k.replace('_', '-')}", here) for k, v in given.items() if v is not None}
