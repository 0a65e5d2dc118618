"""What the tests of the trainer share: easily learned data, and a trainer that learns them."""

import numpy as np
import torch
from torch import nn

from semideep_ext.training.trainer import WeightedTrainer

SCORES = ["accuracy", "precision", "recall", "f1", "auc"]
KEYS = ["train_loss", "val_loss", *SCORES]


def blobs(classes=2, n=60):
    """Well separated groups of rows in the plane, and their numbers."""
    generator = np.random.default_rng(0)
    y = np.arange(n) % classes
    centres = 4 * np.stack([np.cos(np.arange(classes) * 2), np.sin(np.arange(classes) * 2)], 1)
    return centres[y] + generator.normal(scale=0.5, size=(n, 2)), y


def trainer(y=None, outputs=2, X=None, model=None, **options):
    """Build a trainer that learns the blobs in a few quick epochs, unless told otherwise."""
    torch.manual_seed(0)
    blob_X, blob_y = blobs()
    X, y = blob_X if X is None else X, blob_y if y is None else y
    defaults = {"weights": None, "learning_rate": 0.1, "epochs": 5, "verbose": False}
    return WeightedTrainer(
        nn.Linear(2, outputs) if model is None else model,
        X,
        y,
        device="cpu",
        **{**defaults, **options},
    )


class Noted(list):
    """A model of the given outputs that notes every batch that goes through it."""

    def model(self, outputs=2):
        model = nn.Linear(2, outputs)
        model.register_forward_pre_hook(lambda _, inputs: self.append(inputs[0].clone()))
        return model
