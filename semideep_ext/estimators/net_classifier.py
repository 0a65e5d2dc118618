"""A torch model as a scikit-learn classifier, trained by `WeightedTrainer`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import nn

from semideep_ext.training.trainer import WeightedTrainer


class NetClassifier(ClassifierMixin, BaseEstimator):
    """Train a copy of a model from its given state; the model itself is left as it is.

    Parameters
    ----------
    module : nn.Module
        As `WeightedTrainer` takes it.
    options : dict
        Arguments of `WeightedTrainer`.
    """

    def __init__(self, module: nn.Module, options: dict[str, Any]) -> None:
        self.module = module
        self.options = options

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetClassifier:
        """Train with one weight per row, as it is; every row is labelled."""
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self.trainer_ = WeightedTrainer(
            copy.deepcopy(self.module),
            X,
            numbers,  # rather than labels, of which -1 would mark an unlabelled row
            weights=sample_weight,
            normalize=False,
            verbose=False,
            **self.options,
        )
        self.trainer_.train()
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Labels of rows."""
        labels: np.ndarray = self.classes_[self.trainer_.predict(X)]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities of rows."""
        return self.trainer_.predict_proba(X)
