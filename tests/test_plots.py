"""Promises of semideep_ext.plots: figures that say what they show, and nothing on the screen."""

import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from semideep_ext.plots import OKABE_ITO, plot_scores, plot_selection, plot_weights

WEIGHTS = np.array([0.2, 0.4, 0.6, 0.8])
TABLE = [
    {"method": m, "score": s, "mean": mean, "low": mean - 0.1, "high": mean + 0.2}
    for s in ("f1", "auc")
    for m, mean in (("baseline", 0.7), ("euclidean", 0.75))
]
SELECTION = [
    {"metric": m, "lambda_given": given, "mean": mean, "standard_error": 0.01}
    for m, given, mean in (
        ("euclidean", 0.5, 0.7),
        ("euclidean", "median", 0.9),
        ("cosine", 0.5, 0.8),
    )
]
FIGURES = {
    "weights": lambda: plot_weights({"euclidean": WEIGHTS, "cosine": WEIGHTS}, [0, 1, 0, 1]),
    "scores": lambda: plot_scores(TABLE),
    "selection": lambda: plot_selection(SELECTION),
}


@pytest.fixture(params=FIGURES.values(), ids=FIGURES.keys())
def figure(request):
    return request.param()


def test_a_figure_is_returned(figure):
    assert isinstance(figure, Figure)


def test_every_axis_is_labelled(figure):
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)


def test_the_figure_can_be_saved(figure, tmp_path):
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_pyplot_knows_nothing_of_the_figures():
    for make in FIGURES.values():
        make()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_settings_of_matplotlib_stay():
    before = dict(matplotlib.rcParams)
    for make in FIGURES.values():
        make()
    assert dict(matplotlib.rcParams) == before


def test_a_panel_per_metric_names_it_and_its_effective_rows():
    figure = plot_weights({"euclidean": np.ones(4), "cosine": [0, 0, 0, 1.0]})
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["euclidean\n4 of 4 rows effective", "cosine\n1 of 4 rows effective"]


def test_every_row_is_counted_once():
    (axes,) = plot_weights({"euclidean": WEIGHTS}, ["a", "b", "b", "b"]).axes
    assert sum(bar.get_height() for bar in axes.patches) == 4


def test_constant_weights_are_all_counted():
    (axes,) = plot_weights({"jaccard": np.full(5, 0.3)}).axes
    assert sum(bar.get_height() for bar in axes.patches) == 5


def test_constant_weights_get_a_bar_wide_enough_to_see():
    (axes,) = plot_weights({"jaccard": np.full(5, 0.3)}).axes
    left, right = axes.get_xlim()
    assert axes.patches[0].get_width() > 0.01 * (right - left)


def test_zero_weights_are_all_counted():
    (axes,) = plot_weights({"euclidean": np.zeros(5)}).axes
    assert sum(bar.get_height() for bar in axes.patches) == 5


def test_classes_have_their_own_colour_and_name():
    (axes,) = plot_weights({"euclidean": WEIGHTS}, ["a", "b", "b", "a"]).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert len({bar.get_facecolor() for bar in axes.patches}) == 2


def test_colours_are_all_different():
    assert len(set(OKABE_ITO)) == len(OKABE_ITO) == 8


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match="2 labels for 4 weights of 'euclidean'"):
        plot_weights({"euclidean": WEIGHTS}, [0, 1])


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="empty"):
        plot_weights({})


def test_a_panel_per_score_lists_the_methods():
    figure = plot_scores(TABLE)
    listed = [[t.get_text() for t in axes.get_yticklabels()] for axes in figure.axes]
    assert listed == [["baseline", "euclidean"]] * 2


def test_error_bars_reach_from_low_to_high():
    axes = plot_scores(TABLE[:1]).axes[0]
    (bar,) = axes.containers[0].lines[2]
    np.testing.assert_allclose(bar.get_segments()[0][:, 0], [0.6, 0.9])


@pytest.mark.parametrize("table", [[], [{"method": "baseline"}]])
def test_a_table_without_the_columns_is_refused(table):
    with pytest.raises(ValueError, match="lack"):
        plot_scores(table)


def test_a_heat_map_states_each_score_and_its_error_and_frames_the_best():
    (axes,) = plot_selection(SELECTION).axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["euclidean", "cosine"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0.5", "median"]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "0.700\n±0.010", (1, 0): "0.900\n±0.010", (0, 1): "0.800\n±0.010"}
    (frame,) = axes.patches
    assert frame.get_xy() == (0.5, -0.5)


def test_a_heat_map_shows_what_lacks_and_text_that_stands_out():
    (axes,) = plot_selection(SELECTION).axes
    assert axes.images[0].get_array().mask.tolist() == [[False, False], [False, True]]
    colours = {text.get_text()[:5]: text.get_color() for text in axes.texts}
    assert (colours["0.700"], colours["0.900"]) == ("white", "black")


@pytest.mark.parametrize("table", [[], [{"metric": "cosine"}]])
def test_a_heat_map_without_its_columns_is_refused(table):
    with pytest.raises(ValueError, match="lack"):
        plot_selection(table)
