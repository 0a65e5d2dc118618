"""A skorch net, weighted like any estimator of scikit-learn, in a pipeline and a search."""

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier

from semideep_ext import DistanceWeightedClassifier, LabeledSplit, SampleWeightMixin


class Net(SampleWeightMixin, NeuralNetClassifier):
    """A net whose fit takes sample_weight."""


X, y = load_breast_cancer(return_X_y=True)
X = X.astype(np.float32)
labeled, test = train_test_split(np.arange(len(y)), test_size=0.5, random_state=0)
y_train = y.copy()
y_train[test] = -1  # unlabelled

torch.manual_seed(0)
net = Net(
    torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)),
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.01,
    max_epochs=15,
    train_split=None,
    verbose=0,
)
weighted = DistanceWeightedClassifier(net, lambda_="median")
grid = {"distanceweightedclassifier__metric": ["euclidean", "cosine"]}
search = GridSearchCV(make_pipeline(StandardScaler(), weighted), grid, cv=LabeledSplit(3))
search.fit(X, y_train)
print("metric", search.best_params_["distanceweightedclassifier__metric"])
print("accuracy", (search.predict(X[test]) == y[test]).mean())
