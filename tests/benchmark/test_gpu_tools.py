"""Promises of `make gpu`: the toolkit's tools are read right, the small cases run everything."""

import itertools
import os
import sys

import pytest
from stand_ins import stand_in

from semideep_ext.op.metrics import METRICS


def test_nvidia_smi_is_read_by_name(gpu):
    found = gpu.tools.smi("NVIDIA H100 80GB HBM3, 580.65.06, 1755, 1980, 34, 121.5, 700.00, [N/A]")
    assert found["name"] == "NVIDIA H100 80GB HBM3" and found["driver_version"] == "580.65.06"
    assert found["clocks.sm"] == 1755 and found["power.draw"] == 121.5
    assert found["utilization.gpu"] == "[N/A]"


@pytest.mark.parametrize(
    ("output", "faults"),
    [
        ("========= COMPUTE-SANITIZER\n133 calls done\n========= ERROR SUMMARY: 0 errors\n", 0),
        ("========= Invalid __global__ write of size 4\n========= ERROR SUMMARY: 1 error\n", 1),
        ("=========\n========= ERROR SUMMARY: 64 errors\n", 64),
        ("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n", 0),
        ("========= RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)\n", 2),
        ("133 calls done\n", None),  # the tool did not run
        ("", None),
    ],
    ids=str,
)
def test_faults_are_those_of_the_tools_own_summary(gpu, output, faults):
    assert gpu.tools.sanitizer(output) == faults


NCU = """==PROF== Connected to process 7
"ID","Process ID","Kernel Name","Block Size","Grid Size","Metric Name","Metric Unit","Metric Value"
"0","7","at::native::erfinv_kernel","128","1","gpu__time_duration.sum","ns","1,024"
"1","7","semideep::cuda::wide_sum<float, a, b>","256","9","gpu__time_duration.sum","ns","1,234,567"
"1","7","semideep::cuda::wide_sum<float, a, b>","256","9","launch__registers_per_thread","r","96"
"1","7","semideep::cuda::wide_sum<float, a, b>","256","9","something else","%","3"
"2","7","at::native::copy","128","1","gpu__time_duration.sum","ns","10"
"3","7","at::native::erfinv_kernel","128","1","gpu__time_duration.sum","ns","1,024"
"4","7","semideep::cuda::wide_gradient","256","9","gpu__time_duration.sum","ns","5"
==PROF== Disconnected
"""


def test_ncu_gives_each_launch_of_ours_to_its_cell(gpu):
    launches = gpu.tools.ncu(NCU)
    assert len(launches) == 5
    assert launches[1] == {
        "kernel": "semideep::cuda::wide_sum<float, a, b>",
        "nanoseconds": 1234567,
        "registers": 96,
    }
    found = gpu.tools.of_cells(launches, ["first", "second", "third"], "erfinv", "semideep")
    assert {name: [launch["nanoseconds"] for launch in of] for name, of in found.items()} == {
        "first": [1234567],
        "second": [5],
    }


def test_metrics_that_this_ncu_does_not_know_are_named(gpu):
    said = "==ERROR== Failed to find metric sm__throughput.avg.pct_of_peak_sustained_elapsed\n"
    assert gpu.tools.unknown_metrics(said) == {gpu.tools.METRICS["sm"]}
    assert gpu.tools.unknown_metrics(NCU) == set()


