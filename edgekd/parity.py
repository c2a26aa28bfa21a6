"""How far the outputs of a file are from torch's, and whether that is a faithful conversion."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.heads import agreement
from edgekd.results import Head, Parity
from edgekd.spec import Precision

VERSION = 2

Outputs = NDArray[np.float32]

# torch's own top two outputs closer than this: which one wins is not for a converter to decide
NEAR_TIE = 1e-3
# outputs that vary over inputs by less than this share of their size do not depend on the input
CONSTANT = 1e-6
# least top-1 agreement and largest relative error of a faithful conversion; fewer bits round by design: no such gate
GATES: dict[Precision, tuple[float, float]] = {
    "float32": (0.999, 1e-3),
    "float16": (0.99, 2e-2),
    "bfloat16": (0.97, 6e-2),
}


def parity(outputs: Outputs, reference: Outputs, precision: Precision, heads: Sequence[Head] = ()) -> Parity:
    """How far a runtime's outputs (N, classes) are from torch's; `passed` is the gate of `precision`.

    Top-1 agreement leaves out near-ties, rows where torch's own top two (of any head) differ by under 1e-3. Relative
    error is ||y - reference|| / ||reference|| over all rows.
    """
    finite = bool(np.isfinite(outputs).all())
    ties = np.any([_near_ties(reference[:, head.columns]) for head in heads] or [_near_ties(reference)], axis=0)
    clear = ~ties
    agreed = agreement(outputs[clear], reference[clear], heads) if clear.any() else 1.0
    norm = float(np.linalg.norm(reference.astype(np.float64)))
    distance = float(np.linalg.norm(outputs.astype(np.float64) - reference)) if finite else float("inf")
    error = distance / norm if norm else (0.0 if distance == 0 else float("inf"))
    constant = is_constant(outputs) if finite else False
    faults = _faults(precision, finite, constant, agreed, error)
    return Parity(
        agreement=agreed,
        near_ties=int(ties.sum()),
        relative_error=error,
        constant=constant,
        passed=not faults,
        why="; ".join((*faults, *_remarks(precision, ties))),
    )


def parity_of_numbers(
    outputs: Outputs, reference: Outputs, precision: Precision, deviations: Sequence[float]
) -> Parity:
    """The same of numbers that a network tells (N, columns): the error is the root mean square of the distance, each
    column's in its deviation. There is no class to agree on."""
    finite = bool(np.isfinite(outputs).all())
    apart = (outputs.astype(np.float64) - reference) / np.asarray(deviations)
    error = float(np.sqrt(np.square(apart).mean())) if finite else float("inf")
    constant = is_constant(outputs) if finite else False
    faults = _faults(precision, finite, constant, 1.0, error)
    return Parity(
        agreement=None,
        near_ties=0,
        relative_error=error,
        constant=constant,
        passed=not faults,
        why="; ".join((*faults, *_remarks(precision, np.zeros(len(outputs), np.bool_)))),
    )


def _near_ties(reference: Outputs) -> NDArray[np.bool_]:
    if reference.shape[1] < 2:
        return np.zeros(len(reference), dtype=np.bool_)
    top = np.partition(reference, -2, axis=1)[:, -2:]
    ties: NDArray[np.bool_] = top[:, 1] - top[:, 0] < NEAR_TIE
    return ties


def is_constant(outputs: NDArray[np.floating[Any]]) -> bool:
    """Whether outputs (N, classes) are the same for every sample."""
    if len(outputs) < 2:
        return False
    return bool(np.ptp(outputs, axis=0).max() <= CONSTANT * max(float(np.abs(outputs).max()), 1e-30))


def _faults(precision: Precision, finite: bool, constant: bool, agreed: float, error: float) -> tuple[str, ...]:
    faults = []
    if not finite:
        faults.append("some outputs are not finite numbers")
    if constant:
        faults.append("the output is the same for every input")
    if finite and precision in GATES:
        least, most = GATES[precision]
        if agreed < least:
            faults.append(
                f"top-1 agrees with torch on {100 * agreed:.2f} % of samples; {precision} needs {100 * least:g} %"
            )
        if error > most:
            faults.append(f"the relative error to torch is {error:.2g}; {precision} may have {most:g}")
    return tuple(faults)


def _remarks(precision: Precision, ties: NDArray[np.bool_]) -> tuple[str, ...]:
    """What a reader must know of the numbers: the rows left out, and why int8 has no gate."""
    remarks = []
    rows = np.flatnonzero(ties)
    if len(rows):
        shown = ", ".join(str(row) for row in rows[:10]) + (", ..." if len(rows) > 10 else "")
        remarks.append(f"near-ties left out of the agreement: {len(rows)} of {len(ties)} samples (rows {shown})")
    if precision not in GATES:
        remarks.append(
            f"{precision} rounds weights and activations by design, so distance from torch is told, not required; "
            "accuracy is judged on its own outputs"
        )
    return tuple(remarks)
