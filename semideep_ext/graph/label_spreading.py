"""Label spreading: local and global consistency (Zhou et al., NIPS 2004)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semideep_ext.graph.affinity import Affinity, Normalized
from semideep_ext.graph.base import GraphClassifier
from semideep_ext.graph.conjugate_gradients import conjugate_gradients


class LabelSpreading(GraphClassifier):
    r"""Mix what neighbours say with a row's own label.

    .. math:: F \leftarrow \alpha S F + (1 - \alpha) Y, \quad S = D^{-1/2} W D^{-1/2}

    with affinities W without their diagonal and its row sums D. As
    `sklearn.semi_supervised.LabelSpreading`, but W is not stored: memory is that of the rows.

    Parameters
    ----------
    kernel, gamma, metric, n_neighbors
        As in `LabelPropagation`.
    alpha : float, default 0.2
        Share of the neighbours, between 0 and 1; .99 in the paper.
    max_iter : int, default 30
    tol : float, default 1e-3
        It ends once the sum of all changes of F, or of all residuals, is less.
    n_jobs, device, verbose
        As in `LabelPropagation`.
    solver : {"iteration", "cg"}, default "iteration"
        The formula above, or conjugate gradients on (I - alpha S) F = (1 - alpha) Y, whose solution
        is the same: fewer products where alpha is near 1. It needs symmetric affinities, which
        those of kernel "knn" are not.

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
    >>> model = LabelSpreading(gamma=1.0).fit([[0.0], [1.0], [5.0], [6.0]], [0, -1, -1, 1])
    >>> model.transduction_
    array([0, 0, 1, 1])
    """

    def __init__(
        self,
        kernel: Any = "rbf",
        *,
        gamma: Any = "knn",
        metric: Any = "euclidean",
        n_neighbors: int = 7,
        alpha: float = 0.2,
        max_iter: int = 30,
        tol: float = 1e-3,
        n_jobs: int | None = None,
        device: Any = "cpu",
        verbose: bool = False,
        solver: str = "iteration",
    ) -> None:
        super().__init__(
            kernel,
            gamma=gamma,
            metric=metric,
            n_neighbors=n_neighbors,
            max_iter=max_iter,
            tol=tol,
            n_jobs=n_jobs,
            device=device,
            verbose=verbose,
        )
        self.alpha = alpha
        self.solver = solver

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha={self.alpha!r}: give a number between 0 and 1")
        if self.solver not in ("iteration", "cg"):
            raise ValueError(f"solver={self.solver!r}: choose 'iteration' or 'cg'")

    def _solve(self, affinity: Affinity, one_hot: Tensor, labeled: Tensor) -> Tensor:
        spread, own = Normalized(affinity), (1 - self.alpha) * one_hot
        if self.solver == "cg":
            self._refuse_one_way(affinity)
            f, self.n_iter_, converged = conjugate_gradients(
                lambda v: v - self.alpha * (spread @ v),
                own,
                torch.ones_like(own[:, :1]),
                self.tol,
                self.max_iter,
                self._after_step,
            )
            self._warn_if_not(converged)
            return f.clamp(min=0)  # what rounding and the rest of the residual leave
        f, before = one_hot, torch.zeros_like(one_hot)
        for step in range(self.max_iter):
            self.n_iter_ = step
            if self._settled(f, before):
                return f
            before, f = f, self.alpha * (spread @ f) + own
            self._after_step()
        self.n_iter_ = self.max_iter
        self._warn_if_not(False)
        return f
