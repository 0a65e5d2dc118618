"""Promise: code stands where the design says, and every list of metrics is the one in metrics.h."""

import ast
import pathlib
import re
import shutil
import subprocess

import pytest
import torch

import semideep_ext
from semideep_ext.op.metrics import KERNELS, METRICS

PACKAGE = pathlib.Path(semideep_ext.__file__).parent
CSRC = pathlib.Path(__file__).parents[1] / "csrc"
SOURCES = {".h", ".cpp", ".cu", ".cuh"}

# A wing, or a module beside them, may import those of the lines above its own only.
LAYERS = (
    {"_C", "_version", "_files", "_progress", "_machine", "_modules", "_moved"},
    {"op"},
    {"weighting"},
    {"ssl"},
    {"training", "plots", "graph"},
    {"estimators"},
    {"experiments", "benchmark"},
    {"cli"},
    {"__main__"},
)
LEVEL = {module: level for level, layer in enumerate(LAYERS) for module in layer}


def modules():
    return sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")


def imported_modules(tree):
    """Modules of this package that a file imports, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module == "semideep_ext":
                names = [f"semideep_ext.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            head, _, rest = name.partition(".")
            if head == "semideep_ext" and rest:
                yield rest.split(".")[0]


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.stem)
def test_python_imports_point_one_way(path):
    module = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert module in LEVEL, f"give {module} a place in LAYERS"
    for target in imported_modules(ast.parse(path.read_text())):
        assert target in LEVEL, f"{module} imports {target}, which has no place in LAYERS"
        same_folder = module == target and path.parent != PACKAGE
        assert LEVEL[target] < LEVEL[module] or same_folder, f"{module} imports {target}"


def includes(path):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


ALLOWED = {
    "core": ("core/",),
    "cpu": ("core/", "cpu/", "immintrin.h", "arm_neon.h", "sys/mman.h"),
    "cuda": ("core/", "cuda/", "cuda", "cub/", "emulator/device.h"),
}


@pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not here")
@pytest.mark.parametrize("folder", ALLOWED)
def test_kernels_include_neither_torch_nor_python(folder):
    standard = re.compile(r"[a-z_0-9]+\Z")  # <vector>: no slash, no suffix
    for path in (CSRC / folder).rglob("*"):
        for header in includes(path) if path.suffix in SOURCES else ():
            assert standard.match(header) or header.startswith(ALLOWED[folder]), f"{path}: {header}"


@pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not here")
def test_torch_and_python_meet_in_no_file_and_kernels_reach_neither():
    for path in (p for p in CSRC.rglob("*") if p.suffix in SOURCES):
        found = {h.split("/")[0] for h in includes(path)}
        assert not {"ATen", "c10"} & found, path
        assert "torch" not in found or path.is_relative_to(CSRC / "torch"), path
        assert not {"Python.h", "pybind11"} & found or path.is_relative_to(CSRC / "python"), path


CLASS = re.compile(
    r"^(?=( *)(?:class|struct) (?:alignas\(\w+\) )?(\w+)[^;{]*\{\n(.*?)^\1\};)",
    re.MULTILINE | re.DOTALL,
)


def initialised_in_arrays(text):
    """Members with initialisers, of classes that the text, in our format, puts in arrays."""
    classes = {name: (indent, body) for indent, name, body in CLASS.findall(text)}
    known = rf"({'|'.join(classes)})\b(?:<[^;()]*>)?"
    names = re.findall(rf"\b{known}(?: \w+(?:, \w+)*)?\[", text)
    members = []
    for name in names:  # which grows by the classes of members
        indent, body = classes[name]
        members += re.findall(
            rf"^{indent}  (?!static|using)\w[^()\n]* = [^()]*;", body, re.MULTILINE
        )
        inner = re.findall(rf"^{indent}  {known} \w", body, re.MULTILINE)
        names += [other for other in inner if other not in names]
    return members


@pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not here")
def test_classes_in_arrays_of_device_code_have_no_member_initialisers():
    # nvcc 13.0 applies them to the first row of an array of two dimensions, and zeroes the others.
    paths = sorted(p for f in ("core", "cuda") for p in (CSRC / f).iterdir())
    assert initialised_in_arrays("".join(p.read_text() for p in paths)) == []
    part = "struct Part {\n  double all, sum = 1;\n\n  void add(double x = 0) { sum += x; }\n};\n"
    whole = "class Whole {\n  static constexpr int k = 2;\n  Part part;\n};\n"
    for code in ("Part parts[2][2];", "using Parts = Part[2][k];", "Whole a, parts[2];"):
        assert initialised_in_arrays(part + whole + code) == ["  double all, sum = 1;"]
    assert initialised_in_arrays(part + whole + "Part a = b[0];") == []


@pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not here")
@pytest.mark.parametrize(
    ("header", "listed", "registry"),
    [("metrics.h", "Metrics", METRICS), ("kernels.h", "Kernels", KERNELS)],
)
def test_the_registry_is_the_list_in_the_header(header, listed, registry):
    text = (CSRC / "core" / header).read_text()
    structs = re.search(rf"using {listed} = TypeList<([^>]*)>;", text)[1].replace(",", " ").split()
    names = dict(
        re.findall(
            r'struct (\w+) (?:: AnyMetric )?\{\s+static constexpr const char\* name = "(\w+)"', text
        )
    )
    assert [names[struct] for struct in structs] == list(registry)
    assert set(names) == set(structs), "a struct is not in the list"


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("log", [False, True])
def test_every_metric_and_kernel_of_the_registry_runs(metric, kernel, log):
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    w = semideep_ext.distance_weights(rows, rows, metric, kernel=kernel, log=log)
    assert w.isfinite().all()
    assert METRICS[metric].formula and METRICS[metric].domain and KERNELS[kernel].formula


@pytest.mark.parametrize("pattern", ["_torch*.so", "_C*.so"])
def test_libraries_need_nothing_but_the_stable_interface_of_torch(pattern):
    if not shutil.which("nm"):
        pytest.skip("nm is not installed")
    for library in PACKAGE.glob(pattern):
        symbols = subprocess.check_output(
            ["nm", "-D", "--undefined-only", "-C", library], text=True
        )
        unstable = re.findall(r"\b(?:at|c10|torch)::.*", symbols)
        assert not unstable, f"{library.name} is tied to one torch version"
