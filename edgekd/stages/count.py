"""List the students of a family with their exact sizes, before anything is trained."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from edgekd.errors import UsageError
from edgekd.nets import networks, sizes
from edgekd.nets import work as works
from edgekd.nets.derived import MISFITS
from edgekd.results import Counted, Option, Signature, Size
from edgekd.samples.views import Feed
from edgekd.spec import Architecture, Image, Student, Teacher
from edgekd.steps import Count
from edgekd.workspace import Workspace

VERSION = 5
PACKAGES = ("torch", "pydantic")

# Images of so many pixels a side are also tried at these shares of it, where the side is the teacher's.
FEW_PIXELS, SMALLER = 64, (0.75, 0.5)


def run(step: Count, out: Workspace) -> Counted:
    """Count every option of the student's family, smallest first, and the teacher where it is a torch network."""
    torch.set_num_threads(1)
    options = [] if step.student is None else _options(step, step.student, out)
    teacher, why = (None, "") if step.teacher is None else _teacher(step, step.teacher, out)
    return Counted(options=tuple(options), teacher=teacher, no_teacher=why)


def _options(step: Count, student: Student, out: Workspace) -> list[Option]:
    """Every student with its size, smallest first."""
    teachers = step.teacher.image if step.teacher else None
    free = student.search and not student.sized and student.image == teachers
    options: list[Option] = []
    for image in _images(student.image) if free else (student.image,):
        try:
            options += _of_size(step, student, image, out)
        except (UsageError, *MISFITS):
            if image == student.image:
                raise
            # nobody asked for this size, and no network of the family takes it
    return sorted(options, key=lambda option: (option.size.macs, option.size.params))


def _of_size(step: Count, student: Student, image: Image | None, out: Workspace) -> list[Option]:
    """Every student for images of one size; of a size that is not the student's own, those that take it."""
    signature, options = networks.signature(step.splits, image, out), []
    sample, architectures = _sample(step, signature, out), _architectures(student, image, signature)
    where = f" at {image.size} pixels" if image and image != student.image else ""
    for number, one in enumerate(architectures):
        try:
            options.append(_option(one, sample, signature, student.search))
        except (UsageError, *MISFITS):
            if image == student.image:
                raise
        if number % 8 == 0:
            out.progress(number / len(architectures), f"{number} of {len(architectures)} students counted{where}")
    return options


def _images(image: Image | None) -> tuple[Image | None, ...]:
    """The image as it is, and smaller ones where it is the teacher's, which nobody asked of the student, and large."""
    if image is None or image.size < FEW_PIXELS:
        return (image,)
    sides = {image.size, *(round(share * image.size / 8) * 8 for share in SMALLER)}
    return tuple(image.model_copy(update={"size": side}) for side in sorted(sides, reverse=True))


def _architectures(student: Student, image: Image | None, signature: Signature) -> tuple[Architecture, ...]:
    """What may be chosen: the family's space around the settings as written, or those alone without a search."""
    if not student.search:
        return (Architecture(family=student.family, image=image),)
    found = []
    for choice in (student.family, *student.also):
        family, settings = networks.configured("students", choice)
        for option in family.space(settings, signature.inputs):
            one = choice.model_copy(update={"settings": option.model_dump(mode="json")})
            found.append(Architecture(family=one, image=image))
    return tuple(found)


def _option(architecture: Architecture, sample: Mapping[str, Tensor], signature: Signature, search: bool) -> Option:
    """Size and work of one student. In a search it is built without memory for its weights: large ones cost nothing."""
    if not search or architecture.family.files:
        # a user's own code or weights may need real tensors
        module = networks.build(architecture, signature)
    else:
        with torch.device("meta"):
            module = networks.build(architecture, signature)
        sample = {name: value.to("meta") for name, value in sample.items()}
    size, work = works.work(module, sample, signature)
    return Option(architecture=architecture, size=size, work=work)


def _teacher(step: Count, teacher: Teacher, out: Workspace) -> tuple[Size | None, str]:
    """The teacher's own size, or why there is no torch network to count and to convert."""
    signature = networks.signature(step.splits, teacher.image, out)
    kind, settings = networks.configured("teachers", teacher.source)
    oracle = kind.load(settings, networks.paths(teacher.source), signature, teacher.trust)
    if oracle.module is None:
        return None, oracle.why_no_module or f"a teacher of kind {teacher.source.name} has no torch network"
    return sizes.size(oracle.module, _sample(step, signature, out), signature), ""


def _sample(step: Count, signature: Signature, out: Workspace) -> dict[str, Tensor]:
    """One real sample: ids and masks of zeros could lead a network astray."""
    feed = Feed(out, step.splits, "train", signature, augment=False, seed=0)
    return {name: torch.tensor(value) for name, value in feed.batch(np.zeros(1, np.int64)).items()}
