"""Promise: one table in torch holds each compiled kernel function, and callables go by it."""

import pytest
import torch

from semideep_ext import distance_weights
from semideep_ext.op.kernel_functions import FUNCTIONS, KernelFunction
from semideep_ext.op.metrics import KERNELS, Kernel
from semideep_ext.op.testing import TOLERANCES, with_parameter

each_kernel = pytest.mark.parametrize("kernel", KERNELS)
D = torch.tensor([0.0, 1e-3, 0.5, 1.0, 6.0], dtype=torch.float64)
ORIGIN = torch.zeros(1, 1, dtype=torch.float64)


def test_the_table_is_the_compiled_list():
    assert set(FUNCTIONS) == set(KERNELS), (
        "FUNCTIONS in op/kernel_functions.py, csrc/core/kernels.h"
    )


@pytest.mark.parametrize("parameter", [0.1, 0.8, 3.0])
@each_kernel
def test_values_and_logarithms_are_those_of_the_compiled_function(kernel, parameter):
    options = with_parameter(kernel, parameter)
    for log, formula in ((False, FUNCTIONS[kernel].value), (True, FUNCTIONS[kernel].log)):
        w = distance_weights(D[:, None], ORIGIN, log=log, **options)
        tolerance = TOLERANCES[torch.float64].forward
        torch.testing.assert_close(
            w, formula(D, D.new_tensor(parameter)), rtol=tolerance, atol=tolerance
        )


def test_a_callable_metric_is_given_the_kernel_function_that_was_asked_for(monkeypatch):
    entry = KernelFunction(value=lambda d, p: (p - d).exp(), log=lambda d, p: p - d)
    planted = Kernel("planted", "exp(eps - d)", "eps", has_log=True, exponential=False)
    monkeypatch.setitem(KERNELS, "planted", planted)
    monkeypatch.setitem(FUNCTIONS, "planted", entry)
    for log in (False, True):
        w = distance_weights(D[:, None], ORIGIN, torch.cdist, kernel="planted", eps=2.0, log=log)
        torch.testing.assert_close(w, 2 - D if log else (2 - D).exp())


@each_kernel
def test_a_callable_metric_with_a_kernel_function_that_the_table_lacks(kernel, monkeypatch):
    monkeypatch.delitem(FUNCTIONS, kernel)
    with pytest.raises(ValueError, match=rf"kernel='{kernel}' .* no entry in FUNCTIONS .* add one"):
        distance_weights(D[:, None], ORIGIN, torch.cdist, kernel=kernel)
