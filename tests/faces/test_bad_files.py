"""Every file that a user can give, spoiled in every way, as the command line meets it.

Always: exit code 2, one sentence a problem on stderr, no traceback, nothing on stdout, nothing written.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor.cli.failures import run
from advisor.cli.root import root
from advisor.datafiles import data_dir

ROOT = Path(__file__).parents[2]
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}  # fmt: skip
ADAPTER = {
    "peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"],
    "base_model_name_or_path": "meta-llama/Llama-3.1-8B-Instruct",
}  # fmt: skip
SCENARIO = """\
schema_version: 1
model: {model}
adapters: {adapters}
workload: {workload}
objective: {{preset: chat}}
devices: [H100-80-SXM]
search: {{requests: 100}}
"""
GENERATOR = (
    "{kind: generator, arrivals: {kind: poisson, rate: 3 req/s}, prompt_tokens: {kind: fixed, tokens: 100}, "
    "output_tokens: {kind: fixed, tokens: 10}, duration: 60s}"
)
GOOD = {"model": "Llama-3.1-8B", "adapters": "{count: 2, rank: 16}", "workload": GENERATOR}
PRICES = "device,provider,tier,usd_per_hour,source,date\nL40S,mine,on-demand,0.9,my invoice,2026-11-01\n"
CSV = "arrival_s,prompt_tokens,output_tokens,adapter\n" + "".join(f"{i},100,10,a\n" for i in range(40))


LONG = "longer than any KV cache"  # a good trace that nothing can serve


def parquet(**changes: list[object]) -> bytes:
    columns: dict[str, list[object]] = {
        "arrival_s": [float(i) for i in range(40)], "prompt_tokens": [100] * 40, "output_tokens": [10] * 40,
    }  # fmt: skip
    buffer = io.BytesIO()
    pq.write_table(pa.table({**columns, **changes}), buffer)
    return buffer.getvalue()


def jsonl(**changes: object) -> bytes:
    rows = ({"arrival_s": float(i), "prompt_tokens": 100, "output_tokens": 10, **changes} for i in range(40))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_json(good: Mapping[str, object], **changes: object) -> bytes:
    return json.dumps({**good, **changes}).encode()


def prices(**changes: str) -> bytes:
    head, row = PRICES.splitlines()
    cells = {**dict(zip(head.split(","), row.split(","), strict=True)), **changes}
    return f"{','.join(cells)}\n{','.join(cells.values())}\n".encode()


def shipped_profile() -> dict[str, object]:
    raw: dict[str, object] = json.loads((data_dir() / "profiles" / "h100_sxm-vllm.json").read_bytes())
    return raw


def profile_with(field: str, value: object) -> Callable[[], bytes]:
    def content() -> bytes:
        raw = shipped_profile()
        raw["device"] = {**raw["device"], field: value}  # type: ignore[dict-item]  # the shipped file has it
        return json.dumps(raw).encode()

    return content


def fitted(**changes: object) -> Callable[[], bytes]:
    path = data_dir() / "workloads" / "azure_conv_2023.json"
    return lambda: json.dumps({**json.loads(path.read_bytes()), **changes}).encode()


def scenario(**changes: str) -> str:
    return SCENARIO.format(**{**GOOD, **changes})


@dataclass(frozen=True)
class Kind:
    """One kind of file: its name in the folder, good content, the question that reads it, and bad content."""

    name: str
    good: Callable[[], bytes]
    asked: str  # the scenario beside it; "" where the file is the scenario
    bad: Mapping[str, Callable[[], bytes]]
    options: tuple[str, ...] = ()
    optional: bool = False  # a missing file has a meaning of its own


def given(text: str) -> Callable[[], bytes]:
    return text.encode


TRACE = "{{kind: trace, path: {name}}}"
KINDS = {
    "scenario": Kind(
        "mine.yaml", given(scenario()), "",
        {
            "wrong type": given(scenario(adapters="{count: two, rank: 16}")),
            "wrong unit": given(scenario().replace("3 req/s", "3 GiB")),
            "no unit": given(scenario().replace("3 req/s", "3")),
            "negative": given(scenario(adapters="{count: -2, rank: 16}")),
            "NaN": given(scenario().replace("3 req/s", ".nan")),
            "huge": given(scenario(adapters="{count: 99999999999999, rank: 16}")),
            "newer": given(scenario().replace("schema_version: 1", "schema_version: 2")),
            "a list": given("- 1\n- 2\n"),
            "unknown model": given(scenario(model="Nonsense-1B")),
            "unknown device": given(scenario().replace("H100-80-SXM", "H100000")),
        },
    ),
    "trace.csv": Kind(
        "t.csv", given(CSV), scenario(workload="{kind: trace, path: t.csv}"),
        {
            "wrong type": given(CSV.replace(",100,", ",many,")),
            "wrong unit": given(CSV.replace(",100,", ",100 tokens,")),
            "negative": given(CSV.replace(",100,", ",-100,")),
            "NaN": given(CSV.replace(",100,", ",nan,")),
            "huge": given(CSV.replace(",100,", ",1" + "0" * 30 + ",")),
            LONG: given(CSV.replace(",100,", ",1" + "0" * 9 + ",")),
            "wrong columns": given(CSV.replace("prompt_tokens", "promptness")),
        },
    ),
    "trace.jsonl": Kind(
        "t.jsonl", jsonl, scenario(workload="{kind: trace, path: t.jsonl}"),
        {
            "wrong type": lambda: jsonl(prompt_tokens="many"),
            "negative": lambda: jsonl(prompt_tokens=-5),
            "NaN": lambda: jsonl(prompt_tokens=float("nan")),
            "huge": lambda: jsonl(prompt_tokens=10**400),
        },
    ),
    "trace.parquet": Kind(
        "t.parquet", parquet, scenario(workload="{kind: trace, path: t.parquet}"),
        {
            "wrong type": lambda: parquet(prompt_tokens=["many"] * 40),
            "negative": lambda: parquet(prompt_tokens=[-5] * 40),
            "NaN": lambda: parquet(prompt_tokens=[float("nan")] * 40),
            "huge": lambda: parquet(prompt_tokens=[1e30] * 40),
            "truncated to the head": lambda: parquet()[:200],
        },
    ),
    "workload": Kind(
        "w.json", fitted(), scenario(workload="{kind: fitted, name: w.json, rate: 2 req/s, duration: 60s}"),
        {
            "wrong type": fitted(name=5),
            "newer": fitted(schema_version=2),
            "a list": given("[]"),
            "unknown field": fitted(lengthes=[]),
        },
    ),
    "config.json": Kind(
        "config.json", lambda: as_json(CONFIG), scenario(model="config.json"),
        {
            "wrong type": lambda: as_json(CONFIG, hidden_size="4096"),
            "negative": lambda: as_json(CONFIG, num_hidden_layers=-32),
            "NaN": lambda: as_json(CONFIG, hidden_size=float("nan")),
            "huge": lambda: as_json(CONFIG, hidden_size=10**30),
            "another architecture": lambda: as_json(CONFIG, architectures=["Mamba"], model_type="mamba"),
        },
    ),
    "adapter_config.json": Kind(
        "adapter/adapter_config.json", lambda: as_json(ADAPTER), scenario(adapters="{paths: [adapter]}"),
        {
            "wrong type": lambda: as_json(ADAPTER, r="16"),
            "negative": lambda: as_json(ADAPTER, r=-16),
            "NaN": lambda: as_json(ADAPTER, r=float("nan")),
            "huge": lambda: as_json(ADAPTER, r=10**9),
            "another method": lambda: as_json(ADAPTER, peft_type="PREFIX_TUNING"),
        },
    ),
    "profile": Kind(
        "profiles/mine.json",
        lambda: json.dumps(shipped_profile()).encode(),
        scenario(),
        {
            "wrong type": profile_with("name", 5),
            "wrong unit": profile_with("memory_bytes", "80 GB"),
            "negative": profile_with("memory_bytes", -1),
            "NaN": profile_with("memory_bytes", float("nan")),
            "huge": profile_with("memory_bytes", 1e40),
            "newer": lambda: json.dumps({**shipped_profile(), "schema_version": 2}).encode(),
            "a list": given("[]"),
        },
        ("--profiles", "profiles"),
    ),
    "catalog": Kind(
        "catalog/device_prices.csv",
        prices,
        scenario(),
        {
            "wrong type": lambda: prices(usd_per_hour="cheap"),
            "wrong unit": lambda: prices(usd_per_hour="0.9 USD/h"),
            "negative": lambda: prices(usd_per_hour="-1"),
            "NaN": lambda: prices(usd_per_hour="nan"),
            "huge": lambda: prices(usd_per_hour="1e99"),
            "unknown column": lambda: prices(colour="blue"),
            "no date": lambda: prices(date=""),
        },
        ("--catalog", "catalog"),
    ),
    "catalog.json": Kind(
        "catalog/engines.json",
        (ROOT / "advisor" / "catalog" / "data" / "engines.json").read_bytes,
        scenario(),
        {
            "newer": lambda: as_json({"engines": []}, schema_version=2),
            "wrong type": lambda: as_json({"engines": 5}, schema_version=1),
            "wrong row": lambda: as_json({"engines": [{"name": 5}]}, schema_version=1),
        },
        ("--catalog", "catalog"),
    ),
}  # fmt: skip

ALWAYS: Mapping[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda _good: None,
    "empty": lambda _good: b"",
    "blank": lambda _good: b" \n \n",
    "truncated": lambda good: good[: len(good) * 3 // 5].rstrip(b"\n}] \t") or good[:1],
    "binary": lambda good: bytes(range(256)) * (1 + len(good) // 256),
}
CUT_IS_GOOD = {("trace.csv", "truncated"), ("trace.jsonl", "truncated")}  # fewer rows; the last is counted
MANY = {"wrong row"}  # one sentence a missing field
CASES = [(kind, how) for kind, one in KINDS.items() for how in (*ALWAYS, "a folder", *one.bad)]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advisor.catalog import tables

    monkeypatch.setenv(tables.VARIABLE, "")
    monkeypatch.delenv(tables.VARIABLE)
    monkeypatch.chdir(tmp_path)


def laid_out(kind: Kind, content: bytes | None, *, folder: bool = False) -> None:
    """Write the scenario and the file beside it into the current folder."""
    path = Path(kind.name)
    path.parent.mkdir(exist_ok=True)
    if kind.asked:
        Path("mine.yaml").write_text(kind.asked, encoding="utf-8")
    if folder:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)


def spoiled(kind: str, how: str) -> None:
    one = KINDS[kind]
    if how == "a folder":
        laid_out(one, None, folder=True)
    elif how in one.bad:
        laid_out(one, one.bad[how]())
    else:
        laid_out(one, ALWAYS[how](one.good()))


def everything() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def refused(capfd: pytest.CaptureFixture[str], *args: str) -> list[str]:
    """Run a command that must refuse; returns its sentences."""
    before = everything()
    code = run(root, "advisor", args)
    out, err = capfd.readouterr()
    assert "Traceback" not in err, err
    assert (code, out) == (2, ""), err
    lines = err.splitlines()
    assert lines
    assert all(line.startswith("advisor: ") and len(line) < 1000 for line in lines), err
    assert len(set(lines)) == len(lines)
    assert everything() == before
    return lines


@pytest.mark.parametrize(("kind", "how"), [case for case in CASES if case not in CUT_IS_GOOD])
def test_a_spoiled_file_is_refused_in_sentences(
    kind: str, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    spoiled(kind, how)
    lines = refused(
        capfd, "recommend", "mine.yaml", "--jobs", "1", "--report", "out/answer.html", *KINDS[kind].options
    )
    assert len(lines) == 1 or how in MANY


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (kind, how)
        for kind, how in CASES
        if kind.startswith("trace") and (kind, how) not in {*CUT_IS_GOOD, ("trace.csv", LONG)}
    ],
)
def test_a_spoiled_trace_is_refused_by_trace_commands(
    kind: str, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    spoiled(kind, how)
    name = KINDS[kind].name
    assert len(refused(capfd, "trace", "describe", name)) == 1
    assert len(refused(capfd, "trace", "convert", name, "--out", "new.parquet")) == 1
    assert len(refused(capfd, "trace", "fit", name, "--out", "new.json")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_file_is_taken(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """So that each refusal above is for what was spoiled."""
    one = KINDS[kind]
    laid_out(one, one.good())
    deployment = ("--way", "base", "--device", "H100-80-SXM", "--replicas", "1")
    assert run(root, "advisor", ["simulate", "mine.yaml", *deployment, *one.options]) == 0
    assert "Traceback" not in capfd.readouterr().err


def test_targets_that_cannot_be_written_are_refused_and_nothing_is_left(
    capfd: pytest.CaptureFixture[str],
) -> None:
    laid_out(KINDS["scenario"], KINDS["scenario"].good())
    Path("taken.html").mkdir()
    Path("taken.parquet").mkdir()
    Path("file").write_text("")
    deployment = ("--way", "base", "--device", "H100-80-SXM", "--replicas", "1")
    for target in ("taken.html", "file/answer.html", "taken.md/../file/x.md"):
        refused(capfd, "recommend", "mine.yaml", "--jobs", "1", "--report", target)
    for target in ("taken.parquet", "file/r.parquet", "r.csv"):
        refused(capfd, "simulate", "mine.yaml", *deployment, "--requests", target)
    refused(capfd, "demo", "--jobs", "1", "--out", "file")
