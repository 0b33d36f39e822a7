"""Writes reports: one file by its ending, or a folder with HTML, Markdown, pictures and JSON."""

from __future__ import annotations

from pathlib import Path

from advisor.errors import InputError
from advisor.files import check_target, write_bytes, write_text
from advisor.recommendation import Recommendation
from advisor.report.html import html
from advisor.report.markdown import markdown
from advisor.report.sections import sections

ENDINGS = (".html", ".htm", ".md")


def check_report(path: Path) -> None:
    """Refuse a report that could not be written, before any work is done.

    Raises:
        InputError: it ends neither in .html nor in .md, or the place cannot be written.
    """
    check_ending(path)
    check_target(path)


def check_ending(path: Path) -> None:
    """Refuse an ending that no report has.

    Raises:
        InputError: neither .html nor .md.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(
            f"{path}: ends in {path.suffix!r}; allowed: .html or .md. The ending decides the format."
        )


def write_report(rec: Recommendation, path: Path, *, scenario_yaml: str = "") -> list[Path]:
    """Write one report; Markdown puts its pictures into `<name>-figures/` beside it. Returns the files.

    Raises:
        InputError: an unknown ending, or the place cannot be written.
    """
    check_ending(path)
    if path.suffix.lower() != ".md":
        write_text(path, html(rec, scenario_yaml=scenario_yaml))
        return [path]
    pictures = f"{path.stem}-figures"
    written = _pictures(rec, path.parent / pictures)
    write_text(path, markdown(rec, scenario_yaml=scenario_yaml, pictures=pictures.replace(" ", "%20")))
    return [path, *written]


def write_folder(rec: Recommendation, folder: Path, *, scenario_yaml: str = "") -> list[Path]:
    """Write report.html, report.md with report-figures/, answer.json and scenario.yaml into a folder."""
    written = write_report(rec, folder / "report.html", scenario_yaml=scenario_yaml)
    written += write_report(rec, folder / "report.md", scenario_yaml=scenario_yaml)
    write_text(folder / "answer.json", rec.model_dump_json(indent=1) + "\n")
    written.append(folder / "answer.json")
    if scenario_yaml:
        write_text(folder / "scenario.yaml", scenario_yaml)
        written.append(folder / "scenario.yaml")
    return written


def _pictures(rec: Recommendation, folder: Path) -> list[Path]:
    from advisor.plots.theme import png

    written = []
    for section in sections(rec):
        for figure in section.figures:
            write_bytes(folder / f"{figure.name}.png", png(figure.draw()))
            written.append(folder / f"{figure.name}.png")
    return written
