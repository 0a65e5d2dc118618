"""Which unlabelled rows take part in an epoch: `confidence` and `domain`.

A filter is called before each epoch with what there is to judge by (`Pool`), and gives a mask of
the unlabelled rows. Any callable that does so will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semideep_ext.op.functional import distance_weights
from semideep_ext.weighting.scales import resolve_lambda


@dataclass(frozen=True)
class Pool:
    """What a filter may judge by.

    Attributes
    ----------
    labeled, unlabeled : callable
        Give all rows, (N, D) and (U, D), as arrays; read when asked for.
    probabilities : callable
        Gives the model's probabilities for the unlabelled rows, (U, K), in evaluation mode.
    """

    labeled: Callable[[], np.ndarray]
    unlabeled: Callable[[], np.ndarray]
    probabilities: Callable[[], np.ndarray]


Filter = Callable[[Pool], np.ndarray]


class ConfidenceFilter:
    """Keep unlabelled rows whose largest predicted probability is at least `threshold`.

    Parameters
    ----------
    threshold : float, default 0.95
    """

    name = "confidence"

    def __init__(self, threshold: float = 0.95) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold={threshold!r}: give a probability from 0 to 1")
        self.threshold = threshold

    def __call__(self, pool: Pool) -> np.ndarray:
        """Give a mask of the unlabelled rows, (U,)."""
        return np.asarray(pool.probabilities().max(1) >= self.threshold)


class DomainFilter:
    r"""Keep the unlabelled rows that lie nearest to the labelled ones.

    .. math:: w_j = \frac{1}{N} \sum_i \exp(-\lambda \, d(u_j, x_i))

    the weights of the trainer with the roles swapped. Rows do not move, so that this is computed
    once for a pool.

    Parameters
    ----------
    share : float, default 0.8
        Of the unlabelled rows, those of largest weight, rounded up.
    metric : str or callable, default "euclidean"
    lambda_ : float or "median", default "median"
    """

    name = "domain"

    def __init__(
        self, share: float = 0.8, metric: Any = "euclidean", lambda_: float | str = "median"
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share={share!r}: give a share of the rows, above 0 and up to 1")
        self.share, self.metric, self.lambda_ = share, metric, lambda_
        self._pool: Pool | None = None

    def __call__(self, pool: Pool) -> np.ndarray:
        """Give a mask of the unlabelled rows, (U,)."""
        if self._pool is not pool:
            log_w = self.log_weights(pool.unlabeled(), pool.labeled())
            kept = np.ceil(self.share * len(log_w)).astype(int)
            self._mask = np.zeros(len(log_w), dtype=bool)
            # Among equal weights the first rows are kept, so that their number is what was asked.
            self._mask[np.argsort(-log_w, kind="stable")[:kept]] = True
            self._pool = pool
        return self._mask

    def log_weights(self, unlabeled: np.ndarray, labeled: np.ndarray) -> np.ndarray:
        """Give the logarithms of the weights, which far rows underflow without, (U,)."""
        lambda_ = resolve_lambda(self.lambda_, unlabeled, labeled, self.metric)
        log_w: np.ndarray = distance_weights(unlabeled, labeled, self.metric, lambda_, log=True)
        return log_w


FILTERS: dict[str, type[ConfidenceFilter] | type[DomainFilter]] = {
    "confidence": ConfidenceFilter,
    "domain": DomainFilter,
}


def make_filters(filters: Any) -> list[Any]:
    """Give filters by name, or as they are.

    Raises
    ------
    ValueError
        For an unknown name, or what is no callable.
    """
    given: Iterable[Any] = filters if isinstance(filters, Sequence) else [filters]
    given = [filters] if isinstance(filters, str) else given
    made = []
    for item in given:
        if isinstance(item, str) and item in FILTERS:
            item = FILTERS[item]()
        if not callable(item) or isinstance(item, type):
            raise ValueError(
                f"unlabeled_filter={item!r}: choose from {', '.join(FILTERS)}, or give an object "
                "such as ConfidenceFilter(0.9), or a function of a Pool that gives a mask"
            )
        made.append(item)
    return made


def apply_filters(filters: Sequence[Any], pool: Pool, n: int) -> tuple[np.ndarray, dict[str, int]]:
    """Give a mask of the rows that pass all filters, (n,), and how many each keeps, by name.

    Raises
    ------
    ValueError
        If a filter gives no mask of n rows.
    """
    mask, counts = np.ones(n, dtype=bool), {}
    for item in filters:
        own = np.asarray(item(pool))
        name = getattr(item, "name", getattr(item, "__name__", type(item).__name__))
        if own.shape != (n,) or own.dtype != bool:
            raise ValueError(
                f"the filter {name} gave {own.dtype} of shape {own.shape}; allowed is a mask of "
                f"the {n} unlabelled rows, bool of shape ({n},)"
            )
        counts[name] = int(own.sum())
        mask &= own
    return mask, counts
