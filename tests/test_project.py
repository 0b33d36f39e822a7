"""The project itself: light imports, public names, shipped data, documented dependencies, working links."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import advisor
from advisor import datafiles

HEAVY = ("altair", "numpy", "pandas", "pyarrow", "pydantic", "scipy", "simpy", "streamlit", "torch")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ERRORS = ("InputError", "InfeasibleError", "MeasurementError")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


def _run(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(repo_root: Path) -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]
    return content


@pytest.fixture(scope="module")
def dependencies(project: dict[str, Any]) -> list[str]:
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return sorted({match[0].lower() for group in lists for one in group if (match := NAME.match(one))})


@pytest.mark.parametrize("module", ["advisor", "advisor.errors", "advisor.datafiles", "calibration"])
def test_what_every_command_imports_is_light(module: str, repo_root: Path) -> None:
    code = f"import sys, {module}; print(*(m for m in {HEAVY} if m in sys.modules))"
    assert _run(sys.executable, "-c", code, cwd=repo_root).split() == []


def test_the_public_names_are_listed_and_no_module_stands_in_their_way() -> None:
    assert dir(advisor) == sorted(advisor.__all__)
    exports = set(advisor.__all__) - {"__version__"}
    assert exports == set(advisor._EXPORTS)
    assert not [name for name in exports if importlib.util.find_spec(f"advisor.{name}")]
    with pytest.raises(AttributeError, match="no attribute 'recomend'"):
        advisor.recomend  # noqa: B018 - the access itself is tested


@pytest.mark.parametrize("name", sorted(set(advisor.__all__) - {"__version__"}))
def test_each_public_name_loads_from_its_module(name: str) -> None:
    module = importlib.import_module(advisor._EXPORTS[name])
    assert getattr(advisor, name) is getattr(module, name)


def test_shipped_data_is_found_in_a_checkout(repo_root: Path) -> None:
    assert datafiles.data_dir() == repo_root / "data"


def test_shipped_data_is_found_in_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datafiles, "_PACKAGE", tmp_path / "advisor")
    with pytest.raises(FileNotFoundError, match="install lora-advisor anew"):
        datafiles.data_dir()
    (tmp_path / "data").mkdir()  # somebody else's: no pyproject.toml beside it
    with pytest.raises(FileNotFoundError):
        datafiles.data_dir()
    (tmp_path / "advisor" / "_data").mkdir(parents=True)
    assert datafiles.data_dir() == tmp_path / "advisor" / "_data"


@pytest.mark.slow
def test_the_wheel_holds_both_packages_their_types_and_the_data(repo_root: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), cwd=repo_root)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = ("advisor/py.typed", "calibration/py.typed", "advisor/errors.py", "advisor/_data/README.md")
    assert names >= set(wanted)
    assert f"lora_advisor-{advisor.__version__}.dist-info/licenses/LICENSE" in names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "data/"))]


def test_each_dependency_has_its_reason_and_its_version(dependencies: list[str], repo_root: Path) -> None:
    reasons = (repo_root / "docs" / "dependencies.md").read_text().lower()
    pins = (repo_root / "constraints.txt").read_text().lower().replace("_", "-")
    assert not [name for name in dependencies if f"`{name}`" not in reasons]
    assert not [name for name in dependencies if f"\n{name}==" not in f"\n{pins}"]


def test_the_changelog_speaks_of_this_version(repo_root: Path) -> None:
    changelog = (repo_root / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changelog or f"## [{advisor.__version__}]" in changelog


def test_links_between_pages_lead_somewhere(repo_root: Path) -> None:
    pages = [
        *repo_root.glob("*.md"),
        *(repo_root / "docs").rglob("*.md"),
        *(repo_root / "data").rglob("*.md"),
    ]
    links = [(page, target) for page in pages for target in LINK.findall(page.read_text())]
    assert links
    assert not [(str(page), target) for page, target in links if not (page.parent / target).exists()]


def test_make_test_runs_every_check_before_the_tests(repo_root: Path) -> None:
    planned = _run("make", "-n", "test", cwd=repo_root)
    tools = ("ruff check", "ruff format --check", "mypy", "lint-imports", "-m pytest")
    places = [planned.index(tool) for tool in tools]
    assert places == sorted(places)


def _raised(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names of the project's errors that a function raises itself."""
    raised = {ast.unparse(one.exc) for one in ast.walk(function) if isinstance(one, ast.Raise) and one.exc}
    return {name for name in ERRORS if any(text.startswith(f"{name}(") for text in raised)}


def test_a_public_function_says_which_of_our_errors_it_raises(repo_root: Path) -> None:
    silent, seen = [], 0
    for path in [*repo_root.glob("advisor/**/*.py"), *repo_root.glob("calibration/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            text = ast.get_docstring(node)
            is_command = any("command" in ast.unparse(one) for one in node.decorator_list)
            if text is None or is_command:  # ruff asks for one where it is due; a command's is its help
                continue
            raised = _raised(node)
            seen += bool(raised)
            silent += [f"{path.name}: {node.name}: {name}" for name in raised if name not in text]
    assert seen > 50
    assert not silent


LONG = {  # past one sitting, and why it still stands
    "advisor/profile.py": "the whole file format",
    "advisor/recommendation.py": "the whole answer's format",
    "advisor/sim/bookkeeping.py": "the state that skipping.py works on",
    "advisor/sim/plain.py": "the specification, to be read in one",
    "advisor/sim/scheduler.py": "the policy, to be read in one",
    "advisor/sim/skipping.py": "the loop of the default engine",
    "calibration/engine/engine.py": "the step of the live engine",
}


def test_a_file_is_what_one_sitting_can_hold(repo_root: Path) -> None:
    found = {
        path.relative_to(repo_root).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for package in ("advisor", "calibration", "benchmarks")
        for path in (repo_root / package).rglob("*.py")
    }
    long = {name for name, lines in found.items() if lines > 300}
    assert not long - LONG.keys(), "split by noun"
    assert not LONG.keys() - long, "no longer an exception: take it off the list"


def test_help_pages_show_no_control_characters(repo_root: Path) -> None:
    for page in (repo_root / "docs/reference").glob("*.md"):
        assert "\\b" not in page.read_text(), page
