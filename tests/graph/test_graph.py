"""Promises of the graph methods: the answers of dense matrices, without one; never NaN."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn import semi_supervised
from sklearn.datasets import load_digits, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel
from sklearn.utils.estimator_checks import parametrize_with_checks

from semideep_ext.graph import LabelPropagation, LabelSpreading, LaplaceLearning, PoissonLearning
from semideep_ext.graph.affinity import LEAF, KernelAffinity, MatrixAffinity, Normalized
from semideep_ext.graph.bandwidth import resolve_gamma

ALL = [LabelPropagation, LabelSpreading, LaplaceLearning, PoissonLearning]
PAIRS = [
    (LabelPropagation, semi_supervised.LabelPropagation),
    (LabelSpreading, semi_supervised.LabelSpreading),
]


def half_labelled(n=200, d=5, classes=3, seed=0, share=0.2):
    """Rows around a centre for each class, a share of them labelled."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    X = rng.normal(size=(classes, d))[y] * 2 + rng.normal(size=(n, d))
    return X, np.where(rng.random(n) < share, y, -1), y


def dense(X, gamma):
    """Affinities without their diagonal, in NumPy."""
    W = np.exp(-gamma * ((X[:, None] - X[None]) ** 2).sum(-1))
    np.fill_diagonal(W, 0)
    return W


@pytest.mark.parametrize("kernel", ["rbf", "knn", rbf_kernel, "sparse"])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("seed", [0, 1])
def test_values_are_those_of_scikit_learn(ours, theirs, kernel, seed):
    X, y, _ = half_labelled(seed=seed)
    if kernel == "sparse":

        def kernel(a, b):
            return sparse.csr_array(np.where((k := rbf_kernel(a, b, gamma=0.2)) > 0.05, k, 0))

    options = {"kernel": kernel, "tol": 1e-10, "max_iter": 3000}
    gamma = {"gamma": 0.3} if kernel == "rbf" else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of rows that no neighbour reaches
        a, b = (cls(**options, **gamma).fit(X, y) for cls in (ours, theirs))
    reached = b.label_distributions_.sum(1) > 0
    assert reached.mean() > 0.9
    np.testing.assert_allclose(
        a.label_distributions_[reached], b.label_distributions_[reached], atol=1e-6
    )
    assert a.n_iter_ == b.n_iter_
    np.testing.assert_array_equal(a.transduction_[reached], b.transduction_[reached])
    new = X[:20] + 0.1
    np.testing.assert_allclose(a.predict_proba(new), b.predict_proba(new), atol=1e-6)


def test_the_default_iteration_is_that_of_scikit_learn():
    X, y, _ = half_labelled()
    for ours, theirs in PAIRS:
        a, b = ours(gamma=0.3).fit(X, y), theirs(gamma=0.3).fit(X, y)
        assert a.n_iter_ == b.n_iter_
        np.testing.assert_allclose(a.label_distributions_, b.label_distributions_, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, LEAF, LEAF + 1, 5 * LEAF + 3])
@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("kept", [0, 2048])
def test_products_leave_the_diagonal_out(n, metric, kept, monkeypatch):
    from semideep_ext import kernel_matmul

    rows = torch.rand(n, 4, dtype=torch.float64)
    monkeypatch.setattr("semideep_ext.graph.affinity.KEPT", kept)
    affinity = KernelAffinity(rows, metric, 2.0)
    v = torch.rand(n, 3, dtype=torch.float64)
    W = kernel_matmul(rows, rows, torch.eye(n, dtype=torch.float64), metric, 2.0)
    W.fill_diagonal_(0)
    torch.testing.assert_close(affinity.of_others(v), W @ v)
    torch.testing.assert_close(affinity.in_degrees(), W.sum(0))


