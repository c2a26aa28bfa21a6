"""Small real ONNX artifacts with store entries around them: one of images, one of ids and a mask."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekd import files, jobs
from edgekd.ort.fronts import with_fronts
from edgekd.raw import sensors
from edgekd.raw.front import fronts
from edgekd.results import Artifact, DeviceFacts, File, GoldenSet, PartFiles, Preprocess, Signature, Splits, TensorSpec
from edgekd.runtimes import preprocess
from edgekd.spec import Device
from edgekd.stages import golden
from edgekd.steps import Golden
from edgekd.workspace import Workspace, locate

CLASSES = ("bag", "coat", "shirt")
LOGITS = TensorSpec(name="logits", shape=(-1, 3))
IMAGES = Signature(
    inputs=(
        TensorSpec(
            name="image",
            shape=(-1, 1, 12, 12),
            preprocess=Preprocess(canvas=12, size=12, channels="gray", filter="bilinear", mean=(0.3,), std=(0.35,)),
        ),
    ),
    outputs=(LOGITS,),
    classes=CLASSES,
)
WORDS = Signature(
    inputs=(TensorSpec(name="ids", shape=(-1, 6), dtype="int64"), TensorSpec(name="mask", shape=(-1, 6))),
    outputs=(LOGITS,),
    classes=CLASSES,
)
THIS = Device()


class Store:
    """A store's entries, written by hand."""

    def __init__(self, folder: Path) -> None:
        self.entries = folder / "entries"
        self._count = 0

    def entry(self) -> Workspace:
        """An empty entry to write files into."""
        self._count += 1
        key = f"{self._count:064x}"
        folder = self.entries / key[:2] / key
        folder.mkdir(parents=True)
        return Workspace(folder, self.entries, key)


def image_samples() -> dict[str, np.ndarray]:
    rows, columns = np.indices((12, 12))
    waves = [np.sin(rows * (n + 1) / 3) + np.cos(columns * (n + 2) / 4) for n in range(8)]
    return {"image": (127 + 60 * np.stack(waves)).astype(np.uint8)[..., None]}


def word_samples() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    mask = (np.arange(6) < random.integers(2, 7, (8, 1))).astype(np.float32)
    return {"ids": random.integers(0, 20, (8, 6)), "mask": mask}


def _weights(name: str, *shape: int) -> onnx.TensorProto:
    random = np.random.default_rng(len(name) + sum(shape))
    return numpy_helper.from_array(random.normal(0, 1, shape).astype(np.float32), name)


def write_image_model(path: Path) -> None:
    """Every pixel counts: a linear layer over all of them."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    _write(path, nodes, IMAGES, [_weights("weights", 144, 3)])


def write_word_model(path: Path) -> None:
    """Embeddings summed where the mask is one, then a linear layer."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["words", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["sum"], keepdims=0),
        helper.make_node("MatMul", ["sum", "weights"], ["logits"]),
    ]
    axes = [numpy_helper.from_array(np.array([axis]), name) for name, axis in (("last", 2), ("middle", 1))]
    _write(path, nodes, WORDS, [_weights("table", 20, 4), _weights("weights", 4, 3), *axes])


def _write(path: Path, nodes: list[onnx.NodeProto], signature: Signature, weights: list[onnx.TensorProto]) -> None:
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}

    def described(spec: TensorSpec) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(spec.name, kinds[spec.dtype], ["batch", *spec.shape[1:]])

    inputs, outputs = [described(s) for s in signature.inputs], [described(s) for s in signature.outputs]
    graph = helper.make_graph(nodes, "small", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def artifact(store: Store, images: bool, precision: str = "float32", format: str = "onnx") -> Artifact:
    """A converted student as the stages before leave it, with the program's golden vectors."""
    entry, signature = store.entry(), IMAGES if images else WORDS
    (write_image_model if images else write_word_model)(entry.path("student.onnx"))
    samples = image_samples() if images else word_samples()
    arrays = {f"raw:{name}": values for name, values in samples.items()}
    for spec in signature.inputs:
        how = spec.preprocess
        raw = samples[spec.name]
        arrays[f"input:{spec.name}"] = preprocess.prepare(raw, how.model_dump(mode="json")) if how else raw
    np.savez(entry.path("golden.npz"), **arrays, **{"output:logits": np.zeros((8, 3), np.float32)})
    file = entry.file("student.onnx")
    return Artifact(
        file=file,
        format=format,
        precision=precision,
        signature=signature,
        golden=entry.file("golden.npz"),
        size=file.size,
        graph="9" * 64,
        made_by="onnx 1.23.2",
    )


def raw_artifact(store: Store) -> Artifact:
    """The artifact of images with raw input: pixels of these, scaled in the graph."""
    made, entry = artifact(store, images=True), store.entry()
    signature = sensors.raw(made.signature, {"image": [image_samples()["image"]]})
    source = locate(store.entries, made.file)
    with_fronts(source, signature, fronts(signature), entry.path("student.onnx"))
    with np.load(source.parent / "golden.npz") as stored:
        np.savez(entry.path("golden.npz"), **dict(stored) | {"input:image": stored["raw:image"]})
    file, golden = entry.file("student.onnx"), entry.file("golden.npz")
    return made.model_copy(update={"file": file, "golden": golden, "size": file.size, "signature": signature})


def splits() -> Splits:
    nothing = File(entry="0" * 64, name="labels.npy", sha256="0" * 64, size=0)
    part = PartFiles(inputs={}, labels=nothing, count=8, labelled=8, digest="0" * 64)
    return Splits(parts={"validation": part}, classes=CLASSES)


def device_facts() -> DeviceFacts:
    return jobs.Reached(THIS).facts()


def golden_set(store: Store, made: Artifact, facts: DeviceFacts) -> GoldenSet:
    """What the golden stage records of an artifact on this computer."""
    step = Golden(
        artifact=made,
        splits=splits(),
        device=THIS,
        fingerprint=facts.fingerprint,
        runtime=facts.runtimes.get(made.format, ""),
    )
    return golden.run(step, store.entry())


def folder_digest(store: Store, file: File) -> str:
    return files.digest(store.entries / file.entry[:2] / file.entry / file.name)
