"""Each example runs as it stands."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import semideep_ext

PACKAGE_FOLDER = str(Path(semideep_ext.__file__).parent.parent)
README = (Path(__file__).parent.parent / "README.md").read_text()
METHODS_PAGE = (Path(__file__).parent.parent / "docs" / "methods.md").read_text()
FOLDER = Path(__file__).parent.parent / "examples"
# Options that make it quick, and the library that it shows.
EXAMPLES = {
    "accelerate_loop.py": ([], "accelerate"),
    "basic.py": ([], "accelerate"),
    "experiment.py": (
        [
            *("--dataset", "breast_cancer", "--test-sizes", "0.4", "0.5"),
            *("--report", "--seeds", "2", "--epochs", "10"),
        ],
        "semideep_ext.experiments.experiment",
    ),
    "huggingface_trainer.py": ([], "transformers"),
    "lightning_module.py": ([], "lightning"),
    "metrics.py": (["--auto", "--epochs", "4", "--test-size", "0.5"], "accelerate"),
    "skorch_net.py": ([], "skorch"),
    "torch_loop.py": ([], "torch"),
    "training.py": ([], "accelerate"),
}


def test_every_example_is_run_and_listed_in_the_readme():
    assert sorted(path.name for path in FOLDER.glob("*.py")) == sorted(EXAMPLES)
    assert all(f"`{name}`" in README for name in EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_runs_and_scores_well(example, tmp_path):
    options, library = EXAMPLES[example]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install 'semideep_ext[examples]'")
    done = subprocess.run(
        [sys.executable, FOLDER / example, *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": PACKAGE_FOLDER,  # also where it is not installed
            "OMP_NUM_THREADS": "1",  # these models are too small for two
            "HF_HUB_OFFLINE": "1",  # nothing is downloaded
        },
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0.9


def test_the_readme_shows_the_basic_example_as_it_stands():
    code = (FOLDER / "basic.py").read_text().split('"""\n\n', 1)[1]
    assert f"```python\n{code}```" in README


@pytest.mark.filterwarnings("ignore:no weighting is shown better")  # on these data
def test_every_other_block_of_the_readme_runs():
    blocks = README.split("```python\n")[2:]
    assert blocks
    names = {}
    for block in blocks:
        exec(block.split("```")[0], names)
    assert names["out"].shape == (100, 3)
    assert names["w"].shape == (3, 100)
    assert names["search"].best_score_ > 0.9 and names["score"] > 0.9


def test_the_page_of_methods_lists_each_and_its_blocks_run():
    from semideep_ext.ssl import METHODS

    assert [line.split("`")[1] for line in METHODS_PAGE.split("\n") if line.startswith("| `")] == [
        *METHODS
    ]
    names = {}
    for block in METHODS_PAGE.split("```python\n")[1:]:
        exec(block.split("```")[0], names)
    assert names["history"]["accuracy"][-1] > 0.9
    assert names["predictions"].shape == (490,)
