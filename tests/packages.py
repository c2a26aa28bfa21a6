"""Real Core ML packages of small networks, with what they must compute: python -m tests.packages FOLDER [NAMES]

FOLDER/NAME.mlpackage stands beside NAME.npz, whose arrays are the inputs by name and "expected", torch's own outputs.
Most are made by edgekd's converter, with their program in NAME.pt2 and what it says of layers in NAME.json; those in
COMPRESSED and BUILT by coremltools alone, with weights that lose nothing. WRONG do not compute what their programs do.
"""

import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil import Builder as mb
from coremltools.optimize import coreml as optimize
from torch import nn
from torch.export import ExportedProgram

from edgekd.formats import coreml
from edgekd.mil import lowering
from edgekd.nets import programs
from edgekd.plugins import Conversion
from edgekd.results import Signature, TensorSpec
from edgekd.students import convnet, resnet
from tests import built as written
from tests import foreign

COUNT = 48
FLOAT_TO_8 = ("float32", "float16", "int8")
IMAGE = (TensorSpec(name="image", shape=(-1, 1, 28, 28)),)
OUTPUTS = (TensorSpec(name="logits", shape=(-1, foreign.CLASSES)),)
Arrays = dict[str, np.ndarray]

NETS: dict[str, tuple[Callable[[], nn.Module], tuple[TensorSpec, ...]]] = {
    "convnet": (lambda: convnet.build(convnet.Settings(width=6, squeeze=True), IMAGE, OUTPUTS), IMAGE),
    "resnet": (lambda: resnet.build(resnet.Settings(width=4), IMAGE, OUTPUTS), IMAGE),
    "vit": (foreign.Vit, foreign.INPUTS["vit"]),
    "scaled": (foreign.Scaled, foreign.INPUTS["vit"]),
    "text": (foreign.Text, foreign.INPUTS["text"]),
    "series": (foreign.Series, foreign.INPUTS["series"]),
    "encoder": (lambda: foreign.Encoder(boolean=False), foreign.INPUTS["text"]),
    "mixed": (foreign.Mixed, foreign.INPUTS["mixed"]),
    "steps": (foreign.Steps, foreign.INPUTS["series"]),
    "padded": (lambda: foreign.Encoder(boolean=True), foreign.INPUTS["text"]),
    # coremltools by itself inverts its mask without a word
    "inverted": (lambda: foreign.Encoder(boolean=True), foreign.INPUTS["text"]),
    # with 32 channels and more, which blocks of weights want
    "wide_convnet": (
        lambda: convnet.build(convnet.Settings(width=32, depth=1, squeeze=True), IMAGE, OUTPUTS),
        IMAGE,
    ),
    "wide_resnet": (lambda: resnet.build(resnet.Settings(width=32), IMAGE, OUTPUTS), IMAGE),
    "wide_vit": (lambda: foreign.Vit(32), foreign.INPUTS["vit"]),
    "wide_scaled": (lambda: foreign.Scaled(32), foreign.INPUTS["vit"]),
    "wide_text": (lambda: foreign.Text(32), foreign.INPUTS["text"]),
    "wide_encoder": (lambda: foreign.Encoder(boolean=False, width=32), foreign.INPUTS["text"]),
    "wide_series": (lambda: foreign.Series(32), foreign.INPUTS["series"]),
}
CONVERTED = (
    *(f"{net}-{precision}" for net in ("convnet", "resnet", "vit", "text", "series") for precision in FLOAT_TO_8),
    "convnet-palette4",
    "text-int8-weights",
    "wide_text-int4-weights",
    "encoder-float32",
    "mixed-float32",
    "steps-float32",
    "steps-int8",
    "padded-float32",
)
# the rest of every kind of network in every precision
MORE = (
    *(f"{net}-palette4" for net in ("resnet", "vit", "text", "series", "scaled", "encoder")),
    *(f"{net}-int8-weights" for net in ("convnet", "resnet", "vit", "series", "scaled", "encoder")),
    *(f"wide_{net}-int4-weights" for net in ("convnet", "resnet", "vit", "series", "scaled", "encoder")),
    *(f"scaled-{precision}" for precision in FLOAT_TO_8),
    "encoder-float16",
    "encoder-int8",
)
COMPRESSED = (
    "palette",
    "palette-groups",
    "palette-vectors",
    "palette-sparse",
    "sparse",
    "sparse-18",
    "blocks",
    "blocks-sparse",
    "affine",
)
BUILT = ("rare", "attention", *written.PROGRAMS)
NAMES = (*CONVERTED, *COMPRESSED, *BUILT)
WRONG = tuple(f"inverted-{precision}" for precision in ("float32", "float16", "int8", "int8-weights"))


