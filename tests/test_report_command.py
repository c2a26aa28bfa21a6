import shlex

from hypothesis import given
from hypothesis import strategies as st

from edgekd import units
from edgekd.report.command import command, complete
from edgekd.spec import Budget, Target
from tests import synthetic


def flags(line: str) -> dict[str, str]:
    words = shlex.split(line)[3:]
    return dict(zip(words[::2], words[1::2], strict=True))


@given(
    st.floats(1e-6, 100), st.integers(1, 10**9), st.integers(1, 2**40), st.floats(0.001, 0.999), st.floats(0.001, 0.999)
)
def test_budgets_read_back(latency: float, params: int, size: int, drop: float, accuracy: float) -> None:
    budget = Budget(
        max_latency=latency, max_params=params, max_size=size, max_drop=drop, min_accuracy=accuracy, max_fallback=drop
    )
    said = flags(command(synthetic.plan((Target(name="onnx", format="onnx", budget=budget),))))
    assert abs(units.seconds(said["--max-latency"]) / latency - 1) < 1e-9
    assert (units.count(said["--max-params"]), units.size(said["--max-size"])) == (params, size)
    assert abs(units.share(said["--max-drop"]) - drop) < 1e-9
    assert abs(units.share(said["--min-accuracy"]) - accuracy) < 1e-9
    assert abs(units.share(said["--max-fallback"]) - drop) < 1e-9


def test_the_whole_line() -> None:
    target = Target(name="tflite", format="tflite", precision="int8", threads=2, budget=Budget(max_macs="5M"))
    plan = synthetic.plan((target,)).model_copy(update={"max_time": 600.0})
    assert command(plan) == (
        "edgekd build fashion-mnist --target tflite --max-macs 5000000 --precision int8 --threads 2 "
        "--effort standard --max-time 600s --seed 0"
    )
    assert complete(plan)


def test_a_page_of_the_users_and_all_that_was_allowed() -> None:
    plan = synthetic.plan((Target(name="onnx", format="onnx"),))
    plan = plan.model_copy(update={"page": "my recipes/digits.toml", "teacher_share": 0.5, "skip_bad": True})
    assert command(plan) == (
        "edgekd build 'my recipes/digits.toml' --target onnx --effort standard --teacher-share 50% --skip-bad --seed 0"
    )


def test_budgets_of_their_own_stay_in_the_recipe() -> None:
    one, two = (Target(name=n, format=n, budget=Budget(max_latency=t)) for n, t in (("onnx", "1ms"), ("tflite", "2ms")))
    plan = synthetic.plan((one, two))
    assert "--max-latency" not in command(plan) and "--target onnx --target tflite" in command(plan)
    assert not complete(plan)
