"""Tri-training (Zhou & Li, IEEE TKDE 17, 2005)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, resample

from semideep_ext.estimators.partly_labeled import PartlyLabeled
from semideep_ext.weighting.checks import check_whole


class TriTraining(PartlyLabeled):
    r"""Let each two of three classifiers label rows for the third, where they agree.

    The three begin with bootstraps of the labelled rows. In each round, classifier i is fitted anew
    with the n rows on which the others agree, labelled as they say, only if

    .. math:: e_i < e'_i, \quad l'_i < n, \quad e_i \, n < e'_i \, l'_i

    e_i being the error of the others where they agree on labelled rows, e' and l' error and number
    of rows of the round before, .5 and 0 in the beginning, where l' is then
    floor(e / (e' - e) + 1). If only the last fails and l' > e / (e' - e), then
    ceil(e' l' / e - 1) of the rows are drawn, without replacement. It ends when no classifier is
    fitted anew. So noise in the labels shrinks from round to round.

    Parameters
    ----------
    estimator : classifier, default LogisticRegression()
        One that differs between bootstraps, such as a decision tree. A `DistanceWeightedClassifier`
        weighs rows by their closeness to the unlabelled ones.
    max_iter : int, default 30
        Rounds at most.
    random_state : int, RandomState or None, default None
        Of bootstraps and draws.

    Attributes
    ----------
    estimators_ : list of 3 classifiers
        Their classes are numbers, in the order of `classes_`.
    supervised_ : classifier
        One of all labelled rows only; see `score_supervised`.
    classes_ : ndarray, shape (C,)
    transduction_ : ndarray, shape (n + m,)
        Given labels, and the vote on unlabelled rows.
    n_iter_ : int
        Rounds in which a classifier was fitted anew, at least 1.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Warns
    -----
    UserWarning
        If no row is unlabelled.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [5.0], [6.0], [0.5], [5.5]])
    >>> model = TriTraining(random_state=0).fit(X, ["a", "a", "b", "b", None, None])
    >>> model.predict([[0.2], [5.9]]).tolist()
    ['a', 'b']
    """

    def __init__(
        self, estimator: Any = None, *, max_iter: int = 30, random_state: Any = None
    ) -> None:
        self.estimator = estimator
        self.max_iter = max_iter
        self.random_state = random_state

    def _learn(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        check_whole("max_iter", self.max_iter, 1)
        random = check_random_state(self.random_state)
        labeled, unlabeled = np.flatnonzero(codes >= 0), np.flatnonzero(codes < 0)
        x, y, u = rows[labeled], codes[labeled], rows[unlabeled]
        models = []
        for _ in range(3):
            drawn = resample(np.arange(len(y)), stratify=y, random_state=random)
            models.append(self._fitted(x[drawn], y[drawn]))
        errors, counts, self.n_iter_ = [0.5] * 3, [0] * 3, 0
        while len(unlabeled) and self.n_iter_ < self.max_iter:
            on_x, on_u = (np.stack([m.predict(part) for m in models]) for part in (x, u))
            fitted: dict[int, Any] = {}
            for i in range(3):
                j, k = (other for other in range(3) if other != i)
                agreed = on_x[j] == on_x[k]
                error = float((on_x[j] != y)[agreed].mean()) if agreed.any() else 0.5
                together = np.flatnonzero(on_u[j] == on_u[k])
                count = rows_to_learn(error, errors[i], len(together), counts[i])
                if not count:
                    continue
                if count < len(together):
                    together = random.choice(together, count, replace=False)
                fitted[i] = self._fitted(
                    np.concatenate([x, u[together]]), np.concatenate([y, on_u[j][together]])
                )
                errors[i], counts[i] = error, count
            if not fitted:
                break
            models = [fitted.get(i, model) for i, model in enumerate(models)]
            self.n_iter_ += 1
        self.estimators_ = models
        found = codes.copy()
        if len(unlabeled):
            found[unlabeled] = self._probabilities(u).argmax(1)
        return found

    def _probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Give the shares of the votes, (n, C)."""
        votes = np.stack([model.predict(rows) for model in self.estimators_])
        shares: np.ndarray = (votes[..., None] == np.arange(len(self.classes_))).mean(0)
        return shares


def rows_to_learn(error: float, before: float, agreed: int, count: int) -> int:
    """Tell how many of the rows on which two classifiers agree the third may learn; 0 for none.

    Parameters
    ----------
    error, before : float
        Error of the two, now and when the third was fitted last.
    agreed : int
        Number of unlabelled rows on which they agree.
    count : int
        Number of those that it was fitted with last; 0 if it was not.

    Examples
    --------
    >>> rows_to_learn(0.1, 0.5, 100, 0)  # fewer than .5 * 1 / .1 - 1
    4
    >>> rows_to_learn(0.1, 0.2, 15, 10)  # .1 * 15 < .2 * 10
    15
    >>> rows_to_learn(0.1, 0.2, 100, 10)  # at most .2 * 10 / .1 - 1
    19
    >>> rows_to_learn(0.2, 0.2, 100, 10)
    0
    """
    if error >= before:
        return 0
    if count == 0:
        count = math.floor(error / (before - error) + 1)
    if count >= agreed:
        return 0
    if error * agreed < before * count:
        return agreed
    if count > error / (before - error):
        return math.ceil(before * count / error - 1)
    return 0
