"""Every method, so set that its unlabelled loss is at work from the first batch."""

import torch
from torch import nn

from semideep_ext.ssl.method import Batch, Data
from semideep_ext.ssl.methods import METHODS, method_class
from semideep_ext.ssl.noisy_student import NoisyStudent
from semideep_ext.ssl.ramps import Constant

CLASSES, FEATURES = 3, 4
B, U = 5, 8  # rows of a batch; different, as no method may need them equal
# What is left to say, beside a ramp of 1, for a loss that is not 0.
OPTIONS = {
    "pseudo-label": {"threshold": None},
    "fixmatch": {"threshold": 0.0},
    "defixmatch": {"threshold": 0.0},
    "uda": {"threshold": 0.0},
    "mixmatch": {"ramp": Constant()},
    "mlsn": {"gate": 0.0, "similarity_ramp": Constant(), "cotraining_ramp": Constant()},
}
RAMPED = {"fixmatch", "defixmatch", "uda", "noisy-student"}  # those without a ramp by default


def network(classes=CLASSES, norm=False, dropout=False):
    """A small network, whose last layer is its head."""
    middle = [nn.BatchNorm1d(6)] * norm + [nn.Tanh()] + [nn.Dropout(0.2)] * dropout
    return nn.Sequential(nn.Linear(FEATURES, 6), *middle, nn.Linear(6, classes))


def make(name, **options):
    """Make a method whose loss is at work."""
    options = {**OPTIONS.get(name, {}), **options}
    if method_class(name) is NoisyStudent:
        return NoisyStudent(**{"teacher": network(), "threshold": 0.0, **options})
    return method_class(name)(**{"ramp": Constant(), **options})


def draw(seed=0, classes=CLASSES):
    """Labelled and unlabelled rows of one batch."""
    g = torch.Generator().manual_seed(seed)
    return Batch(
        torch.randn(B, FEATURES, generator=g),
        torch.randint(classes, (B,), generator=g),
        torch.randn(U, FEATURES, generator=g),
        x_index=torch.arange(B),
        u_index=torch.arange(U),
        truth=torch.randint(classes, (U,), generator=g),
    )


def data_of(batch, classes=CLASSES):
    """What the method is told of the data: this batch is all there is."""
    return Data(len(batch.x), len(batch.u), classes, batch.x, lambda: batch.u.split(3))


def started(name, model, batch, **options):
    """A method that has seen one batch: temporal ensembling then has a target."""
    method = make(name, **options)
    method.start(model, data_of(batch))
    method(model, batch)
    return method


NAMES = sorted(METHODS)
