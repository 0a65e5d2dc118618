"""Promises of semideep_ext.weighting.weights: weights that can be learned, kept and trusted."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from semideep_ext.op.functional import distance_weights
from semideep_ext.op.metrics import KERNELS
from semideep_ext.weighting.diagnostics import (
    WeightsWarning,
    check_weights,
    diagnose_weights,
    warn_if_degenerate,
)
from semideep_ext.weighting.weights import DistanceWeights, WeightComputer


@pytest.fixture
def rows():
    generator = np.random.default_rng(0)
    return generator.normal(size=(20, 3)), generator.normal(size=(15, 3))


@pytest.fixture
def computer(rows):
    computer = WeightComputer()
    computer.compute_weights(*rows)
    return computer


def npy_header(text):
    """A .npy file of format 1.0 with that header and no data."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


# Diagnostics


def test_equal_weights_are_worth_all_their_rows():
    assert diagnose_weights(np.full(50, 0.3)).effective_sample_size == pytest.approx(50)


def test_one_weight_among_zeros_is_worth_one_row():
    assert diagnose_weights([0, 0, 5.0, 0]).effective_sample_size == pytest.approx(1)


def test_effective_sample_size_of_tiny_weights_does_not_underflow():
    assert diagnose_weights(np.full(10, 1e-200)).effective_sample_size == pytest.approx(10)


def test_all_zero_weights_are_worth_no_row():
    assert diagnose_weights(np.zeros(3)).effective_sample_size == 0


def test_summary_holds_count_and_extremes():
    d = diagnose_weights([1.0, 2.0, 6.0])
    assert (d.n, d.min, d.max, d.mean) == (3, 1.0, 6.0, 3.0)


@pytest.mark.parametrize(("n", "largest"), [(10, 1), (99, 1), (200, 2)])
def test_top_share_is_that_of_the_largest_percent_and_at_least_one(n, largest):
    w = np.ones(n)
    w[:5] = 3.0
    assert diagnose_weights(w).top_share == pytest.approx(3.0 * largest / w.sum())


def test_no_weights_are_no_problem():
    assert diagnose_weights([]).problems == ()


def test_healthy_weights_raise_no_warning(recwarn, rows):
    warn_if_degenerate(distance_weights(*rows))
    assert not recwarn


@pytest.mark.parametrize(
    ("metric", "advice"),
    [("hamming", "bin or round"), ("jaccard", "binarise"), ("euclidean", "larger lambda_")],
)
def test_constant_weights_warn_with_advice_for_the_metric(metric, advice):
    with pytest.warns(WeightsWarning, match=advice):
        warn_if_degenerate(np.full(9, 0.4), metric)


def test_hamming_on_continuous_columns_warns(rows):
    with pytest.warns(WeightsWarning, match="continuous"):
        WeightComputer("hamming").compute_weights(*rows)


def test_underflowed_weights_warn_and_name_the_logarithm(rows):
    x, y = rows
    with pytest.warns(WeightsWarning, match=r"20 of 20 .*smaller lambda_.*log=True"):
        WeightComputer().compute_weights(x + 1e6, y)


def test_weights_lost_in_float32_count_as_underflow():
    assert diagnose_weights([1e-45, 1.0]).problems == ("underflow",)


# DistanceWeights


def test_module_equals_the_function(rows):
    x, y = map(torch.from_numpy, rows)
    torch.testing.assert_close(
        DistanceWeights("cosine", 1.7)(x, y), distance_weights(x, y, "cosine", 1.7)
    )


def test_module_passes_kernel_and_eps_on(rows):
    x, _ = map(torch.from_numpy, rows)
    module = DistanceWeights(kernel="inverse", eps=0.5)
    torch.testing.assert_close(module(x[:1], x[:1]), torch.tensor([2.0]).double())


def test_module_passes_y_weight_on(rows):
    x, y = map(torch.from_numpy, rows)
    only_first = torch.zeros(len(y), dtype=torch.float64)
    only_first[0] = 1.0
    torch.testing.assert_close(DistanceWeights()(x, y, only_first), DistanceWeights()(x, y[:1]))


