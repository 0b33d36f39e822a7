from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.recommendation import Recommendation
from advisor.report.folder import write_folder, write_report
from advisor.report.html import html
from advisor.report.markdown import markdown
from advisor.report.plain import answer, option
from advisor.report.sections import NOT_MODELLED, sections
from advisor.text import Style
from tests.faces.test_cli import unmet

ROOT = Path(__file__).parents[2]
EVIL = '"><script>alert(1)</script><img src=x onerror=y>'
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Outline(HTMLParser):
    """Tags in order, and whether each is closed where it must be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    assert found.open == []
    return found


@pytest.fixture(scope="module")
def page() -> str:
    from tests.faces.example import example

    return html(example(), scenario_yaml="name: x\n")


def poisoned(rec: Recommendation) -> Recommendation:
    evil = tuple(
        o.model_copy(update={"device": EVIL, "reason": EVIL, "warnings": (EVIL,)}) for o in rec.options
    )
    terms = tuple(t.model_copy(update={"term": EVIL, "source": EVIL}) for t in rec.terms)
    return rec.model_copy(
        update={
            "scenario": EVIL,
            "model": EVIL,
            "summary": EVIL,
            "objective": EVIL,
            "options": evil,
            "terms": terms,
            "next_steps": (EVIL,),
        }
    )


def test_the_page_is_whole_and_has_every_section(page: str, rec: Recommendation) -> None:
    found = outline(page)
    names = {attrs.get("id") for tag, attrs in found.tags if tag == "section"}
    assert names == {section.key for section in sections(rec)} | {"scenario"}
    assert sum(tag == "svg" for tag, _ in found.tags) == sum(
        len(section.figures) for section in sections(rec)
    )


def test_the_page_needs_nothing_else(page: str) -> None:
    found = outline(page)
    assert not [
        tag for tag, _ in found.tags if tag in ("script", "link", "iframe", "object", "embed", "img", "base")
    ]
    addresses = [
        v for _, attrs in found.tags for k, v in attrs.items() if k in ("src", "href", "xlink:href", "srcset")
    ]
    assert all(address is not None and address.startswith("#") for address in addresses)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_identifiers_are_unique_and_links_lead_somewhere(page: str) -> None:
    tags = outline(page).tags
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {str(attrs["href"]).removeprefix("#") for tag, attrs in tags if tag == "a"}
    assert links | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_the_same_answer_gives_the_same_bytes(page: str, rec: Recommendation) -> None:
    assert html(rec, scenario_yaml="name: x\n") == page
    assert "Written 2026-01-01." in html(rec, created="2026-01-01")


def test_no_text_of_a_user_becomes_markup(rec: Recommendation) -> None:
    text = html(poisoned(rec), scenario_yaml=EVIL)
    assert not [tag for tag, attrs in outline(text).tags if tag in ("script", "img") or "onerror" in attrs]
    assert "&lt;script&gt;" in text
    below = markdown(poisoned(rec))
    assert "<script" not in below
    assert "<img" not in below


def test_a_scenario_cannot_leave_its_code_block(rec: Recommendation) -> None:
    text = markdown(rec, scenario_yaml="name: x\n```\n# escaped\n````\n")
    assert text.count("`````") == 2


def test_markdown_names_its_pictures_and_they_are_there(rec: Recommendation, tmp_path: Path) -> None:
    write_folder(rec, tmp_path)
    text = (tmp_path / "report.md").read_text()
    pictures = re.findall(r"\]\(([^)]+\.png)\)", text)
    assert len(pictures) == sum(len(section.figures) for section in sections(rec))
    assert all((tmp_path / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)
    assert "![" not in markdown(rec)


def test_numbers_are_the_same_on_every_face(page: str, rec: Recommendation) -> None:
    text, below = answer(rec, Style(width=200)), markdown(rec)
    for figure in ("2.18", "185", "28.2", "1.15×", "214,300"):
        assert figure in text
        assert figure in below
        assert figure in page


def test_an_answer_without_a_way_to_serve(tmp_path: Path) -> None:
    text = html(unmet())
    assert "Nothing meets the objective" in text
    assert "Nothing meets the objective" in answer(unmet(), Style(120))
    assert {"answer", "ranking", "refused", "workload"} <= {section.key for section in sections(unmet())}
    outline(text)


def test_merged_lists_its_busiest_pools_alone(rec: Recommendation) -> None:
    merged = next(o for o in rec.options if o.way == "merged" and o.feasible)
    said = {s.key: s for s in sections(rec.model_copy(update={"recommended": merged.key}))}
    assert len(said["run"].tables[1].rows) == 12


def test_one_option_as_text(rec: Recommendation) -> None:
    for one in rec.options:
        text = option(one, Style(120))
        assert (one.reason in " ".join(text.split())) or one.feasible


def test_what_is_not_modelled_is_the_list_of_the_page_on_the_model() -> None:
    page = (ROOT / "docs" / "explanation" / "model.md").read_text(encoding="utf-8")
    said = page.split("## What is not modelled")[1].split("\n## ")[0]
    items = [" ".join(item.split()) for item in said.replace("`", "").split("\n- ")[1:]]
    assert tuple(items) == NOT_MODELLED


@pytest.mark.parametrize("name", ["answer.pdf", "answer", "answer.HTMLX"])
def test_an_unknown_ending_is_refused(rec: Recommendation, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"allowed: \.html or \.md"):
        write_report(rec, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_sentence(rec: Recommendation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(rec, tmp_path / "file" / "answer.html")
