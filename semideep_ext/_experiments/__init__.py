"""What `ExperimentRunner` is made of: splits, runs, sweeps of them, statistics, the report."""