def network(name: str) -> nn.Module:
    """The network with the same weights each time; batch norms have seen something."""
    torch.manual_seed(0)
    net = NETS[name][0]()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return net.eval()


def samples(specs: tuple[TensorSpec, ...]) -> Arrays:
    """Noise, or words of which a mask says how many stand there."""
    random = np.random.default_rng(0)
    if specs[0].name == "ids":
        long = random.integers(2, foreign.LENGTH + 1, (COUNT, 1))
        ids = random.integers(0, foreign.WORDS, (COUNT, foreign.LENGTH))
        return {"ids": ids, "mask": (np.arange(foreign.LENGTH) < long).astype(np.int64)}
    return {spec.name: random.normal(size=(COUNT, *spec.shape[1:])).astype(np.float32) for spec in specs}


def converted(name: str, work: Path) -> tuple[Path, Arrays]:
    """A network by edgekd's own converter."""
    net, _, precision = name.partition("-")
    module, inputs = network(net), samples(NETS[net][1])
    signature = Signature(inputs=NETS[net][1], outputs=OUTPUTS)
    program, signature = programs.trace(module, signature, {k: v[:3] for k, v in inputs.items()}, net)
    programs.write(program, work / "student.pt2")
    with mock.patch.object(lowering, "lowered", bare) if net == "inverted" else nullcontext():
        made = coreml.convert(Conversion(work / "student.pt2", signature, precision, inputs, work))
    (work / "made.json").write_text(json.dumps(dict(made.layers)))
    with torch.no_grad():
        answer = module(*(torch.from_numpy(values) for values in inputs.values()))
    expected = answer["logits"] if isinstance(answer, dict) else answer
    return work / made.name, inputs | {"expected": expected.numpy()}


def bare(program: ExportedProgram) -> ExportedProgram:
    """What coremltools is given without edgekd's own changes."""
    return program.run_decompositions({})


def weights(most: int = 7) -> np.ndarray:
    """(16, 32) whole numbers of sixteenths, a third of them zero, one scale a row: 4 bits lose nothing, 8 for 127."""
    random = np.random.default_rng(1)
    numbers = random.integers(-most, most + 1, (16, 32)) * (random.random((16, 32)) > 0.3)
    numbers[:, :2] = [-most, most]
    return (numbers / np.float32(16) * np.repeat([1, 2], 8)[:, None]).astype(np.float32)


def dense(version: Any, table: np.ndarray) -> tuple[Any, Arrays]:
    """A program that multiplies by a table."""
    x = np.random.default_rng(2).normal(size=(COUNT, 32)).astype(np.float32)

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 32))], opset_version=version)
    def program(x: Any) -> Any:
        return mb.linear(x=x, weight=table, name="logits")

    return finished(program, version), {"x": x, "expected": x @ table.T}


def finished(program: Any, version: Any) -> Any:
    """A program as it is: no pass may fold away what is to be tested."""
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=version,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )


def compressed(name: str, work: Path) -> tuple[Path, Arrays]:
    """One linear layer whose weights coremltools has compressed, once or twice."""
    new = name not in ("palette", "sparse", "affine")
    model, arrays = dense(ct.target.iOS18 if new else ct.target.iOS17, weights(127 if name == "affine" else 7))
    for number, (tool, config) in enumerate(TOOLS[name]):
        whole = optimize.OptimizationConfig(global_config=config)
        # only what was compressed already may be compressed jointly
        model = tool(model, whole, True) if number else tool(model, whole)
    model.save(str(work / "made.mlpackage"))
    return work / "made.mlpackage", arrays


Tool = tuple[Callable[..., Any], Any]
PRUNED: Tool = (
    optimize.prune_weights,
    optimize.OpThresholdPrunerConfig(threshold=1e-6, minimum_sparsity_percentile=0.1, weight_threshold=1),
)
TOOLS: dict[str, tuple[Tool, ...]] = {
    "palette": ((optimize.palettize_weights, optimize.OpPalettizerConfig(mode="unique", weight_threshold=1)),),
    "palette-groups": (
        (
            optimize.palettize_weights,
            optimize.OpPalettizerConfig(
                mode="kmeans", nbits=4, granularity="per_grouped_channel", group_size=8, weight_threshold=1
            ),
        ),
    ),
    "palette-vectors": (
        (
            optimize.palettize_weights,
            optimize.OpPalettizerConfig(
                mode="unique", granularity="per_grouped_channel", group_size=8, cluster_dim=2, weight_threshold=1
            ),
        ),
    ),
    "palette-sparse": (
        PRUNED,
        (optimize.palettize_weights, optimize.OpPalettizerConfig(mode="unique", weight_threshold=1)),
    ),
    "sparse": (PRUNED,),
    "sparse-18": (PRUNED,),
    "blocks": (
        (
            optimize.linear_quantize_weights,
            optimize.OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=32, weight_threshold=1),
        ),
    ),
    "blocks-sparse": (
        PRUNED,
        (
            optimize.linear_quantize_weights,
            optimize.OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=32, weight_threshold=1),
        ),
    ),
    "affine": ((optimize.linear_quantize_weights, optimize.OpLinearQuantizerConfig(weight_threshold=1)),),
}


