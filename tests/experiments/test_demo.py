"""Promises of semideep_ext.experiments.demo: an honest comparison, and the same one each time."""

import csv
import sys

import numpy as np
import pytest

from semideep_ext.experiments import demo
from semideep_ext.experiments.comparison import SHOWN


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the demo once, small; gives its table and folder."""
    folder = tmp_path_factory.mktemp("demo") / "output"
    return demo.run_demo(seeds=3, epochs=3, output_dir=folder), folder


def rows(table, method):
    return [row for row in table if row["method"] == method]


def test_every_method_has_every_score(run):
    pairs = {(row["method"], row["score"]) for row in run[0]}
    assert pairs == {(m, s) for m in ["unweighted", *demo.METHODS] for s in SHOWN}


@pytest.mark.parametrize("name", ["weights.png", "scores.png", "scores.csv"])
def test_the_file_is_written(run, name):
    assert (run[1] / name).stat().st_size > 0


def test_the_csv_holds_the_table(run):
    with open(run[1] / "scores.csv", newline="", encoding="utf-8") as f:
        means = [float(row["mean"]) for row in csv.DictReader(f)]
    assert means == [row["mean"] for row in run[0]]


def test_means_lie_in_their_intervals(run):
    assert all(row["low"] <= row["mean"] <= row["high"] for row in run[0])


def test_constant_weights_show_that_they_change_nothing(run):
    for row in rows(run[0], "jaccard"):
        assert row["difference"] == pytest.approx(0, abs=1e-3)
        assert row["effective_share"] == pytest.approx(1)


def test_euclidean_weights_are_worth_fewer_rows(run):
    assert rows(run[0], "euclidean")[0]["effective_share"] < 0.95


def test_degenerate_metrics_are_reported(tmp_path, capsys):
    demo.run_demo(seeds=2, epochs=1, output_dir=tmp_path)
    out = " ".join(capsys.readouterr().out.split())
    assert "metric='hamming') are constant" in out and "metric='jaccard') are constant" in out


def test_the_caption_says_how_the_weights_are_scaled(tmp_path, capsys):
    demo.run_demo(seeds=2, epochs=1, output_dir=tmp_path)
    assert "divided by their mean" in " ".join(capsys.readouterr().out.split())


def test_a_second_run_gives_the_same_table(tmp_path):
    first, second = (demo.run_demo(2, 1, tmp_path) for _ in range(2))
    np.testing.assert_equal(first, second)  # NaN, where there is no interval, equals NaN


def test_the_scaler_sees_the_training_rows_only():
    X, y, _ = demo._load()
    train, test, _, _ = demo._split(X, y, seed=0)
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-9)
    assert np.abs(test.mean(0)).max() > 1e-3


def test_test_labels_are_read_for_the_final_score_only(tmp_path, monkeypatch):
    # With every held-back label turned round, an accuracy a becomes 1 - a, if nothing else saw it.
    honest = demo.run_demo(2, 2, tmp_path)
    split = demo._split

    def turned(*arguments):
        train, test, labels, held_back = split(*arguments)
        return train, test, labels, 1 - held_back

    monkeypatch.setattr(demo, "_split", turned)
    for row, other in zip(honest, demo.run_demo(2, 2, tmp_path), strict=True):
        if row["score"] == "accuracy":
            assert other["mean"] == pytest.approx(1 - row["mean"])


@pytest.mark.parametrize("how", demo.METHODS.values(), ids=demo.METHODS.keys())
def test_weights_have_mean_one(how):
    train, test, _, _ = demo._split(*demo._load()[:2], seed=0)
    w, _ = demo._weights(train, test, *how)
    assert w.mean() == pytest.approx(1)


@pytest.mark.parametrize("settings", [{"seeds": 1}, {"epochs": 0}])
def test_too_few_splits_or_epochs_are_refused(settings, tmp_path):
    with pytest.raises(ValueError, match="seeds >= 2 and epochs >= 1"):
        demo.run_demo(**settings, output_dir=tmp_path)


def test_a_missing_package_is_named_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_run", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"needs matplotlib: .*semideep_ext\[experiment\]"):
        demo.run_demo(output_dir=tmp_path / "output")
    assert not (tmp_path / "output").exists()
