"""Compare the metrics on breast cancer: what the weights amount to, and the accuracy they give."""

import argparse

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from semideep_ext import (
    METRICS,
    WeightedTrainer,
    auto_select_distance_metric,
    diagnose_weights,
    select_best_distance_metric,
)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--auto", action="store_true", help="choose metric and lambda first, too")
parser.add_argument("--test-size", type=float, default=0.5, help="share of test rows")
parser.add_argument("--epochs", type=int, default=30)
options = parser.parse_args()

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=options.test_size, random_state=0)
scaler = StandardScaler().fit(X)
X, X_test = scaler.transform(X), scaler.transform(X_test)


def network():
    return torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))


def accuracy(metric, lambda_):
    torch.manual_seed(0)  # the same start and batches for every metric
    trainer = WeightedTrainer(
        network(),
        X,
        y,
        X_test,
        weights=None if metric is None else "distance",
        distance_metric=metric,
        lambda_=lambda_,
        normalize=True,
        epochs=options.epochs,
        learning_rate=0.005,
        verbose=False,
        seed=0,
    )
    trainer.train()
    w = trainer.sample_weights
    rows = len(X) if w is None else diagnose_weights(w).effective_sample_size
    return trainer.evaluate(X_test, y_test)["accuracy"], rows


# hamming and jaccard do not suit continuous columns: their weights are constant, every row counts
# the same, and warnings say so.
for metric in (None, *METRICS):
    score, rows = accuracy(metric, 0.8)
    print(f"{metric or 'unweighted':<12}{rows:6.1f} of {len(X)} rows effective  {score:.4f}")
if options.auto:
    rule, reason = auto_select_distance_metric(X, return_reason=True)
    print(f"by rule: {rule} ({reason})")
    found = select_best_distance_metric(  # labels of the test rows play no part
        network,
        X,
        y,
        X_test,
        lambda_values=[0.5, 1.0],
        epochs=options.epochs,
        learning_rate=0.005,
        verbose=False,
    )
    print(f"by cross-validation: {found.sentence}")
    weighted = found.weighting != "none"
    print("accuracy", accuracy(found.metric if weighted else None, found.lambda_)[0])
