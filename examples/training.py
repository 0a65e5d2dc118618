"""A training run that may be killed and started again: schedule, early stopping, checkpoints."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from semideep_ext import WeightedTrainer
from semideep_ext.training.callbacks import Checkpoint, EarlyStopping

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.5, random_state=0)
X, X_val, y, y_val = train_test_split(X, y, test_size=0.2, random_state=0)
torch.manual_seed(0)
trainer = WeightedTrainer(
    torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)),
    X,
    y,
    X_test,
    normalize=True,  # weights of mean 1: lambda_ does not change the size of the steps
    learning_rate=0.01,
    epochs=30,
    scheduler=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30),
    class_weight="balanced",
    seed=0,
    callbacks=[
        EarlyStopping("val_loss", patience=5),
        Checkpoint("digits.safetensors", resume=True),  # started again, it goes on from the file
    ],
)
trainer.train(X_val, y_val)
print("accuracy", trainer.evaluate(X_test, y_test)["accuracy"])
