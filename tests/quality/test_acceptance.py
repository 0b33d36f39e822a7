"""Acceptance of drafts: known truth on random models, behaviour on the trained family."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")
pytest.importorskip("tokenizers", reason="no tokenizers; install the extra calibrate")

from click.testing import CliRunner

from advisor.errors import InputError
from advisor.profile import DraftTerm, load_profile, save_profile
from advisor.spec.engine import EngineLimits
from advisor.spec.spec import Origin
from advisor.spec.speculation import Acceptance
from calibration import tinymodels
from calibration.acceptance import measure_acceptance, with_acceptance, with_draft
from calibration.cli import main
from calibration.engine.options import EngineOptions
from calibration.engine.speculate import ModelDraft, NgramDraft
from calibration.livesetup import LiveSetup, set_threads
from calibration.promptfiles import prompts_from
from tests.engine.models import save_model
from tests.profiles import profile, terms

set_threads(1)
LIMITS = EngineLimits(max_num_seqs=8, max_num_batched_tokens=128)
OPTIONS = EngineOptions(kv_blocks=128, dtype="float32")


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("accept") / "m", "llama")


def test_a_model_that_drafts_for_itself_is_always_accepted(random_model: Path) -> None:
    setup = with_draft(LiveSetup(random_model, LIMITS, OPTIONS), ModelDraft(3, random_model))
    found = measure_acceptance(setup, [[5, 6, 7], [9, 10, 11, 12]], output_tokens=21)
    assert found.acceptance.marginals == pytest.approx((1.0, 1.0, 1.0), abs=0.05)
    assert found.length == pytest.approx(4.0, abs=0.15)
    assert found.acceptance.origin is Origin.MEASURED
    assert found.drafted_share == pytest.approx(1.0)


def test_counts_add_up_to_the_answers(random_model: Path) -> None:
    setup = with_draft(LiveSetup(random_model, LIMITS, OPTIONS), NgramDraft(2))
    found = measure_acceptance(setup, [[5, 6, 5, 6, 5], [7, 8, 9, 7, 8]], output_tokens=31)
    emitted = found.verify_steps * found.length
    # The first token is the prompt's; the last step may be cut.
    assert emitted == pytest.approx(2 * 30, abs=2 * 2)
    for share, low, high in zip(found.acceptance.marginals, found.low, found.high, strict=True):
        assert low - 1e-9 <= share <= high + 1e-9
    assert 0 < found.drafted_share <= 1


def test_a_custom_draft_knows_its_fine_tune_and_the_stock_one_does_not() -> None:
    adapters = tinymodels.adapter_dirs()
    lora = LIMITS.model_copy(update={"max_loras": 3, "max_cpu_loras": 3, "max_lora_rank": 8})
    setup = LiveSetup(tinymodels.model_dir(), lora, OPTIONS, adapters)
    prompts = tinymodels.prompts("shout", 8, 32, seed=3)
    drafts = tinymodels.draft_dirs()
    drafted_by = {name: with_draft(setup, ModelDraft(3, drafts[name])) for name in ("stock", "shout")}
    lengths = {
        name: measure_acceptance(one, prompts, adapter="shout", output_tokens=24).length
        for name, one in drafted_by.items()
    }
    assert lengths["stock"] < 1.5
    assert lengths["shout"] > lengths["stock"] + 1.0


def test_the_card_says_what_training_found() -> None:
    metrics = json.loads((tinymodels.model_dir().parent / "metrics.json").read_text(encoding="utf-8"))
    for style in tinymodels.STYLES:
        assert metrics[style]["held_out_loss"] < metrics[style]["held_out_loss_of_base"] - 0.5
        assert metrics[style]["custom_draft_loss"] < metrics[style]["stock_draft_loss"] - 0.5


def test_held_out_prompts_are_windows_of_text_and_follow_the_seed() -> None:
    one = tinymodels.prompts("json", 3, 40, seed=1)
    assert one == tinymodels.prompts("json", 3, 40, seed=1) != tinymodels.prompts("json", 3, 40, seed=2)
    assert {len(prompt) for prompt in one} == {40}
    text = tinymodels.tokenizer().decode(one[0])
    assert text.replace("\ufffd", "")[2:-2] in (
        tinymodels.model_dir().parent / "held-out" / "json.txt"
    ).read_text(encoding="utf-8")


def drafted(**changes: Any) -> DraftTerm:
    given: dict[str, Any] = {
        "origin": Origin.MEASURED, "source": "made up", "method": "ngram", "fixed_s": 1e-4,
        "acceptance": Acceptance(marginals=(0.1,)),
    }  # fmt: skip
    return DraftTerm(**{**given, **changes})


def test_the_acceptance_goes_into_the_profiles_draft_and_no_other(random_model: Path) -> None:
    setup = with_draft(LiveSetup(random_model, LIMITS, OPTIONS), NgramDraft(2))
    found = measure_acceptance(setup, [[5, 6, 5, 6]], output_tokens=12)
    both = terms(drafts=(drafted(), drafted(method="draft_model", model="small")))
    before = profile().model_copy(update={"models": (both,)})
    after = with_acceptance(before, NgramDraft(2), found).models[0].drafts
    assert after[0].acceptance == found.acceptance
    assert after[1] == both.drafts[1]
    with pytest.raises(InputError, match="allowed here: draft_model other"):
        with_acceptance(before, ModelDraft(2, "other"), found)


def test_no_draft_and_no_prompts_are_one_sentence_each(random_model: Path) -> None:
    setup = LiveSetup(random_model, LIMITS, OPTIONS)
    with pytest.raises(InputError, match="drafts nothing"):
        measure_acceptance(setup, [[1]])
    with pytest.raises(InputError, match="no prompts"):
        measure_acceptance(with_draft(setup, NgramDraft(2)), [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is no JSON"),
        ('{"prompt": 3}', "allowed: a list"),
        ('["a"]', "allowed: a list"),
        ("[]", "allowed: a list"),
    ],
)
def test_a_bad_prompt_file_is_one_sentence(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(f"[1, 2]\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        prompts_from(str(path), tinymodels.model_dir(), 5, 10, 0)
    assert "line 2" in str(caught.value)


def test_prompt_files_hold_ids_or_texts(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('[1, 2, 3]\n"def main"\n{"prompt": [4, 5]}\n', encoding="utf-8")
    found = prompts_from(str(path), tinymodels.model_dir(), 5, 2, 0)
    assert found[0] == [1, 2]
    assert found[2] == [4, 5]
    assert len(found[1]) == 2


def test_the_command_measures_and_writes_the_profile(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    made = profile()
    save_profile(made.model_copy(update={"models": (replace_drafts(made.models[0]),)}), path)
    given = [
        "acceptance", "--draft", "stock", "--count", "4", "--prompt-tokens", "24", "--output-tokens", "16",
        "--profile", str(path), "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert said["schema_version"] == 1
    kept = load_profile(path).models[0].drafts[0].acceptance
    assert list(kept.marginals) == pytest.approx(said["marginals"])
    assert kept.origin is Origin.MEASURED
    both = CliRunner().invoke(main, [*given, "--for-adapter", "shout"])
    assert both.exit_code == 2
    assert "allowed: one of the two" in both.output
    assert load_profile(path).models[0].drafts[0].acceptance == kept  # nothing of the adapter's went in
    bad = CliRunner().invoke(main, ["acceptance"])
    assert bad.exit_code == 2
    assert "--draft is missing" in bad.output


def replace_drafts(model: Any) -> Any:
    return model.model_copy(update={"drafts": (drafted(method="draft_model", model="draft-stock"),)})


def test_setups_are_values() -> None:
    setup = LiveSetup(Path("m"), LIMITS, OPTIONS)
    assert replace(setup, merged=None) == setup
