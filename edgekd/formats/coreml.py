"""Core ML packages (ML Program, iOS 17 and macOS 14 or newer) by coremltools.

int8 stores weights in 8 bits (symmetric, per channel) and computes in float16. The batch is fixed to one sample, since
the Neural Engine wants fixed shapes.
"""

import json
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.optimize import coreml as optimize

from edgekd import files
from edgekd.errors import NotVerified
from edgekd.mil.evaluator import Evaluator
from edgekd.nets import programs
from edgekd.plugins import Conversion, Converted
from edgekd.results import Signature
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch", "coremltools")
EXTRA = "coreml"
PRECISIONS = ("float32", "float16", "int8")
REFERENCE = True

NAME = "student.mlpackage"
SPEC = Path("Data/com.apple.CoreML/model.mlmodel")
# Smaller weights are left in float16: their scales would cost about as much as 8 bits save.
SMALLEST_WEIGHT = 128
FIXED_BATCH = "Runs one sample at a time: the Neural Engine wants fixed shapes."
NOTES = {
    "float32": ("The Neural Engine computes in float16 only, so this file runs on the processor or the GPU.",),
    "float16": ("Weights and activations are float16, inputs and outputs float32.",),
    "int8": ("int8 weights, float16 activations; activations are not quantized.",),
}


class Settings(Value):
    """No settings."""


def convert(conversion: Conversion) -> Converted:
    """Write the package student.mlpackage; inputs and outputs keep their names, 64-bit ids become 32-bit."""
    signature = programs.without_int64(programs.with_batch(conversion.signature, 1))
    model = _convert(conversion, signature)
    if conversion.precision == "int8":
        each = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=SMALLEST_WEIGHT)
        model = optimize.linear_quantize_weights(model, optimize.OptimizationConfig(global_config=each))
    package = conversion.folder / NAME
    model.save(str(package))
    _settle(package)
    fixed = (FIXED_BATCH,) if programs.dynamic(conversion.signature) else ()
    made_by = f"coremltools {version('coremltools')}"
    return Converted(NAME, signature, made_by, (*fixed, *NOTES[conversion.precision]))


def evaluator(file: Path, signature: Signature) -> Evaluator:
    """Read a package back and evaluate its operators by their definitions, as float16 where it says so.

    Raises NotVerified for an operator without a rule, and for a package that is not of this signature.
    """
    made = Evaluator(file)
    pairs = ((signature.inputs, made.inputs), (signature.outputs, made.outputs))
    missing = [spec.name for wanted, own in pairs for spec in wanted if spec.name not in {slot.name for slot in own}]
    if missing:
        raise NotVerified(f"the package has no {', '.join(missing)}")
    return made


def _convert(conversion: Conversion, signature: Signature) -> Any:
    """Lower a program to an ML Program."""
    program = programs.at_batch_one(programs.load(conversion.program), conversion.signature)
    half = conversion.precision != "float32"
    return ct.convert(
        # coremltools takes the core ATen dialect only
        program.run_decompositions({}),
        inputs=[ct.TensorType(name=s.name, shape=s.shape, dtype=np.dtype(s.dtype).type) for s in signature.inputs],
        outputs=[ct.TensorType(name=s.name, dtype=np.float32) for s in signature.outputs],
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        skip_model_load=True,
    )


def _settle(package: Path) -> None:
    """Make the package a function of its content: no date in the model, and identifiers from digests, not at random."""
    model = ct.utils.load_spec(str(package / SPEC))
    model.description.metadata.userDefined.pop("com.github.apple.coremltools.conversion_date", None)
    (package / SPEC).write_bytes(model.SerializeToString(deterministic=True))
    manifest = json.loads((package / "Manifest.json").read_text(encoding="utf-8"))
    entries, root = {}, ""
    for old, entry in manifest["itemInfoEntries"].items():
        content = files.digest(package / "Data" / entry["path"])
        new = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{entry['path']} {content}")).upper()
        entries[new] = entry
        root = new if old == manifest["rootModelIdentifier"] else root
    manifest |= {"itemInfoEntries": entries, "rootModelIdentifier": root}
    (package / "Manifest.json").write_text(json.dumps(manifest, indent=4, sort_keys=True), encoding="utf-8")
