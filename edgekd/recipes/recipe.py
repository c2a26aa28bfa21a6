"""Reads a recipe page and the flags into a Plan: everything parsed once, every mistake told at once.

A page has the tables [data], [teacher], [student], [train] and [[target]]; flags win over the page. Without a page the
default recipe is used. Paths on a page are relative to the page.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edgekd import plugins
from edgekd.catalog import DEFAULT_RECIPE, Entry, Kind, Page, Table, card, cards, read_page
from edgekd.errors import Problem, UsageError
from edgekd.files import digest
from edgekd.mistakes import Gather, nearest, unknown
from edgekd.policies.contenders import METHODS, count
from edgekd.recipes.choices import choose, expand, of_teacher, read_also, read_image
from edgekd.recipes.effort import CONTROL, PRESETS
from edgekd.recipes.flags import Flags
from edgekd.recipes.learning import read_objectives, read_scheme
from edgekd.recipes.parsing import parse
from edgekd.recipes.targets import read_addresses, read_targets
from edgekd.spec import (
    Bench,
    Choice,
    Data,
    Effort,
    Objective,
    Plan,
    Schedule,
    Seconds,
    Share,
    Student,
    Target,
    Teacher,
    Value,
)

SECTIONS = ("data", "teacher", "student", "train", "target")
DATA_KEYS = (*(key for key in Data.model_fields if key != "source"), "name")
TEACHER_KEYS = ("image", "name")
STUDENT_KEYS = ("image", "search", "also", "name")
PLAN_KEYS = ("effort", "augment", "mirror", "seed", "teacher_share", "max_time", "bench", "selective_accuracy")
NO_PAGE = Page(Path(), {}, {}, {})


@dataclass(frozen=True)
class Training:
    """How long, how often and how wide: everything of a Plan that is neither data nor networks nor targets."""

    effort: Effort
    schedule: Schedule
    augment: bool
    mirror: bool
    seed: int
    teacher_share: float
    max_time: float | None
    bench: Bench
    selective_accuracy: float | None
    objectives: tuple[Objective, ...]
    scheme: Choice


class _PlanKeys(Value):
    """The keys of [train] that are fields of the plan itself."""

    augment: bool = True
    mirror: bool = True
    seed: int = 0
    teacher_share: Share = 0.25
    max_time: Seconds | None = None
    bench: Bench = "auto"
    selective_accuracy: Share | None = None


def load_plan(recipe: str | Path | Page | None = None, flags: Flags | None = None, train: bool = True) -> Plan:
    """Read a recipe (name, path, page, or None for the default) and flags, with a student only if one is to be trained.

    Raises UsageError with all mistakes at once.
    """
    gather, flags = Gather(), flags or Flags()
    page = recipe if isinstance(recipe, Page) else gather.attempt(find_recipe, recipe)
    at = gather.attempt(read_addresses, flags.at) or {}
    targets = gather.attempt(read_targets, page or NO_PAGE, flags, at, page is not None)
    training = gather.attempt(read_training, page or NO_PAGE, flags)
    if page is None:
        gather.check()
        raise AssertionError("a page that is not there is a problem")
    gather.attempt(check_keys, page)
    data = gather.attempt(read_data, page)
    teacher = gather.attempt(read_teacher, page, flags.trust)
    student = gather.attempt(read_student, page, teacher) if train else None
    if data and teacher and (student or not train):
        gather.attempt(check_images, page, data, teacher, student)
    gather.check()
    assert data and teacher and (student or not train) and targets and training
    name = page.top["name"].value if "name" in page.top else page.file.stem
    return Plan(
        name=str(name),
        page="" if isinstance(recipe, Page) else str(recipe or ""),
        data=data,
        teacher=teacher,
        student=student,
        targets=targets,
        accept_stand_in=flags.accept_stand_in,
        skip_bad=flags.skip_bad,
        pareto=flags.pareto,
        cards=_cards(page, targets),
        **vars(training),
    )


def _cards(page: Page, targets: tuple[Target, ...]) -> dict[str, str]:
    """The pages that the plan was read from, by kind and name, with their digests: for the lock."""
    files = {f"recipes/{page.file.stem}": page.file} if page.file.is_file() else {}
    for kind, table in (("data", "data"), ("teachers", "teacher"), ("students", "student")):
        if "name" in page.tables.get(table, {}):
            name = str(page.tables[table]["name"].value)
            files[f"{kind}/{name}"] = card(cast(Kind, kind), name, table)
    members = page.tables.get("teacher", {}).get("members")
    for member in members.value if members and isinstance(members.value, list) else ():
        name = str(member.get("name", ""))
        if name in cards("teachers"):
            files[f"teachers/{name}"] = card("teachers", name, "teacher")
    devices = cards("devices")
    named = {target.device.name for target in targets}
    files |= {f"devices/{name}": devices[name] for name in sorted(named & set(devices))}
    return {name: digest(file) for name, file in sorted(files.items())}


def find_recipe(recipe: str | Path | None) -> Page:
    """The page of a recipe by name or path."""
    if recipe is None:
        recipe = DEFAULT_RECIPE
    path = Path(recipe).expanduser()
    if isinstance(recipe, Path) or path.suffix == ".toml" or len(path.parts) > 1 or path.is_file():
        return read_page(path)
    return read_page(card("recipes", str(recipe), "RECIPE"))


def check_keys(page: Page) -> None:
    """Refuse tables and top-level keys that a recipe does not have."""
    problems = [
        Problem(page.where(f"[{name}]"), "is not a table of a recipe", nearest(name, SECTIONS))
        for name in (*page.tables, *page.lists)
        if name not in SECTIONS
    ]
    for key, entry in page.top.items():
        if key in SECTIONS:
            problems.append(Problem(entry.where, "is not a table", f"Write [{key}] on a line of its own"))
        elif key not in ("name", "description"):
            problems.append(
                Problem(entry.where, "is not a known key", nearest(key, ("name", "description", *SECTIONS)))
            )
    problems += [
        Problem(page.where(f"[[{k}]]"), "stands more than once", f"Write one [{k}]")
        for k in SECTIONS[:-1]
        if k in page.lists
    ]
    if problems:
        raise UsageError(*problems)


def section(page: Page, name: str) -> Table:
    """A table that a recipe must have."""
    if name not in page.tables:
        raise UsageError(Problem(page.where(f"[{name}]"), "is missing", f"Add a [{name}] table"))
    return page.tables[name]


def read_data(page: Page) -> Data:
    """[data]: a data card by name or a dataset plug-in, and how to split it."""
    gather = Gather()
    table = expand(section(page, "data"), "data", "data")
    source = gather.attempt(choose, "datasets", table, DATA_KEYS, page.where("[data]"))
    data = gather.attempt(parse, Data, table, DATA_KEYS[:-1], {"source": source or {"name": ""}})
    if data and not 0 < data.test_share < 1:
        gather.problems.append(Problem(table["test_share"].where, f"{data.test_share} is not between 0 and 1"))
    if data and data.metric not in plugins.names("metrics"):
        entry, known = table["metric"], plugins.names("metrics")
        gather.problems.append(Problem(entry.where, f"there is no metric {data.metric!r}", nearest(data.metric, known)))
    gather.check()
    assert data is not None
    return data


def read_teacher(page: Page, trust: bool) -> Teacher:
    """[teacher]: a teacher card by name or a teacher plug-in, and its preprocessing."""
    gather = Gather()
    table = expand(section(page, "teacher"), "teachers", "teacher")
    source = gather.attempt(choose, "teachers", table, TEACHER_KEYS, page.where("[teacher]"))
    image = gather.attempt(read_image, table.get("image"), None)
    gather.check()
    assert source is not None
    return Teacher(source=source, image=image, trust=trust)


def read_student(page: Page, teacher: Teacher | None) -> Student:
    """[student]: a student card by name, a family, or the user's own network; the image defaults to the teacher's."""
    gather = Gather()
    table = expand(section(page, "student"), "students", "student")
    family = gather.attempt(choose, "students", table, STUDENT_KEYS, page.where("[student]"))
    image = gather.attempt(read_image, table.get("image"), teacher.image if teacher else None)
    also = gather.attempt(read_also, table.get("also")) or ()
    written = table["image"].value if "image" in table else None
    more: dict[str, Any] = {"image": image, "sized": isinstance(written, dict) and "size" in written}
    more |= {"family": of_teacher(family or Choice(name=""), teacher), "also": [of_teacher(c, teacher) for c in also]}
    more |= {"search": False} if "search" not in table and family and "make" in family.files else {}
    student = gather.attempt(parse, Student, table, ("search",), more)
    gather.check()
    assert student is not None
    return student


def check_images(page: Page, data: Data, teacher: Teacher, student: Student | None) -> None:
    """A folder holds images, so both networks must say how they want them; nothing is guessed."""
    if data.source.name != "folder":
        return
    example = (
        "Write image = { size = 224, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] } with your own numbers"
    )
    problems = []
    if teacher.image is None and teacher.source.name != "saved":
        problems.append(
            Problem(page.where("[teacher] image"), "is missing: how does the teacher want its images", example)
        )
    elif student is not None and student.image is None:
        problems.append(
            Problem(page.where("[student] image"), "is missing: how does the student want its images", example)
        )
    if problems:
        raise UsageError(*problems)


def read_training(page: Page, flags: Flags) -> Training:
    """[train] and --effort, --seed, --max-time, --teacher-share."""
    gather = Gather()
    table = page.tables.get("train", {}) | flags.table(PLAN_KEYS)
    effort_keys = [key for key in Effort.model_fields if key != "name"]
    known = tuple(dict.fromkeys((*PLAN_KEYS, "objectives", "scheme", *Schedule.model_fields, *effort_keys)))
    for key in [key for key in table if key not in known]:
        gather.problems.append(Problem(table[key].where, "is not a known key", nearest(key, known)))
    entry = table.get("effort", Entry("quick", "--effort", Path()))
    preset = {str(name): effort for name, effort in PRESETS.items()}.get(str(entry.value))
    if preset is None:
        gather.problems.append(
            Problem(entry.where, f"there is no effort {entry.value!r}", nearest(str(entry.value), PRESETS))
        )
    base = preset or PRESETS["quick"]
    effort = gather.attempt(read_effort, table, effort_keys, base)
    objectives = gather.attempt(read_objectives, table.get("objectives")) or ()
    scheme = gather.attempt(read_scheme, table.get("scheme"))
    more = {} if "epochs" in table else {"epochs": base.epochs}
    schedule = gather.attempt(parse, Schedule, table, Schedule.model_fields, more)
    plan = gather.attempt(parse, _PlanKeys, table, PLAN_KEYS[1:])
    if plan and plan.seed < 0:
        gather.problems.append(Problem(table["seed"].where, f"{plan.seed} must be 0 or above"))
    if plan and plan.selective_accuracy is not None and not 0 < plan.selective_accuracy < 1:
        where = table["selective_accuracy"].where
        gather.problems.append(Problem(where, "must lie between 0 and 100 %", "Write for example 95%"))
    gather.check()
    assert effort and schedule and plan and scheme
    return Training(effort=effort, schedule=schedule, objectives=objectives, scheme=scheme, **dict(plan))


def read_effort(table: Table, keys: Iterable[str], base: Effort) -> Effort:
    """The preset, with what the page says of it; own grids are of plain distillation, unless methods are named."""
    own: dict[str, Any] = (
        {} if "methods" in table or not {"distill", "control"} & table.keys() else {"methods": ("kd",)}
    )
    unchanged = {key: value for key, value in base.model_dump().items() if key not in table}
    effort = parse(Effort, table, keys, unchanged | own)
    problems = [
        unknown(table["methods"].where, "method", name, METHODS) for name in effort.methods if name not in METHODS
    ]
    if "methods" in table and not effort.methods:
        problems.append(Problem(table["methods"].where, "names no method", f"Write some of: {', '.join(METHODS)}"))
    if problems:
        raise UsageError(*problems)
    wanted = count(effort.methods, effort.distill)
    if "control" not in table and wanted <= len(CONTROL):
        return effort.model_copy(update={"control": CONTROL[:wanted]})
    if wanted != len(effort.control):
        place = table.get("distill", table.get("control", table.get("methods"))) or Entry("", "[train]", Path())
        grid = f"{wanted} points of distill" if effort.methods == ("kd",) else f"{wanted} contenders"
        message = f"the grids differ: {grid}, {len(effort.control)} of control"
        raise UsageError(Problem(place.where, message, "A fair control is tuned over as many trials"))
    return effort
