"""Promises of semideep_ext.plots: figures that say what they show, and nothing on the screen."""

import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from semideep_ext.plots import (
    OKABE_ITO,
    plot_density_ratio,
    plot_differences,
    plot_metric_comparison,
    plot_projection,
    plot_scores,
    plot_selection,
    plot_test_size_impact,
    plot_training_curves,
    plot_weights,
)

WEIGHTS = np.array([0.2, 0.4, 0.6, 0.8])
TABLE = [
    {"method": m, "score": s, "mean": mean, "low": mean - 0.1, "high": mean + 0.2}
    for s in ("f1", "auc")
    for m, mean in (("baseline", 0.7), ("euclidean", 0.75))
]
SELECTION = [
    {
        "metric": m,
        "lambda_given": given,
        "mean": mean,
        "standard_error": 0.01,
        "difference": mean - 0.75,
        "difference_standard_error": 0.02,
        "problems": problems,
        "can_win": mean > 0.77 and not problems,
    }
    for m, given, mean, problems in (
        ("euclidean", 0.5, 0.7, ()),
        ("euclidean", "median", 0.9, ()),
        ("cosine", 0.5, 0.8, ()),
        ("hamming", 0.5, 0.95, ("constant",)),
    )
]
RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.normal(size=(40, 3)), np.add(RNG.normal(size=(30, 3)), [2, 0, 0])
NEAR = np.exp(TRAIN[:, 0])  # weights that grow towards the test rows
DIFFERENCES = [
    {
        "method": m,
        "score": s,
        "difference": d,
        "difference_low": d - 0.1,
        "difference_high": d + 0.3,
    }
    for s in ("f1", "auc")
    for m, d in (("distance", -0.1), ("idw", 0.2))
]
MEANS = [
    {"dataset": f"test {size}", "test_size": size, "method": m, "score": s, "mean": size, "sd": 0.1}
    for s in ("f1", "auc")
    for size in (0.2, 0.8)
    for m in ("unweighted", "idw")
]
HISTORY = {"train_loss": [4.0, 2.0, 1.0], "val_loss": [1.0, 0.5, 0.4], "accuracy": [0.1, 0.5, 0.9]}
FIGURES = {
    "differences": lambda: plot_differences(DIFFERENCES),
    "comparison": lambda: plot_metric_comparison(MEANS),
    "test sizes": lambda: plot_test_size_impact(MEANS),
    "training": lambda: plot_training_curves({"unweighted": [HISTORY], "idw": [HISTORY]}),
    "density ratio": lambda: plot_density_ratio(NEAR, TRAIN, TEST),
    "projection": lambda: plot_projection(NEAR, TRAIN, TEST),
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
    for axes in figure.axes:
        bar = hasattr(axes, "_colorbar")  # beside its picture, with one axis
        assert axes.get_ylabel() and (axes.get_xlabel() or bar)


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


@pytest.mark.parametrize(
    ("weights", "columns", "message"),
    [
        ({}, 1, "weights_by_metric is empty"),
        ({"cosine": []}, 1, "no weights of 'cosine'"),
        ({"cosine": WEIGHTS}, 0, "columns=0: give at least 1"),
    ],
)
def test_nothing_to_draw_is_refused(weights, columns, message):
    with pytest.raises(ValueError, match=message):
        plot_weights(weights, columns=columns)


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


def test_a_heat_map_has_a_line_per_metric_and_frames_the_best_that_can_win():
    axes, bar = plot_selection(SELECTION).axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["euclidean", "cosine", "hamming"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0.5", "median"]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {
        (0, 0): "0.700\n±0.010",
        (1, 0): "0.900\n±0.010",
        (0, 1): "0.800\n±0.010",
        (0, 2): "0.950\n±0.010",
    }
    hatched, frame = axes.patches
    assert hatched.get_hatch() and hatched.get_xy() == (-0.5, 1.5)
    assert frame.get_xy() == (0.5, -0.5) and frame.get_linewidth() > 0
    assert bar.get_ylabel() == "difference to unweighted"
    assert axes.get_title().splitlines() == [
        "mean score ± standard error over folds; unweighted 0.750",
        "hatched: useless weights",
    ]


def test_a_heat_map_without_a_winner_frames_nothing_and_says_so():
    table = [{**row, "can_win": False, "problems": ()} for row in SELECTION]
    axes, _ = plot_selection(table).axes
    assert not axes.patches and "no weighting is shown better" in axes.get_title()


def test_colours_of_a_heat_map_are_as_strong_as_what_was_shown():
    """0.962 and 0.971 are not night and day where a standard error is 0.02."""
    row = {**SELECTION[0], "difference": 0.009}
    (image,) = plot_selection([row]).axes[0].images
    assert (image.norm.vmin, image.norm.vmax) == (-0.04, 0.04)
    (image,) = plot_selection(SELECTION).axes[0].images
    assert image.norm.vmax == pytest.approx(0.2)
    for row in ({**SELECTION[0], "difference_standard_error": np.nan, "difference": 0.0},):
        assert plot_selection([row]).axes[0].images[0].norm.vmax == 1.0


def test_a_heat_map_shows_what_lacks_and_text_that_stands_out():
    axes, _ = plot_selection(SELECTION).axes
    lacks = axes.images[0].get_array().mask.tolist()
    assert lacks == [[False, False], [False, True], [False, True]]
    colours = {text.get_text()[:5]: text.get_color() for text in axes.texts}
    assert (colours["0.950"], colours["0.700"]) == ("white", "black")


@pytest.mark.parametrize("table", [[], [{"metric": "cosine"}]])
def test_a_heat_map_without_its_columns_is_refused(table):
    with pytest.raises(ValueError, match="lack"):
        plot_selection(table)


def test_differences_reach_from_low_to_high_on_their_line():
    (axes,) = plot_differences(DIFFERENCES).axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["f1", "auc"]
    drawn = [c.lines[2][0].get_segments()[0] for c in axes.containers]
    for row, segment in zip(DIFFERENCES, drawn, strict=True):
        np.testing.assert_allclose(segment[:, 0], [row["difference_low"], row["difference_high"]])
        assert abs(segment[0, 1] - ["f1", "auc"].index(row["score"])) < 0.5


def test_the_line_of_no_difference_is_in_sight():
    (axes,) = plot_differences(DIFFERENCES[:1]).axes
    left, right = axes.get_xlim()
    assert left < 0 < right
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines)


