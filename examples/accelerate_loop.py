"""A loop of your own under Accelerate: `accelerate launch examples/accelerate_loop.py`.

Every process computes the weights of all rows (the op is quick) and trains on its share of them.
"""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

from semideep_ext import WeightedCrossEntropyLoss, distance_weights

set_seed(0)
X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
scaler = StandardScaler().fit(X)
X, X_test = (torch.tensor(scaler.transform(rows), dtype=torch.float32) for rows in (X, X_test))
w = distance_weights(X, X_test, "euclidean", lambda_=0.8)
train_rows = TensorDataset(X, torch.tensor(y), w / w.mean())
test_rows = TensorDataset(X_test, torch.tensor(y_test))

accelerator = Accelerator()
model = torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
model, optimizer, batches, test_batches = accelerator.prepare(
    model,
    torch.optim.Adam(model.parameters(), lr=0.005),
    DataLoader(train_rows, batch_size=32, shuffle=True),
    DataLoader(test_rows, batch_size=128),
)
loss_fn = WeightedCrossEntropyLoss()
for _ in range(20):
    for rows, labels, weights in batches:
        optimizer.zero_grad()
        accelerator.backward(loss_fn(model(rows), labels, weights))
        optimizer.step()

right = []
with torch.no_grad():
    for rows, labels in test_batches:
        hits = model(rows).argmax(1) == labels
        right.append(accelerator.gather_for_metrics(hits))
accelerator.print("accuracy", torch.cat(right).float().mean().item())
