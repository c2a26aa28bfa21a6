from edgekd.report.headline import added, headline
from edgekd.results import Measurement, Row
from tests import synthetic


def changed(row: Row, **changes: object) -> Row:
    return row.model_copy(update=changes)


def test_the_whole_sentence() -> None:
    assert headline(synthetic.rows(), synthetic.gain()) == (
        "65× smaller, 38× faster, keeps 96.0 % of the teacher's accuracy; the teacher added 5.3 ± 1.1 points (3 seeds)."
    )


def test_gain_is_told_plainly() -> None:
    assert added(synthetic.gain(0.05, 0.01, 1)) == "the teacher added 5.0 ± 1.0 points (one seed)"
    assert added(synthetic.gain(0.004, 0.01)) == "the teacher added 0.4 ± 1.0 points, within noise (3 seeds)"
    assert added(synthetic.gain(-0.004, 0.01)) == (
        "the teacher added nothing: 0.4 ± 1.0 points less, within noise (3 seeds)"
    )
    assert added(synthetic.gain(-0.012, 0.005, 1)) == (
        "the teacher added nothing: without it the student is 1.2 ± 0.5 points better (one seed)"
    )
    assert added(None) == "what the teacher added was not measured"


def test_an_unmeasured_latency_is_not_a_speed() -> None:
    sentence = headline(synthetic.unmeasured(), synthetic.gain())
    assert sentence.startswith(
        "56× smaller, speed not measured (Core ML runs on Apple devices only), accuracy not measured;"
    )


def test_an_accuracy_by_reference_is_called_that() -> None:
    teacher, control, ships = synthetic.unmeasured()
    judged = [
        changed(row, score=synthetic.score(value, 0.0).model_copy(update={"basis": "reference"}))
        for row, value in ((teacher, 0.93), (ships, 0.90))
    ]
    sentence = headline((judged[0], control, judged[1]), None)
    assert "speed not measured" in sentence and "keeps 96.8 % of the teacher's accuracy (reference);" in sentence


def test_a_teacher_that_was_not_timed_is_no_reference() -> None:
    teacher, *others = synthetic.rows()
    why = "outputs saved in a file cannot be timed"
    saved = changed(teacher, artifact=None, size=None, measurement=Measurement(basis="not measured", why=why))
    sentence = headline((saved, *others), synthetic.gain())
    assert "smaller" not in sentence and "faster" not in sentence
    assert f"measured on this computer (AMD EPYC 9B14), the teacher not timed ({why})" in sentence


def test_slower_and_larger_are_said_too() -> None:
    teacher, *others, ships = synthetic.rows()
    big = changed(
        ships, measurement=synthetic.measured(3.44e-3, 1), artifact=synthetic.artifact("tflite", "int8", 5_660_000)
    )
    assert headline((teacher, *others, big), None).startswith("2.0× larger, 2.0× slower, keeps")
    same = changed(ships, measurement=teacher.measurement, artifact=teacher.artifact)
    assert headline((teacher, same), None).startswith("The teacher's size, as fast as the teacher, keeps")


def test_a_control_may_ship() -> None:
    teacher, quantized, control, *_ = synthetic.rows()
    sentence = headline((teacher, quantized, changed(control, ships=True)), synthetic.gain(-0.012, 0.005))
    assert "keeps 90.3 %" in sentence and "without it the student is 1.2 ± 0.5 points better (3 seeds)" in sentence


def test_nothing_fits_names_the_fastest_and_its_miss() -> None:
    report = synthetic.missed()
    assert headline(report.rows, None) == (
        "Nothing keeps the budget of tflite: p90 latency 53.4 µs is over 20 µs; "
        "what the teacher added was not measured."
    )
    assert headline((), None) == "No student was made."


def test_a_missed_budget_comes_first() -> None:
    *others, ships = synthetic.rows()
    late = changed(ships, fits=False, missed=("p90 latency 53.4 µs is over 20 µs",))
    assert headline((*others, late), None).startswith("Budget missed (p90 latency 53.4 µs is over 20 µs). 65× smaller")


def test_several_targets_name_the_one_compared() -> None:
    assert headline(synthetic.everywhere().rows, None).startswith("On tflite: 65× smaller")
