"""What `WeightedTrainer` is made of: rows, tasks, weights, processes, one epoch, checkpoints."""