@pytest.mark.parametrize("nan", [float("nan")])
def test_what_has_no_interval_is_drawn_without_one(nan):
    row = {**DIFFERENCES[0], "difference_low": nan, "difference_high": nan}
    (mark,) = plot_differences([row]).axes[0].containers
    assert mark.lines[0].get_xdata() == [-0.1] and not mark.lines[2]
    (mark,) = plot_metric_comparison([{**MEANS[0], "sd": nan}]).axes[0].containers
    assert mark.lines[0].get_ydata() == [0.2] and not mark.lines[2]


@pytest.mark.parametrize("plot", [plot_metric_comparison, plot_test_size_impact])
def test_means_of_the_score_asked_for_are_drawn_with_their_deviation(plot):
    (axes,) = plot(MEANS, "auc", figsize=(4, 3)).axes
    assert axes.get_ylabel() == "auc"
    drawn = sorted(tuple(c.lines[2][0].get_segments()[0][:, 1]) for c in axes.containers)
    np.testing.assert_allclose(drawn, [(0.1, 0.3), (0.1, 0.3), (0.7, 0.9), (0.7, 0.9)])
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["unweighted", "idw"]


def test_methods_are_told_apart_without_colour():
    (axes,) = plot_metric_comparison(MEANS).axes
    assert len({c.lines[0].get_marker() for c in axes.containers}) == 2
    axes = plot_training_curves({"unweighted": [HISTORY], "idw": [HISTORY]}).axes[0]
    assert len({line.get_linestyle() for line in axes.lines}) == 2


