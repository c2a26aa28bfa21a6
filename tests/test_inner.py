"""Inner values: what can be named in a network, the usual ones, and that they are caught as they are."""

import pytest
import torch
from torch import Tensor, nn

from edgekd import plugins
from edgekd.errors import UsageError
from edgekd.nets.inner import Survey, Taps, choose, survey
from edgekd.results import TensorSpec


class Encoder(nn.Module):
    """Ids in; logits, features and a list of hidden states out. One layer runs twice, one gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 4)
        self.layer = nn.Linear(4, 4)
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, ids: Tensor) -> dict[str, object]:
        x = self.words(ids)
        states = [x, self.layer(x), self.layer(2 * x)]
        y, _ = self.attend(x, x, x)
        return {"logits": self.head(y.mean(1)), "features": y.mean(1), "hidden_states": states}


IDS = torch.arange(15).view(3, 5) % 9


def of_encoder(network: Encoder) -> Survey:
    return survey(network, lambda: {"logits": network(IDS)["logits"]})


def image_survey(network: nn.Module, size: int = 28) -> Survey:
    def run() -> dict[str, Tensor]:
        outputs = network(torch.zeros(3, 1, size, size))
        return outputs if isinstance(outputs, dict) else {"logits": outputs}

    return survey(network, run)


def family(name: str, size: int = 28, **settings: object) -> nn.Module:
    kind = plugins.find("students", name)
    inputs = (TensorSpec(name="image", shape=(-1, 1, size, size)),)
    made: nn.Module = kind.build(kind.Settings(**settings), inputs, (TensorSpec(name="logits", shape=(-1, 10)),))
    return made


def test_what_a_network_returns_and_its_modules_have_names() -> None:
    found = of_encoder(Encoder())
    assert found.shapes == {
        "words": (3, 5, 4), "layer": (3, 5, 4), "attend[0]": (3, 5, 4), "attend[1]": (3, 5, 5), "head": (3, 3),
        "logits": (3, 3), "features": (3, 4),
        "hidden_states[0]": (3, 5, 4), "hidden_states[1]": (3, 5, 4), "hidden_states[2]": (3, 5, 4),
    }  # fmt: skip
    assert found.outputs == {"logits", "features", *(f"hidden_states[{i}]" for i in range(3))}
    assert found.stages == ()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("words", ["words"]),
        ("hidden_states", ["hidden_states[0]", "hidden_states[1]", "hidden_states[2]"]),
        ("hidden_states[-1]", ["hidden_states[2]"]),
        ("hidden_states[-3]", ["hidden_states[0]"]),
        ("hidden_states[3]", []),
        ("hidden_states[-4]", []),
        ("attend[1]", ["attend[1]"]),
        ("word", []),
    ],
)
def test_a_name_stands_for_one_value_or_a_list(name: str, values: list[str]) -> None:
    assert of_encoder(Encoder()).find(name) == values


def test_taps_catch_the_last_run_with_its_gradient_and_let_go() -> None:
    network = Encoder()
    found = of_encoder(network)
    taps = Taps(network, found, ["layer", "attend[1]", "hidden_states[1]", "features"])
    outputs = network(IDS)
    caught = taps.take()
    assert set(caught) == {"layer", "attend[1]", "hidden_states[1]", "features"}
    assert torch.equal(caught["layer"], outputs["hidden_states"][2])
    assert torch.equal(caught["hidden_states[1]"], outputs["hidden_states"][1])
    assert torch.equal(caught["features"], outputs["features"])
    caught["layer"].sum().backward()
    assert network.layer.weight.grad.abs().sum() > 0
    assert taps.take() == {}


def test_a_survey_leaves_a_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(32, 3)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    image_survey(network, 6)
    assert network.training and network[1].training and not network[0]._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "stages"),
    [
        ({"name": "convnet", "width": 4, "depth": 2}, ("blocks.1", "blocks.3", "blocks")),
        (
            {"name": "convnet", "width": 4, "depth": 1, "expansion": 3, "squeeze": True},
            ("blocks.0", "blocks.1", "blocks"),
        ),
        ({"name": "resnet", "width": 4, "depth": 1}, ("blocks.0", "blocks.1", "blocks")),
        ({"name": "resnet", "width": 4, "depth": 2}, ("blocks.1", "blocks.3", "blocks")),
    ],
)
def test_stages_are_the_last_maps_at_each_resolution(settings: dict[str, object], stages: tuple[str, ...]) -> None:
    found = image_survey(family(**settings))
    assert found.stages == stages
    sides = [found.shapes[name][2] for name in stages]
    assert sides == ([14, 7, 4] if settings["name"] == "convnet" else [28, 14, 7])
    assert found.usual("map") == ["blocks"] and found.usual("maps") == list(stages)
    assert found.usual("vector") == ["features"]


def test_stages_of_a_backbone_within_a_module() -> None:
    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.three = (nn.Conv2d(a, 2, 3, 2, 1) for a in (1, 2, 2))

        def forward(self, image: Tensor) -> Tensor:
            y: Tensor = self.three(self.two(self.one(image)).relu())
            return y

    network = nn.Sequential(Backbone(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    found = image_survey(network, 16)
    assert found.stages == ("0.one", "0.two", "0") and found.usual("vector") == ["0"]


def test_an_unknown_name_is_told_with_the_nearest_good_one() -> None:
    found = image_survey(family("convnet", width=4))
    with pytest.raises(
        UsageError, match=r"teacher: the teacher has no inner value 'block\.3'. Did you mean 'blocks\.3'"
    ):
        choose(found, ["block.3"], "map", "teacher")
    with pytest.raises(UsageError, match=r"There are for example: logits, features, blocks, head, "):
        choose(found, ["zzz"], "map", "student")


def test_where_nothing_suggests_itself_one_has_to_name_it() -> None:
    found = of_encoder(Encoder())
    with pytest.raises(
        UsageError, match=r"nothing in the student suggests itself as a feature map\. Name one: student = "
    ):
        choose(found, [], "map", "student")
    with pytest.raises(UsageError, match="suggests itself as attentions"):
        choose(found, [], "attentions", "teacher")
    assert choose(found, [], "sequences", "student") == [f"hidden_states[{i}]" for i in range(3)]
