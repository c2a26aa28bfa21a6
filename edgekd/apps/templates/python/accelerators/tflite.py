"""Accelerators of TFLite: delegates in libraries, by path."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from .engine import Candidate
from .errors import ModelError


def found(module: Any, name: str) -> list[Candidate]:
    """The candidate of a delegate's library, for example /usr/lib/libedgetpu.so.1; "auto" looks for none.

    Raises ModelError where there is no such library.
    """
    if name == "auto":
        return []
    if not Path(name).is_file():
        raise ModelError(f"there is no library of a delegate at {name}")

    def opened(path: Path, threads: int, signature: dict[str, Any]) -> Any:
        delegate = importlib.import_module("ai_edge_litert.interpreter").load_delegate(name)
        interpreter = module.Interpreter(model_path=str(path), num_threads=threads, experimental_delegates=[delegate])
        return module.Model(interpreter, signature, 1)

    return [Candidate(Path(name).name, opened)]
