"""Does weighting help here? Ten splits, paired differences with intervals, and a report."""

from torch import nn

from semideep_ext import ExperimentRunner


def network():
    return nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3))


runner = ExperimentRunner(network, n_seeds=10, output_dir="results")
results = runner.run_dataset_experiment(
    "wine", test_size=0.5, learning_rate=0.01, epochs=20, tune_hyperparams=False
)
runner.generate_report()  # results/experiment_report.md and .html
print("mean accuracy", results["accuracy"].mean())
