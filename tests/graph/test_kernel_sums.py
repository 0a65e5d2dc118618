"""Promises of kernel regression, density and MMD: the sums of their formulas, far away, too."""

import importlib.util

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn import neighbors
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors._ball_tree import kernel_norm

from semideep_ext.graph import KernelDensity, kernel_regression, mmd


def their_tests():
    """Load scikit-learn's tests of KernelDensity anew, with our class in place of theirs."""
    spec = importlib.util.find_spec("sklearn.neighbors.tests.test_kde")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.KernelDensity is neighbors.KernelDensity
    module.KernelDensity = KernelDensity
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


THEIRS = their_tests()
globals().update(THEIRS)


def test_none_of_scikit_learns_is_missing():
    assert len(THEIRS) >= 9


@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
@pytest.mark.parametrize("d", [1, 3, 50])
@pytest.mark.parametrize("weighted", [False, True])
def test_densities_are_those_of_scikit_learn(kernel, d, weighted):
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(300, d)), rng.normal(size=(40, d)) * 3
    w = rng.random(300) if weighted else None
    options = {"kernel": kernel, "bandwidth": 0.7}
    ours, theirs = (
        cls(**options).fit(X, sample_weight=w).score_samples(new)
        for cls in (KernelDensity, neighbors.KernelDensity)
    )
    u = cdist(new, X) / 0.7
    log_k = -u if kernel == "exponential" else -(u**2) / 2
    norm = np.log(kernel_norm(0.7, d, kernel))
    expected = norm + logsumexp(log_k, axis=1, b=np.ones(300) / 300 if w is None else w / w.sum())
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    if d < 50:  # where the bounds of scikit-learn's tree lose nothing: of 50 its scores are off
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_far_rows_have_a_finite_log_density():
    model = KernelDensity(bandwidth=0.1).fit(np.zeros((3, 2)))
    assert np.isfinite(model.score_samples(np.full((1, 2), 1e5))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_regression_is_the_ratio_of_sums(dtype):
    rng = np.random.default_rng(0)
    x, X = (rng.normal(size=(n, 3)).astype(dtype) for n in (30, 80))
    y = rng.normal(size=(80, 2))
    k = rbf_kernel(x.astype(float), X.astype(float), gamma=0.5)
    expected = k @ y / k.sum(1, keepdims=True)
    found = kernel_regression(x, X, y, "sqeuclidean", 0.5)
    np.testing.assert_allclose(found, expected, atol=1e-5 if dtype == np.float32 else 1e-12)
    one = kernel_regression(torch.from_numpy(x), torch.from_numpy(X), y[:, 0], "sqeuclidean", 0.5)
    torch.testing.assert_close(one, torch.from_numpy(found[:, 0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_regression_of_far_rows_goes_by_the_nearest(dtype):
    X, y = np.array([[0.0], [1.0], [2.0]], dtype), np.array([-5.0, 0.0, 7.0])
    found = kernel_regression(np.array([[-1e4], [1e4]], dtype), X, y, "sqeuclidean", 1.0)
    np.testing.assert_allclose(found, [-5, 7])
    constant = kernel_regression(np.array([[1e4]], dtype), X, np.full(3, 4.0), "sqeuclidean", 1.0)
    np.testing.assert_allclose(constant, [4])


def test_kernel_regression_refuses_targets_of_other_rows():
    with pytest.raises(ValueError, match="y has 2 rows and X 3"):
        kernel_regression(np.zeros((1, 1)), np.zeros((3, 1)), np.zeros(2), lambda_=1.0)


@pytest.mark.parametrize("unbiased", [True, False])
def test_mmd_is_its_formula(unbiased):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(40, 2)) + 0.5
    within = []
    for rows in (x, y):
        k = rbf_kernel(rows, gamma=0.3)
        within.append(k[~np.eye(len(k), dtype=bool)].mean() if unbiased else k.mean())
    expected = sum(within) - 2 * rbf_kernel(x, y, gamma=0.3).mean()
    assert mmd(x, y, lambda_=0.3, unbiased=unbiased) == pytest.approx(expected)


def test_mmd_has_a_gradient_and_refuses_single_rows():
    x = torch.randn(5, 2, requires_grad=True)
    mmd(x, torch.zeros(4, 2), lambda_=0.3).backward()
    assert x.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="x has 5 rows and y 1"):
        mmd(x, torch.zeros(1, 2), lambda_=0.3)
