"""The runner of edgekd beside plain loops: what it compares is the same training, and it says so where it is not."""

from pathlib import Path

import pytest
from torch import Tensor

from benchmarks.peers import bare_maths
from benchmarks.runners import maths
from edgekd.plugins import names
from edgekd.store import Store


def test_every_objective_has_its_maths_or_is_told_as_left_out() -> None:
    assert sorted((*bare_maths.ALL, *maths.LEFT_OUT)) == sorted(names("objectives"))


class Doubled(bare_maths.Hidden):
    """Not the paper's equation."""

    def forward(self, *given: Tensor) -> Tensor:
        return 2 * super().forward(*given)


@pytest.mark.slow
def test_losses_are_the_same_and_other_maths_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path / "store") as store:
        setting = maths.texts(store, tmp_path)
        for name in maths.OF_TEXTS:
            row = maths.compared(name, *maths.pair(setting, name, store, tmp_path / name), rounds=1)
            assert row["unit"] == "x" and float(row["value"].split()[0]) > 0
        monkeypatch.setitem(bare_maths.ALL, "hidden", Doubled)
        with pytest.raises(AssertionError, match=r"hidden: step 1 has a loss of .*, the plain loop's is"):
            maths.same("hidden", *maths.pair(setting, "hidden", store, tmp_path / "doubled"))
