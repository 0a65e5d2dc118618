"""Drives CMake for the native modules; CMakeLists.txt describes the build itself.

Environment: ``SEMIDEEP_CUDA=auto|on|off``, ``SEMIDEEP_CUDA_TARGETS=auto|all|<list>``,
``SEMIDEEP_SANITIZE=address|thread|undefined``, ``MAX_JOBS=<n>``, ``CXX=<compiler>``. The build
folder is kept per Python, torch, compiler and sanitizer, so a second build compiles only what
changed.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import setuptools
from setuptools.command.build_ext import build_ext
from setuptools.command.dist_info import dist_info

try:
    from setuptools.command.build import build
except ImportError:  # in a setuptools so old that check_setuptools refuses it
    build = setuptools.Command

ROOT = Path(__file__).resolve().parent


def lowest(package):
    """Lowest version of a package that pyproject.toml allows."""
    # A pattern serves Python 3.10, too, which has no tomllib.
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(rf'"{package}>=([\d.]+)"', declared)[1]


def release(version):
    """Numbers of a version without what follows them, as in 2.10.0a0+git."""
    return [int(number) for number in re.match(r"\d+(\.\d+)*", version)[0].split(".")]


def stop(problem, *remedy):
    """End the build with a message that says what is wrong and what to do."""
    lines = "\n".join(f"    {line}" for line in remedy)
    sys.exit(f"\nsemideep_ext cannot be built: {problem}\n{lines}\n")


def check_setuptools():
    """Stop an old setuptools before it answers pyproject.toml with a page of schema."""
    needed = lowest("setuptools")
    if release(setuptools.__version__) < release(needed):
        stop(
            f"setuptools {setuptools.__version__} is installed, >= {needed} is needed.",
            f"pip install 'setuptools>={needed}'",
        )


def installed_torch():
    """Version of the torch to build against."""
    needed = lowest("torch")
    remedy = (
        f"pip install 'torch>={needed}' 'setuptools>={lowest('setuptools')}' cmake ninja",
        "pip install --no-build-isolation .",
    )
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of CUDA is missing
        stop(f"it cannot import torch ({error}); an isolated build never sees it.", *remedy)
    version = str(torch.__version__)
    if release(version) < release(needed):
        stop(f"torch {version} is installed, >= {needed} is needed.", *remedy)
    return version


def check_compiler():
    """Stop unless a C++ compiler can be called; CMake then checks its version."""
    chosen = os.environ.get("CXX")
    names = [chosen.split()[0]] if chosen else ["c++", "g++", "clang++"]
    if not any(shutil.which(name) for name in names):
        found = f"CXX={chosen} is not an executable." if chosen else "no C++ compiler is on PATH."
        stop(
            found,
            "Install GCC >= 11 or Clang >= 14; if it has another name, set CXX to it. For example:",
            "apt install g++            (Debian, Ubuntu)",
            "dnf install gcc-c++        (Fedora)",
            "conda install cxx-compiler (conda)",
        )


def find_tool(name):
    """Path of cmake or ninja: beside this interpreter (their PyPI packages), else on PATH."""
    search = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
    tool = shutil.which(name, path=os.pathsep.join(search))
    if not tool:
        stop(f"{name} was not found.", "pip install cmake ninja")
    return tool


def prerequisites():
    """Paths of cmake and ninja and the version of torch, or stop at what the build lacks."""
    torch_version = installed_torch()
    check_compiler()
    return find_tool("cmake"), find_tool("ninja"), torch_version


class CheckedMetadata(dist_info):
    """pip's first step, before it downloads what the package depends on."""

    def run(self):
        """Check what the build needs before anything is written."""
        prerequisites()
        super().run()


class CheckedBuild(build):
    """The first step of front ends that ask for no metadata."""

    def run(self):
        """Check what the build needs before anything is copied."""
        prerequisites()
        super().run()


class CMakeBuild(build_ext):
    """Build every extension with one CMake run and copy the results to where setuptools wants."""

    def get_ext_filename(self, fullname):
        """``_torch*.so`` use no Python API, so their names carry no Python version."""
        if fullname.endswith(("_torch", "_torch_cuda")):
            return str(Path(*fullname.split("."))) + ".so"
        return super().get_ext_filename(fullname)

    def build_extensions(self):
        """Check what is needed, configure, build, copy."""
        cmake, ninja, torch_version = prerequisites()
        cuda = os.environ.get("SEMIDEEP_CUDA", "auto").upper()
        sanitize = os.environ.get("SEMIDEEP_SANITIZE", "")

        compiler = Path(os.environ.get("CXX", "")).name  # CMake never changes a folder's compiler
        key = [sys.implementation.cache_tag, f"torch{torch_version}", compiler, sanitize]
        folder = ROOT / "build" / "-".join(filter(None, key)).replace(" ", "-")
        configure = [
            *(cmake, "-S", ROOT, "-B", folder, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"),
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DSEMIDEEP_CUDA={cuda}",
            f"-DSEMIDEEP_CUDA_TARGETS={os.environ.get('SEMIDEEP_CUDA_TARGETS', 'auto')}",
            f"-DSEMIDEEP_SANITIZE={sanitize}",
            "-DSEMIDEEP_BUILD_PYTHON=ON",
            "-DSEMIDEEP_BUILD_TESTS=OFF",
        ]
        build = [cmake, "--build", folder]
        if os.environ.get("MAX_JOBS"):
            build += ["--parallel", os.environ["MAX_JOBS"]]
        for command in (configure, build):
            if subprocess.run([str(word) for word in command]).returncode:
                stop("the CMake step above failed.", "Its message says what to change.")

        for extension in self.extensions:
            self.copy_built(extension, folder / "semideep_ext")

    def copy_built(self, extension, folder):
        """Copy what CMake built; an optional extension that it did not build is removed."""
        target = Path(self.get_ext_fullpath(extension.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # a running process may have the old file mapped
        if extension.optional and not (folder / target.name).exists():
            print(f"{extension.name} was not built; semideep_ext.show_config() will say why.")
        else:
            shutil.copy2(folder / target.name, target)


if __name__ == "__main__":  # tests import this file
    check_setuptools()
    setuptools.setup(
        ext_modules=[
            setuptools.Extension("semideep_ext._C", sources=[]),
            setuptools.Extension("semideep_ext._torch", sources=[]),
            setuptools.Extension("semideep_ext._torch_cuda", sources=[], optional=True),
        ],
        cmdclass={"dist_info": CheckedMetadata, "build": CheckedBuild, "build_ext": CMakeBuild},
    )
