"""Makes edgekd's extras: those of pyproject.toml, those that formats, runtimes and devices declare, and all of them."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# not what somebody who uses edgekd wants of it
APART = "dev"


class Extras(MetadataHookInterface):
    """Hatchling asks for the metadata of edgekd."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the extras."""
        metadata["optional-dependencies"] = extras(Path(self.root), self.config["extras"])


def extras(root: Path, fixed: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Requirements by extra, from literals that are read without importing a plug-in.

    The extra of a format also has that of its runtime, those of the formats that it uses, and training.
    """
    formats, runtimes, devices = (_declared(root / "edgekd" / kind) for kind in ("formats", "runtimes", "devices"))
    found: dict[str, list[str]] = {}
    for one in (*runtimes.values(), *devices.values()):
        if one["EXTRA"] not in {other["EXTRA"] for other in formats.values()}:
            found[one["EXTRA"]] = list(one["REQUIRES"])
    for name, one in formats.items():
        uses = [used.partition(".")[2] for used in one.get("USES", ()) if used.startswith("formats.")]
        others = ["train", *(formats[used]["EXTRA"] for used in uses)]
        own, twin = list(one["REQUIRES"]), runtimes.get(name, {})
        if twin.get("EXTRA") == one["EXTRA"]:
            own += [requirement for requirement in twin["REQUIRES"] if requirement not in own]
        elif twin:
            others.append(twin["EXTRA"])
        found[one["EXTRA"]] = [f"edgekd[{','.join(others)}]", *own]
    whole = [name for name in (*fixed, *found) if name != APART]
    return {**fixed, **dict(sorted(found.items())), "all": [f"edgekd[{','.join(sorted(whole))}]"]}


def _declared(folder: Path) -> dict[str, dict[str, Any]]:
    """The literals of the modules that declare an extra, by name."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        literals: dict[str, Any] = {}
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                try:
                    literals[node.targets[0].id] = ast.literal_eval(node.value)
                except ValueError:
                    continue
        if {"EXTRA", "REQUIRES"} <= literals.keys():
            found[path.stem] = literals
    return found
