"""What methods are compared on: few labels, many rows without, a network, a budget of steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn import datasets
from sklearn.preprocessing import StandardScaler
from torch import nn

from semideep_ext.experiments.image_files import load_images


@dataclass(frozen=True)
class Split:
    """One draw of labelled rows."""

    X: np.ndarray  # (N, D), labelled
    y: np.ndarray
    X_unlabeled: np.ndarray
    y_unlabeled: np.ndarray  # known here, for reports only
    X_test: np.ndarray
    y_test: np.ndarray


@dataclass(frozen=True)
class Task:
    """A data set with so many labels a class, and how a network learns it."""

    title: str
    load: Callable[[str | None], tuple[np.ndarray, np.ndarray]]
    labels_per_class: int
    hidden: tuple[int, ...]
    steps: int
    learning_rate: float
    test: int  # rows to score on
    unlabeled: int  # rows without a label
    dropout: float = 0.0
    standardize: bool = True
    files: str | None = None  # the data set whose folder must be given

    def draw(self, seed: int, folder: str | None) -> Split:
        """Draw labelled, unlabelled and test rows; others for each seed."""
        X, y = self.load(folder)
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(y))
        labeled = np.concatenate(
            [order[y[order] == k][: self.labels_per_class] for k in np.unique(y)]
        )
        rest = order[~np.isin(order, labeled)]
        test, unlabeled = rest[: self.test], rest[self.test : self.test + self.unlabeled]
        if self.standardize:
            scaler = StandardScaler().fit(X[np.concatenate([labeled, unlabeled])])
            X = scaler.transform(X)
        X = X.astype(np.float32)
        parts = (part for rows in (labeled, unlabeled, test) for part in (X[rows], y[rows]))
        return Split(*parts)

    def network(self, inputs: int, outputs: int, seed: int) -> nn.Module:
        """Make a network of linear layers, with its first parameters by the seed."""
        torch.manual_seed(seed)
        widths, layers = (inputs, *self.hidden), []
        for width, following in itertools.pairwise(widths):
            layers += [nn.Linear(width, following), nn.ReLU(), nn.Dropout(self.dropout)]
        return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


def two_moons(folder: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Draw two moons, whose classes are one curve each: the assumption of every method holds."""
    return datasets.make_moons(3000, noise=0.1, random_state=0)


def images(name: str) -> Callable[[str | None], tuple[np.ndarray, np.ndarray]]:
    """Read the training images of a data set as rows in [0, 1]."""

    def load(folder: str | None) -> tuple[np.ndarray, np.ndarray]:
        X, y = load_images(name, str(folder))
        return X.reshape(len(X), -1) / np.float32(255), y

    return load


def by_sklearn(name: str) -> Callable[[str | None], tuple[np.ndarray, np.ndarray]]:
    """Load a data set that comes with scikit-learn."""
    return lambda folder: getattr(datasets, f"load_{name}")(return_X_y=True)


DIGITS = {"hidden": (128, 64), "steps": 400, "learning_rate": 3e-3, "test": 500, "unlabeled": 1000}
IMAGES = {
    "labels_per_class": 25,
    "hidden": (128, 64),
    "steps": 300,
    "learning_rate": 1e-3,
    "test": 2000,
    "unlabeled": 4000,
    "dropout": 0.2,
    "standardize": False,
}
TASKS = {
    "two-moons": Task(
        "two moons, 10 labels",
        two_moons,
        labels_per_class=5,
        hidden=(64, 64),
        steps=600,
        learning_rate=1e-2,
        test=1000,
        unlabeled=1000,
        standardize=False,
    ),
    "digits-10": Task("digits, 10 a class", by_sklearn("digits"), 10, dropout=0.2, **DIGITS),
    "digits-25": Task("digits, 25 a class", by_sklearn("digits"), 25, dropout=0.2, **DIGITS),
    "breast-cancer": Task(
        "breast cancer, 20 labels",
        by_sklearn("breast_cancer"),
        labels_per_class=10,
        hidden=(64, 32),
        steps=300,
        learning_rate=3e-3,
        test=150,
        unlabeled=399,
    ),
    "mnist": Task("MNIST, 25 a class", images("mnist"), files="mnist", **IMAGES),
    "fashion-mnist": Task(
        "Fashion-MNIST, 25 a class", images("fashion-mnist"), files="fashion-mnist", **IMAGES
    ),
}
