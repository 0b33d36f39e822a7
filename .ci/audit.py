"""Known vulnerabilities of the pinned dependencies, by pip-audit: `make audit`, and in CI.

Exit code 1 where one is known. Where the vulnerability service cannot be asked, or knows none of the
versions, this says so and exits with 0: a build must not fail because another host is down.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (
    "-m",
    "pip_audit",
    "-r",
    "constraints.txt",
    "--no-deps",
    "--disable-pip",
    "--progress-spinner",
    "off",
)
TIMEOUT_S = 300


def verdict(output: str, error: str) -> tuple[int, str]:
    """Exit code and sentence for what pip-audit printed.

    Args:
        output: its JSON, `{"dependencies": [{"name", "version", "vulns" or "skip_reason"}]}`; anything else
            where it failed.
        error: what it said beside it.
    """
    try:
        rows: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        last = (error.strip().splitlines() or ["nothing was printed"])[-1]
        return 0, f"audit: not done, the vulnerability service could not be asked ({last[:200]})."
    known = [row for row in rows if "vulns" in row]
    bad = [row for row in known if row["vulns"]]
    if bad:
        lines = []
        for row in bad:
            ids = ", ".join(one["id"] for one in row["vulns"])
            mended = sorted({version for one in row["vulns"] for version in one.get("fix_versions", [])})
            lines.append(
                f"  {row['name']} {row['version']}: {ids}; mended in {', '.join(mended) or 'no version yet'}"
            )
        return 1, "\n".join([f"audit: {len(bad)} pinned dependencies have known vulnerabilities.", *lines])
    if not known:
        return 0, f"audit: not done, the service knows none of the {len(rows)} pinned versions."
    rest = f"; {len(rows) - len(known)} it does not know" if len(known) < len(rows) else ""
    return 0, f"audit: no known vulnerability in {len(known)} pinned dependencies{rest}."


def main() -> int:
    """Ask, and say what came."""
    try:
        done = subprocess.run(
            [sys.executable, *COMMAND, "-f", "json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"audit: not done, no answer from the vulnerability service in {TIMEOUT_S} s.")
        return 0
    code, sentence = verdict(done.stdout, done.stderr)
    print(sentence)
    return code


if __name__ == "__main__":
    sys.exit(main())
