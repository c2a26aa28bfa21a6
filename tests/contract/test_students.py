"""Every student family: builds what its settings say, repeatably, and learns."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from edgekd import plugins
from edgekd.nets import fakequant, networks
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Architecture, Choice, UserFile
from tests import plugged

FAMILIES = tuple(
    pytest.param(name, marks=pytest.mark.skipif(bool(absent), reason=f"{absent} is not installed"))
    for name in plugins.names("students")
    for absent in [", ".join(plugged.missing("students", name))]
)
OUTPUTS = (TensorSpec(name="logits", shape=(-1, 7)),)
OWN = "from torch import nn\n\n\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.LazyLinear(7))\n"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


WORDS = 50


def signature(name: str, channels: int = 1, side: int = 24) -> Signature:
    """Inputs of the kind that a family takes, of a size that grows with `side`."""
    inputs = {
        "image": (TensorSpec(name="image", shape=(-1, channels, side, side)),),
        "series": (TensorSpec(name="signal", shape=(-1, 2 * side, 3 * channels)),),
        "words": tuple(TensorSpec(name=one, shape=(-1, side // 2), dtype="int64") for one in ("ids", "mask")),
        "table": (TensorSpec(name="row", shape=(-1, side)),),
        "pair": tuple(TensorSpec(name=one, shape=(-1, 1), dtype="int64") for one in ("user", "item")),
    }[plugins.declared("students", name).takes]
    return Signature(inputs=inputs, outputs=OUTPUTS)


def samples(given: Signature, count: int = 3) -> dict[str, torch.Tensor]:
    """Noise; for words some ids, of which the mask keeps a first part; as many users and items as samples."""
    random = torch.Generator().manual_seed(0)
    if given.inputs[0].name == "user":
        return {name: torch.arange(count)[:, None] for name in ("user", "item")}
    if given.inputs[0].name != "ids":
        return {spec.name: torch.randn(count, *spec.shape[1:], generator=random) for spec in given.inputs}
    length = given.inputs[0].shape[1]
    kept = torch.randint(length // 2, length + 1, (count, 1), generator=random)
    ids = torch.randint(2, WORDS, (count, length), generator=random)
    return {"ids": ids, "mask": (torch.arange(length) < kept).long()}


TEACHER = """from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())

    def forward(self, x):
        return x + self.body(x)


def build():
    blocks = [Block() for _ in range(4)]
    stem = [nn.LazyConv2d(16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 7))
"""


def architecture(name: str, folder: Path) -> Architecture:
    """The family with its default settings; families of the user's own code, or of a teacher, get some."""
    if plugins.declared("students", name).of_teacher:
        path = folder / "my_teacher.py"
        path.write_text(TEACHER)
        files = {"teacher.0.make": UserFile(path=str(path), sha256="0")}
        teacher = {"teacher": [{"name": "torch", "make": "my_teacher:build"}]}
        return Architecture(family=Choice(name=name, settings=teacher, files=files))
    if "make" not in plugins.declared("students", name).code:
        needed = {"words": {"vocabulary": WORDS}, "pair": {"users": 9, "items": 9}}.get(
            plugins.declared("students", name).takes, {}
        )
        return Architecture(family=Choice(name=name, settings=needed))
    path = folder / "my_net.py"
    path.write_text(OWN)
    files = {"make": UserFile(path=str(path), sha256="0")}
    return Architecture(family=Choice(name=name, settings={"make": "my_net:build"}, files=files))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 24), (3, 96)])
def test_gives_finite_logits_for_any_batch(name: str, channels: int, side: int, tmp_path: Path) -> None:
    given = signature(name, channels, side)
    module = networks.build(architecture(name, tmp_path), given).eval()
    batch = samples(given)
    with torch.no_grad():
        together = networks.forward(module, batch, given)
        alone = networks.forward(module, {key: values[:1] for key, values in batch.items()}, given)
    assert together["logits"].shape == (3, 7) and torch.isfinite(together["logits"]).all()
    torch.testing.assert_close(together["logits"][:1], alone["logits"], rtol=1e-3, atol=1e-4)
    if "features" in together:
        assert together["features"].shape[0] == 3


@pytest.mark.parametrize("name", FAMILIES)
def test_initial_weights_follow_the_seed(name: str, tmp_path: Path) -> None:
    given, made = signature(name), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        module = networks.build(architecture(name, tmp_path), given)
        networks.forward(module.eval(), samples(given), given)
        made.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


@pytest.mark.parametrize("name", FAMILIES)
def test_space_holds_distinct_settings_that_build(name: str, tmp_path: Path) -> None:
    family = plugins.find("students", name)
    wanted = architecture(name, tmp_path).family
    options = family.space(family.Settings.model_validate(wanted.settings), signature(name).inputs)
    written = [option.model_dump(mode="json") for option in options]
    assert written and len({str(settings) for settings in written}) == len(written)
    assert [family.Settings.model_validate(settings) for settings in written] == list(options)
    for settings in (written[0], written[-1]):
        choice = wanted.model_copy(update={"settings": settings})
        assert isinstance(networks.build(Architecture(family=choice), signature(name)), nn.Module)


@pytest.mark.parametrize("name", FAMILIES)
def test_space_keeps_what_the_user_set(name: str, tmp_path: Path) -> None:
    family = plugins.find("students", name)
    settings = family.Settings.model_validate(architecture(name, tmp_path).family.settings)
    for option in family.space(settings, signature(name).inputs):
        for key in settings.model_fields_set:
            assert getattr(option, key) == getattr(settings, key)


@pytest.mark.parametrize("name", FAMILIES)
def test_settings_are_frozen_and_described(name: str) -> None:
    family = plugins.find("students", name)
    assert family.Settings.model_config["frozen"] and family.Settings.model_config["extra"] == "forbid"
    assert family.Settings.__doc__ and TypeAdapter(family.Settings).json_schema()["properties"]


@pytest.mark.parametrize("name", FAMILIES)
def test_learns_a_batch_by_heart(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    given = signature(name)
    module, labels = networks.build(architecture(name, tmp_path), given), torch.arange(7)
    batch = samples(given, 7)
    networks.forward(module, batch, given)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(networks.forward(module, batch, given)["logits"], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all() and losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_takes_a_step_under_fake_quantization(name: str, tmp_path: Path) -> None:
    given = signature(name)
    batch = samples(given, 7)
    module = networks.build(architecture(name, tmp_path), given)
    networks.forward(module, batch, given)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    quantized = fakequant.FakeQuantized(module, fakequant.ranges(module), watch=True)
    plain = networks.forward(module.eval(), batch, given)["logits"]
    rounded = networks.forward(quantized.train(), batch, given)["logits"]
    assert torch.isfinite(rounded).all() and not torch.equal(plain, rounded)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    nn.functional.cross_entropy(rounded, torch.arange(7)).backward()
    missed = [key for key, p in module.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert missed == [] and all(p.grad.abs().max() > 0 for p in module.parameters() if p.ndim > 1)
    optimizer.step()
    after = module.state_dict()
    assert after.keys() == before.keys()
    assert all(not torch.equal(before[key], after[key]) for key, p in module.named_parameters() if p.ndim > 1)