@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_to_x_y_and_lambda_agree_with_finite_differences(rows, normalize):
    x, y = (torch.from_numpy(a[:4]).requires_grad_() for a in rows)
    module = DistanceWeights(learnable=True, normalize=normalize)

    def weights(x, y, log_lambda):
        parameters = {"log_lambda": log_lambda}
        return torch.func.functional_call(module, parameters, (x, y))

    assert torch.autograd.gradcheck(weights, (x, y, module.log_lambda))


def test_learnable_lambda_stays_positive_under_any_step():
    module = DistanceWeights(lambda_=0.1, learnable=True)
    with torch.no_grad():
        module.log_lambda -= 20
    assert module.lambda_ > 0


def test_lambda_is_given_back_exactly_in_float32():
    assert DistanceWeights(lambda_=0.8).lambda_.float() == torch.tensor(0.8)


def test_fixed_lambda_is_no_parameter():
    assert not list(DistanceWeights().parameters())


@pytest.mark.parametrize("learnable", [False, True])
def test_state_dict_carries_lambda_between_fixed_and_learnable(learnable):
    module = DistanceWeights(learnable=not learnable)
    module.load_state_dict(DistanceWeights(lambda_=3.0, learnable=learnable).state_dict())
    assert module.lambda_.item() == pytest.approx(3.0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_normalized_weights_have_mean_one(rows, kernel):
    w = DistanceWeights(normalize=True, kernel=kernel)(*map(torch.from_numpy, rows))
    assert float(w.mean()) == pytest.approx(1.0)


def test_normalized_weights_are_the_weights_over_their_mean(rows):
    x, y = map(torch.from_numpy, rows)
    w = DistanceWeights()(x, y)
    torch.testing.assert_close(DistanceWeights(normalize=True)(x, y), w / w.mean())


def test_normalized_weights_survive_where_the_weights_underflow(rows):
    x, y = map(torch.from_numpy, rows)
    w = DistanceWeights(normalize=True)(x + 1e4, y)
    assert w.isfinite().all() and float(w.mean()) == pytest.approx(1.0)


def test_float32_rows_give_float32_weights(rows):
    x, y = (torch.from_numpy(a).float() for a in rows)
    assert DistanceWeights(learnable=True)(x, y).dtype == torch.float32


@pytest.mark.parametrize("lambda_", [0.0, -1.0, float("nan"), float("inf"), "median", None])
def test_module_refuses_a_lambda_that_is_not_positive_and_finite(lambda_):
    with pytest.raises(ValueError, match="give a finite number > 0"):
        DistanceWeights(lambda_=lambda_)


@pytest.mark.parametrize("make", [DistanceWeights, WeightComputer])
def test_an_unknown_metric_is_refused_at_once(make):
    with pytest.raises(ValueError, match="'manhattan' is unknown"):
        make("manhattan")


def test_module_refuses_an_eps_that_is_not_positive():
    with pytest.raises(ValueError, match="eps=-1"):
        DistanceWeights(kernel="inverse", eps=-1)


def test_module_refuses_an_unknown_kernel():
    with pytest.raises(ValueError, match="'gauss'"):
        DistanceWeights(kernel="gauss")


def test_module_refuses_to_learn_a_lambda_that_the_kernel_lacks():
    with pytest.raises(ValueError, match="no lambda to learn"):
        DistanceWeights(kernel="inverse", learnable=True)


@pytest.mark.parametrize("learnable", [False, True])
def test_repr_shows_the_settings(learnable):
    assert "metric='cosine', lambda_=2" in repr(DistanceWeights("cosine", 2.0, learnable=learnable))


# WeightComputer


def test_defaults_are_those_of_semideep():
    computer = WeightComputer()
    assert (computer.distance_metric, computer.lambda_, str(computer.device)) == (
        "euclidean",
        0.8,
        "cpu",
    )


def test_weights_are_the_mean_decayed_distance(rows):
    x, y = rows
    d = np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))
    w = WeightComputer(lambda_=0.5).compute_weights(x, y)
    np.testing.assert_allclose(w, np.exp(-0.5 * d).mean(1), rtol=1e-12)