def test_a_machine_that_refuses_a_tool_is_no_fault(gpu):
    line = "The user does not have permission to access NVIDIA GPU Performance Counters"
    assert gpu.tools.not_allowed(f"==ERROR== ERR_NVGPUCTRPERM - {line}\nmore").endswith(line)
    assert gpu.tools.not_allowed("========= Error: Device not supported. Please refer")
    assert gpu.tools.not_allowed("========= ERROR SUMMARY: 3 errors") is None
    assert gpu.tools.not_allowed("UserWarning: Failed to initialize a library") is None


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_it[cuda-float32]"/>
<testcase classname="tests.test_a" name="test_that_cuda_is_named"/>
<testcase classname="tests.test_a" name="test_it[cuda-float64]"><skipped message="x"/></testcase>
<testcase classname="tests.test_a" name="test_bad[cuda]"><failure message="1 != 2">f</failure>
</testcase>
<testcase classname="" name="tests.test_b"><error message="collection failure">
E   ModuleNotFoundError: No module named 'hypothesis'</error></testcase>
<testcase classname="" name="tests.test_c"><error message="collection failure">boom</error>
</testcase></testsuite></testsuites>"""


def test_test_reports_count_what_ran_on_the_device(gpu, tmp_path):
    (tmp_path / "report.xml").write_text(JUNIT)
    found = gpu.tools.junit(tmp_path / "report.xml", "cuda")
    assert found == {
        "passed": 1,
        "others passed": 1,
        "skipped": 1,
        "failed": {
            "tests.test_a::test_bad[cuda]": "1 != 2",
            "::tests.test_c": "collection failure",
        },
        "missing": {"::tests.test_b": "No module named 'hypothesis'"},
    }


CLEAN = 'echo "133 calls done"; echo "========= ERROR SUMMARY: 0 errors"'


FAULTY = 'echo "========= ERROR SUMMARY: 3 errors"'


@pytest.mark.parametrize(
    ("planted", "small", "problem"),
    [
        (FAULTY, CLEAN, None),
        (CLEAN, CLEAN, "memcheck did not find the planted fault"),
        (FAULTY, 'echo "133 calls done"', "memcheck printed no summary"),
        (FAULTY, f'echo "133 calls done"; {FAULTY}', "memcheck found 3 faults"),
        (FAULTY, CLEAN.partition(";")[2], "the small case did not end under memcheck"),
    ],
    ids=["clean", "blind", "silent", "faults", "died"],
)
def test_a_sanitizer_passes_only_if_it_ran_and_finds_what_is_planted(
    gpu, options, monkeypatch, tmp_path, planted, small, problem
):
    script = f'case "$*" in *planted_faults*) {planted};; *) {small};; esac'
    stand_in(tmp_path, "compute-sanitizer", script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    problems = gpu.watch.sanitizers(options, lambda found: None)
    of_memcheck = [text for text in problems if "memcheck" in text]
    if problem is None:
        assert problems == []
    else:
        assert len(of_memcheck) == 1 and problem in of_memcheck[0]
        assert len(problems) == len(gpu.tools.SANITIZERS)


def test_tools_that_may_not_run_are_said_to(gpu, options, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    stand_in(tmp_path, "compute-sanitizer", 'echo "========= Error: Device not supported"')
    with pytest.raises(gpu.process.CannotRunError, match="racecheck: Error: Device not supported"):
        gpu.watch.sanitizers(options, lambda found: None)
    stand_in(tmp_path, "ncu", 'echo "==ERROR== ERR_NVGPUCTRPERM"; exit 1')
    with pytest.raises(gpu.process.CannotRunError, match="ERR_NVGPUCTRPERM"):
        gpu.watch.profile(options, lambda found: None)


def test_ncu_is_asked_again_without_what_it_does_not_know(gpu, options, monkeypatch, tmp_path):
    metric = gpu.tools.METRICS["tensor"]
    refuse = f'echo "==ERROR== Failed to find metric {metric}"; exit 1'
    lines = "\n".join(line for line in NCU.splitlines() if '"3"' not in line)
    script = f"case \"$*\" in *{metric}*) {refuse};; esac\ncat <<'END'\n{lines}\nEND"
    stand_in(tmp_path, "ncu", script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = {}
    problems = gpu.watch.profile(options, found.update)
    name = gpu.bench.name(gpu.small.PROFILED[0])
    assert [launch["nanoseconds"] for launch in found[name]] == [1234567, 5]
    assert len(problems) == len(gpu.small.PROFILED) - 1  # the others were not in its output


def test_a_missing_tool_is_named_with_where_it_was_looked_for(gpu, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(gpu.process.CannotRunError, match=r"no-such-tool .* PATH or in /usr/local"):
        gpu.process.find_tool("no-such-tool")


def test_the_small_case_runs_every_metric(gpu, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu_small.py", "cpu"])
    gpu.small.main()
    names = [name for name, _ in gpu.small.cases("cpu")]
    assert f"{len(names)} calls done" in capsys.readouterr().out
    for metric, facts in METRICS.items():
        assert any(name.startswith(metric) and "log" in name for name in names)
        assert facts.differentiable == any(
            name.startswith(metric) and "backward" in name for name in names
        )
        counts = metric in gpu.bits.METRICS_OF_BITS
        for way in gpu.bits.WAYS:
            assert counts == (f"{metric} of 35 bits by {way}" in names)


@pytest.fixture
def few(gpu, monkeypatch):
    """A grid of few problems."""
    monkeypatch.setattr(gpu.accuracy, "FEATURES", (3, 8))
    monkeypatch.setattr(gpu.accuracy, "LARGE_FEATURES", (3,))
    small_cases = gpu.accuracy.small_cases
    monkeypatch.setattr(
        gpu.accuracy, "small_cases", lambda *options: itertools.islice(small_cases(*options), 3)
    )
    return gpu.accuracy


def test_the_grid_finds_no_fault_on_the_cpu(few):
    saved = []
    found = few.run("cpu", True, 1, lambda found: saved.append(found["cases"]))
    assert found["failures"] == [] and found["seed"] == 1
    assert saved == sorted(saved) and saved[-1] == found["cases"] > 500
    kinds = found["worst"]
    assert {f"{metric} float32 w" for metric in METRICS} < kinds.keys()
    assert all(0 <= worst["share"] <= 1 for worst in kinds.values())


@pytest.mark.parametrize("factor", [1 + 3e-6, float("nan")])
def test_the_grid_sees_an_error_of_three_millionths_and_a_nan(few, monkeypatch, factor):
    right = few.distance_weights
    monkeypatch.setattr(few, "distance_weights", lambda *a, **k: right(*a, **k) * factor)
    found = few.run("cpu", True, 1, lambda found: None)
    assert any(text.startswith("euclidean float32 w,") for text in found["failures"])
    assert any(text.startswith("jaccard float32 w, large") for text in found["failures"])
