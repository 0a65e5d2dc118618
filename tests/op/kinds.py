"""Kinds of real rows that products of rows, or floats, have a hard time with; also for make gpu."""

import numpy as np


def normal(rng, n, d):
    return rng.standard_normal((n, d))


def clusters(rng, n, d):
    centers = np.random.default_rng(d).standard_normal((4, d)) * 10.0 ** (d % 4)
    return centers[rng.integers(0, 4, n)] + rng.standard_normal((n, d))


def one_long_feature(rng, n, d):
    rows = rng.standard_normal((n, d))
    rows[:, d // 2] *= 1e5
    return rows


def far_from_the_origin(rng, n, d):
    return 1e4 + rng.standard_normal((n, d))


def positive(rng, n, d):
    return rng.random((n, d)) + 1


def with_an_outlier(rng, n, d):
    rows = rng.standard_normal((n, d))
    rows[0] *= 1e6
    return rows


KINDS = (normal, clusters, one_long_feature, far_from_the_origin, positive, with_an_outlier)
