"""Fresh random data in every run, and how to get the same data again."""

import os
import subprocess
import sys

import pytest
import torch

SEED = int(os.environ.get("SEMIDEEP_TEST_SEED", int.from_bytes(os.urandom(4), "little")))


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "every_instruction_set: run again under each instruction set of the machine"
    )


@pytest.fixture
def generator():
    """A generator of random numbers with another seed in each run."""
    return torch.Generator().manual_seed(SEED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and "generator" in getattr(item, "fixturenames", ()):
        report.sections.append(("random data", f"SEMIDEEP_TEST_SEED={SEED} gives the same again"))
    return report


@pytest.fixture
def run_python():
    """Runs code in a fresh interpreter; returns its completed process."""

    def run(code, **environment):
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
