"""Affinities of rows, as graph methods ask for them: by their products with columns of numbers.

`KernelAffinity` computes each product anew from the rows and stores no matrix; `MatrixAffinity`
holds a matrix that is sparse (nearest neighbours) or that a callable made.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from semideep_ext.op.functional import distance_weights, kernel_matmul

# Rows whose affinities to each other are computed as a matrix, which holds few numbers then.
LEAF = 64
# Up to so many rows the whole matrix is kept, 16 MiB in float32: a product then takes a fraction.
KEPT = 2048


class Affinity(Protocol):
    """The matrix W of affinities of n rows.

    Attributes
    ----------
    diagonal : Tensor, shape (n,)
        Affinity of each row to itself.
    symmetric : bool
    """

    diagonal: Tensor
    symmetric: bool

    def of_others(self, v: Tensor) -> Tensor:
        """Multiply W without its diagonal with v, (n, C)."""

    def in_degrees(self) -> Tensor:
        """Sum the columns without the diagonal, (n,)."""


class KernelAffinity:
    """exp(-gamma d) of all pairs of rows; of many, computed anew in each product, never stored."""

    symmetric = True

    def __init__(self, rows: Tensor, metric: Any, gamma: float) -> None:
        self.rows, self.metric, self.gamma = rows, metric, gamma
        self.diagonal = rows.new_ones(len(rows))
        self._kept = self._matrix(rows) if len(rows) <= KEPT else None

    def of_others(self, v: Tensor) -> Tensor:
        """Multiply W without its diagonal with v, (n, C).

        The diagonal cannot be taken off afterwards: 1 + 1e-18 is 1. So each half of the rows is
        multiplied with the other, and with itself likewise: as many pairs as at once.
        """
        return self._within(self.rows, v) if self._kept is None else self._kept @ v

    def _within(self, rows: Tensor, v: Tensor) -> Tensor:
        if len(rows) <= LEAF:
            return self._matrix(rows) @ v
        half = len(rows) // 2
        (a, b), (v_a, v_b) = rows.tensor_split([half]), v.tensor_split([half])
        return torch.cat(
            [
                self._within(a, v_a) + self._between(a, b, v_b),
                self._within(b, v_b) + self._between(b, a, v_a),
            ]
        )

    def _matrix(self, rows: Tensor) -> Tensor:
        """Give the affinities of rows to each other, 0 to themselves, (n, n)."""
        # The mean over one row, of each in a batch, is the affinity to that row.
        matrix: Tensor = distance_weights(rows, rows[:, None], self.metric, self.gamma)
        return matrix.fill_diagonal_(0)

    def in_degrees(self) -> Tensor:
        """Sum the columns without the diagonal, (n,)."""
        return self.of_others(self.diagonal[:, None])[:, 0]

    def _between(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        product: Tensor = kernel_matmul(x, y, v, self.metric, self.gamma)
        return product

    def averages(self, rows: Tensor, v: Tensor) -> Tensor:
        """Average v, (n, C), by the affinity of other rows, (m, D), to these: (m, C).

        Where all affinities of a row are 0, as it is too far away, the sums are taken in the log
        domain, in double: its average goes by the nearest rows then.
        """
        sums = self._between(rows, self.rows, torch.cat([v, torch.ones_like(v[:, :1])], 1))
        total = sums[:, -1:]
        far = total[:, 0] <= torch.finfo(sums.dtype).tiny
        averages = sums[:, :-1] / total.masked_fill(far[:, None], 1.0)
        if far.any():
            low = v.amin(0)  # logs are of what is positive
            logs = torch.stack([self._log_sums(rows[far], c) for c in (v - low).T], 1)
            total_log = self._log_sums(rows[far], torch.ones_like(v[:, 0]))
            averages[far] = (logs - total_log[:, None]).exp().to(v.dtype) + low
        return averages

    def _log_sums(self, rows: Tensor, column: Tensor) -> Tensor:
        """Log of the sums over the rows where the column is not 0."""
        rows, column = rows.double(), column.double()
        log_sums, used = torch.full_like(rows[:, 0], -torch.inf), column.nonzero()[:, 0]
        for part in used.split(4096) if len(used) else ():  # rows in double at once
            log_mean = distance_weights(
                rows,
                self.rows[part].double(),
                self.metric,
                self.gamma,
                y_weight=column[part],
                log=True,
            )
            log_sums = torch.logaddexp(log_sums, log_mean + column[part].sum().log())
        return log_sums


class MatrixAffinity:
    """A matrix, dense or sparse, as torch holds it."""

    def __init__(self, matrix: Any, dtype: torch.dtype, device: torch.device) -> None:
        given: Any = sparse.coo_array(matrix) if sparse.issparse(matrix) else np.array(matrix)
        self.symmetric = bool(abs(given - given.T).max() == 0)
        self.diagonal = torch.as_tensor(given.diagonal().copy(), dtype=dtype, device=device)
        if sparse.issparse(given):
            given.setdiag(0)
            index = torch.as_tensor(np.stack(given.coords), dtype=torch.int64)
            values = torch.as_tensor(given.data, dtype=dtype)
            listed = torch.sparse_coo_tensor(index, values, given.shape, check_invariants=True)
            self.matrix = listed.coalesce().to(device)
        else:
            np.fill_diagonal(given, 0)
            self.matrix = torch.as_tensor(given, dtype=dtype, device=device)

    def of_others(self, v: Tensor) -> Tensor:
        """Multiply W without its diagonal with v, (n, C)."""
        return self.matrix @ v

    def in_degrees(self) -> Tensor:
        """Sum the columns without the diagonal, (n,)."""
        sums = self.matrix.sum(0)
        return sums.to_dense() if sums.is_sparse else sums


class Normalized:
    r"""S = D^{-1/2} W D^{-1/2}, of Zhou et al. (2004), with the diagonals of W and S 0.

    Attributes
    ----------
    degrees : Tensor, shape (n,)
        D, sums of the columns of W.
    scale : Tensor, shape (n,)
        1 / sqrt(degrees); 1 for rows with no affinity to another.
    """

    def __init__(self, affinity: Affinity) -> None:
        self._affinity = affinity
        self.degrees = affinity.in_degrees()
        self.scale = torch.where(self.degrees > 0, self.degrees, 1.0).rsqrt()

    def __matmul__(self, v: Tensor) -> Tensor:
        """Multiply with v, (n, C)."""
        scale = self.scale[:, None]
        return scale * self._affinity.of_others(scale * v)
