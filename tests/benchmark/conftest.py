"""The modules of benchmarks/ that `make gpu` uses."""

import sys
from types import SimpleNamespace

import pytest
from stand_ins import BENCHMARKS


@pytest.fixture
def gpu(monkeypatch):
    """The modules of benchmarks/, which is no package and not installed."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the sources are not here")
    kinds = BENCHMARKS.parent / "tests" / "op"  # whose path gpu_accuracy adds once a process
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path, str(kinds)])
    import bench
    import ceilings
    import cuda_bits
    import gpu
    import gpu_accuracy
    import gpu_cells
    import gpu_process
    import gpu_small
    import gpu_steps
    import gpu_tools
    import gpu_watch

    return SimpleNamespace(
        main=gpu,
        bench=bench,
        ceilings=ceilings,
        bits=cuda_bits,
        accuracy=gpu_accuracy,
        cells=gpu_cells,
        process=gpu_process,
        small=gpu_small,
        steps=gpu_steps,
        tools=gpu_tools,
        watch=gpu_watch,
    )


@pytest.fixture
def options(gpu, tmp_path):
    return gpu.process.Options("cpu", True, tmp_path)
