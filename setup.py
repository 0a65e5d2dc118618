"""Drives CMake for the native modules; CMakeLists.txt describes the build itself.

Environment: ``SEMIDEEP_CUDA=auto|on|off``, ``SEMIDEEP_CUDA_TARGETS=auto|all|<list>``,
``SEMIDEEP_SANITIZE=address|thread|undefined``, ``MAX_JOBS=<n>``, ``CXX=<compiler>``. The build
folder is kept per Python, torch, compiler and sanitizer, so a second build compiles only what
changed.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
OLDEST_TORCH = (2, 10)


def stop(problem, *remedy):
    """End the build with a message that says what is wrong and what to do."""
    lines = "\n".join(f"    {line}" for line in remedy)
    sys.exit(f"\nsemideep_ext cannot be built: {problem}\n{lines}\n")


def installed_torch():
    """Version of the torch to build against."""
    remedy = (
        "Install it first, then build without isolation, which would hide the installed torch:",
        "pip install 'torch>=2.10' setuptools wheel cmake ninja",
        "pip install --no-build-isolation .",
    )
    try:
        import torch
    except ImportError as error:
        stop(f"{sys.executable} cannot import torch ({error}).", *remedy)
    version = str(torch.__version__)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_TORCH:
        stop(f"torch {version} is installed, torch >= 2.10 is needed.", *remedy)
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


class CMakeBuild(build_ext):
    """Build every extension with one CMake run and copy the results to where setuptools wants."""

    def get_ext_filename(self, fullname):
        """``_torch*.so`` use no Python API, so their names carry no Python version."""
        if fullname.endswith(("_torch", "_torch_cuda")):
            return str(Path(*fullname.split("."))) + ".so"
        return super().get_ext_filename(fullname)

    def build_extensions(self):
        """Check what is needed, configure, build, copy."""
        check_compiler()
        cmake, ninja, torch_version = find_tool("cmake"), find_tool("ninja"), installed_torch()
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
    setup(
        ext_modules=[
            Extension("semideep_ext._C", sources=[]),
            Extension("semideep_ext._torch", sources=[]),
            Extension("semideep_ext._torch_cuda", sources=[], optional=True),
        ],
        cmdclass={"build_ext": CMakeBuild},
    )
