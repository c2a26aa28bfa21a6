"""A build from whatever a user has in hand: a plan, a recipe, or nothing but flags."""

from pathlib import Path

from edgekd.build import build as run
from edgekd.commands.places import check_out, default_out, store_root
from edgekd.errors import Problem, UsageError
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Report
from edgekd.spec import Plan
from edgekd.store import Store


def build(
    recipe: Plan | str | Path | None = None,
    flags: Flags | None = None,
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
) -> Report:
    """Make the best student that keeps the budget: the whole of `edgekd build`, without printing.

    `recipe` is a plan, a recipe's name or its TOML file (none: the embedded default); `flags` go over a recipe as on
    the command line. The run is written to `out`, or to runs/RECIPE-TARGETS here; answers are kept in `store`, or where
    the command line keeps them. A missed budget is no error: `report.status` is "fits", "missed" or "inconclusive".
    Raises UsageError with all mistakes at once, and EdgekdError where a step failed.
    """
    if isinstance(recipe, Plan) and flags is not None:
        raise UsageError(Problem("flags", "a plan holds all that flags say", "Give the flags to edgekd.load_plan"))
    plan = recipe if isinstance(recipe, Plan) else load_plan(recipe, flags)
    folder = Path(out) if out is not None else default_out(plan)
    check_out(folder)
    with Store(store_root(Path(store) if store is not None else None)) as answers:
        return run(plan, answers, folder)
