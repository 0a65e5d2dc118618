"""Weights in a training loop of your own: two lines of plain PyTorch."""

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

from semideep_ext import WeightedCrossEntropyLoss, distance_weights

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
scaler = StandardScaler().fit(X)
X, X_test = (torch.tensor(scaler.transform(rows), dtype=torch.float32) for rows in (X, X_test))
y, y_test = torch.tensor(y), torch.tensor(y_test)

w = distance_weights(X, X_test, "euclidean", lambda_=0.8)  # (N,), without labels of X_test
w /= w.mean()  # so that lambda_ does not change the size of the steps

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
loss_fn = WeightedCrossEntropyLoss()
for _ in range(20):
    for rows, labels, weights in DataLoader(TensorDataset(X, y, w), batch_size=32, shuffle=True):
        optimizer.zero_grad()
        loss_fn(model(rows), labels, weights).backward()
        optimizer.step()

with torch.no_grad():
    accuracy = (model(X_test).argmax(1) == y_test).float().mean()
print("accuracy", accuracy.item())
