"""The pictures of docs/architecture.md, drawn from the imports: `python -m benchmarks.architecture`.

An arrow says: imports from. Arrows that follow from others are left out, so whoever can be reached along
arrows, and nobody else, is imported by some way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from advisor import files
from benchmarks._architecture_words import BANDS, FLOOR, words
from benchmarks._import_graph import ImportGraph, import_graph, layers
from benchmarks._import_rows import (
    BOX_HEIGHT,
    BOX_WIDTH,
    ROW_HEIGHT,
    Routes,
    places,
    row_width,
    rows_above,
    with_lanes,
)
from benchmarks._page import ROOT

FOLDER = ROOT / "docs" / "architecture"
MARGIN, BAND_LABEL, TOP = 14.0, 26.0, 66.0
TINTS = ("#e3ecf7", "#e6f2ea", "#f5eee0", "#fbe6de", "#efe6f5", "#e0f0f2", "#ececec")
STYLE = """
text { font-family: 'DejaVu Sans', Verdana, sans-serif; fill: #1b1f24 }
.name { font-size: 13px; font-weight: 600; text-anchor: middle }
.word { font-size: 9.5px; text-anchor: middle; fill: #4a5058 }
.band { font-size: 11px; text-anchor: middle; fill: #4a5058 }
.head { font-size: 16px; font-weight: 600 }
.note { font-size: 11px; fill: #4a5058 }
.box { fill: #ffffff; stroke: #57606a; stroke-width: 1 }
.other { fill: #e3ecf7 }
.arrow { fill: none; stroke: #3b6ea5; stroke-width: 1.1; stroke-opacity: .75; marker-end: url(#tip) }
.across { stroke: #b4581c; marker-end: url(#tip-across) }
"""
TIP = (
    '<marker id="{id}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0,0.8 L8,4 L0,7.2 z" fill="{colour}"/></marker>'
)
TIPS = f"<defs>{TIP.format(id='tip', colour='#3b6ea5')}{TIP.format(id='tip-across', colour='#b4581c')}</defs>"
Point = tuple[float, float]


def box(name: str, text: str, at: Point, kind: str = "box", width: float = BOX_WIDTH) -> str:
    """One module: its name within its package, and a few words; `at` is the middle of its upper edge."""
    middle, top = at
    return (
        f'<g id="{name}"><rect class="{kind}" x="{middle - width / 2:.6g}" y="{top:g}" width="{width:g}" '
        f'height="{BOX_HEIGHT:g}" rx="5"/>'
        f'<text class="name" x="{middle:.6g}" y="{top + 16:g}">{name.partition(".")[2]}</text>'
        f'<text class="word" x="{middle:.6g}" y="{top + 30:g}">{escape(text)}</text></g>'
    )


def arrow(name: str, target: str, points: Sequence[Point]) -> str:
    """A curve down through the points, straight where it passes a row."""
    (x, y), *others = points
    curve = [f"M{x:.6g},{y:g}"]
    for number, (x1, y1) in enumerate(others):
        bend = (y1 - y) / 2
        curve.append(f"C{x:.6g},{y + bend:g} {x1:.6g},{y1 - bend:g} {x1:.6g},{y1:g}")
        x, y = x1, y1
        if number < len(others) - 1:
            y += BOX_HEIGHT
            curve.append(f"V{y:g}")
    kind = "arrow" if name.split(".")[0] == target.split(".")[0] else "arrow across"
    return f'<path class="{kind}" data-from="{name}" data-to="{target}" d="{" ".join(curve)}"/>'


def arrows(routes: Routes, middles: Mapping[str, Point]) -> list[str]:
    """All arrows; those that leave or reach one box are spread along its edge, as their next stops stand."""

    def edge(name: str, stops: Sequence[str], stop: str) -> float:
        place = sorted(stops, key=lambda one: (middles[one][0], one)).index(stop)
        return middles[name][0] + BOX_WIDTH * ((place + 1) / (len(stops) + 1) - 0.5)

    drawn = []
    for (name, target), path in routes.paths.items():
        first = edge(name, [one[1] for (a, _), one in routes.paths.items() if a == name], path[1])
        last = edge(target, [one[-2] for (_, b), one in routes.paths.items() if b == target], path[-2])
        points = [(first, middles[name][1] + BOX_HEIGHT), *(middles[one] for one in path[1:-1])]
        drawn.append(arrow(name, target, [*points, (last, middles[target][1])]))
    return drawn


def stripes(rows: Sequence[Sequence[str]], width: float) -> list[str]:
    """The bands behind the rows, each with what it is for.

    Raises:
        ValueError: A band does not hold whole layers, in their order.
    """
    drawn, first = [], 0
    for (title, members), tint in zip(BANDS.items(), TINTS, strict=True):
        named = {f"advisor.{name}" for name in members}
        count = sum(bool(named & set(row)) for row in rows)
        held = {name for row in rows[first : first + count] for name in row if " " not in name}
        if named != held:
            raise ValueError(
                f"the band {title!r} does not hold whole layers: see benchmarks/_architecture_words.py"
            )
        top, height = TOP + first * ROW_HEIGHT - 11, count * ROW_HEIGHT - 3
        drawn.append(
            f'<rect x="{MARGIN:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="8" fill="{tint}"/>'
            f'<text class="band" transform="translate({MARGIN + 15:g},{top + height / 2:g}) rotate(-90)">'
            f"{title}</text>"
        )
        first += count
    return drawn


def floor(top: float, width: float) -> list[str]:
    """What everything may import, in two rows along the bottom."""
    each = width / (len(FLOOR) // 2)
    note = (
        f'<text class="note" x="{MARGIN:g}" y="{top - 8:g}">the floor: everything may import from it</text>'
    )
    boxes = []
    for number, (name, text) in enumerate(FLOOR.items()):
        row, place = divmod(number, len(FLOOR) // 2)
        boxes.append(
            box(name, text, (MARGIN + (place + 0.5) * each, top + row * 46), width=round(each - 8, 1))
        )
    return [note, *boxes]


def drawing(title: str, note: str, parts: Sequence[str], width: float, height: float) -> str:
    """Title and parts as one SVG of that size, px."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{title}">'
    )
    frame = '<rect width="100%" height="100%" fill="#ffffff"/>'
    heading = f'<text class="head" x="{MARGIN:g}" y="24">{title}</text>'
    under = f'<text class="note" x="{MARGIN:g}" y="42">{note}</text>'
    return "\n".join((head, f"<style>{STYLE}</style>", TIPS, frame, heading, under, *parts, "</svg>", ""))


def advisor_picture(graph: ImportGraph, rows: Sequence[Sequence[str]]) -> str:
    """`advisor` by its layers, with the floor."""
    routes = with_lanes(rows, [pair for pair in graph.arrows() if pair[0].startswith("advisor.")])
    middles = places(routes.rows, MARGIN + BAND_LABEL, TOP)
    width = BAND_LABEL + max(map(row_width, routes.rows)) + 10
    bottom = TOP + len(rows) * ROW_HEIGHT + 18
    parts = (
        *stripes(routes.rows, width),
        *arrows(routes, middles),
        *(box(name, words()[name], at) for name, at in middles.items() if " " not in name),
        *floor(bottom, width),
    )
    note = "An arrow: imports from. What follows from other arrows is left out."
    return drawing("advisor", note, parts, width + 2 * MARGIN, bottom + 96)


def calibration_picture(graph: ImportGraph, rows: Sequence[Sequence[str]]) -> str:
    """`calibration`, each module as low as it can be, and what it takes from `advisor` (tinted)."""
    chosen = {name for pair in graph.arrows() if pair[0].startswith("calibration.") for name in pair}
    full = (([name for name in row if name in chosen]) for row in rows_above(graph, rows))
    routes = with_lanes(
        [row for row in full if row], [pair for pair in graph.arrows() if chosen.issuperset(pair)]
    )
    middles = places(routes.rows, MARGIN, TOP)
    kinds = {name: "box" if name.startswith("calibration.") else "box other" for name in chosen}
    parts = (
        *arrows(routes, middles),
        *(box(name, words()[name], at, kinds[name]) for name, at in middles.items() if name in chosen),
    )
    note = "An arrow: imports from. What follows from other arrows is left out. Tinted: of advisor."
    width = max(map(row_width, routes.rows)) + 2 * MARGIN
    return drawing("calibration", note, parts, width, TOP + len(routes.rows) * ROW_HEIGHT)


def pictures(graph: ImportGraph, rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Both drawings as SVG, by the name of their package.

    Args:
        graph: Imports among top modules.
        rows: Layers of `advisor`, top first, as in pyproject.toml.

    Raises:
        ValueError: A module has no words in benchmarks/_architecture_words.py, or words have no module.
    """
    if words().keys() != graph.imports.keys():
        differ = ", ".join(sorted(words().keys() ^ graph.imports.keys()))
        raise ValueError(f"benchmarks/_architecture_words.py and the modules differ: {differ}")
    above = graph.without(frozenset(FLOOR))
    drawn = [row for row in rows if not set(row) <= FLOOR.keys()]
    return {"advisor": advisor_picture(above, drawn), "calibration": calibration_picture(above, drawn)}


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, drawn in pictures(import_graph(), layers(ROOT)).items():
        files.write_text(FOLDER / f"{name}.svg", drawn)
        print(f"docs/architecture/{name}.svg")


if __name__ == "__main__":
    main()
