"""What label propagation, label spreading, Poisson and Laplace learning share."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from semideep_ext._progress import progress_bar
from semideep_ext.graph.affinity import Affinity, KernelAffinity, MatrixAffinity
from semideep_ext.graph.bandwidth import resolve_gamma
from semideep_ext.weighting.checks import check_number, check_whole
from semideep_ext.weighting.classes import LabeledScore, class_codes

SPARSE = ["csr", "csc"]  # what scikit-learn turns the others into


class GraphClassifier(LabeledScore, BaseEstimator):
    """Base class: rows, labels and affinities; `_solve` is the method's own."""

    _both_ways = False  # whether a neighbour is one in both directions

    def __init__(
        self,
        kernel: Any = "rbf",
        *,
        gamma: Any = "knn",
        metric: Any = "euclidean",
        n_neighbors: int = 7,
        max_iter: int = 1000,
        tol: float = 1e-3,
        n_jobs: int | None = None,
        device: Any = "cpu",
        verbose: bool = False,
    ) -> None:
        self.kernel = kernel
        self.gamma = gamma
        self.metric = metric
        self.n_neighbors = n_neighbors
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
        self.device = device
        self.verbose = verbose

    def _solve(self, affinity: Affinity, one_hot: Tensor, labeled: Tensor) -> Tensor:
        """Give scores >= 0 of all rows, (n, C); all 0 in rows that no label reaches."""
        raise NotImplementedError  # each method has its own

    def fit(self, X: Any, y: Any) -> Any:
        """Find the labels of the unlabelled rows.

        Parameters
        ----------
        X : array, DataFrame or sparse matrix, shape (n, D)
            All rows. float32 rows are computed with as such, all others as float64. Sparse rows are
            made dense, but for kernel "knn" or a callable.
        y : array-like, shape (n,)
            Labels; -1 or a missing one (None, NaN) marks unlabelled rows.

        Raises
        ------
        ValueError
            For parameters out of range, rows that are not finite, and y without a labelled row.
        """
        self._check_parameters()
        self.X_ = validate_data(self, X, accept_sparse=SPARSE, dtype=[np.float64, np.float32])
        self.classes_, codes = class_codes(y, self.X_.shape[0])
        labeled = codes >= 0
        one_hot = (codes[:, None] == np.arange(len(self.classes_))).astype(np.float64)
        device = torch.device(self.device)
        affinity = self._affinity()
        with progress_bar(type(self).__name__, self.max_iter, self.verbose) as self._bar:
            scores = self._solve(
                affinity,
                torch.as_tensor(one_hot, dtype=affinity.diagonal.dtype, device=device),
                torch.as_tensor(labeled, device=device),
            )
        del self._bar
        self.label_distributions_ = self._distributions(scores.cpu().double().numpy(), labeled)
        self.transduction_ = self.classes_[self.label_distributions_.argmax(1)]
        return self

    def _check_parameters(self) -> None:
        kernels = ("rbf", "exponential", "knn")
        if not callable(self.kernel) and self.kernel not in kernels:
            raise ValueError(
                f"kernel={self.kernel!r}: choose one of {', '.join(kernels)}, or give a function "
                "of two sets of rows that returns their affinities"
            )
        check_whole("max_iter", self.max_iter, 1)
        check_whole("n_neighbors", self.n_neighbors, 1)
        check_number("tol", self.tol, zero=True)

    def _affinity(self) -> Affinity:
        """Make the affinities of the rows that were given to fit."""
        device, rows = torch.device(self.device), self.X_
        if self.kernel in ("rbf", "exponential"):
            dense = _dense(rows)
            metric = "sqeuclidean" if self.kernel == "rbf" else self.metric
            self.gamma_ = resolve_gamma(self.gamma, dense, metric)
            self._rows = KernelAffinity(torch.from_numpy(dense).to(device), metric, self.gamma_)
            return self._rows
        if self.kernel == "knn":
            self._neighbours = NearestNeighbors(n_neighbors=self.n_neighbors, n_jobs=self.n_jobs)
            matrix = self._neighbours.fit(rows).kneighbors_graph(rows, mode="connectivity")
            matrix = (matrix + matrix.T) / 2 if self._both_ways else matrix
        else:
            matrix = self.kernel(rows, rows)
        if matrix.shape != (rows.shape[0],) * 2:
            raise ValueError(
                f"kernel(X, X) has shape {matrix.shape}; give ({rows.shape[0]}, {rows.shape[0]}), "
                "the affinity of each row to each"
            )
        values = matrix.data if sparse.issparse(matrix) else np.asarray(matrix)
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError("kernel(X, X) holds NaN, infinity or negative values: give affinities")
        return MatrixAffinity(matrix, torch.float64, device)

    def _after_step(self) -> None:
        self._bar.update()

    def _refuse_one_way(self, affinity: Affinity) -> None:
        if not affinity.symmetric:
            raise ValueError(
                f"{type(self).__name__} by conjugate gradients needs symmetric affinities, and "
                f"those of kernel={self.kernel!r:.40} are not: make them so, (W + W.T) / 2 say, or "
                "choose solver='iteration' where there is one"
            )

    def _settled(self, f: Tensor, before: Tensor) -> bool:
        rounding = torch.finfo(f.dtype).eps * f.abs().sum()  # changes that are no changes
        return bool((f - before).abs().sum() < rounding.clamp(min=self.tol))

    def _warn_if_not(self, converged: bool) -> None:
        if not converged:
            warnings.warn(
                f"max_iter={self.max_iter} was reached without convergence.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _distributions(self, scores: np.ndarray, labeled: np.ndarray) -> np.ndarray:
        """Divide each row of scores by its sum; rows without have each class alike."""
        total = scores.sum(1, keepdims=True)
        lost = total[:, 0] <= 0
        if lost.any():
            by_gamma = self.kernel in ("rbf", "exponential")
            hint = f", gamma is {self.gamma_:.3g}" if by_gamma else ""
            warnings.warn(
                f"{lost.sum()} of the {(~labeled).sum()} unlabelled rows have no affinity, through "
                f"others or by themselves, to a labelled one{hint}: their classes are all as "
                "probable as each other. A smaller gamma (or 'knn'), or more n_neighbors, reaches "
                "farther",
                stacklevel=3,
            )
        even = 1 / scores.shape[1]
        distributions: np.ndarray = np.where(
            lost[:, None], even, scores / np.where(lost[:, None], 1.0, total)
        )
        return distributions

    def predict(self, X: Any) -> np.ndarray:
        """Give the most probable class of each row, (m,); see `predict_proba`."""
        probabilities = self.predict_proba(X)
        classes: np.ndarray = self.classes_[probabilities.argmax(1)]
        return classes

    def predict_proba(self, X: Any) -> np.ndarray:
        """Average the distributions of the rows of fit by their affinity to new rows.

        Parameters
        ----------
        X : array, DataFrame or sparse matrix, shape (m, D)
            Rows, of fit or others: those of fit need not get their labels back (`transduction_`).

        Returns
        -------
        ndarray, shape (m, C)
            Rows that are far from all get what the nearest have.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse=SPARSE, dtype=self.X_.dtype)
        distributions = self.label_distributions_
        if self.kernel in ("rbf", "exponential"):
            known = self._rows.rows
            v = torch.as_tensor(distributions, dtype=known.dtype, device=known.device)
            averages = self._rows.averages(torch.from_numpy(_dense(X)).to(known.device), v)
            found: np.ndarray = averages.cpu().double().numpy()
            return found / found.sum(1, keepdims=True)
        if self.kernel == "knn":
            nearest = self._neighbours.kneighbors(X, return_distance=False)
            return np.asarray(distributions[nearest].mean(1))
        sums = np.asarray(self.kernel(self.X_, X).T @ distributions)
        return self._distributions(sums, np.zeros(len(sums), dtype=bool))

    def __sklearn_tags__(self) -> Tags:
        """Say what the estimator takes."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _dense(rows: Any) -> np.ndarray:
    """Give rows as an array that torch takes: memory maps may be read-only."""
    return np.require(rows.toarray() if sparse.issparse(rows) else rows, requirements="W")
