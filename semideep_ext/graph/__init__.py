"""Graph-based semi-supervised learning and kernel sums, without the matrix of affinities."""

from semideep_ext.graph.kernel_density import KernelDensity
from semideep_ext.graph.kernel_sums import kernel_regression, mmd
from semideep_ext.graph.label_propagation import LabelPropagation
from semideep_ext.graph.label_spreading import LabelSpreading
from semideep_ext.graph.laplace_learning import LaplaceLearning
from semideep_ext.graph.poisson_learning import PoissonLearning

__all__ = [
    "KernelDensity",
    "LabelPropagation",
    "LabelSpreading",
    "LaplaceLearning",
    "PoissonLearning",
    "kernel_regression",
    "mmd",
]