def test_computed_weights_are_kept(rows):
    computer = WeightComputer()
    returned = computer.compute_weights(*rows)
    assert np.array_equal(returned, computer.weights)
    returned[:] = -1
    assert (computer.weights > 0).all()


@pytest.mark.parametrize("convert", [pd.DataFrame, torch.from_numpy])
def test_dataframes_and_tensors_give_what_arrays_give(rows, convert):
    w = WeightComputer().compute_weights(*map(convert, rows))
    np.testing.assert_allclose(w, WeightComputer().compute_weights(*rows), rtol=1e-12)


def test_arrays_and_tensors_mix(rows):
    w = WeightComputer().compute_weights(rows[0], torch.from_numpy(rows[1]))
    assert isinstance(w, np.ndarray)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cuda_computer_gives_what_a_cpu_one_gives(rows):
    w = WeightComputer(device="cuda").compute_weights(*rows)
    np.testing.assert_allclose(w, WeightComputer().compute_weights(*rows), rtol=1e-9)


@pytest.mark.parametrize("which", [0, 1])
def test_nan_rows_are_refused(rows, which):
    rows[which][2, 1] = np.nan
    with pytest.raises(ValueError, match=r"training row [02] .*NaN"):
        WeightComputer().compute_weights(*rows)


def test_tensor_weights_are_float32(computer):
    assert computer.get_tensor_weights().dtype == torch.float32


@pytest.mark.parametrize(
    "indices", [[3, 1], np.array([3, 1]), torch.tensor([3, 1])], ids=["list", "array", "tensor"]
)
def test_tensor_weights_can_be_selected(computer, indices):
    expected = computer.weights[[3, 1]].astype(np.float32)
    np.testing.assert_array_equal(computer.get_tensor_weights(indices), expected)


def test_changing_the_tensor_leaves_the_weights(computer):
    before = computer.weights.copy()
    computer.get_tensor_weights().zero_()
    np.testing.assert_array_equal(computer.weights, before)


@pytest.mark.parametrize("method", ["get_tensor_weights", "save_weights"])
def test_using_weights_before_computing_them_says_what_to_call(method, tmp_path):
    arguments = [tmp_path / "w"] if method == "save_weights" else []
    with pytest.raises(ValueError, match="call compute_weights"):
        getattr(WeightComputer(), method)(*arguments)


# Saving and loading


@pytest.mark.parametrize("name", ["w", "w.npy"])
def test_saved_weights_load_under_the_same_name(computer, tmp_path, name):
    computer.save_weights(tmp_path / name)
    loaded = WeightComputer().load_weights(tmp_path / name)
    np.testing.assert_array_equal(loaded, computer.weights)


def test_saving_appends_npy_as_numpy_does(computer, tmp_path):
    computer.save_weights(str(tmp_path / "w"))
    assert os.listdir(tmp_path) == ["w.npy"]


