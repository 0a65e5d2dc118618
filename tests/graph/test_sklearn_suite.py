"""scikit-learn's own tests of label propagation and spreading, run against ours.

The test module is that of the installed scikit-learn, loaded anew while its two classes are ours.
Exceptions stand in EXCEPTIONS, each with its reason.
"""

import importlib.util
from types import SimpleNamespace as Namespace

import numpy as np
import pytest
import torch
from sklearn.semi_supervised import _label_propagation as theirs

from semideep_ext.graph import LabelPropagation, LabelSpreading
from semideep_ext.graph.affinity import Normalized

EXCEPTIONS: dict[str, str] = {}
# One test has rows without affinity on purpose; that we say so is no error.
pytestmark = pytest.mark.filterwarnings("ignore:.*no affinity:UserWarning")


def one(affinity):
    """The identity, with which a product is the matrix."""
    return torch.eye(len(affinity.diagonal), dtype=affinity.diagonal.dtype)


class Propagation(LabelPropagation):
    """Ours, with the gamma that the tests were written for, and the matrix that two ask for."""

    def __init__(self, kernel="rbf", *, gamma=20, **options):
        super().__init__(kernel, gamma=gamma, **options)

    def _build_graph(self):
        affinity = self._affinity()
        matrix = affinity.of_others(one(affinity)) + affinity.diagonal.diag()
        return (matrix / matrix.sum(1, keepdim=True)).numpy()


class Spreading(LabelSpreading):
    """The same."""

    def __init__(self, kernel="rbf", *, gamma=20, **options):
        super().__init__(kernel, gamma=gamma, **options)

    def _build_graph(self):
        affinity = self._affinity()
        return (Normalized(affinity) @ one(affinity)).numpy()


def suite():
    """Load scikit-learn's tests, which look their classes up when they are loaded."""
    name = "sklearn.semi_supervised.tests.test_label_propagation"
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "LabelPropagation", Propagation)
        patch.setattr(theirs, "LabelSpreading", Spreading)
        spec.loader.exec_module(module)
    module.label_propagation = Namespace(LabelPropagation=Propagation, LabelSpreading=Spreading)
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


TESTS = suite()
globals().update({name: test for name, test in TESTS.items() if name not in EXCEPTIONS})


@pytest.fixture(params=[np.float32, np.float64])
def global_dtype(request):
    """Stand in for the fixture of scikit-learn's conftest."""
    return request.param


def test_none_is_missing():
    assert len(TESTS) >= 11 and EXCEPTIONS.keys() <= TESTS.keys()
