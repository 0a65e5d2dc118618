"""Poisson learning, for few labels (Calder, Cook, Thorpe & Slepcev, ICML 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from semideep_ext.graph.affinity import Affinity, Normalized
from semideep_ext.graph.base import GraphClassifier
from semideep_ext.graph.conjugate_gradients import conjugate_gradients


class PoissonLearning(GraphClassifier):
    r"""Take each label for a source of its class, and give each row the class that flows to it.

    .. math:: (D - W) U = \sum_{j\ labelled} (Y_j - \bar Y) \delta_j, \quad \sum_i D_i U_i = 0

    by conjugate gradients, with affinities W without their diagonal, its row sums D and the mean
    label. Better than `LaplaceLearning` and `LabelPropagation` at 1 to 4 labels a class.

    Parameters
    ----------
    kernel, gamma, metric, n_neighbors, max_iter, n_jobs, device, verbose
        As in `LabelPropagation`; neighbours are joined both ways.
    tol : float, default 1e-3
        It ends once the sum of all residuals is less than this share of the sources.

    Attributes
    ----------
    X_, classes_, label_distributions_, transduction_, gamma_, n_iter_, n_features_in_,
    feature_names_in_
        As in `LabelPropagation`.
    scores_ : ndarray, shape (n, C)
        U. Its largest is the class; `label_distributions_` is the softmax of U over its root mean
        square, which orders rows and classes as U does but is no calibrated probability.

    Warns
    -----
    ConvergenceWarning, UserWarning
        As `LabelPropagation`.

    Examples
    --------
    >>> model = PoissonLearning(gamma=1.0).fit([[0.0], [1.0], [5.0], [6.0]], [0, -1, -1, 1])
    >>> model.transduction_
    array([0, 0, 1, 1])
    """

    _both_ways = True

    def _solve(self, affinity: Affinity, one_hot: Tensor, labeled: Tensor) -> Tensor:
        self._refuse_one_way(affinity)
        spread = Normalized(affinity)
        scale, degrees = spread.scale[:, None], spread.degrees[:, None]
        source = torch.where(labeled[:, None], one_hot - one_hot[labeled].mean(0), 0.0)
        # In v = D^{1/2} U the system is symmetric: v - S v = D^{-1/2} source. It has no solution
        # where pieces of the graph do not touch, and one beyond all bounds where they hardly do.
        # With a little less than S the scores stay below 1 / loss, and are as good elsewhere.
        loss = torch.finfo(scale.dtype).eps ** 0.5
        v, self.n_iter_, converged = conjugate_gradients(
            lambda v: v - (1 - loss) * (spread @ v),
            scale * source,
            scale,
            self.tol * float((scale.square() * source).abs().sum()),
            self.max_iter,
            self._after_step,
        )
        self._warn_if_not(converged)
        u = scale * v
        u = u - (degrees * u).sum(0) / degrees.sum().clamp(min=torch.finfo().tiny)
        self.scores_ = u.cpu().double().numpy()
        size = u.square().mean().sqrt().clamp(min=torch.finfo().tiny)
        # In pieces of the graph without a label all scores are exactly 0; next to a label they are
        # so only where classes are level.
        beside = (spread @ labeled[:, None].to(v.dtype))[:, 0] > 0
        reached = labeled | beside | (v != 0).any(1)
        return torch.where(reached[:, None], (u / size).softmax(1), 0.0)
