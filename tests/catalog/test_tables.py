from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import advisor.catalog
from advisor.catalog.acceptance import default_acceptance
from advisor.catalog.capabilities import engine, engines
from advisor.catalog.compatibility import check
from advisor.catalog.hardware import device, devices
from advisor.catalog.prices import device_prices, lora_offers, price_of, token_prices
from advisor.catalog.shapes import model, models, not_modelled
from advisor.catalog.tables import VARIABLE, use_catalog
from advisor.errors import InputError
from advisor.spec.adapterset import AdapterSet
from advisor.spec.price import PriceWish

DATA = Path(advisor.catalog.__file__).parent / "data"


@pytest.mark.parametrize("file", sorted(DATA.glob("*.csv")), ids=lambda file: file.name)
def test_each_csv_row_has_a_source_and_a_date(file: Path) -> None:
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert rows
    assert all(row["source"] and row["date"][:3] == "202" for row in rows)


@pytest.mark.parametrize("file", sorted(DATA.glob("*.json")), ids=lambda file: file.name)
def test_each_json_row_has_a_source_and_a_date(file: Path) -> None:
    raw = json.loads(file.read_text())
    (rows,) = (value for key, value in raw.items() if key != "schema_version")
    assert all(row["source"] and row["date"][:3] == "202" for row in rows)


def test_every_table_reads() -> None:
    assert len(models()) >= 25
    assert len(not_modelled()) >= 30
    assert len(devices()) == 24
    assert {row.name for row in engines()} == {"vllm", "sglang", "trt-llm", "lorax", "tgi", "llama.cpp"}
    assert lora_offers("fireworks")


def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str) -> Path:
    (tmp_path / name).write_text(content)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path / name


DEVICE_HEAD = "name,memory_mib,bandwidth_gb_s,bf16_tflops,host_link_gb_s,source,date\n"
PRICE_HEAD = "device,provider,tier,usd_per_hour,product,source,date\n"
MODEL_HEAD = "name,hidden_size,layers,heads,kv_heads,head_dim,intermediate_size,vocab_size,source,date\n"


def test_own_rows_add_to_the_catalog_and_replace_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(
        tmp_path,
        monkeypatch,
        "devices.csv",
        DEVICE_HEAD + "Mine,1000,10,1,5,us,2026\nH100-80-SXM,9,9,9,9,us,2026\n",
    )
    assert device("mine").memory_bytes == 1000 * 2**20
    assert device("H100-80-SXM").bandwidth_bytes_per_s == 9e9
    assert device("L40S").memory_bytes == 46068 * 2**20
    assert len(devices()) == 25


def test_own_prices_count_as_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(
        tmp_path, monkeypatch, "device_prices.csv", PRICE_HEAD + "L4,acme,on-demand,0.5,L4,contract,2026-11\n"
    )
    assert price_of("L4").usd_per_hour == 0.5
    assert price_of("L4", PriceWish(providers=("acme",))).source == "contract"


def test_the_newer_of_two_own_rows_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer, older = "L4,acme,on-demand,0.5,L4,us,2026-11-20\n", "L4,acme,on-demand,0.4,L4,us,2026-10-20\n"
    own(tmp_path, monkeypatch, "device_prices.csv", PRICE_HEAD + newer + older)
    assert price_of("L4").usd_per_hour == 0.5


def test_own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, monkeypatch, "models.csv", MODEL_HEAD + "House-1B,2048,16,32,8,64,8192,1000,us,2026\n")
    assert model("acme/house-1b-instruct").layers == 16
    assert model("Llama-3.1-8B").layers == 32


def test_an_edited_file_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = own(tmp_path, monkeypatch, "devices.csv", DEVICE_HEAD + "Mine,1000,10,1,5,us,2026\n")
    assert device("Mine").bandwidth_bytes_per_s == 10e9
    file.write_text(DEVICE_HEAD + "Mine,1000,20,1,5,us,2026\n")
    assert device("Mine").bandwidth_bytes_per_s == 20e9


def test_use_catalog_takes_a_folder_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    file = tmp_path / "devices.csv"
    file.write_text(DEVICE_HEAD + "Mine,1000,10,1,5,us,2026\n")
    monkeypatch.setenv(VARIABLE, "")  # so that monkeypatch takes back what use_catalog sets
    use_catalog(file)
    assert device("Mine").name == "Mine"
    use_catalog(tmp_path)
    assert device("Mine").name == "Mine"


def test_own_engines_and_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = json.loads((DATA / "engines.json").read_text())
    newer = {**raw["engines"][0], "version": "0.40.0", "serves_dora": True}
    own(tmp_path, monkeypatch, "engines.json", json.dumps({"schema_version": 1, "engines": [newer]}))
    assert engine("vllm").version == "0.40.0"
    assert engine("vllm", "0.33.0").serves_dora is False
    dora = AdapterSet(("a",), (8,), None, traits=frozenset({"dora"}))
    assert not check(engine("vllm"), dora, model("Llama-3.1-8B"), merged=False)