@pytest.mark.parametrize("plot", [plot_metric_comparison, plot_test_size_impact])
def test_an_unknown_score_names_those_there_are(plot):
    with pytest.raises(ValueError, match=r"metric='r2' is not among the scores \['f1', 'auc'\]"):
        plot(MEANS, "r2")


def test_training_curves_are_means_in_a_band_of_all_runs():
    other = {key: [2 * v for v in values] for key, values in HISTORY.items()}
    loss, validation, accuracy = plot_training_curves({"idw": [HISTORY, other]}).axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [1, 0.5, 0.25])  # of the first epoch's
    np.testing.assert_allclose(validation.lines[0].get_ydata(), [1.5, 0.75, 0.6])
    band = accuracy.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.1, 1.8)
    assert list(loss.lines[0].get_xdata()) == [1, 2, 3]


def test_curves_that_were_not_recorded_have_no_panel():
    assert len(plot_training_curves({"idw": [{"train_loss": [1.0]}]}).axes) == 1


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ({}, "no history"),
        ({"idw": [{"train_loss": []}]}, "histories are empty"),
        ({"idw": [HISTORY, {"train_loss": [1.0]}]}, r"histories of \[1, 3\] epochs"),
    ],
)
def test_histories_that_do_not_fit_are_refused(histories, message):
    with pytest.raises(ValueError, match=message):
        plot_training_curves(histories)


def test_the_density_ratio_grows_towards_the_test_rows():
    (axes,) = plot_density_ratio(NEAR, TRAIN, TEST).axes
    ratio, weight = axes.collections[0].get_offsets().T
    np.testing.assert_allclose(weight, NEAR / NEAR.mean())
    assert np.corrcoef(np.log(ratio), TRAIN[:, 0])[0, 1] > 0.9
    assert axes.get_title().startswith("rank correlation 0.9")


def test_equal_sets_have_a_density_ratio_about_1():
    rows = np.random.default_rng(1).normal(size=(400, 2))
    (axes,) = plot_density_ratio(np.ones(200), rows[:200], rows[200:]).axes
    ratio = np.asarray(axes.collections[0].get_offsets())[:, 0]
    assert 0.9 < np.median(ratio) < 1.1


def test_unequal_numbers_of_rows_do_not_shift_the_density_ratio():
    rows = np.random.default_rng(1).normal(size=(450, 2))
    (axes,) = plot_density_ratio(np.ones(400), rows[:400], rows[400:]).axes
    assert 0.8 < np.median(np.asarray(axes.collections[0].get_offsets())[:, 0]) < 1.25


def test_the_projection_shows_every_row_and_colours_by_weight():
    axes, bar = plot_projection(NEAR, TRAIN, TEST).axes
    test, train = axes.collections
    assert (len(test.get_offsets()), len(train.get_offsets())) == (30, 40)
    np.testing.assert_allclose(train.get_array(), NEAR / NEAR.mean())
    assert bar.get_ylabel() == "weight / mean weight"
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["test rows", "training rows"]


@pytest.mark.parametrize(
    ("plot", "arguments", "message"),
    [
        (plot_density_ratio, (NEAR, TRAIN, TEST[:, :2]), "same columns"),
        (plot_density_ratio, (NEAR[:-1], TRAIN, TEST), "39 weights for 40"),
        (plot_density_ratio, (NEAR, TRAIN, TEST[:4]), "at least 5 of each"),
        (plot_projection, (NEAR, TRAIN[:, :1], TEST[:, :1]), "at least two"),
    ],
)
def test_rows_that_cannot_be_drawn_are_refused(plot, arguments, message):
    with pytest.raises(ValueError, match=message):
        plot(*arguments)


def test_the_panels_stand_in_as_many_columns_as_asked():
    figure = plot_weights({"a": WEIGHTS, "b": WEIGHTS}, columns=1)
    a, b = (axes.get_position() for axes in figure.axes)
    assert a.x0 == b.x0 and a.y0 > b.y0
