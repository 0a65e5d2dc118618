"""Promise: an error names what was given, what is allowed and what to change."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from semideep_ext import distance_weights, kernel_matmul

x, y, v = torch.ones(4, 3), torch.ones(5, 3), torch.ones(5)
words = np.array([["red", "a", "b"]])

BAD_WEIGHTS = {
    "features": ((x, y[:, :2]), {}, "(4, 3) (5, 2) as many features align"),
    "dimensions": ((x[0], y), {}, "(..., N, D) (3,) unsqueeze"),
    "dtypes": ((x, y.double()), {}, "torch.float32 torch.float64 one dtype .to(dtype)"),
    "devices": ((x, y.to("meta")), {}, "cpu meta one device .to(device)"),
    "complex rows": ((x.cfloat(), y.cfloat()), {}, "complex64 real"),
    "complex arrays": ((x.cfloat().numpy(),) * 2, {}, "complex64 real"),
    "no rows": ((x, y[:0]), {}, "(0, 3) at least one row"),
    "batches": (
        (x.expand(2, 4, 3), y.expand(3, 5, 3)),
        {},
        "(2,) (3,) do not broadcast equal, 1 or missing",
    ),
    "metric": ((x, y, "manhattan"), {}, "'manhattan' 'euclidean' 'jaccard' callable"),
    "metric None": ((x, y, None), {}, "None 'euclidean' callable"),
    "kernel": ((x, y), {"kernel": "gauss"}, "'gauss' 'exponential' 'inverse'"),
    "lambda 0": ((x, y), {"lambda_": 0}, "lambda_ finite > 0 got 0"),
    "lambda < 0": ((x, y), {"lambda_": -1.5}, "lambda_ finite > 0 -1.5"),
    "lambda NaN": ((x, y), {"lambda_": float("nan")}, "lambda_ finite nan"),
    "lambda inf": ((x, y), {"lambda_": float("inf")}, "lambda_ finite inf"),
    "lambda tensor": ((x, y), {"lambda_": torch.tensor([1.0, -2.0])}, "lambda_ finite > 0 -2.0"),
    "lambda 2-d": ((x, y), {"lambda_": torch.ones(2, 2)}, "lambda_ 0-d 1-d (2, 2)"),
    "no lambda": ((x, y), {"lambda_": torch.ones(0)}, "lambda_ at least one (0,)"),
    "lambda word": ((x, y), {"lambda_": "auto"}, "lambda_ number 'auto'"),
    "lambda text": ((x, y), {"lambda_": "0.8"}, "lambda_ number '0.8'"),
    "lambda None": ((x, y), {"lambda_": None}, "lambda_ number None"),
    "eps": ((x, y), {"kernel": "inverse", "eps": 0}, "eps finite > 0 got 0"),
    "several eps": ((x, y), {"kernel": "inverse", "eps": torch.ones(2)}, "eps (2,)"),
    "y_weight length": ((x, y), {"y_weight": torch.ones(4)}, "y_weight 5 rows (4,)"),
    "y_weight < 0": ((x, y), {"y_weight": -v}, "y_weight non-negative drop or clip"),
    "y_weight NaN": ((x, y), {"y_weight": v / 0 * 0}, "y_weight finite drop or clip"),
    "y_weight 0": ((x, y), {"y_weight": 0 * v}, "y_weight all zero at least one"),
    "y_weight words": ((x, y), {"y_weight": ["a"] * 5}, "y_weight dtype numbers"),
    "strings": ((words, words), {}, "x <U3 numbers metric='hamming'"),
    "strings in y": ((np.ones((1, 3)), words), {}, "y <U3 numbers metric='hamming'"),
    "strings and a tensor": ((x, words, "hamming"), {}, "y <U3 numbers"),
    "DataFrame": ((pd.DataFrame({"a": ["b"]}),) * 2, {}, "x object numbers metric='hamming'"),
    "unhashable": ((np.array([[{}]]),) * 2 + ("hamming",), {}, "x hashable"),
    "ragged": (([[1.0], [1.0, 2.0]], y), {}, "x"),
    "masked": ((np.ma.masked_array(np.ones((2, 3))),) * 2, {}, "x masked fill or drop"),
    "sparse array": ((scipy.sparse.csr_array(np.eye(3)), y), {}, "x sparse dense .toarray()"),
    "sparse tensor": ((x.to_sparse(), y.to_sparse()), {}, "x sparse dense .to_dense()"),
    "columns": (
        (pd.DataFrame({"a": [1.0], "b": [2.0]}), pd.DataFrame({"b": [1.0], "a": [2.0]})),
        {},
        "y x same columns in another order y[x.columns]",
    ),
    "other columns": (
        (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"c": [1.0]})),
        {},
        "y other columns ['c'] x",
    ),
    "arrays with a gradient": (
        (x.numpy(), y.numpy()),
        {"lambda_": torch.tensor(0.5, requires_grad=True)},
        "lambda_ requires grad arrays tensors",
    ),
    "grad": (
        (x.clone().requires_grad_(), y, "hamming"),
        {},
        "x 'hamming' gradient .detach() euclidean",
    ),
}

BAD_PRODUCTS = {
    "v rows": (torch.ones(4), "v 5 rows (4,)"),
    "v columns first": (torch.ones(2, 5), "v (..., M, C) 5 rows (2, 5)"),
    "v number": (1.0, "v (M,) (..., M, C)"),
    "v device": (v.to("meta"), "v cpu meta"),
    "v complex": (v.cfloat(), "v complex64"),
    "v words": (np.array(["a"] * 5), "v dtype numbers"),
}


def assert_names(error, needed):
    missing = [part for part in needed.split(" ") if part not in str(error.value)]
    assert not missing, f"{missing} not in: {error.value}"


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_bad_arguments_of_distance_weights(case):
    positional, named, needed = BAD_WEIGHTS[case]
    with pytest.raises(ValueError) as error:
        distance_weights(*positional, **named)
    assert_names(error, needed)


@pytest.mark.parametrize("case", BAD_PRODUCTS)
def test_bad_values_of_kernel_matmul(case):
    values, needed = BAD_PRODUCTS[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of complex numbers that lose their imaginary part
        with pytest.raises(ValueError) as error:
            kernel_matmul(x, y, values)
    assert_names(error, needed)


def test_bad_batches_of_values_name_all_three():
    with pytest.raises(ValueError, match=r"\(2,\), \(\), \(3,\) do not broadcast"):
        kernel_matmul(x.expand(2, 4, 3), y, torch.ones(3, 5, 1))
