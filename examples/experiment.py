"""Does weighting help here? Several splits, paired differences with intervals, and a report."""

import argparse

from torch import nn

from semideep_ext import ExperimentRunner
from semideep_ext.experiments.datasets import DATASETS, load_dataset

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--dataset", choices=DATASETS, default="wine")
parser.add_argument(
    "--test-sizes", type=float, nargs="*", help="shares of test rows (default 0.1, 0.5, 0.9)"
)
parser.add_argument("--report", action="store_true", help="write results/experiment_report.html")
parser.add_argument("--seeds", type=int, default=10, help="splits (default 10)")
parser.add_argument("--epochs", type=int, default=20)
options = parser.parse_args()

X, y = load_dataset(options.dataset)


def network():
    return nn.Sequential(nn.Linear(X.shape[1], 16), nn.ReLU(), nn.Linear(16, len(set(y))))


runner = ExperimentRunner(
    network, test_sizes=options.test_sizes or None, n_seeds=options.seeds, output_dir="results"
)
settings = {"learning_rate": 0.01, "epochs": options.epochs, "tune_hyperparams": False}
if options.test_sizes is None:
    results = runner.run_dataset_experiment(options.dataset, test_size=0.5, **settings)
else:
    results = runner.run_test_size_experiment(options.dataset, **settings)
if options.report:
    runner.generate_report()
print("mean accuracy", results["accuracy"].mean())
