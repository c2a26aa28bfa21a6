"""Find every mistake in a plan that can be found without reading the data, before anything is spent."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from edgekd import plugins
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import nearest
from edgekd.nets import inference, inner, networks, terms
from edgekd.nets.live import SAMPLES, Live
from edgekd.nets.weights import check_sha256
from edgekd.results import Checked, Head, Mistake, Signature, TensorSpec
from edgekd.spec import Architecture, Choice, Data, Image, Plan, Student, Target, Teacher
from edgekd.steps import Check
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("torch", "numpy", "pydantic")

# Where neither data nor teacher says how many classes there are: any number shows whether a student can be built.
SOME_CLASSES = 10
# What torch and numpy raise where a network and its input do not fit together.
MISFITS = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError)


def run(step: Check, out: Workspace) -> Checked:
    """All mistakes of a plan as values; nothing is raised for what the user can put right."""
    torch.manual_seed(0)
    plan = step.plan
    found: list[Mistake] = []
    warnings: list[str] = []
    with _section(found, "store"):
        _check_store(out.entries)
    with _section(found, "data.metric"):
        plugins.find("metrics", plan.data.metric)
        _check_budgets(plan)
    for target in plan.targets:
        with _section(found, f"target {target.name}"):
            _check_target(target)
    classes, heads = None, tuple[str, ...]()
    with _section(found, "data", plan.data.source):
        classes, heads = _check_data(plan.data)
    seen = None
    with _section(found, "teacher", plan.teacher.source):
        seen = _check_teacher(plan.teacher, classes, heads, warnings, plan.student is None)
    if plan.student is not None:
        with _section(found, "student", plan.student.family):
            _check_student(plan.student, classes or seen or SOME_CLASSES)
    with _section(found, "train"):
        _check_objectives(plan, heads)
    if not found:
        _check_inner_values(plan, classes or seen, heads, found)
    warnings.extend(_remarks(plan))
    return Checked(mistakes=tuple(dict.fromkeys(found)), warnings=tuple(warnings))


@contextmanager
def _section(found: list[Mistake], section: str, choice: Choice | None = None) -> Iterator[None]:
    """Keep the problems of one section of the recipe, each with the key that it stands under."""
    try:
        yield
    except UsageError as error:
        for problem in error.problems:
            where = _place(problem.where, section, choice)
            found.append(Mistake(where=where, message=problem.message, hint=problem.hint))


def _place(where: str, section: str, choice: Choice | None) -> str:
    """Where a problem stands in the recipe: a setting's own name or its file's path comes under the section."""
    for setting, file in choice.files.items() if choice else ():
        if where == file.path:
            return f"{section}.{setting} ({where})"
    if not where or where == section or where.startswith((f"{section}.", "/")):
        return where or section
    return f"{section}.{where}"


def _check_store(entries: Path) -> None:
    """Raise UsageError unless the store's folder can be written."""
    folder = next(path for path in (entries, *entries.absolute().parents) if path.is_dir())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(Problem("", f"{folder} cannot be written", "Give yourself the permission, or move the store"))


def _check_target(target: Target) -> None:
    """Raise UsageError for a missing extra, a precision that the format does not offer, and a device's settings."""
    declared = plugins.declared("formats", target.format)
    problems = _missing("formats", target.format)
    if target.precision != "auto" and target.precision not in declared.precisions:
        offered = ("auto", *declared.precisions)
        message = f"{target.format} files cannot be made in {target.precision}"
        problems.append(Problem("precision", message, nearest(target.precision, offered)))
    try:
        networks.configured("devices", target.device.reach, "device")
    except UsageError as error:
        problems.extend(error.problems)
    if problems:
        raise UsageError(*problems)


def _missing(kind: str, name: str) -> list[Problem]:
    """A Problem with the pip line for the packages of a plug-in that are not installed, without importing any."""
    declared, absent = plugins.declared(kind, name), []
    for package in declared.packages:
        try:
            metadata.distribution(package)
        except metadata.PackageNotFoundError:
            absent.append(package)
    if not absent:
        return []
    verb = "is" if len(absent) == 1 else "are"
    return [Problem("", f"{' and '.join(absent)} {verb} not installed", f"Run: {declared.install(absent)}")]


