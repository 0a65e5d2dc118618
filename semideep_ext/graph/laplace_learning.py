"""Laplace learning: harmonic functions (Zhu, Ghahramani & Lafferty, ICML 2003)."""

from __future__ import annotations

import torch
from torch import Tensor

from semideep_ext.graph.affinity import Affinity, Normalized
from semideep_ext.graph.base import GraphClassifier
from semideep_ext.graph.conjugate_gradients import conjugate_gradients


class LaplaceLearning(GraphClassifier):
    r"""Find the distributions that are everywhere the average of their neighbours'.

    .. math:: (D - W) F = 0 \text{ in unlabelled rows}, \quad F_i = Y_i \text{ in labelled rows}

    by conjugate gradients: the limit of `LabelPropagation`, which is long in coming where
    affinities of rows to themselves are large. With few labels a class it degenerates to a constant
    beside spikes; see `PoissonLearning`.

    Parameters
    ----------
    kernel, gamma, metric, n_neighbors, max_iter, n_jobs, device, verbose
        As in `LabelPropagation`; neighbours are joined both ways.
    tol : float, default 1e-3
        It ends once the sum of all differences to the average of the neighbours is less.

    Attributes
    ----------
    X_, classes_, label_distributions_, transduction_, gamma_, n_iter_, n_features_in_,
    feature_names_in_
        As in `LabelPropagation`.

    Warns
    -----
    ConvergenceWarning, UserWarning
        As `LabelPropagation`.

    Examples
    --------
    >>> model = LaplaceLearning(gamma=1.0).fit([[0.0], [1.0], [5.0], [6.0]], [0, -1, -1, 1])
    >>> model.transduction_
    array([0, 0, 1, 1])
    """

    _both_ways = True

    def _solve(self, affinity: Affinity, one_hot: Tensor, labeled: Tensor) -> Tensor:
        self._refuse_one_way(affinity)
        spread = Normalized(affinity)
        # In v = D^{1/2} F the system is symmetric: v - S v = S D^{1/2} Y in unlabelled rows.
        open_rows, scale = (~labeled)[:, None], spread.scale[:, None]
        v, self.n_iter_, converged = conjugate_gradients(
            lambda v: v - open_rows * (spread @ v),  # v is 0 in labelled rows
            open_rows * (spread @ (one_hot / scale)),
            scale,
            self.tol,
            self.max_iter,
            self._after_step,
        )
        self.n_iter_ = max(1, self.n_iter_)  # as scikit-learn asks, if all rows are labelled
        self._warn_if_not(converged)
        return torch.where(open_rows, (scale * v).clamp(min=0), one_hot)
