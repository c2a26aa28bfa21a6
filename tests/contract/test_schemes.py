"""Every scheme: a finite scalar that is linear in its terms and teaches the network, or a course of trainings."""

from functools import partial

import pytest
import torch

from edgekd import plugins
from edgekd.plugins import Batch

SCHEMES = plugins.names("schemes")
OF_A_LOSS = [name for name in SCHEMES if "loss" in plugins.declared("schemes", name).offers]
BATCH = Batch(labels=torch.tensor([0, 1]), teacher=torch.zeros(2, 3))


def _squares(weight, outputs, batch):
    return weight * outputs["logits"].square().mean()


def _networks(name: str, logits: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """As many networks as the scheme trains together, which all say the same."""
    return [{"logits": logits * 1} for _ in range(_course(name).get("peers", 1))]


def _course(name: str) -> dict[str, int]:
    return dict(plugins.declared("schemes", name).course)


@pytest.mark.parametrize("name", OF_A_LOSS)
def test_the_loss_teaches_and_grows_with_its_terms(name: str) -> None:
    scheme = plugins.find("schemes", name)
    logits = torch.ones(2, 3, requires_grad=True)
    outputs = _networks(name, logits)
    one = scheme.loss(scheme.Settings(), outputs, BATCH, [partial(_squares, 1.0)])
    more = scheme.loss(scheme.Settings(), outputs, BATCH, [partial(_squares, 1.0), partial(_squares, 2.0)])
    more.backward()
    assert one.shape == () and more.item() == pytest.approx(3 * one.item())
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_declared_is_what_settings_say_by_themselves(name: str) -> None:
    course, settings = _course(name), plugins.find("schemes", name).Settings()
    assert course.keys() <= {"peers", "generations", "assistants"}
    assert all(getattr(settings, key) == value for key, value in course.items())


@pytest.mark.parametrize("name", SCHEMES)
def test_one_without_a_loss_of_its_own_is_a_course_of_trainings(name: str) -> None:
    """What learns together has to say how."""
    course = _course(name)
    assert (name in OF_A_LOSS) == (not course or "peers" in course)
