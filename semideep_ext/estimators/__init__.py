"""Distance-based sample weights for scikit-learn: estimators, splits, selection."""

from semideep_ext.estimators.weighted import DistanceWeightedClassifier, DistanceWeightedRegressor

__all__ = ["DistanceWeightedClassifier", "DistanceWeightedRegressor"]
