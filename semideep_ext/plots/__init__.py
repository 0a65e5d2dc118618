"""Pictures of weights, of scores and of training.

Each function returns a `matplotlib.figure.Figure` of its own: nothing is shown, and the pyplot
state of the caller is not touched. Colours are Okabe and Ito's, told apart by colour-blind readers;
marks and hatches tell the same apart in grey.
"""

from semideep_ext.plots._figure import HATCHES, MARKERS, OKABE_ITO
from semideep_ext.plots.scores import (
    plot_differences,
    plot_metric_comparison,
    plot_scores,
    plot_test_size_impact,
)
from semideep_ext.plots.selection import plot_selection
from semideep_ext.plots.training import plot_training_curves, plot_unlabeled_rows
from semideep_ext.plots.weights import plot_density_ratio, plot_projection, plot_weights

__all__ = [
    "HATCHES",
    "MARKERS",
    "OKABE_ITO",
    "plot_density_ratio",
    "plot_differences",
    "plot_metric_comparison",
    "plot_projection",
    "plot_scores",
    "plot_selection",
    "plot_test_size_impact",
    "plot_training_curves",
    "plot_unlabeled_rows",
    "plot_weights",
]
