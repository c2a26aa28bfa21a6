"""Every way to a teacher gives the outputs of the network behind it, or says in one sentence why not."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import nn

from edgekd import files as digests
from edgekd.errors import UsageError
from edgekd.nets import networks
from edgekd.plugins import Oracle
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Choice, Image, UserFile
from edgekd.teachers import ensemble

SIGNATURE = Signature(
    inputs=(networks.image_spec("image", Image(size=4, channels="gray"), 4),),
    outputs=(TensorSpec(name="logits", shape=(-1, 3)),),
    classes=("a", "b", "c"),
)
BATCH = {"image": np.random.default_rng(0).normal(size=(7, 1, 4, 4)).astype(np.float32)}
ROWS = np.arange(7)
MY_NET = """
from torch import nn

def build(softmax=False):
    layers = [nn.Flatten(), nn.Linear(16, 3)]
    return nn.Sequential(*layers, nn.Softmax(1)) if softmax else nn.Sequential(*layers)
"""


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()


def truth(seed: int = 0) -> np.ndarray:
    with torch.inference_mode():
        return network(seed)(torch.from_numpy(BATCH["image"])).numpy()


def load(
    name: str, settings: dict, files: dict[str, Path], trust: bool = False, signature: Signature = SIGNATURE
) -> Oracle:
    pinned = {key: UserFile(path=str(path), sha256="") for key, path in files.items()}
    kind, chosen = networks.configured("teachers", Choice(name=name, settings=settings, files=pinned), "teacher")
    return kind.load(chosen, files, signature, trust)


def refusal(*arguments: object, **keywords: object) -> str:
    with pytest.raises(UsageError) as caught:
        load(*arguments, **keywords)  # type: ignore[arg-type]
    return str(caught.value)


def my_net(folder: Path, seed: int = 0) -> dict[str, Path]:
    (folder / "my_net.py").write_text(MY_NET)
    save_file(network(seed).state_dict(), folder / f"{seed}.safetensors")
    return {"make": folder / "my_net.py", "weights": folder / f"{seed}.safetensors"}


def check(oracle: Oracle, want: np.ndarray) -> None:
    got = oracle.outputs(BATCH, ROWS, "train")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    if oracle.module is not None:
        with torch.inference_mode():
            exported = oracle.module(torch.from_numpy(BATCH["image"]))["logits"].numpy()
        np.testing.assert_allclose(exported, want, rtol=1e-5, atol=1e-5)


class TestTorch:
    settings = {"make": "my_net:build", "weights": "0.safetensors"}

    def test_the_users_own_network(self, tmp_path: Path) -> None:
        oracle = load("torch", self.settings, my_net(tmp_path))
        check(oracle, truth())
        assert oracle.module is not None
        assert not oracle.module.training

    def test_a_family_by_name(self, tmp_path: Path) -> None:
        family, settings = networks.configured("students", Choice(name="resnet", settings={"width": 4}))
        torch.manual_seed(0)
        module = family.build(settings, SIGNATURE.inputs, SIGNATURE.outputs).eval()
        save_file(module.state_dict(), tmp_path / "w.safetensors")
        files = {"weights": tmp_path / "w.safetensors"}
        sha256 = digests.digest(files["weights"])
        written = {"family": "resnet", "axes": {"width": 4}, "weights": "w.safetensors", "sha256": sha256}
        with torch.inference_mode():
            want = module(torch.from_numpy(BATCH["image"]))["logits"].numpy()
        check(load("torch", written, files), want)
        assert "has sha256" in refusal("torch", written | {"sha256": "1" * 64}, files)
        assert "lacks" in refusal("torch", written | {"axes": {"width": 4, "depth": 2}}, files)

    def test_probabilities_become_logits(self, tmp_path: Path) -> None:
        written = {**self.settings, "arguments": {"softmax": True}, "activation": "probabilities"}
        oracle = load("torch", written, my_net(tmp_path))
        log_probabilities = torch.from_numpy(truth()).log_softmax(1).numpy()
        check(oracle, log_probabilities)

    def test_pieces_of_a_large_batch_are_put_together(self, tmp_path: Path) -> None:
        oracle = load("torch", self.settings, my_net(tmp_path))
        many = {"image": np.tile(BATCH["image"], (100, 1, 1, 1))}
        np.testing.assert_allclose(oracle.outputs(many, np.arange(700), "train"), np.tile(truth(), (100, 1)), atol=1e-5)

    def test_batch_norm_and_dropout_are_off(self, tmp_path: Path) -> None:
        layers = "nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(16)"
        text = f"from torch import nn\ndef build():\n    return nn.Sequential({layers})"
        (tmp_path / "my_net.py").write_text(text)
        oracle = load("torch", {"make": "my_net:build"}, {"make": tmp_path / "my_net.py"})
        want = BATCH["image"].reshape(7, 16) / np.sqrt(1 + 1e-5)
        np.testing.assert_allclose(oracle.outputs(BATCH, ROWS, "train"), want, rtol=1e-5)

    @pytest.mark.parametrize(
        ("written", "says"),
        [
            ({}, "give either make"),
            ({"make": "a:b", "family": "resnet"}, "give either make"),
            ({"family": "resnet"}, "needs trained weights"),
            ({"make": "a:b", "axes": {"width": 1}}, "axes belong to a family"),
            ({"make": "a:b", "activation": "softmax"}, "teacher.activation"),
            ({"mkae": "a:b"}, "teacher.mkae"),
        ],
    )
    def test_settings_that_name_no_network(self, written: dict, says: str) -> None:
        assert says in refusal("torch", written, {})

    def test_errors_in_the_users_forward_name_file_and_line(self, tmp_path: Path) -> None:
        text = (
            "from torch import nn\nclass Net(nn.Module):\n    def forward(self, x):\n        return x @ x.flatten(1)\n"
        )
        (tmp_path / "my_net.py").write_text(text)
        oracle = load("torch", {"make": "my_net:Net"}, {"make": tmp_path / "my_net.py"})
        with pytest.raises(UsageError, match=r"make: .*my_net\.py, line 4 raises RuntimeError"):
            oracle.outputs(BATCH, ROWS, "train")


def exported(path: Path, batch: int | None, train: bool = False, **bounds: int) -> dict[str, Path]:
    dim = torch.export.Dim("batch", **bounds) if batch is None else None
    module = nn.Sequential(network(), nn.Dropout(0.5)).train(train)
    sample = torch.zeros(batch or 3, 1, 4, 4)
    torch.export.save(torch.export.export(module, (sample,), dynamic_shapes=({0: dim},) if dim else None), path)
    return {"file": path}


class TestProgram:
    @pytest.mark.parametrize("batch", [None, 1, 3])
    def test_dynamic_and_fixed_batches(self, tmp_path: Path, batch: int | None) -> None:
        oracle = load("program", {"file": "t.pt2"}, exported(tmp_path / "t.pt2", batch), trust=True)
        got = oracle.outputs(BATCH, ROWS, "train")
        np.testing.assert_allclose(got, truth(), atol=1e-5)
        assert (oracle.module is None) == (batch == 3)
        assert ("3 samples at once" in oracle.why_no_module) == (batch == 3)

    def test_bounds_of_the_batch_are_kept(self, tmp_path: Path) -> None:
        oracle = load("program", {"file": "t.pt2"}, exported(tmp_path / "t.pt2", None, min=2, max=3), trust=True)
        np.testing.assert_allclose(oracle.outputs(BATCH, ROWS, "train"), truth(), atol=1e-5)

    def test_it_can_be_exported_again_and_put_into_eval_mode(self, tmp_path: Path) -> None:
        oracle = load("program", {"file": "t.pt2"}, exported(tmp_path / "t.pt2", None), trust=True)
        assert oracle.module is not None
        sample = torch.from_numpy(BATCH["image"])
        dynamic = ({0: torch.export.Dim("batch")},)
        again = torch.export.export(oracle.module.eval(), (sample,), dynamic_shapes=(dynamic,)).module()
        np.testing.assert_allclose(again(sample[:2])["logits"].detach().numpy(), truth()[:2], atol=1e-5)

    def test_it_is_not_opened_without_trust(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = exported(tmp_path / "t.pt2", None)
        monkeypatch.setattr(torch.export, "load", lambda path: pytest.fail("it was opened"))
        message = refusal("program", {"file": "t.pt2"}, files)
        assert "--trust" in message
        assert "can run any code" in message

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_what_is_no_program(self, tmp_path: Path) -> None:
        (tmp_path / "t.pt2").write_bytes(b"no archive")
        assert "is not a program" in refusal("program", {"file": "t.pt2"}, {"file": tmp_path / "t.pt2"}, trust=True)
        assert "is not there" in refusal("program", {"file": "x.pt2"}, {"file": tmp_path / "x.pt2"}, trust=True)

    def test_a_program_in_training_mode_is_refused(self, tmp_path: Path) -> None:
        files = exported(tmp_path / "t.pt2", None, train=True)
        assert "training mode" in refusal("program", {"file": "t.pt2"}, files, trust=True)

    def test_inputs_of_another_shape_are_refused(self, tmp_path: Path) -> None:
        files = exported(tmp_path / "t.pt2", None)
        colour = SIGNATURE.model_copy(update={"inputs": (networks.image_spec("image", Image(size=4), 4),)})
        message = refusal("program", {"file": "t.pt2"}, files, trust=True, signature=colour)
        assert "[(-1, 1, 4, 4)], but the data gives [(-1, 3, 4, 4)]" in message


def onnx_file(path: Path, batch: int | str = "n", last: bool = False, softmax: bool = False) -> dict[str, Path]:
    linear = network()[1]
    weight = linear.weight.detach().numpy()
    nodes = [helper.make_node("Flatten", ["t" if last else "pixels"], ["flat"])]
    if last:
        nodes.insert(0, helper.make_node("Transpose", ["pixels"], ["t"], perm=[0, 3, 1, 2]))
    nodes.append(helper.make_node("Gemm", ["flat", "w", "b"], ["z" if softmax else "scores"], transB=1))
    if softmax:
        nodes.append(helper.make_node("Softmax", ["z"], ["scores"], axis=1))
    shape = [batch, 4, 4, 1] if last else [batch, 1, 4, 4]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(linear.bias.detach().numpy(), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return {"file": path}


class TestOnnx:
    @pytest.mark.parametrize("batch", ["n", 1, 3])
    @pytest.mark.parametrize("last", [False, True])
    def test_a_black_box(self, tmp_path: Path, batch: int | str, last: bool) -> None:
        oracle = load("onnx", {"file": "t.onnx"}, onnx_file(tmp_path / "t.onnx", batch, last))
        check(oracle, truth())
        assert oracle.module is None
        assert "black box" in oracle.why_no_module
        assert oracle.live

    def test_probabilities_and_an_output_by_name(self, tmp_path: Path) -> None:
        files = onnx_file(tmp_path / "t.onnx", softmax=True)
        written = {"file": "t.onnx", "activation": "probabilities", "output": "scores"}
        check(load("onnx", written, files), torch.from_numpy(truth()).log_softmax(1).numpy())
        assert "It has: scores" in refusal("onnx", written | {"output": "score"}, files)

    def test_weights_beside_the_file_need_the_folder(self, tmp_path: Path) -> None:
        files = onnx_file(tmp_path / "plain.onnx")
        folder = tmp_path / "model"
        folder.mkdir()
        model = onnx.load(files["file"])
        onnx.save(model, folder / "t.onnx", save_as_external_data=True, location="t.data", size_threshold=0)
        check(load("onnx", {"file": "model"}, {"file": folder}), truth())
        assert "Name the folder" in refusal("onnx", {"file": "t.onnx"}, {"file": folder / "t.onnx"})
        (tmp_path / "empty").mkdir()
        assert "holds 0 .onnx files" in refusal("onnx", {"file": "empty"}, {"file": tmp_path / "empty"})

    def test_ids_and_a_mask_go_by_name(self, tmp_path: Path) -> None:
        graph = helper.make_graph(
            [
                helper.make_node("Sub", ["mask", "ids"], ["d"]),
                helper.make_node("Cast", ["d"], ["logits"], to=TensorProto.FLOAT),
            ],
            "teacher",
            [
                helper.make_tensor_value_info("mask", TensorProto.INT32, ["n", 3]),
                helper.make_tensor_value_info("ids", TensorProto.INT32, ["n", 3]),
            ],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        )
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "t.onnx"
        )
        inputs = tuple(TensorSpec(name=name, shape=(-1, 3), dtype="int64") for name in ("ids", "mask"))
        signature = SIGNATURE.model_copy(update={"inputs": inputs})
        oracle = load("onnx", {"file": "t.onnx"}, {"file": tmp_path / "t.onnx"}, signature=signature)
        batch = {"ids": np.ones((2, 3), np.int64), "mask": np.full((2, 3), 5)}
        assert oracle.outputs(batch, np.arange(2), "train").tolist() == [[4.0] * 3] * 2

    def test_what_does_not_fit_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "bad.onnx").write_bytes(b"not onnx")
        assert "cannot open" in refusal("onnx", {"file": "bad.onnx"}, {"file": tmp_path / "bad.onnx"})
        files = onnx_file(tmp_path / "t.onnx")
        colour = SIGNATURE.model_copy(update={"inputs": (networks.image_spec("image", Image(size=4), 4),)})
        assert "Check size and channels" in refusal("onnx", {"file": "t.onnx"}, files, signature=colour)
        tokens = SIGNATURE.model_copy(update={"inputs": (*SIGNATURE.inputs, TensorSpec(name="mask", shape=(-1, 4)))})
        assert "takes 1 inputs (pixels), the data has 2" in refusal("onnx", {"file": "t"}, files, signature=tokens)


class TestSaved:
    def test_outputs_by_the_samples_numbers(self, tmp_path: Path) -> None:
        train, test = np.arange(30.0).reshape(10, 3), -np.arange(12.0).reshape(4, 3)
        np.savez(tmp_path / "o.npz", train=train, test=test)
        oracle = load("saved", {"file": "o.npz"}, {"file": tmp_path / "o.npz"})
        rows = np.array([3, 0, 9])
        assert oracle.outputs({}, rows, "validation").tolist() == train[rows].tolist()
        assert oracle.outputs({}, np.array([2]), "test").tolist() == test[[2]].tolist()
        assert (oracle.live, oracle.module, oracle.count) == (False, None, 14)
        with pytest.raises(UsageError, match="has 4 outputs of test, but the data has at least 5"):
            oracle.outputs({}, np.array([4]), "test")

    def test_without_test_outputs_a_held_out_test_part_is_in_train(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "o.npz", train=np.eye(3))
        oracle = load("saved", {"file": "o.npz", "activation": "probabilities"}, {"file": tmp_path / "o.npz"})
        got = oracle.outputs({}, np.array([1]), "test")
        np.testing.assert_allclose(np.exp(got), [[0, 1, 0]], atol=1e-6)
        assert np.isfinite(got).all()

    @pytest.mark.parametrize(
        ("arrays", "says"),
        [
            ({"logits": np.eye(3)}, "has no array 'train'"),
            ({"train": np.ones(3)}, "train is (3,)"),
            ({"train": np.array([{"a": 1}], dtype=object)}, "is not an .npz of numbers"),
            ({"train": np.array([["a", "b"]])}, "is not an .npz of numbers"),
        ],
    )
    def test_what_is_not_outputs(self, tmp_path: Path, arrays: dict, says: str) -> None:
        np.savez(tmp_path / "o.npz", **arrays)
        assert says in refusal("saved", {"file": "o.npz"}, {"file": tmp_path / "o.npz"})

    def test_damaged_files(self, tmp_path: Path) -> None:
        (tmp_path / "o.npz").write_bytes(b"PK nothing")
        assert "is not an .npz" in refusal("saved", {"file": "o.npz"}, {"file": tmp_path / "o.npz"})
        np.save(tmp_path / "o.npy", np.eye(3))
        assert "is one array" in refusal("saved", {"file": "o.npy"}, {"file": tmp_path / "o.npy"})


class TestEnsemble:
    member = {"name": "torch", "make": "my_net:build", "weights": "w.safetensors"}

    def files(self, folder: Path, seeds: int = 2) -> dict[str, Path]:
        return {f"members.{i}.{key}": path for i in range(seeds) for key, path in my_net(folder, i).items()}

    @pytest.mark.parametrize("shares", [(), (1.0, 3.0)])
    def test_the_mean_of_probabilities_or_of_logits(self, tmp_path: Path, shares: tuple[float, ...]) -> None:
        files = self.files(tmp_path)
        share = np.array(shares or (1.0, 1.0)) / sum(shares or (1.0, 1.0))
        logits = share[0] * truth(0) + share[1] * truth(1)
        p = [torch.from_numpy(truth(seed)).softmax(1).numpy() for seed in range(2)]
        probabilities = np.log(share[0] * p[0] + share[1] * p[1])
        written = {"members": [self.member] * 2, "shares": list(shares)}
        check(load("ensemble", {**written, "mean": "logits"}, files), logits)
        oracle = load("ensemble", written, files)
        check(oracle, probabilities)
        assert oracle.module is not None

    @pytest.mark.parametrize("mean", ["probabilities", "logits"])
    def test_learned_shares_are_the_likeliest(self, mean: str) -> None:
        random = np.random.default_rng(0)
        labels = random.integers(0, 3, 400)
        sure = np.stack([random.normal(0, 1, (400, 3)) + skill * np.eye(3)[labels] for skill in (2.5, 1.0, 0.0)])

        def unlikely(shares: np.ndarray) -> float:
            powers = np.exp(sure) / np.exp(sure).sum(2, keepdims=True)
            mixed = np.tensordot(shares, powers if mean == "probabilities" else sure, 1)
            if mean == "logits":
                mixed = np.exp(mixed) / np.exp(mixed).sum(1, keepdims=True)
            return -float(np.log(mixed[np.arange(400), labels]).mean())

        shares = ensemble.learned(sure.astype(np.float32), labels, mean)
        assert shares.sum() == pytest.approx(1, abs=1e-6) and (shares >= 0).all()
        # of probabilities the best one alone is likeliest: what is left to the others is rounding
        assert shares[0] > shares[1] > shares[2] - 1e-6
        others = random.dirichlet([1, 1, 1], 500)
        assert unlikely(shares) <= min(map(unlikely, others)) + 1e-6

    def test_an_ensemble_learns_whom_to_trust(self, tmp_path: Path) -> None:
        written = {"members": [self.member] * 2, "shares": "learned"}
        oracle = load("ensemble", written, self.files(tmp_path))
        assert oracle.learn is not None
        taught = oracle.learn(BATCH, ROWS, "train", truth(1).argmax(1))
        assert taught.learn is None and taught.shares[1] > taught.shares[0]
        share = np.array(taught.shares)
        p = [torch.from_numpy(truth(seed)).softmax(1).numpy() for seed in range(2)]
        check(taught, np.log(np.maximum(share[0] * p[0] + share[1] * p[1], 1e-12)))
        assert taught.module is not None

    def test_it_is_exported_as_one_network(self, tmp_path: Path) -> None:
        oracle = load("ensemble", {"members": [self.member] * 2}, self.files(tmp_path))
        assert oracle.module is not None
        sample = torch.from_numpy(BATCH["image"])
        dynamic = ({0: torch.export.Dim("batch")},)
        program = torch.export.export(oracle.module.eval(), (sample,), dynamic_shapes=(dynamic,))
        got = program.module()(sample[:2])["logits"].detach().numpy()
        np.testing.assert_allclose(got, oracle.outputs(BATCH, ROWS, "train")[:2], atol=1e-5)

    def test_a_black_box_among_the_members(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "o.npz", train=truth(1))
        files = my_net(tmp_path)
        named = {f"members.0.{key}": path for key, path in files.items()} | {"members.1.file": tmp_path / "o.npz"}
        written = {"members": [self.member, {"name": "saved", "file": "o.npz"}], "mean": "logits"}
        oracle = load("ensemble", written, named)
        check(oracle, (truth(0) + truth(1)) / 2)
        assert (oracle.module, oracle.live, oracle.count) == (None, False, 7)
        assert oracle.why_no_module == "member 1: saved outputs are not a network"

    def test_mistakes_of_all_members_come_at_once(self, tmp_path: Path) -> None:
        files = self.files(tmp_path)
        files["members.0.weights"] = tmp_path / "gone.safetensors"
        message = refusal("ensemble", {"members": [self.member, {**self.member, "activaton": "x"}]}, files)
        first, second = message.splitlines()
        assert first.startswith("members.0.")
        assert "gone.safetensors" in first
        assert second.startswith("members.1.activaton")
        assert "'activation'" in second

    def test_members_for_other_data(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", train=np.ones((7, 3)))
        np.savez(tmp_path / "b.npz", train=np.ones((9, 3)))
        files = {"members.0.file": tmp_path / "a.npz", "members.1.file": tmp_path / "b.npz"}
        message = refusal("ensemble", {"members": [{"name": "saved", "file": n} for n in ("a.npz", "b.npz")]}, files)
        assert message == "members: they hold outputs for different numbers of samples: 7, 9"

    def test_members_with_other_classes(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "o.npz", train=np.ones((7, 4)))
        files = {f"members.0.{key}": path for key, path in my_net(tmp_path).items()} | {
            "members.1.file": tmp_path / "o.npz"
        }
        oracle = load("ensemble", {"members": [self.member, {"name": "saved", "file": "o.npz"}]}, files)
        with pytest.raises(UsageError, match="different numbers of classes: 3, 4"):
            oracle.outputs(BATCH, ROWS, "train")

    @pytest.mark.parametrize(
        ("written", "says"),
        [
            ({"members": [member]}, "at least two members"),
            ({"members": [member, {"make": "a:b"}]}, "member 1 needs a name"),
            ({"members": [member] * 2, "shares": [1.0]}, "1 shares are given for 2 members"),
            ({"members": [member] * 2, "shares": [1.0, 0.0]}, "above zero"),
            ({"members": [member, {"name": "oracle"}]}, "there is no 'oracle' among teachers"),
        ],
    )
    def test_settings_that_make_no_ensemble(self, tmp_path: Path, written: dict, says: str) -> None:
        assert says in refusal("ensemble", written, self.files(tmp_path))
