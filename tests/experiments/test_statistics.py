"""Promises of the experiments' statistics: intervals that overlap of splits does not narrow."""

import math

import numpy as np
import pytest

from semideep_ext.experiments.statistics import (
    HIGHER,
    LOWER,
    NO_DIFFERENCE,
    NO_INTERVAL,
    REFERENCE,
    compare,
    estimate,
    holm,
    verdict,
)

NAN = math.nan


def test_the_interval_is_that_of_nadeau_and_bengio():
    half = 4.302653 * math.sqrt(1 / 3 + 0.25)  # t_{0.975, 2}, J = 3, s = 1
    e = estimate([1.0, 2.0, 3.0], test_train_ratio=0.25)
    assert (e.mean, e.low, e.high, e.n) == pytest.approx((2, 2 - half, 2 + half, 3))


def test_the_p_value_is_that_of_the_same_t():
    # t = 2 / sqrt(1/3 + 0.25) = 2.618615, two-sided with 2 degrees of freedom:
    # p = 1 - t / sqrt(2 + t^2) = 0.120130
    assert estimate([1.0, 2.0, 3.0], 0.25).p == pytest.approx(
        1 - 2.618615 / math.sqrt(2 + 2.618615**2), rel=1e-5
    )


def test_the_interval_reaches_0_where_p_is_5_percent():
    e = estimate([1.0, 2.0, 3.0], 0.25)
    at_the_edge = estimate(np.array([1.0, 2.0, 3.0]) - e.low, 0.25)
    assert at_the_edge.low == pytest.approx(0, abs=1e-12)
    assert at_the_edge.p == pytest.approx(0.05)


def test_more_splits_never_narrow_it_below_what_the_overlap_leaves():
    values = np.tile([0.0, 1.0], 5000)
    e = estimate(values, test_train_ratio=1.0)
    assert e.high - e.low > 2 * 1.95 * values.std()


def test_the_interval_holds_the_truth_as_often_as_it_says():
    # Splits whose scores share a part: correlation 1/2, which is n_test / (n_train + n_test) for
    # equal sets, the case that the correction is exact for. The naive interval fails here.
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 10))
    estimates = [estimate(v, test_train_ratio=1.0) for v in shared + own]
    covered = np.mean([e.low <= 0 <= e.high for e in estimates])
    assert 0.93 < covered < 0.97


def test_a_single_split_has_no_interval():
    e = estimate([0.5], 1.0)
    assert e.mean == 0.5 and math.isnan(e.low) and math.isnan(e.high) and math.isnan(e.p)


def test_equal_differences_have_an_unknown_spread_and_not_a_spread_of_0():
    e = estimate([0.1, 0.1, 0.1], 1.0)
    assert e.mean == pytest.approx(0.1) and math.isnan(e.low) and math.isnan(e.p)


def test_no_difference_at_all_is_an_interval_of_0():
    e = estimate([0.0, 0.0, 0.0], 1.0)
    assert (e.low, e.high, e.p) == (0, 0, 1)


def test_undefined_scores_are_left_out_and_not_counted():
    with_nan = estimate([1.0, NAN, 2.0, 3.0], 0.25)
    assert with_nan == estimate([1.0, 2.0, 3.0], 0.25)


@pytest.mark.parametrize("ratio", [0.0, -1.0, NAN, math.inf])
def test_a_ratio_that_is_none_is_refused(ratio):
    with pytest.raises(ValueError, match="n_test / n_train > 0"):
        estimate([1.0, 2.0], ratio)


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]),
        ([0.03, 0.01, 0.02], [0.04, 0.03, 0.04]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
        ([NAN, 0.02], [NAN, 0.02]),
    ],
)
def test_holm_adjusts_as_by_hand(p, adjusted):
    np.testing.assert_allclose(holm(p), adjusted)


@pytest.mark.parametrize(
    ("low", "high", "p", "expected"),
    [
        (0.01, 0.02, 0.001, HIGHER),
        (-0.02, -0.01, 0.001, LOWER),
        (-0.01, 0.02, 0.5, NO_DIFFERENCE),
        (0.0, 0.02, 0.05, NO_DIFFERENCE),
        (0.01, 0.02, 0.06, NO_DIFFERENCE),
        (NAN, NAN, NAN, NO_INTERVAL),
    ],
)
def test_the_verdict_follows_the_interval(low, high, p, expected):
    assert verdict(low, high, p) == expected


BASE = np.array([0.5, 0.9, 0.7, 0.6, 0.8])  # differs more between splits than between methods


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        ([0.1, 0.11, 0.12, 0.11, 0.1], HIGHER),
        ([-0.1, -0.11, -0.12, -0.11, -0.1], LOWER),
        ([-0.1, 0.1, 0.0, 0.1, 0.0], NO_DIFFERENCE),
        ([0.0, 0.0, 0.0, 0.0, 0.0], NO_DIFFERENCE),
    ],
)
def test_methods_are_compared_split_by_split(shift, expected):
    scores = {"baseline": {"f1": BASE}, "idw": {"f1": BASE + shift}}
    reference, row = compare(scores, "baseline", test_train_ratio=1.0)
    assert row["verdict"] == expected and row["n"] == 5
    assert row["difference"] == pytest.approx(np.mean(shift))
    assert reference["verdict"] == REFERENCE and reference["difference"] == 0


def test_the_same_difference_counts_for_less_among_many_comparisons():
    shift = np.array([0.02, 0.1, 0.03, 0.09, 0.1])
    still = {f"other {i}": np.add(BASE, [0.1, -0.1, 0.05, 0.0, -0.02]) for i in range(9)}

    def found(scores):
        table = compare({"baseline": dict.fromkeys(scores, BASE), "idw": scores}, "baseline", 0.1)
        return next(r for r in table if r["score"] == "f1" and r["method"] == "idw")

    alone, among_ten = found({"f1": BASE + shift}), found({"f1": BASE + shift, **still})
    assert alone["difference_low"] == among_ten["difference_low"] > 0
    assert (alone["verdict"], among_ten["verdict"]) == (HIGHER, NO_DIFFERENCE)


def test_intervals_of_scores_stay_within_0_and_1():
    row = compare({"baseline": {"f1": [0.1, 0.9, 0.5]}}, "baseline", 1.0)[0]
    assert (row["low"], row["high"]) == (0, 1)
