"""Reports of experiments, in Markdown and as one HTML page.

Both are written from one description (`report_content`), so they say the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from semideep_ext.experiments.arguments import check_report_packages
from semideep_ext.experiments.comparison import Experiment
from semideep_ext.experiments.report_content import describe, how_to_read, overview
from semideep_ext.experiments.report_pictures import pictures, sizes_picture
from semideep_ext.experiments.report_tables import Table


def render_markdown(experiments: Sequence[Experiment]) -> str:
    """Write the report as Markdown: text and tables.

    Parameters
    ----------
    experiments : sequence of Experiment

    Returns
    -------
    str
    """
    lines = ["# Experiment Summary Report", "", "## Overview", "", overview(experiments), ""]
    sections = [describe(experiment) for experiment in experiments]
    for section in sections:
        lines += [f"- {_escape(section.title)}: {text}" for _, text in section.verdicts]
    lines += ["", "## How to read this", "", *(f"- {text}" for text in how_to_read(experiments))]
    for section in sections:
        lines += ["", f"## {_escape(section.title)}", "", section.lead]
        for table in section.tables:
            lines += ["", f"### {table.caption}", "", *_markdown_table(table)]
        lines += ["", *(f"- Note: {_escape(note)}" for note in section.notes)]
        lines += ["", "### Manifest", "", *_markdown_table(section.manifest)]
    return "\n".join(lines) + "\n"


def render_html(experiments: Sequence[Experiment]) -> str:
    """Write the report as one HTML page that holds its style and pictures.

    Parameters
    ----------
    experiments : sequence of Experiment

    Returns
    -------
    str

    Raises
    ------
    ImportError
        If jinja2 or matplotlib is missing.
    """
    check_report_packages()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    sections = [describe(experiment) for experiment in experiments]
    for section, experiment in zip(sections, experiments, strict=True):
        section.pictures = pictures(experiment)
    environment = Environment(
        loader=PackageLoader("semideep_ext", "experiments"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        overview=overview(experiments),
        how_to_read=how_to_read(experiments),
        sections=sections,
        across=sizes_picture(experiments),
    )


def _markdown_table(table: Table) -> list[str]:
    rows = [list(table.header), ["---"] * len(table.header), *table.rows]
    return ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in rows]


def _escape(text: str) -> str:
    """Keep text from ending a cell or starting HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
