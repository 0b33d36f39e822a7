"""Writes docs/reference/study.md from the models and the columns: `python -m advisor.study.reference`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from advisor.deployment import Choice
from advisor.files import write_text
from advisor.spec.reference import section
from advisor.study.columns import SCHEMA
from advisor.study.grid import Grid, Study

_HEAD: Final = """\
# The study file

A study asks one scenario at every point of a grid: `advisor sweep study.yaml --out study.parquet`. This
page is written from the models by `python -m advisor.study.reference`; a test fails when it is stale.

```yaml
schema_version: 1
scenario: mine.yaml
choice: {way: multi-lora, device: H100-80-SXM, replicas: 1}
grid:
  load: [0.5, 1, 2]
  adapters: [8, 16, 32]
  max_loras: [8, 16]
```

- `ask: simulate` simulates one deployment at each point (some tenths of a second); `ask: recommend` runs
  the whole search (some seconds). Both use one process a point and compute many points at once.
- Every point is checked before the first is computed. `--dry-run` does only that.
- The result is one Parquet file, one row a point, the last axis fastest. It is the same to the last byte
  whatever the number of processes, and however often the sweep was stopped.
- While it runs, finished rows go to `study.parquet.parts/` every few seconds. After a kill the same command
  goes on from there. So does a grid that has grown: only new points are computed; rows of points that it no
  longer names are left out. Rows of another scenario, choice, profile, trace or version are refused:
  `--fresh` drops them.
- On a terminal, progress shows the points done and the time left.

## On a Ray cluster

`--ray auto` (or `--ray host:port`) computes on a Ray cluster that runs, by joblib's Ray backend; `--ray
local` starts one on this machine. It needs the extra `ray` (`pip install 'lora-advisor[ray]'`). Ray's
telemetry is switched off; a cluster that somebody else started keeps its own setting.

Each node needs the same version of this program. The scenario travels with the work; the files that it
names (traces, `config.json`, adapter folders), `--profiles` and `--catalog` do not: they must lie at the
same path on every node. Points go out in batches of 8 a worker, and a batch ends with its slowest point.

"""

_MEANING: Final = {
    "point": "Place on the grid, from 0.",
    "status": "`holds`: the objective is met; `breaks`: it is not; `infeasible`: it cannot run; `refused`: "
    "the point asks for what makes no sense.",
    "reason": "Why, where it does not hold.",
    "option": "What was simulated or recommended (or came nearest), see `advisor recommend --json`.",
    "headroom": "Multiple of the load at which a limit breaks; with `ask: recommend` only.",
    "rate_rps": "Requests per second that were asked.",
    "origin": "Worst origin of the terms that matter.",
}


def reference() -> str:
    """Return the page as Markdown."""
    return f"{_HEAD}{section(Study)}\n{section(Grid)}\n{section(Choice)}\n{_columns()}"


def _columns() -> str:
    head = (
        "## Columns of the result\n\nSeconds and USD; null where there is no figure.\n\n"
        "| column | type | meaning |\n|---|---|---|\n"
    )
    return head + "".join(f"| `{field.name}` | {field.type} | {_said(field.name)} |\n" for field in SCHEMA)


def _said(name: str) -> str:
    if name.startswith("at_"):
        return f"The point's value on the axis `{name[3:]}`; null: the grid has no such axis."
    return _MEANING.get(name, "As in the answer of `advisor simulate --json`.")


def main() -> None:
    """Write the page into the checkout that this file is in."""
    write_text(Path(__file__).parents[2] / "docs" / "reference" / "study.md", reference())


if __name__ == "__main__":
    main()
