"""What the tests of metric selection share: a quick selection, a classifier that takes notes."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from semideep_ext import (
    select_best_distance_metric,
)


def select(model, data, metrics=("euclidean",), lambda_values=(0.5,), **options):
    return select_best_distance_metric(
        model, *data, metrics, lambda_values, **{"verbose": False, **options}
    )


NOTES = []


class Recorder(LogisticRegression):
    """A classifier that notes what it was fitted on."""

    def fit(self, X, y, sample_weight=None):
        NOTES.append((np.array(X), np.array(y), np.array(sample_weight)))
        return super().fit(X, y, sample_weight)
