"""Promise: the figures of methods in the documentation are those of the committed results file."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = {"VAT": "vat", "UDA": "uda", "FixMatch": "fixmatch", "MixMatch": "mixmatch"}
NAMES |= {"Mean Teacher": "mean-teacher", "supervised": "supervised"}


def tables(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks" / "ssl"), *sys.path])
    import tables

    return tables, json.loads((ROOT / "benchmarks" / "results" / "ssl.json").read_text())


def test_the_page_is_made_from_the_results(monkeypatch):
    module, found = tables(monkeypatch)
    assert (ROOT / "docs" / "methods_evidence.md").read_text() == module.page(found)
    assert {len(task["runs"]) for task in found.values()} == {370}


def test_the_readme_has_figures_of_the_page(monkeypatch):
    module, found = tables(monkeypatch)
    kept = [name for name in found if name != "digits-25"]
    expected = module.summary({name: found[name] for name in kept})
    rows = {line.split(" | ")[0][2:]: line.replace("*", "") for line in expected}
    readme = (ROOT / "README.md").read_text()
    for name, method in NAMES.items():
        (line,) = re.findall(rf"^\| {name} \| .*$", readme, re.MULTILINE)
        assert line.replace(f"| {name} |", f"| {method} |") == rows[method]
