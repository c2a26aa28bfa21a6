"""Accelerators of ONNX Runtime: its execution providers, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .engine import Candidate
from .errors import ModelError

CPU = "CPUExecutionProvider"
# These send the work elsewhere, or are no accelerators.
NEVER = (CPU, "AzureExecutionProvider")


def found(module: Any, name: str) -> list[Candidate]:
    """Candidates for a provider's name, or "auto" for all that are installed. Raises ModelError for one that is not."""
    there = [one for one in module.onnxruntime.get_available_providers() if one not in NEVER]
    if name != "auto" and name not in there:
        told = ", ".join(there) or "none"
        raise ModelError(f"this ONNX Runtime has no accelerator {name}; it has: {told}")
    return [_candidate(module, one) for one in (there if name == "auto" else [name])]


def _candidate(module: Any, name: str) -> Candidate:
    def opened(path: Path, threads: int, signature: dict[str, Any]) -> Any:
        options = module._options(threads)
        session = module.onnxruntime.InferenceSession(str(path), options, providers=[name, CPU])
        if name not in session.get_providers():  # it falls back to the CPU without an error
            raise ModelError(f"{name} does not start here")
        return module.Model(session, signature, 1)

    return Candidate(name, opened)
