"""The families' own promises: sizes, resolutions, blocks, and the user's own network with its weights."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from edgekd import files
from edgekd.errors import UsageError
from edgekd.nets import networks, sizes
from edgekd.results import Signature, Size, TensorSpec
from edgekd.spec import Architecture, Choice, UserFile, Value
from edgekd.students import convnet, module, resnet, transformer

OUTPUTS = (TensorSpec(name="logits", shape=(-1, 10)),)


def inputs(side: int = 28, channels: int = 1) -> tuple[TensorSpec, ...]:
    return (TensorSpec(name="image", shape=(-1, channels, side, side)),)


def counted(settings: Value, side: int = 28, channels: int = 1, family: ModuleType = convnet) -> Size:
    with torch.device("meta"):
        network = family.build(settings, inputs(side, channels), OUTPUTS)
        image = torch.zeros(1, channels, side, side)
    return sizes.size(network, {"image": image}, Signature(inputs=inputs(side, channels), outputs=OUTPUTS))


def test_parameters_and_products_of_a_convnet_by_hand() -> None:
    # stem 1->4 at 14x14, full 4->8 at 7x7, depthwise 8 and pointwise 8->16 at 4x4, head 16->10; norms have two each
    by_hand = Size(
        params=9 * 4 + 8 + 9 * 4 * 8 + 16 + 9 * 8 + 16 + 8 * 16 + 32 + 16 * 10 + 10,
        macs=14 * 14 * 9 * 4 + 7 * 7 * 9 * 4 * 8 + 4 * 4 * (9 * 8 + 8 * 16) + 16 * 10,
    )
    assert counted(convnet.Settings(width=4, depth=1)) == by_hand


@settings(max_examples=25)
@given(side=st.integers(24, 256), channels=st.sampled_from([1, 3]))
def test_the_last_map_is_four_to_seven_pixels(side: int, channels: int) -> None:
    with torch.device("meta"):
        network = convnet.build(convnet.Settings(width=4, depth=1), inputs(side, channels), OUTPUTS)
        last = network.blocks(torch.zeros(1, channels, side, side)).shape
    assert 4 <= last[2] <= 7 and last[2] == last[3]


@pytest.mark.parametrize(("side", "channels"), [(24, 1), (28, 1), (32, 3), (96, 3), (224, 3), (256, 3)])
def test_the_space_spans_the_sizes(side: int, channels: int) -> None:
    space = convnet.space(convnet.Settings(), inputs(side, channels))
    assert 60 <= len(space) <= 200
    least, most = min(space, key=_scale), max(space, key=_scale)
    assert counted(least, side, channels).params < 12_000
    assert 2_000_000 < counted(most, side, channels).params < 8_000_000


@pytest.mark.parametrize(("family", "side"), [(convnet, 28), (resnet, 28)])
def test_some_student_takes_most_of_nearly_every_budget(family: ModuleType, side: int) -> None:
    space = family.space(family.Settings(), inputs(side))
    macs = np.sort([counted(one, side, family=family).macs for one in space])
    budgets = np.geomspace(macs[-1] / 100, 0.95 * macs[-1], 1000)
    largest = macs[np.searchsorted(macs, budgets, side="right") - 1]
    assert np.mean(largest >= 0.85 * budgets) > 0.9


def _scale(settings: convnet.Settings) -> int:
    return settings.width**2 * settings.depth * settings.expansion


def test_every_axis_adds_compute() -> None:
    base = convnet.Settings(width=8, depth=2)
    for more in ({"width": 10}, {"depth": 3}, {"expansion": 3}, {"kernel": 5}, {"squeeze": True}):
        assert counted(base.model_copy(update=more)).macs > counted(base).macs


def test_the_users_axes_stay_and_the_others_are_searched() -> None:
    space = convnet.space(convnet.Settings(width=16, squeeze=True), inputs())
    assert {(option.width, option.squeeze, option.kernel) for option in space} == {(16, True, 3)}
    assert {(option.depth, option.expansion) for option in space} == {(d, e) for d in (1, 2, 3) for e in (1, 2, 3)}


def test_squeeze_excite_gates_between_zero_and_one() -> None:
    block, x = convnet.SqueezeExcite(8), torch.rand(2, 8, 5, 5) + 0.1
    nn.init.constant_(block.expand.bias, 100.0)
    assert torch.allclose(block(x), x)
    nn.init.constant_(block.expand.bias, -100.0)
    assert torch.equal(block(x), torch.zeros_like(x))


def test_convnet_wants_one_image() -> None:
    words = (TensorSpec(name="ids", shape=(-1, 12), dtype="int64"), TensorSpec(name="mask", shape=(-1, 12)))
    with pytest.raises(UsageError, match=r"convnet takes one image, but the inputs are ids \[-1, 12\], mask"):
        convnet.build(convnet.Settings(), words, OUTPUTS)


def test_resnet_space_keeps_the_width() -> None:
    space = resnet.space(resnet.Settings(width=16), inputs())
    assert [option.depth for option in space] == [1, 2, 3] and {option.width for option in space} == {16}


@pytest.fixture
def own(tmp_path: Path) -> Architecture:
    code = "from torch import nn\n\n\ndef build(wide=3):\n    return nn.Linear(4, wide)\n"
    (tmp_path / "my_net.py").write_text(code)
    make = UserFile(path=str(tmp_path / "my_net.py"), sha256=files.digest(tmp_path / "my_net.py"))
    choice = Choice(name="module", settings={"make": "my_net:build", "arguments": {"wide": 5}}, files={"make": make})
    return Architecture(family=choice)


def test_a_transformer_returns_a_hidden_state_of_each_layer_and_the_last_gives_its_features() -> None:
    words = tuple(TensorSpec(name=name, shape=(-1, 6), dtype="int64") for name in ("ids", "mask"))
    network = transformer.build(transformer.Settings(width=16, depth=3, vocabulary=20), words, OUTPUTS).eval()
    ids, mask = torch.randint(20, (2, 6)), torch.ones(2, 6, dtype=torch.int64)
    outputs = network(ids, mask)
    assert [tuple(state.shape) for state in outputs["hidden_states"]] == [(2, 6, 16)] * 3
    torch.testing.assert_close(network.norm(outputs["hidden_states"][-1]).mean(1), outputs["features"])


def test_module_calls_the_users_function_with_arguments(own: Architecture) -> None:
    network = networks.build(own, Signature(inputs=inputs(), outputs=OUTPUTS))
    assert isinstance(network, nn.Linear) and network.out_features == 5


def test_module_starts_from_the_users_weights(own: Architecture, tmp_path: Path) -> None:
    weights = {"weight": torch.full((5, 4), 2.0), "bias": torch.arange(5.0)}
    save_file(weights, tmp_path / "w.safetensors")
    file = UserFile(path=str(tmp_path / "w.safetensors"), sha256=files.digest(tmp_path / "w.safetensors"))
    family = own.family.model_copy(
        update={
            "settings": own.family.settings | {"weights": "w.safetensors"},
            "files": own.family.files | {"weights": file},
        }
    )
    network = networks.build(Architecture(family=family), Signature(inputs=inputs(), outputs=OUTPUTS))
    assert torch.equal(network.weight, weights["weight"]) and torch.equal(network.bias, weights["bias"])


def test_module_is_not_searched() -> None:
    settings = module.Settings(make="my_net:build")
    assert module.space(settings, inputs()) == (settings,)
