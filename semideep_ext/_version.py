"""The package's version: the one place that holds it (pyproject.toml and CMakeLists.txt read this line)."""

__version__ = "0.1.0"
