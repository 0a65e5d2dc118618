"""What the tests of `make gpu` share: programs that stand in for others, and rates of a card."""

import pathlib

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"

RATES = {
    "fma_float32": 60e3,
    "fma_float64": 30e3,
    "exp_float32": 3.6e3,
    "sqrt_exp_float32": 1.8e3,
    "exp_float64": 400.0,
    "sqrt_exp_float64": 300.0,
    "popcount": 1.8e3,
    "compare": 20e3,
    "tensor_bfloat16": 700e3,
    "tensor_float16": 700e3,
    "tensor_float64": 60e3,
    "tensor_int8": 1200e3,
    "tensor_b1": 5000e3,
    "read": 3e3,
}


def stand_in(folder, name, script):
    """Put a program of this name first on PATH."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program
