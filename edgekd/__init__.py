"""The best student of your teacher that keeps a hardware budget: `edgekd.build(recipe) -> Report`, and its values."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekd.commands.building import build
    from edgekd.errors import EdgekdError
    from edgekd.recipes.flags import Flags
    from edgekd.recipes.recipe import load_plan
    from edgekd.results import Report
    from edgekd.spec import Budget

__all__ = ["Budget", "EdgekdError", "Flags", "Report", "build", "load_plan"]

_HOME = {
    "Budget": "edgekd.spec",
    "EdgekdError": "edgekd.errors",
    "Flags": "edgekd.recipes.flags",
    "Report": "edgekd.results",
    "build": "edgekd.commands.building",
    "load_plan": "edgekd.recipes.recipe",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: workers and `edgekd --help` need none of them."""
    if name not in _HOME:
        raise AttributeError(f"module 'edgekd' has no attribute {name!r}; it offers {', '.join(__all__)}")
    # kept, since the import of the module edgekd.build would otherwise leave that module under the name
    globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return globals()[name]


def __dir__() -> list[str]:
    return __all__