def _configured(kind: str, choice: Choice, section: str) -> tuple[ModuleType, Any]:
    """A plug-in and its settings, after its packages and the user's own files and functions were looked for."""
    problems = _missing(kind, choice.name)
    if problems:
        raise UsageError(*problems)
    declared = plugins.declared(kind, choice.name)
    for setting, file in choice.files.items():
        if not os.access(file.path, os.R_OK):
            problems.append(
                Problem(setting, f"{file.path} is not there or cannot be read", "Check path and permissions")
            )
    for setting in declared.code:
        code = choice.settings.get(setting)
        if isinstance(code, str) and code and not problems:
            try:
                networks.user_function(code, networks.paths(choice), setting)
            except UsageError as error:
                problems.extend(error.problems)
    try:
        module, settings = networks.configured(kind, choice, section)
    except UsageError as error:
        raise UsageError(*problems, *error.problems) from error
    if problems:
        raise UsageError(*problems)
    return module, settings


def _check_data(data: Data) -> tuple[int | None, tuple[str, ...]]:
    """Look at the settings of the data; returns the number of outputs where it costs nothing to know, and the heads."""
    module, settings = _configured("datasets", data.source, "data")
    seen = module.task(settings, networks.paths(data.source)) if hasattr(module, "task") else ""
    problem = plugins.misjudges(data.metric, seen) if seen else None
    if problem is not None:
        raise UsageError(problem)
    if plugins.declared("metrics", data.metric).task == "numbers":
        return len(data.targets) or None, ()
    heads = tuple(module.heads(settings, networks.paths(data.source))) if hasattr(module, "heads") else ()
    classes = getattr(settings, "classes", ()) or getattr(module, "CLASSES", ())
    return (None if heads else len(classes) or None), heads


def _check_budgets(plan: Plan) -> None:
    """Raise UsageError for limits that the metric's values cannot be held to."""
    gauge, problems = plugins.gauge(plan.data.metric), []
    for target in plan.targets:
        where, budget = f"target {target.name}", target.budget
        if gauge.lower and budget.min_accuracy is not None:
            message = f"{gauge.name} is an error, so less of it is better, and there is no least accuracy"
            problems.append(Problem(f"{where}.min_accuracy", message, "Give max_error, in the unit of the targets"))
        if not gauge.lower and budget.max_error is not None:
            message = f"{gauge.name} is no error, so more of it is better"
            problems.append(Problem(f"{where}.max_error", message, "Give min_accuracy instead"))
    if plan.selective_accuracy is not None and plugins.declared("metrics", plan.data.metric).task == "numbers":
        message = "is for answers that are classes, and these are numbers"
        problems.append(Problem("--selective-accuracy", message, "Leave it out"))
    if problems:
        raise UsageError(*problems)


def _check_teacher(
    teacher: Teacher, classes: int | None, heads: tuple[str, ...], warnings: list[str], ships: bool
) -> int | None:
    """Load the teacher and ask it about made-up images; returns its number of classes, None where that is not known.

    `ships` where it is itself what is converted.
    """
    kind, settings = _configured("teachers", teacher.source, "teacher")
    files = networks.paths(teacher.source)
    if teacher.image is None or (classes is None and _counts_on_classes(settings)):
        _check_teacher_files(teacher, kind, settings, files)
        return None
    signature = _signature(teacher.image, classes or SOME_CLASSES, heads)
    with _fitting("the teacher", teacher.image):
        oracle = kind.load(settings, files, signature, teacher.trust)
        if oracle.module is None and not (ships and oracle.onnx):
            warnings.append(f"the teacher's own latency, memory and file cannot be measured: {oracle.why_no_module}")
        if not oracle.live:
            return None
        outputs = np.asarray(oracle.outputs(_samples(signature), np.arange(SAMPLES), "train"))
    inference.check_outputs(outputs, SAMPLES, classes, "teacher")
    return int(outputs.shape[1])


