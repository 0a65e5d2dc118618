"""Fresh random data in every run, how to get the same data again, and on which device."""

import os
import subprocess
import sys

import pytest
import torch

SEED = int(os.environ.get("SEMIDEEP_TEST_SEED", int.from_bytes(os.urandom(4), "little")))

collect_ignore_glob = ["*conftest.py"]  # each folder's, which doctest would import by one name


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "every_instruction_set: run again under each instruction set of the machine"
    )
    config.addinivalue_line(
        "markers", "each_device: run on the CPU and, where there is a card, with its tensors"
    )


def pytest_generate_tests(metafunc):
    if metafunc.definition.get_closest_marker("each_device"):
        from semideep_ext.op.testing import DEVICES

        if len(DEVICES) > 1:  # names of tests stay plain where there is no choice
            metafunc.parametrize("default_device", DEVICES, indirect=True)


@pytest.fixture(autouse=True)
def default_device(request):
    """Where tensors are made: the device of a test that is marked each_device, else the CPU."""
    device = getattr(request, "param", "cpu")
    if device == "cpu":
        yield device
        return
    torch.set_default_device(device)
    yield device
    torch.set_default_device(None)


@pytest.fixture
def generator(default_device):
    """A generator of random numbers with another seed in each run."""
    return torch.Generator(default_device).manual_seed(SEED)


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
