"""The README's Python and commands run as they stand there."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path


def test_the_python_example_runs(repo_root: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (repo_root / "README.md").read_text(), flags=re.DOTALL)
    out = io.StringIO()
    here = Path.cwd()
    os.chdir(repo_root)
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(code, "README.md", "exec"), {})
    finally:
        os.chdir(here)
    assert out.getvalue().startswith("Serve ")
    assert "H100-80-SXM" in out.getvalue()


def test_the_first_command_prints_a_scenario_that_can_be_asked(repo_root: Path) -> None:
    command = [sys.executable, "-m", "advisor", "scenario"]
    text = subprocess.run([*command, "example"], capture_output=True, check=True, cwd=repo_root).stdout
    subprocess.run([*command, "check", "-"], input=text, capture_output=True, check=True, cwd=repo_root)
