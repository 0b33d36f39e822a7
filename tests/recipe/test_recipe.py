"""Recipes: every file is valid in its own language and says what was simulated."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from advisor.errors import InputError
from advisor.recipe import Places, Recipe, recipe_of, write_recipe
from advisor.recipe.others import other_engines
from advisor.recipe.plan import _labels, plan_of
from advisor.recipe.shell import command, quoted
from advisor.recommendation import Option
from tests.recipe.answers import answer, question

PLACES = Places("/m/base", "/m/adapters", "/m/merged", "/m/draft")


def option(way: str, draft: str = "plain") -> Option:
    return next(o for o in answer().options if o.way == way and o.pools and o.key.endswith(draft))


def recipe(way: str, draft: str = "plain", places: Places | None = None) -> Recipe:
    return recipe_of(answer(), question(), key=option(way, draft).key, places=places)


@pytest.fixture(params=["multi-lora", "merged", "base"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_recommended_option_is_meant_where_none_is_named() -> None:
    assert recipe_of(answer(), question()).option == answer().recommended


def test_the_same_answer_gives_the_same_bytes(way: str) -> None:
    assert recipe(way).files == recipe(way).files


def test_shell_scripts_parse_and_commands_get_the_words_as_they_are(way: str, tmp_path: Path) -> None:
    made = recipe(way, places=Places("/m/a base'$x", "/m/adapters", "/m/merged", "/m/draft"))
    write_recipe(made, tmp_path)
    for script in tmp_path.glob("*.sh"):
        subprocess.run(["bash", "-n", str(script)], check=True)
    shim = tmp_path / "bin"
    shim.mkdir()
    (shim / "vllm").write_text("#!/usr/bin/env python3\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    (shim / "vllm").chmod(0o755)
    said = subprocess.run(
        ["bash", str(tmp_path / "serve-vllm.sh")],
        env={"PATH": f"{shim}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = json.loads(said.stdout)
    assert words[:2] == ["serve", "/m/merged/adapter-1" if way == "merged" else "/m/a base'$x"]
    if way == "multi-lora":
        assert "adapter-2=/m/adapters/adapter-2" in words


def test_scripts_ask_for_the_folders_that_were_not_said(tmp_path: Path) -> None:
    write_recipe(recipe("multi-lora"), tmp_path)
    said = subprocess.run(
        ["bash", str(tmp_path / "serve-vllm.sh")], capture_output=True, text=True, check=False
    )
    assert said.returncode != 0
    assert "ADAPTERS: set it to a folder" in said.stderr


def test_compose_gives_every_replica_its_own_devices_and_nginx_knows_them_all(way: str) -> None:
    made, chosen = recipe(way, places=PLACES), option(way)
    services = yaml.safe_load(made.files["compose.yaml"])["services"]
    engines = {name: s for name, s in services.items() if name != "balance"}
    assert len(engines) == chosen.replicas
    ids = [i for s in engines.values() for i in reserved(s)]
    assert sorted(map(int, ids)) == list(range(chosen.devices))
    assert set(re.findall(r"server (\S+):8000;", made.files["nginx.conf"])) == set(engines)
    for service in engines.values():
        mounted = [volume.split(":")[1] for volume in service["volumes"]]
        paths = [word.rpartition("=")[2] for word in service["command"] if "/m/" in word]
        assert paths
        assert all(any(path.startswith(root) for root in mounted) for path in paths)


def test_compose_expands_our_variables_and_nothing_else() -> None:
    services = yaml.safe_load(recipe("multi-lora", places=Places(adapters="/m/$odd"))
                              .files["compose.yaml"])["services"]  # fmt: skip
    words = next(iter(services.values()))["command"]
    assert words[0] == "${BASE_MODEL}"
    assert any(word.endswith("=/m/$$odd/adapter-1") for word in words)


def reserved(service: dict[str, Any]) -> list[str]:
    ids: list[str] = service["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
    return ids


def objects(made: Recipe) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(made.files["kubernetes.yaml"])


@pytest.mark.parametrize("draft", ["plain", "ngramx3", "eagle3x3"])
def test_kubernetes_objects_match_the_schemas(way: str, draft: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for one in objects(recipe(way, draft)):
        validate.validate(one, "1.30", strict=True)


def test_kubernetes_runs_all_replicas_on_paths_of_the_claim(way: str) -> None:
    sets = [o for o in objects(recipe(way, "eagle3x3")) if o["kind"] == "StatefulSet"]
    assert sum(s["spec"]["replicas"] for s in sets) == option(way, "eagle3x3").replicas
    for one in sets:
        words = one["spec"]["template"]["spec"]["containers"][0]["args"]
        assert words[0].startswith("/weights/")
        assert not any("$" in word for word in words)
        assert any('"/weights/draft"' in word for word in words)


def test_alerts_are_rules_with_the_objectives_limits() -> None:
    chosen = option("multi-lora")
    groups = yaml.safe_load(recipe("multi-lora").files["alerts.yaml"])["groups"]
    rules = {rule["alert"]: rule["expr"] for rule in groups[0]["rules"]}
    for check in chosen.checks:
        expression = rules[f"LoraServing{check.metric.upper()}"]
        assert expression.startswith(f"histogram_quantile({check.percentile / 100:g},")  # type: ignore[operator]
        assert expression.endswith(f"> {check.limit:g}")


def test_merging_has_its_script_and_one_line_an_adapter() -> None:
    made = recipe("merged", places=PLACES)
    assert made.files["merge-all.sh"].count("python merge.py /m/base /m/adapters/adapter-") == 3
    compile(made.files["merge.py"], "merge.py", "exec")
    assert "merge.py" not in recipe("multi-lora").files


def test_a_read_me_first_names_price_steps_and_other_engines(way: str) -> None:
    text = recipe(way, "ngramx3").files["README.md"]
    assert f"{option(way, 'ngramx3').usd_per_hour:.2f} USD/h" in text
    for engine in ("sglang", "lorax", "tgi", "llama.cpp"):
        assert f"**{engine}**" in text


def test_lorax_stops_drafting_where_the_schedule_does_and_the_others_say_that_they_cannot() -> None:
    chosen = option("multi-lora", "ngramx3")
    assert chosen.speculation is not None
    spec = chosen.speculation.model_copy(update={"schedule": ((1, 3), (65, 0))})
    plan = plan_of(chosen.model_copy(update={"speculation": spec}), question(), Places())
    engines = {one.engine: one for one in other_engines(plan, plan.servers[0])}
    command = engines["lorax"].command
    assert command[command.index("--speculation-max-batch-size") + 1] == "64"
    for name, one in engines.items():
        cannot = any("no draft lengths by batch size" in note for note in one.notes)
        assert cannot == (name != "lorax")


def test_llama_gets_its_slots_one_kv_cache_and_its_own_way_to_draft() -> None:
    text = recipe("multi-lora", "eagle3x3").files["README.md"]
    limits = option("multi-lora", "eagle3x3").limits
    assert limits is not None
    command = " ".join(text[text.index("llama-server") :].replace("\\", " ").split())
    assert f" -np {limits.max_num_seqs} --kv-unified " in command
    assert "--spec-type draft-eagle3 -md " in command


def test_what_an_engine_cannot_do_is_said_instead_of_a_command() -> None:
    text = recipe("multi-lora", "eagle3x3").files["README.md"]
    assert "**lorax**: does not draft by eagle3." in text
    assert "lorax-launcher" not in text


@pytest.mark.parametrize("key", ["nothing/like/it", ""])
def test_an_unknown_option_is_one_clear_sentence(key: str) -> None:
    if not key:
        key = next((o.key for o in answer().options if not o.pools), "missing/x")
    with pytest.raises(InputError, match="option is"):
        recipe_of(answer(), question(), key=key)


def test_labels_are_dns_labels_and_each_once() -> None:
    labels = _labels(["Größe A", "größe-a", "7b", "---", "x" * 90, "x" * 90])
    assert len(set(labels)) == 6
    assert all(re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", label) for label in labels)


def test_quoting_keeps_variables_and_nothing_else() -> None:
    said = subprocess.run(
        ["bash", "-c", f"printf '%s|' {quoted('$HERE/a b')} {quoted('$x`id`')} {quoted('$HERE/`id`$y')}"],
        env={"HERE": "/h"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "/h/a b|$x`id`|/h/`id`$y|"


def test_long_commands_are_wrapped_without_losing_a_word() -> None:
    words = ["vllm", "serve", "--lora-modules", *(f"a{i}=/path/of/a{i}" for i in range(40))]
    text = command(words)
    assert max(map(len, text.splitlines())) < 130
    assert text.replace("\\\n", " ").split() == words


def test_written_files_are_those_of_the_recipe(tmp_path: Path) -> None:
    made = recipe("multi-lora")
    assert sorted(p.name for p in write_recipe(made, tmp_path / "new")) == sorted(made.files)
    assert shutil.which("bash")
