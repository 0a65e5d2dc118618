"""Promise: what a build needs is checked before anything is downloaded or copied."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
REMEDY = (
    "    pip install 'torch>=2.10' 'setuptools>=77.0.3' cmake ninja",
    "    pip install --no-build-isolation .",
)
CALL = "import setuptools.build_meta as backend, sys; print(getattr(backend, sys.argv[1])('out'))"


@pytest.fixture
def project(tmp_path):
    """Copy what the first steps of a build read, beside a torch and a compiler that will do."""
    if not (ROOT / "setup.py").exists():
        pytest.skip("the sources are not here")
    for name in SOURCES:
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "semideep_ext").mkdir()
    shutil.copy(ROOT / "semideep_ext" / "_version.py", tmp_path / "semideep_ext")
    (tmp_path / "fakes").mkdir()
    fake(tmp_path, "torch.py", "__version__ = '2.10.0+cpu'")
    (tmp_path / "out").mkdir()
    return tmp_path


def fake(project, name, content):
    (project / "fakes" / name).write_text(content)


def call(project, hook, **environment):
    """Call a hook of the build backend as pip does without isolation."""
    environment = {"CXX": sys.executable, "PYTHONPATH": str(project / "fakes"), **environment}
    return subprocess.run(
        [sys.executable, "-c", CALL, hook],
        cwd=project,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def refused(done, project):
    """Give the lines that a refused hook printed, none of which may be a traceback's."""
    assert done.returncode == 1
    assert not (project / "build").exists()
    assert not any((project / "out").iterdir())
    blank, problem, *remedy, last = done.stderr.removesuffix("\n").split("\n")
    assert blank == last == ""
    return problem.removeprefix("semideep_ext cannot be built: "), tuple(remedy)


HOOKS = (
    "prepare_metadata_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "build_wheel",
    "build_editable",
)


@pytest.mark.parametrize("hook", HOOKS)
def test_without_torch_every_way_to_build_stops_at_once(hook, project):
    fake(project, "torch.py", "raise ModuleNotFoundError('No module named torch')")
    problem = "it cannot import torch (No module named torch); an isolated build never sees it."
    assert refused(call(project, hook), project) == (problem, REMEDY)


def test_a_torch_whose_libraries_are_missing_is_a_missing_torch(project):
    fake(project, "torch.py", "raise OSError('libcudart.so.12: cannot open shared object file')")
    problem, remedy = refused(call(project, HOOKS[0]), project)
    assert "cannot import torch (libcudart.so.12: cannot open shared object file)" in problem
    assert remedy == REMEDY


@pytest.mark.parametrize("version", ["2.9.1+cu128", "1.13.1"])
def test_an_old_torch_is_named(version, project):
    fake(project, "torch.py", f"__version__ = '{version}'")
    problem = f"torch {version} is installed, >= 2.10 is needed."
    assert refused(call(project, HOOKS[0]), project) == (problem, REMEDY)


@pytest.mark.parametrize(
    "hook, version",
    [*((hook, "65.5.0") for hook in (*HOOKS, "build_sdist")), (HOOKS[0], "77.0.1")],
)
def test_an_old_setuptools_is_named_before_it_reads_pyproject(hook, version, project):
    fake(project, "sitecustomize.py", f"import setuptools; setuptools.__version__ = '{version}'")
    problem = f"setuptools {version} is installed, >= 77.0.3 is needed."
    assert refused(call(project, hook), project) == (
        problem,
        ("    pip install 'setuptools>=77.0.3'",),
    )


def test_a_setuptools_without_a_build_command_is_named(project):
    old = "import setuptools.command.build; setuptools.__version__ = '59.6.0'"
    fake(project, "sitecustomize.py", f"{old}; del setuptools.command.build.build")
    problem, _ = refused(call(project, HOOKS[0]), project)
    assert problem == "setuptools 59.6.0 is installed, >= 77.0.3 is needed."


def test_a_missing_compiler_is_named(project):
    done = call(project, HOOKS[0], CXX="no-such-compiler -O2")
    problem, remedy = refused(done, project)
    assert problem == "CXX=no-such-compiler -O2 is not an executable."
    assert remedy[0].startswith("    Install GCC >= 11 or Clang >= 14")

    problem, _ = refused(call(project, HOOKS[0], CXX="", PATH=str(project)), project)
    assert problem == "no C++ compiler is on PATH."


def test_a_missing_tool_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    with pytest.raises(SystemExit, match=r"cmake was not found\.\n    pip install cmake ninja"):
        load_setup().find_tool("cmake")


def load_setup():
    if not (ROOT / "setup.py").exists():
        pytest.skip("the sources are not here")
    spec = importlib.util.spec_from_file_location("setup", ROOT / "setup.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_metadata_are_made_without_a_warning(project):
    done = call(project, "prepare_metadata_for_build_wheel", PYTHONWARNINGS="error")
    assert done.returncode == 0, done.stderr
    metadata = (project / "out" / done.stdout.split()[-1] / "METADATA").read_text()
    assert "\nLicense-Expression: MIT\n" in metadata
    assert "\nRequires-Dist: torch>=2.10\n" in metadata


def test_sources_are_packed_without_torch_or_compiler(project):
    fake(project, "torch.py", "raise ModuleNotFoundError")
    done = call(project, "build_sdist", CXX="no-such-compiler")
    assert done.returncode == 0, done.stderr
    with tarfile.open(project / "out" / done.stdout.split()[-1]) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert names >= {"setup.py", "pyproject.toml"}  # which setup.py reads


# --- versions -------------------------------------------------------------------------------------


def requirements():
    """Give the requirements in pyproject.toml, where they stand in quotes on lines of their own."""
    declared = (ROOT / "pyproject.toml").read_text()
    return [word for word in re.findall(r'"([^"]*)"', declared) if re.search("[<>=~]", word)]


def test_a_package_has_one_lowest_version():
    bounds = {}
    for requirement in requirements():
        name, relation, version = re.match(r"([\w-]*)([<>=~]+)(.*)", requirement).groups()
        bounds.setdefault(name, set()).add(relation + version)
    assert {name: bound for name, bound in bounds.items() if len(bound) > 1} == {}


def test_every_bound_is_one_that_make_test_oldest_reads():
    form = r"[A-Za-z0-9_-]+(>=[0-9.]+|==[0-9.]+)|>=3\.10"  # the last is Python's
    assert [word for word in requirements() if not re.fullmatch(form, word)] == []


def test_readme_installs_what_the_build_asks_for():
    readme = (ROOT / "README.md").read_text()
    tools, build = (line.strip() for line in REMEDY)
    assert tools.replace("'torch>=2.10' ", "") + "\n" in readme
    assert build.removesuffix(".") in readme
