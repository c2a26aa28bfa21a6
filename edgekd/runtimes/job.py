"""One job: request.json -> result.json beside it. A verb (clock, energy, facts, ...) is a module's `run`.

Every request has `verb`; all but facts also have `runtime`, `model` (a file or folder beside the request), `threads`
and `signature`. A failure that can be named becomes {"error": sentence} and exit status 1.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .facts import declared, elsewhere
from .fault import Fault

VERBS = ("clock", "energy", "facts", "memory", "predict", "profile")
NEEDED = ("runtime", "model", "threads", "signature")


def runtime(name: str) -> Any:
    """Import a runtime module. Raises Fault where it does not exist, does not run here or is not installed."""
    literals = declared(name)
    why = elsewhere(literals)
    if why:
        raise Fault(f"{name} cannot run here: {why}")
    try:
        return importlib.import_module(f".{name}", __package__)
    except ImportError as error:
        package = literals["PACKAGES"][0]
        raise Fault(f"{package} cannot be imported here ({error}). Run: pip install {package}") from error


def answer(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Do what a request asks for; its files are in `folder`. Raises Fault."""
    verb = request.get("verb") if isinstance(request, dict) else None
    if verb not in VERBS:
        raise Fault(f"there is no verb {verb!r}; choose from: {', '.join(VERBS)}")
    module = importlib.import_module(f".{verb}", __package__)
    if verb != "facts":
        missing = [key for key in NEEDED if key not in request]
        if missing:
            raise Fault(f"the request lacks {', '.join(missing)}")
        signature = request["signature"]
        if not (isinstance(signature, dict) and signature.get("inputs") and signature.get("outputs")):
            raise Fault("the request's signature lacks inputs or outputs")
        if not (folder / request["model"]).exists():
            raise Fault(f"the model {request['model']} is not in {folder}")
    result: dict[str, Any] = module.run(request, folder)
    return result


def write(path: Path, result: dict[str, Any]) -> None:
    """Write result.json whole or not at all."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    temporary.replace(path)


def main(arguments: Sequence[str]) -> int:
    """Run the job of one request file; returns the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python3 runtimes.pyz request.json\n")
        return 2
    path = Path(arguments[0]).absolute()
    target = path.with_name("result.json")
    try:
        write(target, answer(json.loads(path.read_text(encoding="utf-8")), path.parent))
    except (Fault, OSError, json.JSONDecodeError) as error:
        write(target, {"error": str(error)})
        return 1
    return 0
