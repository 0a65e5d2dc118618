"""What is tried and trained where the caller names nothing. Imports nothing heavy."""

from __future__ import annotations

from typing import Final

# As in semideep.
SELECTED_METRICS = ("euclidean", "cosine", "hamming", "jaccard")
LAMBDAS = (0.5, 0.7, 0.8, 0.9, 1.0)
TEST_SIZES = (0.1, 0.5, 0.9)

# The small nets of command line, selection and demo. Test accuracy on standardised halves of
# scikit-learn's sets, mean of 3 splits, with Adam at .01 after 50 passes, and at .001, torch's
# default, after 50 and after 100:
#   breast_cancer  .968    .966  .972
#   wine           .974    .959  .970
#   iris           .956    .836  .893
#   digits         .965    .960  .963
# More passes at .01 gain nothing: on breast_cancer the loss on test rows rises after about 10.
HIDDEN: Final = (16,)
EPOCHS: Final = 50
LEARNING_RATE: Final = 0.01
BATCH_SIZE: Final = 32
