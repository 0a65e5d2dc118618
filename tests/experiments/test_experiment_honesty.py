"""Promises of ExperimentRunner: faults of semideep that do not return."""

import numpy as np
import pandas as pd
import pytest
from experiment_runs import X, Y, model, run, runner

from semideep_ext import ExperimentRunner, median_lambda
from semideep_ext.experiments import runs
from semideep_ext.experiments.splits import make_split


def test_the_scaler_sees_the_training_rows_only():
    split = make_split(X, Y, test_size=0.3, val_size=0.2, seed=0)
    np.testing.assert_allclose(split.X_train.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(split.X_train.std(0), 1)
    assert np.abs(split.X_test.mean(0)).max() > 1e-3 < np.abs(split.X_val.mean(0)).max()


def test_other_test_rows_leave_the_training_rows_as_they_are():
    before = make_split(X, Y, test_size=0.3, val_size=0.2, seed=0)
    raw = make_split(X, Y, test_size=0.3, val_size=0.2, seed=0, scale=False).X_test
    moved = np.where((X[:, None] == raw).all(2).any(1)[:, None], 1000 * X, X)
    after = make_split(moved, Y, test_size=0.3, val_size=0.2, seed=0)
    np.testing.assert_array_equal(after.X_train, before.X_train)
    assert np.abs(after.X_test).max() > 100 * np.abs(before.X_test).max()


def test_tuning_sees_the_training_rows_and_no_label_of_the_others(tmp_path, selection):
    run(runner(tmp_path, n_seeds=1, cv=4, lambda_values=[0.5, 2.0]), tune_hyperparams=True)
    (call,) = selection
    split = make_split(X, Y, 0.2, 0.1, seed=42)
    for given, expected in (("X", "X_train"), ("y", "y_train"), ("X_test", "X_test")):
        np.testing.assert_array_equal(call.pop(given), getattr(split, expected))
    assert call.pop("model") is model
    assert call.pop("metrics") == ["euclidean", "cosine", "hamming", "jaccard"]
    assert call.pop("lambda_values") == [0.5, 2.0] and call.pop("cv") == 4
    assert "normalize" not in call  # mean 1 is the default of selection and training alike
    # What is left are settings: no array through which labels could come.
    assert all(isinstance(value, str | int | float | bool) for value in call.values())


def test_what_tuning_chose_is_what_is_trained_with(tmp_path, selection):
    table = run(runner(tmp_path, n_seeds=2), tune_hyperparams=True)
    chosen = table[table["weight_type"] != "none"][["distance_metric", "lambda"]]
    assert chosen.values.tolist() == [["cosine", 0.5]] * 4
    assert len(selection) == 2  # once per split


def test_the_answer_of_tuning_is_counted_and_no_note(tmp_path, selection):
    r = runner(tmp_path, n_seeds=2)
    run(r, tune_hyperparams=True)
    report = r.generate_report()
    assert "better than unweighted training in 0 of 2 splits" in report
    assert "no weighting is shown better" not in report


def test_median_may_be_chosen_and_the_table_holds_its_number(tmp_path):
    r = runner(tmp_path, n_seeds=1, lambda_values=["median"], distance_metrics=["euclidean"], cv=2)
    table = run(r, tune_hyperparams=True)
    split = make_split(X, Y, 0.2, 0.1, seed=42)
    assert table["lambda"][1] == median_lambda(split.X_train, split.X_test)


def test_labels_of_test_rows_decide_the_scores_alone(tmp_path, monkeypatch):
    # With every test label turned round, an accuracy a becomes 1 - a, if nothing else saw them.
    pytest.importorskip("semideep_ext.estimators.selection")
    settings = {
        "n_seeds": 1,
        "lambda_values": [0.5, 2.0],
        "distance_metrics": ["euclidean", "cosine"],
        "cv": 2,
    }
    honest = run(runner(tmp_path / "a", **settings), tune_hyperparams=True)
    split = make_split

    def turned(*arguments, **options):
        s = split(*arguments, **options)
        s.y_test[:] = np.where(s.y_test == "benign", "malignant", "benign")
        return s

    monkeypatch.setattr(runs, "make_split", turned)
    other = run(runner(tmp_path / "b", **settings), tune_hyperparams=True)
    same = ["weight_type", "distance_metric", "lambda", "seed"]
    pd.testing.assert_frame_equal(other[same], honest[same])
    np.testing.assert_allclose(other["accuracy"], 1 - honest["accuracy"])


def test_every_method_of_a_split_starts_from_the_same_new_parameters(tmp_path):
    starts = []

    def recorded():
        made = model()
        starts.append(made[0].weight.detach().clone().numpy())
        return made

    r = ExperimentRunner(recorded, device="cpu", output_dir=tmp_path, n_seeds=2)
    starts.clear()
    run(r)
    starts = starts[2:8]  # after the two models of the fingerprint: 2 seeds, 3 methods
    assert all(np.array_equal(starts[0], w) for w in starts[:3])
    assert all(np.array_equal(starts[3], w) for w in starts[3:])
    assert not np.array_equal(starts[0], starts[3])


def test_constant_weights_train_as_unweighted_and_the_report_says_so(tmp_path):
    # All rows are equally far from all others under hamming on continuous columns.
    r = runner(tmp_path, n_seeds=2)
    split = make_split(X, Y, 0.3, 0.0, seed=0)
    parts = (split.X_train, split.y_train, None, None, split.X_test, split.y_test)
    outcome = runs.fit_and_score(
        model, split, "distance", "hamming", 0.8, 0,
        learning_rate=0.001, batch_size=32, epochs=1, device="cpu",
    )  # fmt: skip
    assert any("constant" in note for note in outcome["notes"])
    assert outcome["weights"]["problems"] == ["constant"]
    assert r.run_single_experiment(*parts, epochs=1)["weight_type"] == "none"


@pytest.mark.parametrize("kind", ["distance", "idw"])
def test_experiments_train_with_weights_of_mean_one(kind):
    split = make_split(X, Y, test_size=0.3, val_size=0.1, seed=0)
    assert runs.weights_of(model, split, kind, "euclidean", 0.8).mean() == pytest.approx(1)
