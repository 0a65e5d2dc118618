"""Label propagation (Zhu & Ghahramani, CMU-CALD-02-107, 2002)."""

from __future__ import annotations

import torch
from torch import Tensor

from semideep_ext.graph.affinity import Affinity
from semideep_ext.graph.base import GraphClassifier


class LabelPropagation(GraphClassifier):
    r"""Give each row the average distribution of all rows, by affinity; labelled rows keep theirs.

    .. math:: F \leftarrow D^{-1} W F, \quad F_i = Y_i \text{ for labelled rows}

    with affinities W and their row sums D, that of a row to itself included. As
    `sklearn.semi_supervised.LabelPropagation`, but W is not stored: memory is that of the rows.

    Parameters
    ----------
    kernel : {"rbf", "exponential", "knn"} or callable, default "rbf"
        exp(-gamma |x - x'|^2), exp(-gamma d(x, x')), 1 for the nearest neighbours (a sparse
        matrix), or a function of two sets of rows, (n, D) and (m, D), that returns their
        affinities, (n, m), dense or sparse.
    gamma : float, "knn" or "median", default "knn"
        In units of 1/d. See `bandwidth.resolve_gamma`; scikit-learn's default is 20, which leaves
        rows of many features without affinity.
    metric : str or callable, default "euclidean"
        d of kernel "exponential", as in `distance_weights`.
    n_neighbors : int, default 7
        Of kernel "knn"; a row is one of its own.
    max_iter : int, default 1000
    tol : float, default 1e-3
        It ends once the sum of all changes of F is less.
    n_jobs : int, optional
        Of the search for neighbours.
    device : str or torch.device, default "cpu"
    verbose : bool, default False
        Show a progress bar over the iterations.

    Attributes
    ----------
    X_ : ndarray or sparse matrix, shape (n, D)
    classes_ : ndarray, shape (C,)
    label_distributions_ : ndarray, shape (n, C)
    transduction_ : ndarray, shape (n,)
        The most probable class of each row.
    gamma_ : float
        That in use; only for kernels "rbf" and "exponential".
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray, shape (D,)
        Only if X had string column names.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached.
    UserWarning
        For rows that no label reached, whose distribution is uniform.

    Examples
    --------
    >>> model = LabelPropagation(gamma=1.0).fit([[0.0], [1.0], [5.0], [6.0]], [0, -1, -1, 1])
    >>> model.transduction_
    array([0, 0, 1, 1])
    >>> model.predict([[0.4]])
    array([0])
    """

    def _solve(self, affinity: Affinity, one_hot: Tensor, labeled: Tensor) -> Tensor:
        f, before = one_hot, torch.zeros_like(one_hot)
        for step in range(self.max_iter):
            self.n_iter_ = step
            if self._settled(f, before):
                return f
            before = f
            # Divided by the sums of the row, these of W cancel.
            f = affinity.of_others(f) + affinity.diagonal[:, None] * f
            total = f.sum(1, keepdim=True)
            f = torch.where(labeled[:, None], one_hot, f / torch.where(total == 0, 1.0, total))
            self._after_step()
        self.n_iter_ = self.max_iter
        self._warn_if_not(False)
        return f