@pytest.mark.parametrize("kept", [0, 2048])
def test_affinities_far_below_one_count(kept, monkeypatch):
    monkeypatch.setattr("semideep_ext.graph.affinity.KEPT", kept)
    # exp(-40) beside the affinity of 1 of a row to itself: it would vanish in a sum of both.
    X, y = [[0.0], [np.sqrt(2)], [np.sqrt(2) + 1e3]], [0, -1, 1]
    for method in (LabelPropagation, LabelSpreading, LaplaceLearning):
        assert method(gamma=20.0).fit(X, y).label_distributions_[1, 0] > 0.99


@pytest.mark.parametrize("method", [LaplaceLearning, PoissonLearning])
@pytest.mark.parametrize("seed", [0, 1])
def test_values_are_those_of_dense_equations(method, seed):
    X, y, _ = half_labelled(seed=seed)
    labeled, Y = y >= 0, np.eye(3)[y] * (y >= 0)[:, None]
    W = dense(X, 0.3)
    L = np.diag(W.sum(1)) - W
    model = method(gamma=0.3, tol=1e-12).fit(X, y)
    if method is LaplaceLearning:
        expected = Y.copy()
        within, across = L[~labeled][:, ~labeled], W[~labeled][:, labeled]
        expected[~labeled] = np.linalg.solve(within, across @ Y[labeled])
        np.testing.assert_allclose(model.label_distributions_, expected, atol=1e-9)
        return
    source = np.where(labeled[:, None], Y - Y[labeled].mean(0), 0)
    loss = np.finfo(float).eps ** 0.5
    U = np.linalg.solve(np.diag(W.sum(1)) - (1 - loss) * W, source)
    U -= (W.sum(1) @ U) / W.sum()
    np.testing.assert_allclose(model.scores_, U, atol=1e-6)
    e = np.exp(U / np.sqrt((U**2).mean()))
    np.testing.assert_allclose(model.label_distributions_, e / e.sum(1, keepdims=True), atol=1e-6)


def test_propagation_tends_to_laplace_learning():
    X, y, _ = half_labelled()
    limit = LaplaceLearning(gamma=0.3, tol=1e-12).fit(X, y).label_distributions_
    near = LabelPropagation(gamma=0.3, tol=1e-11, max_iter=5000).fit(X, y).label_distributions_
    np.testing.assert_allclose(near, limit, atol=1e-9)


@pytest.mark.parametrize("alpha", [0.2, 0.9, 0.99])
def test_conjugate_gradients_give_what_iterating_gives(alpha):
    X, y, _ = half_labelled()
    options = {"gamma": 0.3, "alpha": alpha, "tol": 1e-10, "max_iter": 10_000}
    a, b = (LabelSpreading(solver=s, **options).fit(X, y) for s in ("iteration", "cg"))
    np.testing.assert_allclose(a.label_distributions_, b.label_distributions_, atol=1e-9)
    assert b.n_iter_ < a.n_iter_


@pytest.mark.filterwarnings("ignore:max_iter=2000 was reached")  # propagation is slow there
@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("kernel", ["rbf", "exponential", "knn"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moons_with_few_labels(method, kernel, dtype):
    X, y = make_moons(300, noise=0.07, random_state=0)
    half = np.full_like(y, -1)
    for k in (0, 1):
        half[np.flatnonzero(y == k)[:5]] = k
    options = {"alpha": 0.99} if method is LabelSpreading else {}
    model = method(kernel, n_neighbors=15, max_iter=2000, **options).fit(X.astype(dtype), half)
    assert (model.transduction_ == y).mean() > 0.95
    assert (model.predict(X.astype(dtype)) == y).mean() > 0.95
    assert model.label_distributions_.shape == (300, 2)
    np.testing.assert_allclose(model.label_distributions_.sum(1), 1, rtol=1e-5)


def test_the_bandwidth_fits_the_data_and_their_units():
    X, y = load_digits(return_X_y=True)
    half = np.where(np.arange(len(y)) < 200, y, -1)
    raw, scaled = (LabelSpreading().fit(rows, half) for rows in (X, X / 16))
    assert scaled.gamma_ == pytest.approx(256 * raw.gamma_)
    accuracy = (raw.transduction_ == y)[200:].mean()
    assert accuracy > 0.85 and (raw.transduction_ == scaled.transduction_).mean() > 0.99
    with pytest.warns(UserWarning, match=r"1597 of the 1597 unlabelled rows have no affinity.*20"):
        lost = LabelSpreading(gamma=20).fit(X, half)
    assert np.isfinite(lost.label_distributions_).all()
    np.testing.assert_allclose(lost.label_distributions_[200:], 0.1)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "hamming", "jaccard"])
