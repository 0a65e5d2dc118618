"""Each example runs as it stands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import semideep_ext

PACKAGE_FOLDER = str(Path(semideep_ext.__file__).parent.parent)
README = (Path(__file__).parent.parent / "README.md").read_text()
EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_example_runs_and_scores_well(example, tmp_path):
    done = subprocess.run(
        [sys.executable, example],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PACKAGE_FOLDER},  # also where it is not installed
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0.9


def test_the_readme_shows_the_basic_example_as_it_stands():
    basic = next(path for path in EXAMPLES if path.name == "basic.py")
    code = basic.read_text().split('"""\n\n', 1)[1]
    assert f"```python\n{code}```" in README


def test_every_other_block_of_the_readme_runs():
    blocks = README.split("```python\n")[2:]
    assert blocks
    names = {}
    for block in blocks:
        exec(block.split("```")[0], names)
    assert names["out"].shape == (100, 3)
    assert names["w"].shape == (3, 100)
    assert names["search"].best_score_ > 0.9 and names["score"] > 0.9
