"""What is tried where the caller names nothing, as in semideep."""

SELECTED_METRICS = ("euclidean", "cosine", "hamming", "jaccard")
LAMBDAS = (0.5, 0.7, 0.8, 0.9, 1.0)
TEST_SIZES = (0.1, 0.5, 0.9)
