"""Promise: each Python block of `semideep`'s README runs with nothing but the import changed."""

import importlib.metadata
import re
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

import semideep_ext

try:
    README = importlib.metadata.metadata("semideep").get_payload()
except importlib.metadata.PackageNotFoundError:
    pytest.skip("semideep is not installed: pip install semideep==0.0.1", allow_module_level=True)

BLOCKS = [textwrap.dedent(b) for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL)]
HEADINGS = [
    re.findall(r"^#+ (.*)$", before, re.MULTILINE)[-1]
    for before in README.split("```python\n")[:-1]
]


@pytest.fixture
def given(monkeypatch, tmp_path):
    """What the README takes for granted: data, models, and the names of earlier blocks."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    X = generator.normal(size=(60, 5)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)

    class YourModel(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(5, 2))

    return {
        "X_train": X[:30],
        "y_train": y[:30],
        "X_val": X[30:40],
        "y_val": y[30:40],
        "X_test": X[40:],
        "y_test": y[40:],
        "X_new": X[:4],
        "X": X,
        "y": y,
        "model": YourModel(),
        "your_model": YourModel,
        "YourModel": YourModel,
        "predictions": torch.randn(4, 2),
        "targets": torch.tensor([0, 1, 1, 0]),
        "weights": torch.ones(4),
        "WeightedBCEWithLogitsLoss": semideep_ext.WeightedBCEWithLogitsLoss,  # not imported there
    }


def test_the_readme_has_the_blocks_that_are_known():
    assert len(BLOCKS) == len(HEADINGS) == 7


# The default metrics include jaccard, and the rows are not binary: users are told; and that no
# weighting is shown better than none.
@pytest.mark.filterwarnings(
    "ignore:metric='jaccard' only asks", "ignore:no weighting is shown better"
)
@pytest.mark.parametrize(
    ("block", "heading"), list(zip(BLOCKS, HEADINGS, strict=True)), ids=HEADINGS
)
def test_the_block_runs_with_the_import_changed(block, heading, given):
    if not torch.cuda.is_available():
        block = block.replace('device="cuda"', 'device="cpu"')  # semideep fails here too
    assert "from semideep import" in block
    exec(block.replace("from semideep import", "from semideep_ext import"), given)
    assert given["history"]["accuracy"] if heading == "WeightedTrainer" else True
