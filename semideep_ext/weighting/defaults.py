"""What is tried and trained where the caller names nothing. Imports nothing heavy."""

from __future__ import annotations

from typing import Final

# As in semideep.
SELECTED_METRICS = ("euclidean", "cosine", "hamming", "jaccard")
LAMBDAS = (0.5, 0.7, 0.8, 0.9, 1.0)
TEST_SIZES = (0.1, 0.5, 0.9)

# The small nets of command line, selection and demo. Adam at .01 learns the sets of scikit-learn in
# 50 passes; at .001, torch's default, it has not finished after 100.
HIDDEN: Final = (16,)
EPOCHS: Final = 50
LEARNING_RATE: Final = 0.01
BATCH_SIZE: Final = 32
