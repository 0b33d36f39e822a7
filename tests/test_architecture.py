"""docs/architecture.md: pictures that are those of the imports, tables that name every module, contracts."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from xml.etree import ElementTree

import grimp
import pytest

from benchmarks import architecture
from benchmarks._architecture_words import FLOOR
from benchmarks._import_graph import ImportGraph, import_graph, layers

PICTURES = ("advisor.svg", "calibration.svg")
SVG = "{http://www.w3.org/2000/svg}"
CODE = re.compile(r"`([^`]+)`")


@pytest.fixture(scope="module")
def imports() -> ImportGraph:
    return import_graph()


@pytest.fixture(scope="module")
def page(repo_root: Path) -> str:
    return (repo_root / "docs" / "architecture.md").read_text(encoding="utf-8")


def boxes_and_arrows(folder: Path) -> tuple[set[str], set[tuple[str, str]]]:
    """Names of the boxes, and (from, to) of the arrows, of both pictures."""
    drawings = [ElementTree.fromstring((folder / name).read_text()) for name in PICTURES]
    groups = {one.attrib["id"] for drawing in drawings for one in drawing.iter(f"{SVG}g")}
    paths = [one.attrib for drawing in drawings for one in drawing.iter(f"{SVG}path")]
    return groups, {(one["data-from"], one["data-to"]) for one in paths if "data-from" in one}


def reached(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """All pairs with a way along the arrows."""
    pairs = set(arrows)
    while True:
        longer = pairs | {(a, d) for a, b in pairs for c, d in arrows if b == c}
        if longer == pairs:
            return pairs
        pairs = longer


def test_the_pictures_are_those_that_the_imports_draw(imports: ImportGraph, repo_root: Path) -> None:
    for name, drawn in architecture.pictures(imports, layers(repo_root)).items():
        there = (repo_root / "docs" / "architecture" / f"{name}.svg").read_text(encoding="utf-8")
        assert there == drawn, f"docs/architecture/{name}.svg is stale: python -m benchmarks.architecture"


def test_along_the_arrows_one_reaches_what_is_imported_and_nothing_else(repo_root: Path) -> None:
    names, arrows = boxes_and_arrows(repo_root / "docs" / "architecture")
    graph = grimp.build_graph("advisor", "calibration", cache_dir=None)
    tops = {name for package in ("advisor", "calibration") for name in graph.find_children(package)}
    assert names == tops - {"advisor.__main__"}
    for top in tops:
        graph.squash_module(top)
    above = names - FLOOR.keys()
    found = {(a, b) for a in above for b in graph.find_modules_directly_imported_by(a)}
    imported = {(a, b) for a, b in found if a != b and b in above}
    assert reached(arrows) == reached(imported)
    assert arrows <= imported
    assert not [pair for pair in arrows if pair in reached(arrows - {pair})]
    assert not [(a, b) for a in FLOOR for b in graph.find_modules_directly_imported_by(a) if b in above]


def test_a_new_import_changes_a_picture_and_a_new_module_asks_for_words(
    imports: ImportGraph, repo_root: Path
) -> None:
    rows = layers(repo_root)
    before = architecture.pictures(imports, rows)
    more = {**imports.imports, "advisor.cost": imports.imports["advisor.cost"] | {"advisor.catalog"}}
    after = architecture.pictures(ImportGraph(more), rows)
    assert after["advisor"] != before["advisor"]
    assert after["calibration"] == before["calibration"]
    with pytest.raises(ValueError, match=r"differ: advisor\.kitchen"):
        architecture.pictures(ImportGraph({**imports.imports, "advisor.kitchen": frozenset()}), rows)


def test_arrows_that_follow_from_others_are_left_out() -> None:
    graph = ImportGraph({"a": frozenset("bcd"), "b": frozenset("c"), "c": frozenset(), "d": frozenset("c")})
    assert graph.arrows() == [("a", "b"), ("a", "d"), ("b", "c"), ("d", "c")]
    assert graph.without(frozenset("b")).arrows() == [("a", "d"), ("d", "c")]
    with pytest.raises(KeyError, match="a cycle of imports among a, b"):
        ImportGraph({"a": frozenset("b"), "b": frozenset("a")}).reach  # noqa: B018 - the access is tested


@pytest.mark.parametrize("package", ["advisor", "calibration"])
def test_the_tables_name_every_module_once(package: str, page: str, repo_root: Path) -> None:
    section = page.split(f"\n## {package}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [name for cell in cells for name in CODE.findall(cell)]
    folder = repo_root / package
    there = {one.stem for one in folder.glob("*.py")} | {
        one.parent.name for one in folder.glob("*/__init__.py")
    }
    assert sorted(named) == sorted(there - {"__init__", "__main__"})


def test_the_table_of_layers_has_their_order(page: str, repo_root: Path) -> None:
    section = page.split("\n## advisor\n")[1].split("\n## ")[0]
    rows = [CODE.findall(line.split("|")[1]) for line in section.splitlines() if line.startswith("| `")]
    layer_of = {name: number for number, row in enumerate(layers(repo_root)) for name in row}
    first_layers = [min(layer_of[f"advisor.{name}"] for name in row) for row in rows]
    assert first_layers == sorted(first_layers)


def test_makers_and_readers_of_a_contract_import_it(page: str) -> None:
    rows = [line for line in page.splitlines() if re.match(r"\| .* \| `advisor\.\S+` \|", line)]
    assert len(rows) == 6
    graph = grimp.build_graph("advisor", "calibration", cache_dir=None)
    for row in rows:
        _, _, contract, made, read, _ = row.split("|")
        module, _, name = CODE.findall(contract)[0].rpartition(".")
        assert hasattr(importlib.import_module(module), name)
        for package in CODE.findall(made + read):
            within = {package} | graph.find_descendants(package)
            users = {one for one in within if module in graph.find_modules_directly_imported_by(one)}
            assert users, f"{package} does not import {module}"
