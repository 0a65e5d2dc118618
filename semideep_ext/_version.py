"""The version: pyproject.toml and CMakeLists.txt read the line below."""

__version__ = "0.1.0"
