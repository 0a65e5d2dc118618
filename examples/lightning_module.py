"""Weights as a third column of the batches of a LightningModule."""

import lightning
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

from semideep_ext import WeightedCrossEntropyLoss, distance_weights


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = torch.nn.Sequential(
            torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)
        )
        self.loss_fn = WeightedCrossEntropyLoss()

    def training_step(self, batch, _):
        rows, labels, weights = batch
        return self.loss_fn(self.model(rows), labels, weights)

    def test_step(self, batch, _):
        rows, labels = batch
        self.log("accuracy", (self.model(rows).argmax(1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.005)


lightning.seed_everything(0)
X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
scaler = StandardScaler().fit(X)
X, X_test = (torch.tensor(scaler.transform(rows), dtype=torch.float32) for rows in (X, X_test))
w = distance_weights(X, X_test, "euclidean", lambda_=0.8)
train_rows = TensorDataset(X, torch.tensor(y), w / w.mean())
test_rows = TensorDataset(X_test, torch.tensor(y_test))

trainer = lightning.Trainer(
    max_epochs=20, accelerator="cpu", logger=False, enable_checkpointing=False
)
model = Classifier()
trainer.fit(model, DataLoader(train_rows, batch_size=32, shuffle=True))
(scores,) = trainer.test(model, DataLoader(test_rows, batch_size=len(test_rows)), verbose=False)
print("accuracy", scores["accuracy"])
