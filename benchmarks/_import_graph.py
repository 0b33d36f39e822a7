"""Who imports whom: the top modules of both packages, by layer, with the arrows that say it all.

Read with grimp, the library that import-linter stands on; the layers are those of pyproject.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGES = ("advisor", "calibration")
STARTERS = ("advisor.__main__",)  # one line each: no box of their own


@dataclass(frozen=True)
class ImportGraph:
    """Imports among top modules such as `advisor.sim`; an import inside one of them does not count.

    Attributes:
        imports: For each module, those it imports.
    """

    imports: Mapping[str, frozenset[str]]

    @cached_property
    def reach(self) -> dict[str, frozenset[str]]:
        """For each module, all that it imports by whatever way round; KeyError where there is a cycle."""
        found: dict[str, frozenset[str]] = {}
        waiting = sorted(self.imports)
        while waiting:
            ready = [name for name in waiting if self.imports[name] <= found.keys()]
            if not ready:
                raise KeyError(f"a cycle of imports among {', '.join(waiting)}")
            for name in ready:
                found[name] = self.imports[name].union(*(found[one] for one in self.imports[name]))
            waiting = [name for name in waiting if name not in found]
        return found

    def without(self, left_out: frozenset[str]) -> ImportGraph:
        """The graph without those modules."""
        kept = {name: targets - left_out for name, targets in self.imports.items() if name not in left_out}
        return ImportGraph(kept)

    def arrows(self) -> list[tuple[str, str]]:
        """The imports that do not follow from others: the fewest arrows by which the same can be reached."""
        return [
            (name, target)
            for name, targets in sorted(self.imports.items())
            for target in sorted(targets)
            if not any(target in self.reach[between] for between in targets if between != target)
        ]


def import_graph() -> ImportGraph:
    """The graph of both packages as they are on disk."""
    import grimp

    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    tops = {name: ".".join(name.split(".")[:2]) for name in graph.modules if name not in PACKAGES}
    imports: dict[str, set[str]] = {top: set() for top in tops.values() if top not in STARTERS}
    for name, top in tops.items():
        if top in imports:
            found = graph.find_modules_directly_imported_by(name)
            imports[top] |= {tops[one] for one in found if one in tops and tops[one] != top}
    return ImportGraph({top: frozenset(targets) for top, targets in imports.items()})


def layers(root: Path) -> list[list[str]]:
    """The layers of `advisor` in pyproject.toml, top first: the modules of each."""
    content = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (one for one in content["tool"]["importlinter"]["contracts"] if one["id"] == "layers")
    rows = [[f"advisor.{name}" for name in re.findall(r"\w+", row)] for row in contract["layers"]]
    return [row for row in ([name for name in one if name not in STARTERS] for one in rows) if row]