def rare(x: Any) -> Any:
    """Operators that networks seldom have; x is (1, 4, 8) in sixteenths."""
    order = np.arange(32, dtype=np.int32).reshape(1, 4, 8)[:, :, ::-1] % 4
    coded = mb.quantize(input=x, scale=np.float32(1 / 16), zero_point=np.int8(3), output_dtype="int8")
    plain = mb.dequantize(input=coded, scale=np.float32(1 / 16), zero_point=np.int8(3))
    mixed = mb.gather_along_axis(x=plain, indices=order.copy(), axis=1)
    part = mb.slice_by_size(x=mixed, begin=[0, 1, 2], size=[1, -1, 5])
    steps = mb.floor_div(x=mb.square(x=part), y=np.float32(0.25))
    kept = mb.identity(x=mb.concat(values=[steps, part], axis=2))
    table = mb.constexpr_cast(source_val=weights()[:5, :30].astype(np.float16), output_dtype="fp32")
    return mb.linear(x=mb.reshape(x=kept, shape=[1, 30]), weight=table, name="logits")


def rare_expected(x: np.ndarray) -> np.ndarray:
    order = np.arange(32).reshape(1, 4, 8)[:, :, ::-1] % 4
    part = np.take_along_axis(x, np.repeat(order, len(x), 0), 1)[:, 1:, 2:7]
    kept = np.concatenate([np.floor(part**2 / 0.25), part], 2).reshape(len(x), 30)
    return (kept @ weights()[:5, :30].T).astype(np.float32)


def attention(x: Any) -> Any:
    """One attention with a mask of numbers and one of yes and no; x is (1, 2, 4, 8)."""
    shown = np.tril(np.ones((4, 4), np.bool_))
    one = mb.scaled_dot_product_attention(query=x, key=x, value=x, attn_mask=np.where(shown, 0, -1).astype(np.float32))
    two = mb.scaled_dot_product_attention(query=one, key=x, value=one, attn_mask=shown)
    return mb.reshape(x=two, shape=[1, 64], name="logits")


def attention_expected(x: np.ndarray) -> np.ndarray:
    shown, x = torch.ones(4, 4, dtype=torch.bool).tril(), torch.from_numpy(x)
    one = nn.functional.scaled_dot_product_attention(x, x, x, torch.where(shown, 0.0, -1.0))
    return nn.functional.scaled_dot_product_attention(one, x, one, shown).flatten(1).numpy()


def built(name: str, work: Path) -> tuple[Path, Arrays]:
    """A program written operator by operator."""
    if name in written.PROGRAMS:
        program, x, expected = written.made(name, COUNT)
        finished(program, ct.target.iOS17).save(str(work / "made.mlpackage"))
        return work / "made.mlpackage", {"x": x, "expected": expected}
    random = np.random.default_rng(3)
    if name == "rare":
        x, build, version = random.integers(-40, 40, (COUNT, 4, 8)) / 16, rare, ct.target.iOS17
    else:
        x, build, version = random.normal(size=(COUNT, 2, 4, 8)), attention, ct.target.iOS18
    x = x.astype(np.float32)
    program = mb.program(input_specs=[mb.TensorSpec(shape=(1, *x.shape[1:]))], opset_version=version)(build)
    finished(program, version).save(str(work / "made.mlpackage"))
    expected = rare_expected(x) if name == "rare" else attention_expected(x)
    return work / "made.mlpackage", {"x": x, "expected": expected}


def main(folder: Path, names: tuple[str, ...]) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name in MORE if names == ("MORE",) else names or (*NAMES, *WRONG):
        make = compressed if name in COMPRESSED else built if name in BUILT else converted
        with tempfile.TemporaryDirectory(dir=folder) as work:
            package, arrays = make(name, Path(work))
            shutil.move(package, folder / f"{name}.mlpackage")
            for left in (Path(work) / "student.pt2", Path(work) / "made.json"):
                if left.exists():
                    shutil.move(left, folder / f"{name}{left.suffix}")
        np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(sys.argv[2:]))