def test_gamma_of_neighbours_and_of_the_median(metric):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (300, 40)).astype(float)
    distances = np.sort(_distances(X, metric), 1)
    assert resolve_gamma("knn", X, metric) == pytest.approx(6 / np.median(distances[:, 7]))
    off = _distances(X, metric)[~np.eye(300, dtype=bool)]
    assert resolve_gamma("median", X, metric) == pytest.approx(1 / np.median(off))


def _distances(X, metric):
    from scipy.spatial.distance import cdist

    return cdist(X.astype(bool) if metric == "jaccard" else X, X, metric)


def test_gamma_of_equal_rows():
    assert resolve_gamma("knn", np.ones((10, 2)), "euclidean") == 1.0
    mostly = np.r_[np.zeros((30, 1)), [[1.0]], [[3.0]]]
    assert np.isfinite(resolve_gamma("knn", mostly, "sqeuclidean"))


def test_rows_that_no_label_reaches_are_told_and_are_uniform():
    X = np.r_[np.arange(5.0), 1e3 + np.arange(5.0)][:, None]
    y = np.array([0, -1, -1, -1, 1, -1, -1, -1, -1, -1])
    for method in ALL:
        with pytest.warns(UserWarning, match="5 of the 8 unlabelled rows have no affinity"):
            model = method(gamma=1.0).fit(X, y)
        np.testing.assert_array_equal(model.label_distributions_[5:], 0.5)
        assert np.isfinite(model.label_distributions_).all()


@pytest.mark.parametrize("method", [LaplaceLearning, PoissonLearning])
def test_two_components_with_a_class_each(method):
    X = np.r_[np.arange(8.0), 1e3 + np.arange(8.0)][:, None]
    y = np.full(16, -1)
    y[[0, 5]], y[8] = 0, 1
    model = method("knn", n_neighbors=3).fit(X, y)
    np.testing.assert_array_equal(model.transduction_, np.repeat([0, 1], 8))
    assert np.isfinite(model.label_distributions_).all()


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_new_rows_far_away_go_by_the_nearest(method, dtype):
    X = np.array([[0.0], [1.0], [5.0], [6.0]], dtype)
    model = method(gamma=1.0).fit(X, ["a", "a", "b", "b"])
    far = np.array([[-400.0], [1e4], [0.4]], dtype)
    probabilities = model.predict_proba(far)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(model.predict(far), ["a", "b", "a"])


def test_labels_may_be_text_and_missing():
    X = np.array([[0.0], [1.0], [5.0], [6.0]])
    for y in (["a", None, None, "b"], pd.Series(["a", pd.NA, pd.NA, "b"])):
        model = LabelSpreading(gamma=1.0).fit(pd.DataFrame(X, columns=["c"]), y)
        assert model.transduction_.tolist() == ["a", "a", "b", "b"]
        assert model.feature_names_in_.tolist() == ["c"]


