"""Promise of metric selection: a weighting is chosen only if it is shown better than none."""

import math

import numpy as np
import pytest
from selection_runs import select
from sklearn.datasets import load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import train_test_split

from semideep_ext import WeightsWarning, select_best_distance_metric
from semideep_ext.estimators.selection.choice import choose


def rows(problems=((), (), ())):
    """Three candidates, and their problems."""
    return [
        {"metric": metric, "lambda_": 0.5, "lambda_given": 0.5, "problems": found}
        for metric, found in zip(("euclidean", "cosine", "hamming"), problems, strict=True)
    ]


UNWEIGHTED = [0.60, 0.70, 0.80]


def test_the_error_is_that_of_the_differences_fold_by_fold():
    """Folds differ by 0.1, but the first candidate is 0.02 to 0.04 better on each."""
    scores = np.array([UNWEIGHTED, [0.62, 0.73, 0.84], [0.50, 0.75, 0.90], UNWEIGHTED])
    found = choose(rows(), scores, "f1")
    first, second, third = found.table
    assert first["difference"] == pytest.approx(0.03)
    assert first["difference_standard_error"] == pytest.approx(0.01 / math.sqrt(3))
    assert first["standard_error"] == pytest.approx(np.std([0.62, 0.73, 0.84], ddof=1) / 3**0.5)
    assert (first["can_win"], first["reason"]) == (True, "")
    # The mean of the second is 0.0167 higher than that of none, and its error 0.06.
    assert (second["can_win"], second["reason"]) == (
        False,
        "within one standard error of unweighted",
    )
    assert third["reason"] == "not better than unweighted"
    assert tuple(found) == ("euclidean", 0.5, first["mean"]) and found.best_weighted is first
    assert found.weighting == "distance" and found.scoring == "f1"
    assert found.sentence == (
        "euclidean with lambda 0.5 is better than unweighted training: mean f1 0.73 against 0.7, "
        "+0.03 (standard error 0.005774)"
    )


def test_a_higher_mean_within_its_error_loses_to_a_lower_one_beyond_its_own():
    scores = np.array([UNWEIGHTED, [0.62, 0.73, 0.84], [0.60, 0.70, 1.0], UNWEIGHTED])
    assert choose(rows(), scores, "f1").metric == "euclidean"


def test_where_none_is_better_the_answer_is_none_and_the_tuple_the_best_that_was_tried():
    scores = np.array([UNWEIGHTED, [0.60, 0.71, 0.79], [0.70, 0.65, 0.80], [0.5, 0.5, 0.5]])
    found = choose(rows(), scores, "f1")
    assert found.weighting == "none" and not any(row["can_win"] for row in found.table)
    assert tuple(found) == ("cosine", 0.5, pytest.approx(0.71666667))
    assert found.sentence == (
        "no weighting is shown better than unweighted training, whose mean f1 is 0.7: the best of "
        "those with sound weights, cosine with lambda 0.5, differs by +0.01667 (standard error "
        "0.0441)"
    )


@pytest.mark.parametrize("problem", ["constant", "collapsed", "underflow"])
def test_useless_weights_never_win(problem):
    scores = np.array([UNWEIGHTED, [0.99, 0.99, 0.99], [0.61, 0.70, 0.795], UNWEIGHTED])
    found = choose(rows([(problem,), (), ()]), scores, "f1")
    assert found.weighting == "none" and found.metric == "cosine"
    assert found.table[0]["reason"] == f"its weights are useless: {problem}"
    assert found.table[0]["difference"] > 0.2
    everything = choose(rows([(problem,)] * 3), scores, "f1")
    assert everything.weighting == "none" and everything.metric == "euclidean"
    assert f"all 3 candidates are useless ({problem} 3)" in everything.sentence


def test_equal_means_go_to_the_first():
    assert choose(rows(), np.tile(UNWEIGHTED, (4, 1)), "f1").metric == "euclidean"
    better = np.array([UNWEIGHTED, *[[0.62, 0.73, 0.84]] * 3])
    assert choose(rows(), better, "f1").metric == "euclidean"


