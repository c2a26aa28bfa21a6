import re

import pytest

from edgekd.report import plots
from edgekd.results import Report
from edgekd.spec import Budget
from tests import synthetic


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return plots.figures(synthetic.report())


def test_the_pictures(drawn: dict[str, str]) -> None:
    assert sorted(drawn) == ["classes", "distribution-0", "front-0", "tradeoff-0"]
    for name in ("distilled int8", "without teacher int8", "teacher float32", "teacher int8", "budget 20 ms"):
        assert name in drawn["tradeoff-0"] and name in drawn["distribution-0"], name
    assert all(name in drawn["classes"] for name in synthetic.CLASSES)


def test_colours_are_the_page_s_own(drawn: dict[str, str]) -> None:
    for page in drawn.values():
        assert "var(--ink)" in page or "var(--soft)" in page
        assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", page)) <= set(), "no fixed colour is left"
        assert "<metadata>" not in page and "<text" in page, "text stays text"


def test_what_is_not_known_is_not_drawn() -> None:
    assert sorted(plots.figures(synthetic.everywhere())) == ["classes", "distribution-0", "front-0", "tradeoff-0"]
    unjudged = synthetic.report(rows=synthetic.unmeasured())
    assert set(plots.figures(unjudged)) == {"front-0"}


def test_classes_without_samples_are_left_out() -> None:
    rows = synthetic.rows()
    score = rows[-1].score
    assert score is not None
    gap = score.model_copy(update={"per_class": (float("nan"), *score.per_class[1:])})
    page = plots.figures(synthetic.report(rows=(*rows[:-1], rows[-1].model_copy(update={"score": gap}))))["classes"]
    assert "T-shirt" not in page and "trouser" in page


def test_a_least_accuracy_is_a_line_too() -> None:
    made: Report = synthetic.report()
    target = made.plan.targets[0].model_copy(update={"budget": Budget(min_accuracy="90%")})
    plan = made.plan.model_copy(update={"targets": (target,)})
    page = plots.figures(synthetic.report(plan=plan))["tradeoff-0"]
    assert "var(--limit)" in page and "budget" not in page
