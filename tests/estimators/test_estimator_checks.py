"""Promise: every check of scikit-learn passes, and none is lost."""

import numpy as np
import pytest
import sklearn
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from semideep_ext import (
    DistanceWeightedClassifier,
    DistanceWeightedRegressor,
    DistanceWeightTransformer,
)

NO_UNLABELED = "ignore:there is no unlabelled row:semideep_ext.weighting.diagnostics.WeightsWarning"


class _Weighted:
    """The checks mark no row as unlabelled; this takes each row as labelled and unlabelled."""

    def fit(self, X, y, sample_weight=None):
        counts = None if sample_weight is None else np.asarray(sample_weight).astype(int)
        repeated = X if counts is None or not counts.any() else np.repeat(np.asarray(X), counts, 0)
        return super().fit(X, y, sample_weight, repeated)


class WeightedClassifier(_Weighted, DistanceWeightedClassifier):
    pass


class WeightedRegressor(_Weighted, DistanceWeightedRegressor):
    pass


CHECKED = [
    DistanceWeightedClassifier(),
    DistanceWeightedClassifier(DecisionTreeClassifier(random_state=0)),
    DistanceWeightedClassifier(make_pipeline(PolynomialFeatures(1), LogisticRegression())),
    DistanceWeightedClassifier(HistGradientBoostingClassifier(max_iter=5), unlabeled=None),
    WeightedClassifier(lambda_=0.1),
    DistanceWeightedRegressor(),
    DistanceWeightedRegressor(DecisionTreeRegressor(random_state=0)),
    WeightedRegressor(kernel="inverse"),
    DistanceWeightTransformer(),
    DistanceWeightTransformer("cosine", "median", log=True),
]


@pytest.mark.filterwarnings(
    NO_UNLABELED,
    "ignore:y holds -1 and 1 only:semideep_ext.weighting.diagnostics.WeightsWarning",
    "ignore:the .* weights .* are constant:semideep_ext.weighting.diagnostics.WeightsWarning",
    "ignore:.* weights .* are below:semideep_ext.weighting.diagnostics.WeightsWarning",
    "ignore:invalid value encountered in cast:RuntimeWarning",  # in a check itself
)
@parametrize_with_checks(CHECKED)
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def test_the_number_of_checks_is_as_expected():
    """Those of scikit-learn 1.9; another version has others, but never few."""
    counts = [len(list(estimator_checks_generator(estimator))) for estimator in CHECKED]
    if sklearn.__version__.startswith("1.9."):
        assert counts == [62] * 5 + [60] * 3 + [47] * 2
    assert min(counts) >= 40
