"""Promise: each instruction set that the machine has passes the same tests."""

import os
import pathlib
import subprocess
import sys

import pytest

from semideep_ext import _C

ALL = ("default", "avx2", "avx512", "avx512_vpopcntdq")  # in the order of csrc/cpu/capability.h
HERE = ALL[: ALL.index(_C.machine_capability()) + 1]
BEYOND = ALL[len(HERE) :]
MARK = "every_instruction_set"
HOME = pathlib.Path(__file__)
FILES = [f"{p}" for p in HOME.parent.glob("test_*.py") if p != HOME and MARK in p.read_text()]
CALL = "import semideep_ext; print(semideep_ext.distance_weights([[0.0]], [[0.0]]))"
ASK = f"""
from importlib.machinery import ExtensionFileLoader
_C = ExtensionFileLoader("_C", {_C.__file__!r}).load_module()  # without the second that torch takes
print(_C.cpu_capability(), _C.machine_capability())
"""


@pytest.mark.parametrize("capability", [name for name in HERE if name != _C.cpu_capability()])
def test_parity_gradients_and_determinism_hold_under(capability):
    options = ["-qx", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", MARK]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *FILES],
        env={**os.environ, "SEMIDEEP_CPU_CAPABILITY": capability},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and len(FILES) >= 5


@pytest.mark.parametrize("capability", HERE)
def test_the_variable_chooses_the_instruction_set(capability, run_python):
    done = run_python(ASK, SEMIDEEP_CPU_CAPABILITY=capability)
    assert done.stdout.split() == [capability, HERE[-1]]


def test_an_empty_variable_leaves_the_choice_to_the_machine(run_python):
    done = run_python(ASK, SEMIDEEP_CPU_CAPABILITY="")
    assert done.stdout.split() == [HERE[-1], HERE[-1]]


def test_an_unknown_name_is_an_error_that_tells_the_choices(run_python):
    done = run_python(CALL, SEMIDEEP_CPU_CAPABILITY="sse9")
    assert done.returncode != 0
    assert (
        "SEMIDEEP_CPU_CAPABILITY='sse9' is unknown: set it to default, avx2, avx512 or "
        "avx512_vpopcntdq, or unset it" in done.stderr
    )


@pytest.mark.skipif(not BEYOND, reason="this machine has every instruction set")
@pytest.mark.parametrize("capability", BEYOND)
def test_instructions_that_the_machine_lacks_are_refused(capability, run_python):
    done = run_python(CALL, SEMIDEEP_CPU_CAPABILITY=capability)
    assert done.returncode != 0
    assert f"the best it has is '{HERE[-1]}'" in done.stderr
