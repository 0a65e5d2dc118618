"""What the tests of ExperimentRunner share: small data, a small model, quick runs."""

import json

import numpy as np
from sklearn.datasets import make_classification
from torch import nn

from semideep_ext import ExperimentRunner

X, LABELS = make_classification(60, 4, n_informative=3, n_redundant=0, random_state=0)


Y = np.array(["benign", "malignant"])[LABELS]


KINDS = ["none", "distance", "idw"]


SCORES = ["val_loss", "accuracy", "precision", "recall", "f1", "auc"]


# The columns of semideep 0.0.1, in its order.
COLUMNS = ["weight_type", "distance_metric", "lambda", "training_time", "test_size", *SCORES]


def model():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


def runner(folder, **settings):
    return ExperimentRunner(model, device="cpu", output_dir=folder, **{"n_seeds": 3, **settings})


def run(runner, name="data", **arguments):
    options = {"epochs": 2, "tune_hyperparams": False, "verbose": False, **arguments}
    return runner.run_dataset_experiment(X, Y, name, **options)


def without_time(table):
    return table.drop(columns="training_time")


def recorded(path):
    """Runs of a file without their times, in an order of their own; training curves included."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for entry in lines:
        del entry["result"]["training_time"]
    return sorted(lines, key=lambda entry: json.dumps(entry["spec"], sort_keys=True))
