"""From a page's [data], [teacher] and [student] tables to plug-ins, their settings, and the user's files by digest.

No plug-in is imported: what it declares about itself is read from its source. Values are validated in the Check step.
"""

import ast
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgekd import files, plugins
from edgekd.catalog import Entry, Kind, Table, card, read_page
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import Gather, nearest, translate, unknown
from edgekd.spec import Choice, Image, Teacher, UserFile

NAMING = {"datasets": "use", "teachers": "use", "students": "family"}


@cache
def setting_names(kind: str, name: str) -> dict[str, bool]:
    """A plug-in's settings, from its source, and whether each must be given; empty where they are not written there."""
    tree = ast.parse(plugins.declared(kind, name).file.read_text(encoding="utf-8"))
    body = next((n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Settings"), [])
    fields = [n for n in body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    return {n.target.id: n.value is None for n in fields if isinstance(n.target, ast.Name)}


def expand(table: Table, kind: Kind, section: str) -> Table:
    """Put the card that `name` names under the table: the card's keys first, the page's own over them.

    Of a data card come also where its data are from, their licence, and the checksums of its files.
    """
    if "name" not in table:
        return table
    entry = table["name"]
    page = read_page(card(kind, str(entry.value), entry.where))
    base = expand(page.tables.get(section, {}), kind, section)
    if kind == "data":
        told = {"origin": page.top.get("source"), "licence": page.top.get("licence")}
        base = {key: value for key, value in told.items() if value} | base
    if "sha256" in page.tables:
        sums = {name: item.value for name, item in page.tables["sha256"].items()}
        base = {"sha256": Entry(sums, page.where("[sha256]"), page.file.parent)} | base
    return base | {key: value for key, value in table.items() if key != "name"}


def choose(kind: str, table: Table, others: Iterable[str], where: str) -> Choice:
    """The plug-in that a table asks for, with its settings and files; `others` are keys that are not the plug-in's.

    Raises UsageError for every unknown key and every file that is not there.
    """
    others = tuple(others)
    settings = {key: entry for key, entry in table.items() if key not in others}
    name = _pick(kind, settings, where)
    settings.pop(NAMING[kind], None)
    known, declared = setting_names(kind, name), plugins.declared(kind, name)
    if name in settings and name not in known:
        settings[(*declared.files, *declared.code, *known, name)[0]] = settings.pop(name)
    gather = Gather()
    for key in [key for key, needed in known.items() if needed and key not in settings]:
        gather.problems.append(Problem(f"{where} {key}", f"is missing: {name} needs it"))
    for key in [key for key in settings if known and key not in known and key != "sha256"]:
        gather.problems.append(Problem(settings[key].where, "is not a known key", nearest(key, (*known, *others))))
    found: dict[str, UserFile] = {}
    for key in [key for key in declared.nests if key in settings]:
        inner = gather.attempt(_nested, kind, key, settings[key]) or {}
        tables: dict[str, Any] = {place: {"name": choice.name, **choice.settings} for place, choice in inner.items()}
        by_name = isinstance(settings[key].value, dict)
        settings[key] = replace(settings[key], value=tables if by_name else list(tables.values()))
        found |= {f"{key}.{place}.{name}": file for place, c in inner.items() for name, file in c.files.items()}
    for key in declared.files:
        if key in settings:
            found |= gather.attempt(read_files, key, settings[key]) or {}
    for key in declared.code:
        if key in settings:
            found |= gather.attempt(read_code, key, settings[key]) or {}
    if "sha256" in settings:
        gather.attempt(_check_digest, settings["sha256"], [found[key] for key in declared.files if key in found])
        if "sha256" not in known:
            settings.pop("sha256")
    gather.check()
    return Choice(name=name, settings={key: entry.value for key, entry in settings.items()}, files=found)


def read_also(entry: Entry | None) -> tuple[Choice, ...]:
    """Further student families, by name, with the settings that they have of themselves."""
    if entry is None:
        return ()
    names = plugins.names("students")
    if not isinstance(entry.value, list) or not all(isinstance(name, str) for name in entry.value):
        raise UsageError(Problem(entry.where, "is not a list of names", 'Write for example also = ["pruned"]'))
    wrong = [name for name in entry.value if name not in names]
    wrong += [name for name in entry.value if name in names and plugins.declared("students", name).code]
    if wrong:
        raise UsageError(*(unknown(entry.where, "student family", name, names) for name in wrong))
    return tuple(Choice(name=name) for name in dict.fromkeys(entry.value))


def of_teacher(family: Choice, teacher: Teacher | None) -> Choice:
    """A family that is made of the teacher's network gets that teacher, with its files; any other stays as it is."""
    if teacher is None or family.name not in plugins.names("students"):
        return family
    if not plugins.declared("students", family.name).of_teacher:
        return family
    source = teacher.source
    settings = {**family.settings, "teacher": [{"name": source.name, **source.settings}]}
    return Choice(
        name=family.name,
        settings=settings,
        files=family.files | {f"teacher.0.{name}": file for name, file in source.files.items()},
    )


def _nested(kind: str, key: str, entry: Entry) -> dict[str, Choice]:
    """Plug-ins of the same kind that a setting holds as tables, listed or by name; each may also be a card's name."""
    written = entry.value if isinstance(entry.value, list | dict) else None
    items = written if isinstance(written, dict) else {str(i): item for i, item in enumerate(written or [None])}
    if not all(isinstance(item, dict) for item in items.values()):
        hint = f'Write for example {key} = [{{ make = "my_net:build", weights = "a.pt" }}, ...]'
        raise UsageError(Problem(entry.where, "does not hold tables", hint))
    gather, found = Gather(), {}
    for place, item in items.items():
        where = f"{entry.where}.{place}" if written is items else f"{entry.where}[{place}]"
        table = {name: Entry(value, f"{where}.{name}", entry.base) for name, value in item.items()}
        if "name" in table and table["name"].value in plugins.names(kind):
            table[NAMING[kind]] = table.pop("name")
        expanded = gather.attempt(expand, table, "teachers", "teacher")
        # All members see the same images: those of the whole, whatever a member's own card says.
        found[place] = gather.attempt(choose, kind, expanded, ("image",), where) if expanded else None
    gather.check()
    return {place: choice for place, choice in found.items() if choice}


def _pick(kind: str, settings: Table, where: str) -> str:
    """The plug-in's name: as written, or the one whose main setting is there."""
    names, naming = plugins.names(kind), NAMING[kind]
    if naming in settings:
        entry = settings[naming]
        name = str(entry.value).replace("-", "_")
        if name not in names:
            noun = "student family" if kind == "students" else f"{kind.removesuffix('s')} plug-in"
            raise UsageError(unknown(entry.where, noun, str(entry.value), names))
        return name
    named = [key for key in settings if key in names]
    if len(named) > 1:
        both = " and ".join(repr(key) for key in named)
        raise UsageError(Problem(where, f"names both {both}", "Keep one of them"))
    if named:
        return named[0]
    best = max(names, key=lambda name: _overlap(kind, name, settings), default="")
    if not best or not any(_overlap(kind, best, settings)):
        main = {key for name in names for key in plugins.declared(kind, name).code}
        ways = ("name", "family", *sorted(main)) if kind == "students" else ("name", *sorted({*names, *main}))
        near = [nearest(key, ways) for key in settings]
        hint = next((text for text in near if text.startswith("Did")), f"Write one of: {', '.join(ways)}")
        raise UsageError(Problem(where, "does not say which to use", hint))
    return best


def _overlap(kind: str, name: str, settings: Table) -> tuple[int, int]:
    """How many of the keys are a plug-in's files or code, and how many any setting of it (too little for a family)."""
    declared = plugins.declared(kind, name)
    main = settings.keys() & {*declared.files, *declared.code}
    return len(main), 0 if kind == "students" else len(settings.keys() & setting_names(kind, name).keys())


def _shown_missing(path: Path, entry: Entry) -> Problem:
    folder = path.parent
    beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    hint = nearest(path.name, beside, 0.5) if beside else ""
    hint = hint if hint.startswith("Did") else f"Paths are relative to {entry.base}"
    return Problem(entry.where, f"{path} is not there", hint)


def pin(path: Path, entry: Entry, member: str = "") -> UserFile:
    """A file or folder by content; raises UsageError where it is not there or cannot be read."""
    if not path.exists():
        raise UsageError(_shown_missing(path, entry))
    try:
        return UserFile(path=str(path), sha256=files.digest(path), member=member)
    except OSError as error:
        raise UsageError(Problem(entry.where, f"{path} cannot be read: {error.strerror}")) from None


def read_files(key: str, entry: Entry) -> dict[str, UserFile]:
    """The file that a setting names, under the setting's name."""
    if not isinstance(entry.value, str) or not entry.value:
        raise UsageError(Problem(entry.where, f"{entry.value!r} is not the path of a file or folder"))
    return {key: pin(entry.base / Path(entry.value).expanduser(), entry)}


def read_code(key: str, entry: Entry) -> dict[str, UserFile]:
    """The user's module of a "module:function" under the setting's name, and each local module that it imports."""
    module, colon, function = str(entry.value).partition(":")
    if not (isinstance(entry.value, str) and module and colon and function):
        hint = "Write for example my_net:build, where my_net.py is beside this file"
        raise UsageError(Problem(entry.where, f"{entry.value!r} is not module:function", hint))
    file = entry.base / Path(*module.removesuffix(".py").split(".")).with_suffix(".py")
    found = {key: pin(file, entry, function)}
    local = _local_imports(file, entry)
    return found | {f"{key}:{p.relative_to(file.parent).as_posix()}": pin(p, entry) for p in sorted(local)}


def _local_imports(file: Path, entry: Entry) -> set[Path]:
    """Modules and packages beside a module that it imports, and those that they import, without running any."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        for name in _imported(waiting.pop(), entry):
            path = next(
                (p for p in (file.parent / f"{name}.py", file.parent / name / "__init__.py") if p.is_file()), None
            )
            if path is None or path in found or path == file:
                continue
            package = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
            waiting += [p for p in package if p not in found]
            found |= set(package)
    return found


def _imported(file: Path, entry: Entry) -> set[str]:
    """First names of all absolute imports of a module."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(Problem(entry.where, f"{file} is not Python: {error}")) from None
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names if name}


def _check_digest(entry: Entry, found: list[UserFile]) -> None:
    """Compare a written sha256 with the first file's own, or a table of them with the files of those names."""
    wanted = entry.value if isinstance(entry.value, dict) else {Path(file.path).name: entry.value for file in found[:1]}
    wrong = [file for file in found if str(wanted.get(Path(file.path).name, file.sha256)).lower() != file.sha256]
    hint = "The file was changed or damaged: get it again, or correct the sha256"
    if wrong:
        raise UsageError(
            *(
                Problem(entry.where, f"{file.path} has another sha256 than is written here: {file.sha256}", hint)
                for file in wrong
            )
        )


def read_image(entry: Entry | None, teacher: Image | None) -> Image | None:
    """Preprocessing as written, over the teacher's where a student says only a part of it. None: not images."""
    if entry is None:
        return teacher
    where = entry.where
    if not isinstance(entry.value, dict):
        raise UsageError(Problem(where, f"{entry.value!r} is not a table", "Write for example image = { size = 96 }"))
    written: dict[str, Any] = dict(entry.value)
    fields = (_for_channels(teacher, str(written.get("channels", teacher.channels))) if teacher else {}) | written
    fields |= {key: [fields[key]] for key in ("mean", "std") if isinstance(fields.get(key), int | float)}
    try:
        image = Image.model_validate(fields)
    except ValidationError as error:
        raise translate(error, lambda key: f"{where}.{key}", Image.model_fields) from None
    channels = 1 if image.channels == "gray" else 3
    problems = [Problem(f"{where}.size", f"{image.size} is not above zero")] if image.size < 1 else []
    for key, values in (("mean", image.mean), ("std", image.std)):
        if len(values) not in (1, channels):
            message = f"has {len(values)} values, but {image.channels} images have {channels} channel(s)"
            problems.append(Problem(f"{where}.{key}", message, f"Give 1 value or {channels}"))
    if min(image.std, default=0.0) <= 0:
        problems.append(Problem(f"{where}.std", f"{list(image.std)} must be above zero"))
    if problems:
        raise UsageError(*problems)
    return image


def _for_channels(image: Image, channels: str) -> dict[str, Any]:
    """A teacher's preprocessing for another channel order: bgr reverses mean and std, gray and colour average them."""
    fields = image.model_dump(mode="json")
    for key in ("mean", "std"):
        values = fields[key]
        if {channels, image.channels} == {"rgb", "bgr"}:
            fields[key] = values[::-1]
        elif channels != image.channels:
            fields[key] = [sum(values) / len(values)]
    return fields
