"""Filters keep the rows that they say they keep, and are counted."""

import numpy as np
import pytest

from semideep_ext import distance_weights
from semideep_ext.ssl.filters import (
    ConfidenceFilter,
    DomainFilter,
    Pool,
    apply_filters,
    make_filters,
)

LABELED = np.array([[0.0, 0.0], [1.0, 0.0]])
UNLABELED = np.array([[0.5, 0.0], [50.0, 0.0], [0.0, 0.5], [9.0, 9.0], [5000.0, 0.0]])
P = np.array([[0.95, 0.05], [0.5, 0.5], [0.2, 0.8], [0.01, 0.99], [0.949, 0.051]])
POOL = Pool(lambda: LABELED, lambda: UNLABELED, lambda: P)


def test_confidence_keeps_rows_that_are_sure():
    assert ConfidenceFilter()(POOL).tolist() == [True, False, False, True, False]
    assert ConfidenceFilter(0.8)(POOL).tolist() == [True, False, True, True, True]
    with pytest.raises(ValueError, match=r"threshold=2"):
        ConfidenceFilter(2)


def test_domain_keeps_the_rows_near_the_labelled_ones():
    assert DomainFilter(0.4)(POOL).tolist() == [True, False, True, False, False]
    assert DomainFilter(0.6)(POOL).tolist() == [True, False, True, True, False]
    assert DomainFilter(1.0)(POOL).all()


def test_domain_is_the_weights_with_the_roles_swapped(generator):
    rng = np.random.default_rng(generator.initial_seed())
    labeled, unlabeled = rng.normal(size=(20, 3)), rng.normal(size=(50, 3))
    w = distance_weights(unlabeled, labeled, "euclidean", 0.7)
    mask = DomainFilter(0.5, lambda_=0.7)(Pool(lambda: labeled, lambda: unlabeled, lambda: P))
    assert mask.sum() == 25
    assert w[mask].min() > w[~mask].max()


def test_domain_orders_rows_whose_weights_underflow():
    far = UNLABELED * 1e4
    mask = DomainFilter(0.4, lambda_=1.0)(Pool(lambda: LABELED, lambda: far, lambda: P))
    assert mask.tolist() == [True, False, True, False, False]


def test_a_filter_that_is_given_to_another_trainer_judges_its_rows():
    domain = DomainFilter(0.4)
    domain(POOL)
    turned = UNLABELED[::-1]
    mask = domain(Pool(lambda: LABELED, lambda: turned, lambda: P))
    assert mask.tolist() == [False, False, True, False, True]


def test_domain_is_computed_once():
    domain, reads = DomainFilter(0.4), []
    pool = Pool(lambda: LABELED, lambda: (reads.append(1), UNLABELED)[1], lambda: P)
    domain(pool)
    domain(pool)
    assert len(reads) == 1


def test_filters_by_name_and_of_ones_own_are_joined_and_counted():
    def even(pool):
        return np.arange(5) % 2 == 0

    filters = make_filters(["confidence", DomainFilter(0.6), even])
    mask, counts = apply_filters(filters, POOL, 5)
    assert counts == {"confidence": 2, "domain": 3, "even": 3}
    assert mask.tolist() == [True, False, False, False, False]
    assert [type(f) for f in make_filters("domain")] == [DomainFilter]
    assert make_filters(()) == []
    assert make_filters(even) == [even]


@pytest.mark.parametrize("bad", ["nearness", [ConfidenceFilter], 3])
def test_what_is_no_filter_is_refused(bad):
    with pytest.raises(ValueError, match="choose from confidence, domain"):
        make_filters(bad)


def test_a_filter_that_gives_no_mask_is_refused():
    with pytest.raises(ValueError, match=r"of shape \(3,\); allowed is a mask of the 5"):
        apply_filters([lambda pool: np.ones(3, dtype=bool)], POOL, 5)
