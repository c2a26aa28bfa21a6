"""Accelerators of OpenVINO: none by name, since only its CPU plug-in takes the settings of runtime/openvino.py."""

from __future__ import annotations

from typing import Any

from .engine import Candidate
from .errors import ModelError


def found(module: Any, name: str) -> list[Candidate]:
    """No candidates. Raises ModelError for a name; `load` takes a Candidate of your own."""
    if name != "auto":
        raise ModelError(f"this application runs OpenVINO on the CPU only, so there is no accelerator {name}")
    return []
