"""Promises of training in several processes: `accelerate launch` gives the result of one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import semideep_ext
from semideep_ext.training.loop import share

PACKAGE_FOLDER = str(Path(semideep_ext.__file__).parent.parent)

# Float32 sums in another order, over 12 Adam steps.
TOLERANCE = 1e-4

SCRIPT = """
import json, os, sys
import numpy as np, torch
from semideep_ext import WeightedTrainer
from semideep_ext.training.callbacks import Callback, Checkpoint, EarlyStopping

folder, crash = sys.argv[1], sys.argv[2] == "crash"
rng = np.random.default_rng(0)
X = rng.normal(size=(67, 4)).astype(np.float32)  # 67: shares of unequal size
y = np.where(X[:, 0] > 0, "yes", "no")

class Crash(Callback):
    def on_epoch_end(self, trainer, **details):
        if crash and trainer.epoch == 2:
            raise SystemExit("crashed as told")

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
torch.manual_seed(int(os.environ.get("RANK", 0)))  # processes need not agree on random numbers
checkpoint = Checkpoint(os.path.join(folder, "checkpoint"), resume=True)
trainer = WeightedTrainer(
    model, X, y, X[:11] + 0.5, device="cpu", epochs=3, batch_size=33, learning_rate=0.01,
    gradient_accumulation_steps=2, clip_grad_norm=1.0, recompute_every=2, verbose=False, seed=5,
    class_weight="balanced", callbacks=[EarlyStopping(), Crash(), checkpoint],
)
history = trainer.train(X[:20], y[:20])
result = {
    "processes": trainer.accelerator.num_processes,
    "history": history,
    "weights": trainer.sample_weights.tolist(),
    "parameters": torch.cat([p.detach().flatten() for p in model.parameters()]).tolist(),
}
rank = os.environ.get("RANK", "0")
with open(os.path.join(folder, f"{rank}.json"), "w") as f:
    json.dump(result, f)
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("", 0))
        return str(listener.getsockname()[1])


def launch(folder, how):
    (folder / "script.py").write_text(SCRIPT)
    # With --cpu the launcher starts one process (or mpirun); with --multi_gpu as many as asked for.
    command = [sys.executable, "-W", "ignore", "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--num_machines", "1"]
    # Not 0, which new launchers replace by a free port, too, but accelerate 1.0 waits at.
    command += ["--main_process_port", free_port()]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    return subprocess.run(
        [*command, folder / "script.py", folder, how],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": PACKAGE_FOLDER, "OMP_NUM_THREADS": "1"},
    )


def results(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("?.json"))]


@pytest.fixture
def one_process(tmp_path, monkeypatch):
    """The result of the script run here, by itself."""
    folder = tmp_path / "one"
    folder.mkdir()
    monkeypatch.setattr(sys, "argv", ["script", str(folder), "whole"])
    exec(SCRIPT, {})
    return results(folder)[0]


def assert_close(result, expected):
    for key in ("parameters", "weights"):
        np.testing.assert_allclose(result[key], expected[key], rtol=TOLERANCE, atol=TOLERANCE)
    for key in expected["history"]:
        np.testing.assert_allclose(
            result["history"][key], expected["history"][key], rtol=TOLERANCE, err_msg=key
        )


def test_two_processes_give_the_result_of_one_also_after_a_crash(one_process, tmp_path):
    crashed = launch(tmp_path, "crash")
    assert crashed.returncode != 0 and "crashed as told" in crashed.stderr
    assert (tmp_path / "checkpoint").exists() and not results(tmp_path)
    done = launch(tmp_path, "whole")
    assert done.returncode == 0, done.stderr
    first, second = results(tmp_path)
    assert first["processes"] == 2
    assert first["parameters"] == second["parameters"]  # the processes agree to the bit
    assert first["history"] == second["history"]
    assert_close(first, one_process)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize("sizes", [[4], [5, 4], [1], [3, 3, 2]], ids=str)
def test_shares_of_all_processes_weigh_every_row_once(sizes, processes):
    plan = [list(torch.arange(sum(sizes)).split(sizes))]
    n, weight = sum(sizes), np.zeros(sum(sizes))
    shares = [share(plan, process, processes)[0] for process in range(processes)]
    for own in shares:
        for batch in own:
            # DDP takes the mean over processes of sums over batches of factor * mean over rows.
            weight[batch.index] += batch.factor / len(batch.index) / processes
    np.testing.assert_allclose(weight, 1 / n)
    assert sum(batch.counted for own in shares for batch in own) == n
    assert len({len(own) for own in shares}) == 1
