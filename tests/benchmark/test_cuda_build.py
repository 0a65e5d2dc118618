"""Promise: the build says what it does about CUDA, and no kernel spills more than is known."""

import importlib.util
import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
CMAKE = shutil.which("cmake", path=sysconfig.get_path("scripts")) or shutil.which("cmake")


def module(path):
    if not (ROOT / path).exists():
        pytest.skip("the sources are not here")
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


# --- the compiler's report ------------------------------------------------------------------------

REPORT = """\
nvcc: NVIDIA (R) Cuda compiler driver
Cuda compilation tools, release 13.0, V13.0.88
Build cuda_13.0.r13.0/compiler.36424714_0
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN8semideep6device4sumIdE1A' for 'sm_90a'
ptxas info    : Function properties for _ZN8semideep6device4sumIdE1A
    {stack} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 512 bytes smem
ptxas info    : Compile time = 4.893 ms
ptxas info    : Compiling entry function 'other' for 'sm_75'
ptxas info    : Function properties for other
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers
"""


@pytest.fixture
def resources():
    return module("benchmarks/cuda_resources.py")


def report(resources, stores=0, loads=0):
    return resources.parse(REPORT.format(stack=8, stores=stores, loads=loads))


def test_registers_shared_memory_stack_and_spills_are_read(resources):
    assert report(resources, stores=12, loads=20) == (
        "13.0",
        {
            "sm_90a": {"_ZN8semideep6device4sumIdE1A": (128, 512, 8, 32)},
            "sm_75": {"other": (40, 0, 0, 0)},
        },
    )


@pytest.mark.parametrize(
    ("demangled", "short"),
    [
        ("void semideep::device::sum<double>(A, B)", "sum<double>"),
        (
            "void semideep::cuda::(anonymous namespace)::f<semideep::device::Dual<double> >(A)",
            "f<Dual<double> >",
        ),
    ],
)
def test_kernels_have_short_names(resources, demangled, short):
    assert resources.shorten(demangled) == short


def test_more_spills_than_the_baseline_fail_and_are_named(resources):
    baseline = json.loads(json.dumps(resources.as_baseline(report(resources, 4, 4))))
    assert resources.compare(baseline, report(resources, 4, 4))[0]
    assert resources.compare(baseline, report(resources, 0, 0))[0]
    passed, text = resources.compare(baseline, report(resources, 8, 4))
    assert not passed and "sm_90a _ZN8semideep6device4sumIdE1A: spills 12 bytes, allowed 8" in text


def test_a_new_kernel_may_not_spill(resources):
    baseline = {"nvcc": "13.0", "kernels": {}}
    assert resources.compare(baseline, report(resources))[0]
    assert not resources.compare(baseline, report(resources, 4))[0]


def test_another_compiler_proves_nothing(resources):
    passed, text = resources.compare({"nvcc": "12.8", "kernels": {}}, report(resources, 4))
    assert passed and "not comparable" in text


def test_no_report_is_a_failure(resources, tmp_path, capsys):
    assert resources.main([str(tmp_path)]) == 1
    assert "FAILED, no report: build semideep_cuda first" in capsys.readouterr().out


@pytest.mark.parametrize("status", [0, 3])
def test_the_report_is_kept_and_what_else_is_said_passes(status, tmp_path):
    launcher = ROOT / "cmake" / "keep_report.sh"
    if not launcher.exists():
        pytest.skip("the sources are not here")
    text = REPORT.format(stack=8, stores=4, loads=4)
    (tmp_path / "version").write_text("".join(text.splitlines(True)[:3]))
    (tmp_path / "said").write_text("a.cu(3): warning\n" + "".join(text.splitlines(True)[3:]))
    compiler = tmp_path / "nvcc"
    compiler.write_text(
        f'#!/bin/sh\ncd "{tmp_path}"\n[ "$1" = --version ] && exec cat version\n'
        f"cat said >&2\nexit {status}\n"
    )
    compiler.chmod(0o755)
    out = tmp_path / "a.o"
    done = subprocess.run([launcher, compiler, "-c", "a.cu", "-o", out], capture_output=True)
    assert done.returncode == status
    assert done.stderr == b"a.cu(3): warning\n"
    kept = Path(f"{out}.ptxas").read_text()
    assert "release 13.0" in kept and "4 bytes spill stores" in kept


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("target", ["cuda-build", "cuda-resources"])
def test_without_nvcc_make_skips_aloud(target):
    if not (ROOT / "Makefile").exists():
        pytest.skip("the sources are not here")
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    command = ["make", "HAVE_NVCC=", target]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{target}: SKIPPED, no nvcc here; install the CUDA toolkit" in done.stdout


# --- which library is built -----------------------------------------------------------------------

PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(choice LANGUAGES NONE)
set(cuda_choice OFF)
include("{root}/cmake/cuda.cmake")
set(cuda_choice {choice})
set(cuda_version {nvcc})
if(NOT cuda_version STREQUAL "none")
  add_library(semideep_cuda INTERFACE)
endif()
semideep_choose_cuda_module({torch})
message(STATUS "problem: <${{cuda_problem}}>")
"""


@pytest.mark.skipif(not CMAKE, reason="cmake is not installed")
@pytest.mark.parametrize(
    ("choice", "nvcc", "torch", "expected"),
    [
        ("AUTO", "13.0.88", "13.0", "problem: <>"),
        ("AUTO", "13.1", "13.0", "problem: <>"),
        ("AUTO", "13.0.88", "none", "problem: <built for a torch without CUDA>"),
        ("OFF", "none", "13.0", "problem: <built with SEMIDEEP_CUDA=OFF>"),
        ("AUTO", "none", "13.0", "Install CUDA 13's toolkit"),
        ("AUTO", "12.4", "13.0", "the major versions must be equal"),
        ("ON", "12.4", "13.0", "CMake Error"),
        ("ON", "13.0.88", "none", "no torch like this one will load it"),
    ],
)
def test_the_build_chooses_or_says_why_not(choice, nvcc, torch, expected, tmp_path):
    if not (ROOT / "cmake").is_dir():
        pytest.skip("the sources are not here")
    project = PROJECT.format(root=ROOT, choice=choice, nvcc=nvcc, torch=torch)
    (tmp_path / "CMakeLists.txt").write_text(project)
    command = [CMAKE, "-S", tmp_path, "-B", tmp_path / "build"]
    done = subprocess.run(command, capture_output=True, text=True)
    said = " ".join((done.stdout + done.stderr).split())
    assert expected in said
    assert (done.returncode != 0) == (expected == "CMake Error"), said


def built(setup, tmp_path, *, optional):
    target = tmp_path / "package" / "_torch_cuda.so"
    target.parent.mkdir()
    target.write_text("of an earlier build")
    command = SimpleNamespace(get_ext_fullpath=lambda name: str(target))
    extension = SimpleNamespace(name="semideep_ext._torch_cuda", optional=optional)
    setup.CMakeBuild.copy_built(command, extension, tmp_path)
    return target


def test_an_optional_library_is_installed_if_it_was_built(tmp_path):
    (tmp_path / "_torch_cuda.so").write_text("new")
    assert built(module("setup.py"), tmp_path, optional=True).read_text() == "new"


def test_nothing_is_left_of_an_optional_library_that_was_not_built(tmp_path, capsys):
    assert not built(module("setup.py"), tmp_path, optional=True).exists()
    assert "semideep_ext._torch_cuda was not built" in capsys.readouterr().out


def test_a_library_that_must_be_there_is_missed(tmp_path):
    with pytest.raises(FileNotFoundError):
        built(module("setup.py"), tmp_path, optional=False)