def test_numpy_reads_what_was_saved(computer, tmp_path):
    computer.save_weights(tmp_path / "w.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), computer.weights)


def test_a_crash_before_the_rename_leaves_the_old_file(computer, tmp_path, monkeypatch):
    computer.save_weights(tmp_path / "w.npy")
    old = (tmp_path / "w.npy").read_bytes()
    computer.weights = computer.weights * 2
    monkeypatch.setattr(os, "replace", _fail)
    with pytest.raises(OSError, match="disk full"):
        computer.save_weights(tmp_path / "w.npy")
    assert (tmp_path / "w.npy").read_bytes() == old


def test_a_crash_before_the_rename_leaves_no_temporary_file(computer, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", _fail)
    with pytest.raises(OSError, match="disk full"):
        computer.save_weights(tmp_path / "w.npy")
    assert os.listdir(tmp_path) == []


def test_the_content_reaches_the_disk_before_the_name(computer, tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("replace"), replace(*a)))
    computer.save_weights(tmp_path / "w.npy")
    assert calls == ["fsync", "replace", "fsync"]


def test_saving_through_a_link_keeps_the_link(computer, tmp_path):
    (tmp_path / "link.npy").symlink_to(tmp_path / "real.npy")
    computer.save_weights(tmp_path / "link.npy")
    assert (tmp_path / "link.npy").is_symlink() and (tmp_path / "real.npy").is_file()


def test_a_saved_file_is_as_readable_as_any_other(computer, tmp_path):
    (tmp_path / "other").touch()
    computer.save_weights(tmp_path / "w.npy")
    assert (tmp_path / "w.npy").stat().st_mode == (tmp_path / "other").stat().st_mode


REFUSED = {
    "object array": (np.array([1.0, None], dtype=object), "not a readable .npy file"),
    "2-d": (np.ones((3, 1)), r"shape \(3, 1\)"),
    "0-d": (np.float64(1.0), r"shape \(\)"),
    "integers": (np.array([1, 2]), "dtype int64"),
    "strings": (np.array(["a"]), "dtype <U1"),
    "NaN": (np.array([1.0, np.nan]), "weight nan at row 1"),
    "inf": (np.array([np.inf, 1.0]), "weight inf at row 0"),
    "negative": (np.array([1.0, -0.5]), "weight -0.5 at row 1"),
}


@pytest.mark.parametrize(("content", "found"), REFUSED.values(), ids=REFUSED.keys())
def test_loading_refuses_naming_file_and_finding(tmp_path, content, found):
    np.save(tmp_path / "w.npy", content, allow_pickle=True)
    with pytest.raises(ValueError, match=rf"w\.npy: .*{found}.*allowed"):
        WeightComputer().load_weights(tmp_path / "w.npy")


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps([1.0]),
        b"",
        b"text",
        b"\x93NUMPY\x01\x00v\x00{'descr'",
        b"PK\x03\x04broken",
        npy_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**30},)}}"),
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}"),
        npy_header("{'descr': ("),
    ],
    ids=["pickle", "empty", "text", "cut short", "broken zip", "huge", "bool", "unclosed"],
)
def test_loading_refuses_what_is_no_npy_file(tmp_path, content):
    (tmp_path / "w.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.npy: not a readable .npy file"):
        WeightComputer().load_weights(tmp_path / "w.npy")


def test_loading_never_runs_a_pickle(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    (tmp_path / "w.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="not a readable"):
        WeightComputer().load_weights(tmp_path / "w.npy")
    assert not (tmp_path / "exploded").exists()


def test_loading_refuses_an_archive(tmp_path):
    np.savez(tmp_path / "w.npz", np.ones(3))
    with pytest.raises(ValueError, match=r"a \.npz archive"):
        WeightComputer().load_weights(tmp_path / "w.npz")


def test_loading_refuses_another_length_than_held(computer, tmp_path):
    np.save(tmp_path / "w.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"w\.npy: 3 weights for 20 training rows"):
        computer.load_weights(tmp_path / "w.npy")


def test_a_refused_file_leaves_the_weights(computer, tmp_path):
    before = computer.weights
    np.save(tmp_path / "w.npy", np.full(20, np.nan))
    with pytest.raises(ValueError, match="nan"):
        computer.load_weights(tmp_path / "w.npy")
    assert computer.weights is before


def test_weights_of_the_other_byte_order_load(tmp_path):
    np.save(tmp_path / "w.npy", np.array([1.0, 2.0], dtype=">f8"))
    computer = WeightComputer()
    computer.load_weights(tmp_path / "w.npy")
    assert computer.get_tensor_weights().tolist() == [1.0, 2.0]


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        WeightComputer().load_weights(tmp_path / "w")


def test_weights_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="weights: not numbers"):
        check_weights(["a"], "weights")


def _fail(*_):
    raise OSError("disk full")


@pytest.mark.parametrize("away", [0.0, 1000.0])
def test_weights_of_mean_one_on_request(away):
    """Also where the weights of the formula underflow."""
    X, Y = np.array([[0.0], [1.0], [1.5]]), away + np.array([[0.0], [0.5]])
    w = WeightComputer(normalize=True).compute_weights(X, Y)
    log_w = distance_weights(X, Y, log=True)
    assert w.mean() == pytest.approx(1)
    np.testing.assert_allclose(w / w[0], np.exp(log_w - log_w[0]), rtol=1e-12)
