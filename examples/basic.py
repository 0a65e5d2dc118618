"""Train on half of the breast-cancer rows, weighted by their nearness to the other half."""

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from semideep_ext import WeightedTrainer

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
scaler = StandardScaler().fit(X)  # on the training rows only
X, X_test = scaler.transform(X), scaler.transform(X_test)
model = torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
trainer = WeightedTrainer(model, X, y, X_test, weights="distance", lambda_=0.8, epochs=30)
trainer.train()
print("accuracy", trainer.evaluate(X_test, y_test)["accuracy"])
