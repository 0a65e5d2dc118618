"""Train on half of the breast-cancer rows, weighted by their nearness to the other half."""

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from semideep_ext import WeightedTrainer

X_train, X_test, y_train, y_test = train_test_split(
    *load_breast_cancer(return_X_y=True), test_size=0.5, random_state=0
)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
trainer = WeightedTrainer(model, X_train, y_train, X_test, epochs=30, verbose=False)
trainer.train()
print(f"accuracy {trainer.evaluate(X_test, y_test)['accuracy']:.3f}")