def _counts_on_classes(settings: Any) -> bool:
    """Is a teacher, or one of its members, a family that is built for the data's number of classes?"""
    members = (*getattr(settings, "members", ()), *getattr(settings, "heads", {}).values())
    return bool(getattr(settings, "family", "")) or any("family" in member for member in members)


def _check_teacher_files(teacher: Teacher, kind: ModuleType, settings: Any, files: Mapping[str, Path]) -> None:
    """Check what can be known without the data's shapes and classes: checksums, and weights of the user's own code."""
    declared = plugins.declared("teachers", teacher.source.name)
    for setting in declared.files:
        if setting in files and files[setting].is_file():
            check_sha256(files[setting], str(getattr(settings, "sha256", "")))
    if any(setting in files for setting in declared.code):
        outputs = (TensorSpec(name="logits", shape=(-1, SOME_CLASSES)),)
        kind.load(settings, files, Signature(inputs=(), outputs=outputs), teacher.trust)


def _check_student(student: Student, classes: int) -> None:
    """Build the student as written, untrained, and run it on made-up images; a search must have something to choose."""
    family, settings = _configured("students", student.family, "student")
    if student.image is None:
        return
    signature = _signature(student.image, classes)
    with _fitting(f"the student {student.family.name!r}", student.image):
        if student.search and not family.space(settings, signature.inputs):
            raise UsageError(Problem("", f"{student.family.name} offers no student here", "Loosen its fixed settings"))
        module = networks.build(Architecture(family=student.family, image=student.image), signature)
        outputs = inference.answers(module, signature)(_samples(signature), np.arange(SAMPLES), "train")
    inference.check_outputs(outputs, SAMPLES, classes, "student")


def _check_objectives(plan: Plan, heads: tuple[str, ...]) -> None:
    """Read the settings of all objectives, of which one must count, and of the scheme; all must suit the metric."""
    problems = _unsuited(plan)
    try:
        _configured("schemes", plan.scheme, "train.scheme")
    except UsageError as error:
        problems.extend(error.problems)
    for number, objective in enumerate(plan.objectives):
        where = f"train.objectives[{number}]"
        try:
            _configured("objectives", objective.use, where)
        except UsageError as error:
            problems.extend(replace(one, where=one.where or where) for one in error.problems)
        if objective.head and objective.head not in heads:
            message = f"there is no head {objective.head!r}"
            hint = nearest(objective.head, heads) if heads else "The labels are of one kind; leave head out"
            problems.append(Problem(f"{where}.head", message, hint))
        if objective.head and plugins.declared("objectives", objective.use.name).inner:
            message = f"{objective.use.name} compares inner values, which belong to all heads"
            problems.append(Problem(f"{where}.head", message, "Leave head out"))
        if not 0 <= objective.weight < float("inf"):
            problems.append(Problem(f"{where}.weight", f"{objective.weight} is no share of a loss", "0 or more"))
    if plan.objectives and not any(objective.weight for objective in plan.objectives):
        problems.append(Problem("objectives", "there is nothing to learn from", "Weigh one above zero"))
    if problems:
        raise UsageError(*problems)
    if "peers" in plugins.declared("schemes", plan.scheme.name).course and terms.looks_inside(plan.objectives):
        message = f"{plan.scheme.name} trains several networks together, and inner values are compared of one alone"
        raise UsageError(Problem("scheme", message, "Leave the scheme out, or take objectives of logits alone"))


