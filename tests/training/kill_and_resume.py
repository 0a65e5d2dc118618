"""Kill a training with SIGKILL at random moments, resume it, and compare the bits of its result.

    python tests/training/kill_and_resume.py --kills 100

Each training is killed and resumed until it ends, then compared with one that nobody killed; as
many follow as it takes to reach the number of kills. Linux and macOS only: trainings are forked,
so that a kill costs no start of Python.
"""

import argparse
import importlib
import multiprocessing
import os
import pathlib
import random
import signal
import tempfile
import time

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from semideep_ext import WeightedTrainer
from semideep_ext._files import write_atomically
from semideep_ext.training.callbacks import Checkpoint, EarlyStopping

FORK = multiprocessing.get_context("fork")
ROWS, FEATURES, EPOCHS = 96, 6, 12


class Noisy(torch.utils.data.Dataset):
    """Rows with fresh noise at each reading, as augmentation makes it, from three generators."""

    def __init__(self):
        generator = np.random.default_rng(0)
        self.X = generator.normal(size=(ROWS, FEATURES)).astype(np.float32)
        self.y = (self.X[:, 0] + 0.3 * generator.normal(size=ROWS) > 0).astype(np.int64)

    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        noise = np.random.normal() + random.gauss(0, 1) + torch.randn(()).item()
        return torch.from_numpy(self.X[i] + np.float32(0.1 * noise)), self.y[i]


def make_trainer(checkpoint, **options):
    """A trainer with all that has a state: momentum, dropout, batch norm, schedule, weights."""
    torch.manual_seed(0)
    data = Noisy()
    model = nn.Sequential(
        nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
    )
    return WeightedTrainer(
        model,
        data,
        X_test=data.X[:20] + 0.5,
        epochs=EPOCHS,
        batch_size=16,
        learning_rate=0.01,
        scheduler=lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, EPOCHS),
        gradient_accumulation_steps=2,
        clip_grad_norm=1.0,
        recompute_every=3,
        normalize=True,
        seed=7,
        device="cpu",
        verbose=False,
        callbacks=[EarlyStopping(patience=EPOCHS), Checkpoint(checkpoint, resume=True)],
        **options,
    )


def result_of(trainer):
    """All bits that training leaves behind."""
    tensors = dict(trainer.model.state_dict(), sample_weights=torch.tensor(trainer.sample_weights))
    for number, state in trainer.optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer {number} {key}": value for key, value in state.items()})
    return save(tensors) + repr(trainer.history).encode()


def train(checkpoint, result):
    trainer = make_trainer(checkpoint)
    trainer.train(Noisy())
    content = result_of(trainer)
    write_atomically(result, lambda f: f.write(content))


def run(folder, delay=None):
    """Train in a forked process, killed after the delay; its exit code."""
    process = FORK.Process(
        target=train, args=(folder / "checkpoint.safetensors", folder / "result")
    )
    process.start()
    process.join(delay)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    wanted = parser.parse_args().kills
    torch.set_num_threads(1)
    for name in ("accelerate", "safetensors.torch", "sklearn.metrics", "torch._dynamo"):
        importlib.import_module(name)  # here, or each child would spend its life on that
    kills = trainings = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "whole").mkdir()
        start = time.perf_counter()
        assert run(folder / "whole") == 0
        seconds = time.perf_counter() - start
        expected = (folder / "whole" / "result").read_bytes()
        while kills < wanted:
            trainings += 1
            killed = folder / f"killed {trainings}"
            killed.mkdir()
            while (code := run(killed, random.uniform(0, seconds))) == -signal.SIGKILL:
                kills += 1
            assert code == 0, f"training ended with exit code {code}"
            assert (killed / "result").read_bytes() == expected, f"other bits after {kills} kills"
            left = sorted(path.name for path in killed.iterdir())
            assert left == ["checkpoint.safetensors", "result"], left
    print(f"{trainings} trainings, killed {kills} times: the same bits as one that was not killed")


if __name__ == "__main__":
    main()