def test_laplacian_kernel_by_a_metric_or_a_callable():
    X, y, _ = half_labelled()
    by_name = LabelSpreading("exponential", metric="euclidean", gamma=0.5).fit(X, y)

    def exponential(a, b):
        return np.exp(-0.5 * np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1)))

    by_call = LabelSpreading(exponential).fit(X, y)
    np.testing.assert_allclose(
        by_name.label_distributions_, by_call.label_distributions_, atol=1e-12
    )
    assert LabelSpreading(laplacian_kernel).fit(X, y).n_iter_ < 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "linear"}, "choose one of rbf, exponential, knn"),
        ({"gamma": 0}, "gamma=0: give a number > 0, 'knn' or 'median'"),
        ({"gamma": "scale"}, "gamma='scale'"),
        ({"alpha": 1.0}, "alpha=1.0: give a number between 0 and 1"),
        ({"solver": "lu"}, "choose 'iteration' or 'cg'"),
        ({"max_iter": 0}, "max_iter"),
        ({"tol": -1}, "tol"),
        ({"kernel": "knn", "solver": "cg"}, "needs symmetric affinities"),
        ({"kernel": lambda a, b: np.ones(3)}, r"has shape \(3,\); give \(200, 200\)"),
        ({"kernel": lambda a, b: np.full((len(a), len(b)), np.nan)}, "NaN, infinity or negative"),
        ({"kernel": lambda a, b: -np.ones((len(a), len(b)))}, "NaN, infinity or negative"),
        ({"kernel": "exponential", "metric": torch.cdist}, "gamma='knn' is for metrics by name"),
    ],
)
def test_bad_parameters_name_what_to_change(options, message):
    X, y, _ = half_labelled()
    with pytest.raises(ValueError, match=message):
        LabelSpreading(**options).fit(X, y)


def test_bad_labels_are_refused():
    X, y, _ = half_labelled()
    with pytest.raises(ValueError, match="marks all of its 200 rows"):
        LabelPropagation().fit(X, np.full(200, -1))
    with pytest.raises(ValueError, match="X has 200 rows and y 100"):
        LabelPropagation().fit(X, y[:100])


@pytest.mark.parametrize("method", ALL)
def test_unlabelled_rows_do_not_count_in_scores(method):
    X, y, _ = half_labelled()
    model = method(gamma=0.3).fit(X, y)
    known = y >= 0
    assert model.score(X, y) == (model.predict(X[known]) == y[known]).mean() > 0.5


def test_convergence_is_told(capsys):
    X, y, _ = half_labelled()
    for method in ALL:
        with pytest.warns(ConvergenceWarning, match="max_iter=1 was reached"):
            model = method(gamma=0.3, max_iter=1, verbose=True).fit(X, y)
        assert model.n_iter_ == 1
        assert method.__name__ in capsys.readouterr().err


def test_a_matrix_is_sparse_or_dense():
    W = np.array([[1.0, 0.5], [0.25, 2.0]])
    for matrix in (W, sparse.csr_array(W), sparse.csr_matrix(W)):
        affinity = MatrixAffinity(matrix, torch.float64, torch.device("cpu"))
        assert not affinity.symmetric and affinity.diagonal.tolist() == [1.0, 2.0]
        assert affinity.in_degrees().tolist() == [0.25, 0.5]
        product = Normalized(affinity) @ torch.eye(2, dtype=torch.float64)
        np.testing.assert_allclose(product, [[0, 0.5 * 8**0.5], [0.25 * 8**0.5, 0]])


MEMORY = """
import resource, warnings
import numpy as np
warnings.simplefilter("ignore")  # that three iterations are few
from semideep_ext.graph import LabelSpreading
rng = np.random.default_rng(0)
def rows(n):
    y = np.where(np.arange(n) < n // 10, np.arange(n) % 5, -1)
    return rng.normal(size=(n, 20)).astype(np.float32), y
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
LabelSpreading(max_iter=3).fit(*rows(500))
X, y = rows(8000)
before = peak()
LabelSpreading(max_iter=3).fit(X, y)
print(peak() - before)
"""


def test_memory_is_not_that_of_the_matrix(run_python):
    done = run_python(MEMORY, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 100  # 8000 x 8000 floats are 244 MiB


@parametrize_with_checks([method(gamma=1.0) for method in ALL])
def test_scikit_learns_checks(estimator, check):
    check(estimator)
