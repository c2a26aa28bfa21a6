import pytest

from edgekd.gauge import ACCURACY, Gauge
from edgekd.plugins import gauge

RMSE, AUC = Gauge(name="RMSE", unit="mmHg", share=False, lower=True), Gauge(name="AUC", unit="", share=False)


def test_values_are_told_in_their_own_unit() -> None:
    assert (ACCURACY.show(0.9123), RMSE.show(54.321), AUC.show(0.87654)) == ("91.2 %", "54.32 mmHg", "0.877")
    assert (ACCURACY.bare(0.9123), RMSE.bare(54.321), AUC.bare(0.87654)) == ("91.2", "54.32", "0.877")
    assert (ACCURACY.show_gap(-0.0123), RMSE.show_gap(1.234), AUC.show_gap(0.01)) == ("-1.2 pp", "+1.23 mmHg", "+0.010")
    assert (ACCURACY.show_lost(0.006), RMSE.show_lost(0.031), AUC.show_lost(0.012)) == ("0.6 pp", "3.1 %", "0.012")
    percent = Gauge(name="RMSE", unit="%", share=False, lower=True)
    assert percent.show(3.5) == "3.5 %", "a unit of the user's that is percent is no share of one"


def test_better_is_larger_and_unknown_is_least() -> None:
    assert RMSE.good(3.0) > RMSE.good(4.0) > RMSE.good(None) == float("-inf")
    assert AUC.good(0.9) > AUC.good(0.8) > AUC.good(None)


def test_what_is_lost_of_an_error_is_a_share_of_it() -> None:
    assert RMSE.lost(55.0, 50.0) == pytest.approx(0.1) and RMSE.lost(45.0, 50.0) == pytest.approx(-0.1)
    assert ACCURACY.lost(0.88, 0.9) == pytest.approx(0.02) and AUC.lost(0.92, 0.9) == pytest.approx(-0.02)
    assert RMSE.lost(0.0, 0.0) == 0 and RMSE.lost(1.0, 0.0) == float("inf")


def test_a_metric_plug_in_says_what_it_counts_in() -> None:
    assert gauge("accuracy") == ACCURACY and gauge("rmse", "mmHg") == RMSE and gauge("auc", "mmHg") == AUC
