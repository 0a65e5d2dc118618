"""Promises of benchmarks/counts.py: more instructions fail, and what is not compared is said."""

import importlib.util
import json
import pathlib
import sys

import pytest

PATH = pathlib.Path(__file__).parents[2] / "benchmarks" / "counts.py"
pytestmark = pytest.mark.skipif(not PATH.exists(), reason="the sources are not here")

BUILD = "GNU 12.2.0 x86_64 Release"
CASE = "euclidean forward float32 D=30"
OTHER = "cosine forward float32 D=30"


@pytest.fixture
def counts(monkeypatch, tmp_path):
    """The module, with a baseline of its own: BASELINE does not exist yet."""
    spec = importlib.util.spec_from_file_location("counts", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "BASELINE", tmp_path / "baseline.json")
    return module


def baseline(**instructions):
    return {"build": BUILD, "instructions": instructions or {"avx2": {CASE: 1000, OTHER: 500}}}


def judge(counts, now, build=BUILD, known=None):
    cases = {"avx2": {name: counts.Count(n, 10) for name, n in now.items()}}
    return counts.compare(known or baseline(), counts.Counts(build, cases))


@pytest.mark.parametrize("now", [970, 1000, 1030])
def test_within_the_margin_passes(counts, now):
    passed, text = judge(counts, {CASE: now, OTHER: 500})
    assert passed and "passed" in text and CASE not in text


def test_more_instructions_fail_and_the_message_says_what_to_do(counts):
    passed, text = judge(counts, {CASE: 1031, OTHER: 500})
    assert not passed
    assert f"avx2 {CASE}: baseline 1,000, now 1,031 (+3.1 %)" in text and OTHER not in text
    assert "FAILED" in text and "make bench-counts-accept" in text


def test_fewer_instructions_pass_and_ask_for_a_new_baseline(counts):
    passed, text = judge(counts, {CASE: 960, OTHER: 500})
    assert passed and "3% below: 1; keep the gain with make bench-counts-accept" in text


@pytest.mark.parametrize("now", [1, 1000, 9999])
def test_another_compiler_is_not_compared_and_not_called_passed(counts, now):
    passed, text = judge(counts, {CASE: now}, build="Clang 16.0.6 x86_64 Release")
    assert passed
    assert text == f"not comparable: baseline is {BUILD}, this is Clang 16.0.6 x86_64 Release"


def test_a_new_case_passes_and_asks_for_a_baseline(counts):
    passed, text = judge(counts, {CASE: 1000, OTHER: 500, "new forward": 7})
    assert passed and "not in the baseline: 1; add them with make bench-counts-accept" in text


def test_a_case_that_is_no_longer_counted_fails(counts):
    passed, text = judge(counts, {CASE: 1000})
    assert not passed and f"avx2 {OTHER}: in the baseline, but no longer counted" in text


def test_an_instruction_set_that_this_machine_lacks_is_said(counts):
    known = baseline(avx2={CASE: 1000}, default={CASE: 3000})
    passed, text = judge(counts, {CASE: 1000}, known=known)
    assert passed and "default: in the baseline, but cannot be counted here" in text


def test_a_regression_fails_beside_gains_and_new_cases(counts):
    passed, text = judge(counts, {CASE: 2000, OTHER: 1, "new forward": 7})
    assert not passed and "passed" not in text


def test_the_table_gives_instructions_a_pair(counts):
    cases = {"default": {CASE: counts.Count(3000, 10)}, "avx2": {CASE: counts.Count(1010, 10)}}
    measured = counts.Counts(BUILD, cases)
    assert counts.table(measured, baseline()).splitlines()[1].split() == [
        *CASE.split(), "300.0", "101.0", "(+1.0", "%)"
    ]  # fmt: skip
    assert "%" not in counts.table(measured._replace(build="Clang"), baseline())


@pytest.fixture
def fake_valgrind(monkeypatch, tmp_path):
    """Put a valgrind on PATH whose cases take 100, 200, ... instructions; avx2 it lacks."""
    script = tmp_path / "valgrind"
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "if os.environ['SEMIDEEP_CPU_CAPABILITY'] == 'avx2':\n"
        "    print('skipped: no avx2'), sys.exit(77)\n"
        f"print({BUILD!r})\n"
        "prefix = '--callgrind-out-file='\n"
        "out = next(a for a in sys.argv if a.startswith(prefix)).removeprefix(prefix)\n"
        "for i in range(1, 13):\n"
        "    open(f'{out}.{i}', 'w').write(f'events: Ir\\nsummary: 1\\n\\ntotals: {100 * i}\\n')\n"
        "    print(f'case {i}\\t10')\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_each_case_meets_its_own_count(counts, fake_valgrind, capsys):
    assert counts.main(["--accept", "driver"]) == 0
    written = json.loads(counts.BASELINE.read_text())
    expected = {f"case {i}": 100 * i for i in range(1, 13)}
    assert written == {"build": BUILD, "instructions": {"default": expected}}
    assert "avx2: skipped: no avx2" in capsys.readouterr().out
    assert counts.main(["driver"]) == 0

    written["instructions"]["default"]["case 12"] = 1000
    counts.BASELINE.write_text(json.dumps(written))
    assert counts.main(["driver"]) == 1
    assert "default case 12: baseline 1,000, now 1,200 (+20.0 %)" in capsys.readouterr().out


def test_a_missing_baseline_fails(counts, fake_valgrind, capsys):
    assert counts.main(["driver"]) == 1
    assert "no baseline" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "status"), [(["--optional"], 0), ([], 1)])
def test_without_valgrind(counts, monkeypatch, tmp_path, capsys, options, status):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert counts.main([*options, "driver"]) == status
    out = capsys.readouterr().out
    assert "apt install valgrind" in out and ("SKIPPED" in out) == (status == 0)