def _unsuited(plan: Plan) -> list[Problem]:
    """Objectives and a scheme that are of classes where numbers are told, or of numbers where there are classes."""
    if plan.data.metric not in plugins.names("metrics"):
        return []
    wanted = plugins.declared("metrics", plan.data.metric).task
    parts = [("schemes", plan.scheme.name, "train.scheme")]
    parts += [("objectives", one.use.name, f"train.objectives[{i}]") for i, one in enumerate(plan.objectives)]
    problems = []
    for kind, name, where in (part for part in parts if part[1] in plugins.names(part[0])):
        task = plugins.declared(kind, name).task
        if "any" not in (wanted, task) and task != wanted:
            others = (other for other in plugins.names(kind) if plugins.declared(kind, other).task in (wanted, "any"))
            message = f"{name} is for {task}, but the metric {plan.data.metric} is of {wanted}"
            problems.append(Problem(where, message, f"There are: {', '.join(others)}"))
    return problems


def _check_inner_values(plan: Plan, classes: int | None, heads: tuple[str, ...], found: list[Mistake]) -> None:
    """Find the inner values that objectives compare in both networks, the student's untrained.

    Where shapes or classes are not known before the data is read, Train does that before its first step.
    """
    student, taught = plan.student, None
    if student is None or student.image is None or not terms.looks_inside(plan.objectives):
        return
    if any(map(plugins.live, plan.objectives)):
        with _section(found, "teacher", plan.teacher.source):
            taught = _teacher_inside(plan.teacher, classes, heads)
        if taught is None:
            return
    signature = _signature(student.image, classes or SOME_CLASSES)
    module = networks.build(Architecture(family=student.family, image=student.image), signature)
    samples = _samples(signature)
    mine = inner.survey(module, lambda: networks.forward(module, samples, signature))
    with _section(found, "train"):
        terms.make(plan.objectives, terms.Sides(True, mine, taught))


def _teacher_inside(teacher: Teacher, classes: int | None, heads: tuple[str, ...]) -> inner.Survey | None:
    """The teacher's inner values for made-up images, None where it cannot be run yet; raises UsageError where they
    cannot be seen."""
    kind, settings = networks.configured("teachers", teacher.source, "teacher")
    if teacher.image is None or (classes is None and _counts_on_classes(settings)):
        return None
    signature = _signature(teacher.image, classes or SOME_CLASSES, heads)
    oracle = kind.load(settings, networks.paths(teacher.source), signature, teacher.trust)
    samples = {name: torch.from_numpy(values) for name, values in _samples(signature).items()}
    return Live(oracle, signature, lambda rows, views: samples).survey(np.arange(SAMPLES), np.zeros(SAMPLES, np.int64))


@contextmanager
def _fitting(who: str, image: Image) -> Iterator[None]:
    """Turn what torch says of a network that does not take such images into one sentence."""
    try:
        yield
    except MISFITS as error:
        reason = str(error).strip().partition("\n")[0]
        message = (
            f"{who} does not take {image.channels} images of {image.size} pixels: {type(error).__name__}: {reason}"
        )
        raise UsageError(Problem("image", message, "Check size and channels of its image")) from error


def _signature(image: Image, classes: int, heads: tuple[str, ...] = ()) -> Signature:
    """What a network of one image input takes and gives; the canvas is its own size, since no data is read, and how
    many classes each head has is not known."""
    return Signature(
        inputs=(networks.image_spec("image", image, image.size),),
        outputs=(TensorSpec(name="logits", shape=(-1, classes)),),
        heads=tuple(Head(name=name, start=0, classes=()) for name in heads),
    )


def _samples(signature: Signature) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    random = np.random.default_rng(0)
    return {
        spec.name: random.standard_normal((SAMPLES, *spec.shape[1:])).astype(np.float32) for spec in signature.inputs
    }


def _remarks(plan: Plan) -> Iterator[str]:
    """What stops nothing, but should be known before hours are spent."""
    teacher, student = plan.teacher.image, plan.student.image if plan.student else None
    if teacher and student and student.size > teacher.size:
        yield f"the student's images ({student.size} pixels) are larger than the teacher's ({teacher.size})"
    if teacher and student and teacher.channels == "gray" and student.channels != "gray":
        yield "the student sees colour, but the teacher labels gray images"