@pytest.mark.parametrize("fold", range(3))
@pytest.mark.parametrize("gain", [0.1, 1 / 30, 1 / 7])
def test_a_gain_on_one_fold_of_several_is_one_standard_error_and_not_more(fold, gain):
    scores = np.tile(UNWEIGHTED, (4, 1))
    scores[1, fold] += gain
    assert choose(rows(), scores, "f1").weighting == "none"


def test_one_fold_shows_nothing():
    found = choose(rows(), np.array([[0.5], [0.9], [0.8], [0.7]]), "f1")
    assert found.weighting == "none" and found.metric == "euclidean"
    assert found.table[0]["reason"] == "one fold gives no standard error"


def test_a_score_that_is_nan_neither_wins_nor_is_chosen():
    scores = np.array([UNWEIGHTED, [math.nan, 0.9, 0.9], [0.60, 0.71, 0.79], [0.5] * 3])
    found = choose(rows(), scores, "auc")
    assert found.weighting == "none" and found.metric == "cosine"


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([[-0.4, -0.5], [-0.45, -0.55], [-0.6, -0.7], [-0.8, -0.8]], True),
        ([[-0.4, -0.5], [-0.2, -0.31], [-0.6, -0.7], [-0.8, -0.8]], True),
        ([[-0.4, -0.5], [0.3, 0.21], [-0.6, -0.7], [-0.8, -0.8]], False),
    ],
)
def test_a_negative_r2_is_said_to_be_worse_than_the_mean(scores, said):
    found = choose(rows(), np.array(scores), "r2")
    assert found.sentence.endswith("r2 < 0 is worse than predicting the mean") is said
    assert "r2 < 0" not in choose(rows(), np.array(scores), "neg_log_loss").sentence


WARNINGS = pytest.mark.filterwarnings("ignore:metric='jaccard'")


def split(data):
    """Rows as they are, in proportion of the classes."""
    classes = data.target if len(np.unique(data.target)) == 3 else None
    X, X_test, y, _ = train_test_split(
        data.data, data.target, test_size=0.4, random_state=0, stratify=classes
    )
    return X, y, X_test


@WARNINGS
def test_on_wine_as_it_is_no_weighting_wins_although_constant_weights_score_highest():
    data = split(load_wine())
    with pytest.warns(WeightsWarning, match="no weighting is shown better") as caught:
        found = select_best_distance_metric(RidgeClassifier(), *data, verbose=False)
    assert found.weighting == "none" and found.score == found.unweighted["mean"]
    assert found.best_weighted["problems"] == ("constant",)
    assert all(row["problems"] and not row["can_win"] for row in found.table)
    assert str(caught[-1].message) == found.sentence
    assert "all 20 candidates are useless (underflow 5, collapsed 3, constant 15)" in found.sentence


@WARNINGS
def test_on_diabetes_nothing_is_better_than_unweighted():
    with pytest.warns(WeightsWarning, match=r"unweighted training, whose mean r2 is 0\.3959"):
        found = select_best_distance_metric(Ridge(), *split(load_diabetes()), verbose=False)
    assert found.weighting == "none"
    assert found.score < found.unweighted["mean"]
    assert not found.best_weighted["problems"]
    assert max(row["difference"] for row in found.table) <= 0


def noise_far_from_the_test_rows():
    """Near the test rows labels are true, elsewhere they lie."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 2))
    y = (X[:, 1] > 0).astype(int)
    X[100:, 0] += 6
    y[100:] = 1 - y[100:]
    return X, y, rng.normal(size=(50, 2))


def test_weights_win_where_labels_lie_far_from_the_test_rows(recwarn):
    found = select(
        LogisticRegression(), noise_far_from_the_test_rows(), ["hamming", "euclidean"], [1.0],
        importance_weighted=True, scoring="accuracy",
    )  # fmt: skip
    assert found.weighting == "distance" and found.metric == "euclidean" and found.score > 0.7
    assert found.unweighted["mean"] < 0.6
    assert found.table[0]["reason"] == "its weights are useless: constant"
    assert found.sentence.startswith("euclidean with lambda 1 is better than unweighted training")
    assert not recwarn.list


def test_they_do_not_win_where_all_rows_count_alike():
    with pytest.warns(WeightsWarning, match="no weighting is shown better"):
        found = select(LogisticRegression(), noise_far_from_the_test_rows(), lambda_values=[1.0])
    assert found.weighting == "none"