BAD = [
    ("devices.csv", "", "is empty; allowed: a file with content."),
    (
        "devices.csv",
        "name,memory\nMine,3\n",
        "column 'memory' is not known, or there twice; allowed: name, aliases",
    ),
    ("devices.csv", "name,name\n", "column 'name' is not known, or there twice"),
    (
        "devices.csv",
        DEVICE_HEAD + "Mine,1000,10\n",
        "line 2: has another number of cells than the 7 columns.",
    ),
    (
        "devices.csv",
        DEVICE_HEAD + "Mine,1000,10,1,5,us,2026,more\n",
        "line 2: has another number of cells than the 7",
    ),
    (
        "devices.csv",
        DEVICE_HEAD + "Mine,80GB,10,1,5,us,2026\n",
        "line 2: memory_mib is '80GB'; allowed: a number",
    ),
    (
        "devices.csv",
        DEVICE_HEAD + "Mine,-1,10,1,5,us,2026\n",
        "line 2: memory_mib is '-1'; allowed: more than 0",
    ),
    (
        "devices.csv",
        DEVICE_HEAD + "Mine,nan,10,1,5,us,2026\n",
        "line 2: memory_mib is 'nan'; allowed: a finite number",
    ),
    ("devices.csv", DEVICE_HEAD + "Mine,inf,10,1,5,us,2026\n", "line 2: memory_mib is 'inf'; allowed: "),
    (
        "devices.csv",
        DEVICE_HEAD + "Mine,1e99,10,1,5,us,2026\n",
        "line 2: memory_mib is '1e99'; allowed: more than 0 and",
    ),
    ("devices.csv", DEVICE_HEAD + "Mine,1000,10,1,5,,2026\n", "line 2: source is missing; allowed: text"),
    ("devices.csv", DEVICE_HEAD + '"Mine,1000\n', "not valid CSV"),
    ("devices.csv", "\x00\x01", "not known"),
    ("engines.json", "{", "not valid JSON"),
    ("engines.json", "[]", "holds a JSON list; allowed: an object."),
    (
        "engines.json",
        '{"schema_version": 1}',
        'allowed: {"schema_version": 1, "engines": [...]} and nothing else.',
    ),
    ("engines.json", '{"engines": []}', 'allowed: {"schema_version": 1, "engines": [...]} and nothing else.'),
    ("engines.json", '{"schema_version": 9, "engines": []}', "schema_version is 9; allowed: at most 1."),
    (
        "engines.json",
        '{"schema_version": 1, "engines": [{"name": "x"}]}',
        "engines[0]: version is missing; allowed",
    ),
    ("notes.csv", "a\n", "notes.csv is no catalog file; allowed: acceptance.csv"),
    ("device.csv", "a\n", "device.csv is no catalog file; allowed: "),
]


@pytest.mark.parametrize(("name", "content", "said"), BAD)
def test_a_bad_own_catalog_is_refused_in_clear_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, said: str
) -> None:
    own(tmp_path, monkeypatch, name, content)
    with pytest.raises(InputError) as caught:
        (engines if name.endswith(".json") else devices)()
    assert said in str(caught.value)
    assert all(str(tmp_path) in sentence for sentence in caught.value.sentences)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            {"reason": "{nonsense}"},
            "reason is '{nonsense}'; allowed: text whose braces name only engine, model",
        ),
        ({"reason": "{"}, "allowed: text whose braces name only"),
        ({"when": ["mergd"]}, "when[0] is 'mergd'; allowed: one of merged"),
        ({"verdict": "no"}, "verdict is 'no'; allowed: one of refuse, warn."),
    ],
)
def test_a_bad_own_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: dict[str, object], said: str
) -> None:
    good = {"id": "x", "when": [], "verdict": "warn", "reason": "r", "source": "s", "date": "2026"}
    raw = {"schema_version": 1, "rules": [{**good, **rule}]}
    own(tmp_path, monkeypatch, "compatibility.json", json.dumps(raw))
    with pytest.raises(InputError) as caught:
        check(engine("vllm"), AdapterSet((), (), None), model("Llama-3.1-8B"), merged=False)
    assert said in str(caught.value)


def test_a_catalog_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such catalog"):
        use_catalog(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no catalog file"):
        use_catalog(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(
        InputError, match=f"no such catalog; allowed: a folder or file named by --catalog or {VARIABLE}"
    ):
        default_acceptance("ngram")
    with pytest.raises(InputError, match="no such catalog"):
        device_prices("H100")
    monkeypatch.delenv(VARIABLE)
    assert token_prices(model("Llama-3.1-8B"))
