from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.web.question import Opened, read_question
from tests.web.minimal import MINIMAL, read

TRACE = MINIMAL.split("workload:")[0] + "workload: {kind: trace, path: %s}\n"


def refused(text: str, opened: Opened | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read(text) if opened is None else read_question(text, opened)
    return str(caught.value)


def test_names_of_the_catalog_are_fine_without_a_folder() -> None:
    assert read(MINIMAL).scenario.model == "Llama-3.1-8B"


@pytest.mark.parametrize("path", ["requests.csv", "/etc/passwd", "../../x.csv", "~/x.csv", "~nobody-here/x"])
def test_no_trace_without_a_folder(path: str) -> None:
    sentence = refused(TRACE % path)
    assert "workload.path" in sentence
    assert "--workspace" in sentence


@pytest.mark.parametrize(
    "model", ["/etc/config.json", "../secret", "config.json", "~/m", "..", "a/../../../b"]
)
def test_no_model_file_without_a_folder(model: str) -> None:
    assert "model is" in refused(MINIMAL.replace("Llama-3.1-8B", model))


def test_no_adapter_folder_without_a_folder() -> None:
    text = MINIMAL.replace("{count: 2, rank: 8}", "{paths: [/srv/a, b]}")
    sentence = refused(text)
    assert "adapters.paths[0]" in sentence
    assert "adapters.paths[1]" in sentence


def test_no_fitted_workload_file_without_a_folder() -> None:
    text = MINIMAL.split("workload:")[0] + "workload: {kind: fitted, name: ../../x, tenants: /y.json}\n"
    sentence = refused(text)
    assert "workload.name" in sentence
    assert "workload.tenants" in sentence


def test_inside_the_folder_is_allowed_and_outside_is_not(tmp_path: Path) -> None:
    inside = tmp_path / "open"
    inside.mkdir()
    assert read_question(TRACE % "a.csv", Opened(inside, True)).folder == inside
    assert "inside the folder" in refused(TRACE % "../a.csv", Opened(inside, True))


def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "open"
    inside.mkdir()
    (tmp_path / "secret.csv").write_text("x")
    (inside / "link.csv").symlink_to(tmp_path / "secret.csv")
    assert "inside the folder" in refused(TRACE % "link.csv", Opened(inside, True))


def test_an_upload_may_be_named_without_a_folder_but_nothing_beside_it(tmp_path: Path) -> None:
    only = Opened(tmp_path, False)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "a.csv").write_text("x")
    (tmp_path / "b.csv").write_text("x")
    assert read_question(TRACE % "uploads/a.csv", only).folder == tmp_path
    assert "workload.path" in refused(TRACE % "b.csv", only)
    assert "workload.path" in refused(TRACE % "uploads/../b.csv", only)


def test_an_upload_that_is_gone_is_to_be_uploaded_again(tmp_path: Path) -> None:
    assert "Upload it again" in refused(TRACE % "uploads/a.csv", Opened(tmp_path, False))
