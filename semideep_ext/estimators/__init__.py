"""Distance-based sample weights for scikit-learn: estimators, splits, selection."""

from semideep_ext.estimators.co_training import CoTraining
from semideep_ext.estimators.self_training import SelfTraining
from semideep_ext.estimators.tri_training import TriTraining
from semideep_ext.estimators.weighted import DistanceWeightedClassifier, DistanceWeightedRegressor

__all__ = [
    "CoTraining",
    "DistanceWeightedClassifier",
    "DistanceWeightedRegressor",
    "SelfTraining",
    "TriTraining",
]
