"""The runner of the table of schemes, on one tiny case through the real steps."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.runners import methods, schemes
from edgekd import files
from edgekd.spec import Choice, Data, Plan, UserFile
from edgekd.store import Store
from tests.test_benchmarks_methods import tiny as stripes

RIGHT = np.array([1.0, 0.0, 1.0, 1.0] * 50)


def found(name: str, right: np.ndarray) -> methods.Found:
    return methods.Found(name, [right, right], 0.0, "so and so")


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (np.ones(200), "as its paper says"),
        (np.roll(RIGHT, 1), "not shown here: the interval holds zero"),
        (np.zeros(200), "the opposite of what its paper says"),
    ],
)
def test_a_row_says_whether_the_paper_holds(own: np.ndarray, says: str) -> None:
    told = schemes.line("own", schemes.Row(found("own", own), found("the other", RIGHT)))
    assert told["unit"] == "% right; points over the other" and told["basis"] == f"measured; so and so; {says}"


def test_a_row_without_anything_beside_it_claims_nothing() -> None:
    told = {"what": "own", "value": "75.00 ± 0.00", "unit": "% right", "basis": "measured; so and so"}
    assert schemes.line("own", schemes.Row(found("own", RIGHT))) == told


def test_parts_of_the_table_can_be_asked_for() -> None:
    wanted = schemes.arguments(["--scheme", "mutual", "--scheme", "label_scarce", "--cores", "1"])
    assert (wanted.scheme, wanted.seeds, wanted.cores) == (["mutual", "label_scarce"], 3, 1)
    with pytest.raises(SystemExit):
        schemes.arguments(["--scheme", "mutuall"])


def tiny(name: str) -> Callable[[Store, Path, Namespace], Plan]:
    """The stripes of the methods' table, with test images of their own."""

    def plan(store: Store, folder: Path, given: Namespace) -> Plan:
        made = stripes(store, folder, given)
        with np.load(made.data.source.files["train"].path) as found:
            images, labels = found["image"], found["y"]
        own = {}
        for part, rows in (("train", slice(0, 280)), ("test", slice(280, None))):
            np.savez(folder / f"{part}.npz", image=images[rows], y=labels[rows])
            own[part] = UserFile(path=str(folder / f"{part}.npz"), sha256=files.digest(folder / f"{part}.npz"))
        settings = made.data.source.settings | {part: file.path for part, file in own.items()}
        source = Choice(name="arrays", settings=settings, files=own)
        return made.model_copy(update={"data": Data(source=source, validation=40, calibration=16)})

    return plan


@pytest.mark.long
def test_a_tiny_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = Choice(name="convnet", settings={"width": 4, "depth": 1})
    size = methods.Size(epochs=2, trial=1, views=1)
    small = {"STUDENT": student, "SIZE": size, "WIDTH": 4, "EPOCHS": 1, "FEW": 100, "HELD": 25, "CALIBRATION": 20}
    for name, value in ({"recipe": tiny} | small).items():
        monkeypatch.setattr(schemes, name, value)
    wanted = schemes.arguments(["--seeds", "1"])
    with Store(tmp_path / "store") as store:
        rows = schemes.compared(store, tmp_path, wanted)["rows"]
    told = {row["what"]: f"{row['unit']}; {row['basis']}" for row in rows}
    assert {what.partition(":")[0] for what in told} == set(schemes.SCHEMES)
    assert "over its best member" in told["ensemble_of_equals: ensemble of A and B, learned shares"]
    assert "over KD from teacher" in told["ensemble_of_equals: KD from A and B, mean"]
    assert "over KD from the shipped teacher" in told["ensemble: KD from the shipped teacher and A, shares 3 to 1"]
    assert "parameters, assistant" in told["assistants: KD through an assistant"]
    later = "born_again: generation 2 after KD from the shipped teacher"
    assert "over generation 1 after KD from the shipped teacher" in told[later]
    assert "mean of both peers" in told["mutual: two peers from labels"]
    assert "over labels alone" in told["deep_to_shallow: labels alone and heads"]
    (whole,) = (value for what, value in told.items() if "unlabelled" in what)
    assert "over KD on these 100 images" in whole
