"""Metric and lambda by cross-validation on the training rows, with unweighted training beside them.

Weights need the unlabelled test rows, scores need labels; the labels of the test rows are no
argument of anything here. `search` is the function; what it does in turn stands in

- `models`: what gives a fresh estimator for each fit
- `rows`: rows, labels and folds, checked
- `candidates`: pairs of metric and lambda, with their weights
- `scoring`: what a fold's score is
- `choice`: what the scores show, in numbers and in a sentence
"""

from semideep_ext.estimators.selection.choice import MetricSelection
from semideep_ext.estimators.selection.search import select_best_distance_metric
from semideep_ext.weighting.auto import auto_select_distance_metric

__all__ = ["MetricSelection", "auto_select_distance_metric", "select_best_distance_metric"]
