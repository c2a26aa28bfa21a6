"""The user's own code, signatures, and outputs by name."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.errors import UsageError
from edgekd.nets import networks
from edgekd.nets.networks import forward, named, user_function, user_module
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Architecture, Choice, Image, UserFile
from tests import learnable

NET = "from torch import nn\ndef build(width=2):\n    return nn.Linear(width, 3)\n"
LOGITS = Signature(inputs=(TensorSpec(name="x", shape=(-1, 2)),), outputs=(TensorSpec(name="logits", shape=(-1, 3)),))


def user_file(folder: Path, text: str, name: str = "my_net.py") -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return {"make": folder / name}


def refusal(code: str, files: dict[str, Path]) -> str:
    with pytest.raises(UsageError) as caught:
        user_module(code, files, "make", {})
    (problem,) = caught.value.problems
    assert problem.where == "make"
    return str(problem)


def test_a_function_of_the_user_builds_a_network(tmp_path: Path) -> None:
    module = user_module("my_net:build", user_file(tmp_path, NET), "make", {"width": 5})
    assert isinstance(module, nn.Linear)
    assert module.in_features == 5


def test_a_module_may_import_its_neighbours_and_dataclasses_work(tmp_path: Path) -> None:
    (tmp_path / "my_blocks.py").write_text("WIDTH = 7\n")
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport my_blocks\n"
        "@dataclass\nclass Sizes:\n    width: int = my_blocks.WIDTH\n"
        "def build():\n    from torch import nn\n    return nn.Linear(Sizes().width, 1)\n"
    )
    path = list(sys.path)
    module = user_module("my_net:build", user_file(tmp_path, text), "make", {})
    assert module.in_features == 7
    assert sys.path == path
    assert "my_blocks" not in sys.modules


def test_two_folders_may_use_the_same_names(tmp_path: Path) -> None:
    for width in (3, 4):
        folder = tmp_path / str(width)
        files = user_file(
            folder, "from torch import nn\nimport parts\ndef build():\n    return nn.Linear(parts.W, 1)\n"
        )
        (folder / "parts.py").write_text(f"W = {width}\n")
        assert user_module("my_net:build", files, "make", {}).in_features == width


def test_a_file_named_like_the_standard_library_shadows_nothing(tmp_path: Path) -> None:
    before = sys.modules["random"]
    user_module("random:build", user_file(tmp_path, NET, "random.py"), "make", {})
    assert sys.modules["random"] is before


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (NET, "my_net:biuld", "has no function 'biuld'. Did you mean 'build'?"),
        ("x = 1\ny = 1 / 0\ndef build(): ...", "my_net:build", "line 2 raises ZeroDivisionError"),
        ("def build(:\n", "my_net:build", "SyntaxError"),
        ("import no_such_package\n", "my_net:build", "line 1 raises ModuleNotFoundError: No module named 'no_such"),
        ("def build():\n    return open('nowhere')\n", "my_net:build", "line 2 raises FileNotFoundError"),
        ("def build(classes):\n    return 1\n", "my_net:build", "TypeError: build() missing 1 required"),
        ("def build():\n    raise SystemExit('no')\n", "my_net:build", "line 2 raises SystemExit: no"),
        ("def build():\n    return 3\n", "my_net:build", "returns a int"),
        ("from torch.nn import Linear\ndef build():\n    return Linear\n", "my_net:build", "returns the class Linear"),
        (NET, "my_net.build", "is not module:function"),
        (NET, ":build", "is not module:function"),
    ],
)
def test_what_is_wrong_with_the_users_code_is_one_sentence(tmp_path: Path, text: str, code: str, says: str) -> None:
    assert says in refusal(code, user_file(tmp_path, text))


def test_a_missing_file_is_named_with_its_setting(tmp_path: Path) -> None:
    assert "gone.py" in refusal("my_net:build", {"make": tmp_path / "gone.py"})
    assert "my_net.py" in refusal("my_net:build", {})


def test_functions_of_the_user_are_guarded_when_they_are_called(tmp_path: Path) -> None:
    function = user_function("my_net:read", user_file(tmp_path, "def read(x):\n    return 1 / x\n"), "make")
    assert function(2) == 0.5
    with pytest.raises(UsageError, match="line 2 raises ZeroDivisionError"):
        function(0)


def test_settings_are_told_all_mistakes_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        networks.configured("students", Choice(name="resnet", settings={"widht": 3, "depth": "deep"}), "student")
    shown = [str(problem) for problem in caught.value.problems]
    assert len(shown) == 2
    assert any(text.startswith("student.widht") and "'width'" in text for text in shown)
    assert any(text.startswith("student.depth") and "'deep'" in text for text in shown)


def test_an_image_signature(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries")
    image = Image(size=8, channels="rgb", mean=(0.5,), std=(0.1, 0.2, 0.3))
    signature = networks.signature(splits, image, learnable.workspace(tmp_path))
    (spec,) = signature.inputs
    assert (spec.name, spec.shape, spec.dtype) == ("image", (-1, 3, 8, 8), "float32")
    assert spec.preprocess is not None
    assert (spec.preprocess.canvas, spec.preprocess.mean) == (16, (0.5, 0.5, 0.5))
    assert signature.outputs == (TensorSpec(name="logits", shape=(-1, 3)),)
    assert signature.classes == learnable.CLASSES


def test_a_signature_of_ids_and_a_mask(tmp_path: Path) -> None:
    splits = learnable.tokens(tmp_path / "entries")
    signature = networks.signature(splits, None, learnable.workspace(tmp_path))
    assert [(s.name, s.shape, s.dtype) for s in signature.inputs] == [
        ("ids", (-1, 12), "int64"),
        ("mask", (-1, 12), "int64"),
    ]
    assert all(spec.preprocess is None for spec in signature.inputs)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (Image(size=8, channels="gray", mean=(0.1, 0.2, 0.3)), "image.mean: [0.1, 0.2, 0.3] has 3 values, but gray"),
        (Image(size=8, std=(0.0,)), "image.std: [0.0] must be above zero"),
    ],
)
def test_wrong_preprocessing_is_refused(image: Image, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        networks.image_spec("image", image, 8)
    assert says in str(caught.value)


def test_build_fills_in_initial_weights(tmp_path: Path) -> None:
    signature = Signature(inputs=(networks.image_spec("image", Image(size=8), 8),), outputs=LOGITS.outputs)
    plain = Architecture(family=Choice(name="resnet", settings={"width": 4}))
    torch.manual_seed(0)
    first = networks.build(plain, signature)
    torch.save(first.state_dict(), tmp_path / "w.pt")
    files = {"weights": UserFile(path=str(tmp_path / "w.pt"), sha256="")}
    again = networks.build(
        plain.model_copy(update={"family": plain.family.model_copy(update={"files": files})}), signature
    )
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_outputs_are_named_whatever_their_shape() -> None:
    logits, features = torch.ones(2, 3), torch.zeros(2, 5)
    assert named(logits, LOGITS) == {"logits": logits}
    assert named((logits, features), LOGITS)["logits"] is logits
    assert named({"scores": logits}, LOGITS) == {"logits": logits}
    assert named({"features": features, "logits": logits, "loss": None}, LOGITS) == {
        "features": features,
        "logits": logits,
    }


@pytest.mark.parametrize("outputs", [3, "text", {"a": torch.ones(1), "b": torch.ones(1)}, ([1], [2])])
def test_outputs_that_cannot_be_named_are_refused(outputs: object) -> None:
    with pytest.raises(UsageError, match="the network gives"):
        named(outputs, LOGITS)


def test_forward_takes_inputs_in_the_signatures_order() -> None:
    class Difference(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a - b

    spec = Signature(
        inputs=(TensorSpec(name="b", shape=(-1, 1)), TensorSpec(name="a", shape=(-1, 1))), outputs=LOGITS.outputs
    )
    frozen = np.full((2, 1), 5, np.float32)
    frozen.flags.writeable = False
    outputs = forward(Difference(), {"a": torch.ones(2, 1), "b": frozen}, spec)
    assert outputs["logits"].tolist() == [[4.0], [4.0]]
