"""What does not combine: engine, adapters, model, drafts, merging. The rules are data (compatibility.json).

A deployment is described by facts, short words such as "unmerged", "dora", "method-without-lora".
A rule speaks when all the facts that it names hold, and when it is about this engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, Field

from advisor.catalog.shapes import model as model_named
from advisor.catalog.tables import NotInCatalogError, rows
from advisor.spec.adapterset import AdapterSet
from advisor.spec.engine import EngineCapability
from advisor.spec.model import ModelShape
from advisor.spec.peft import Trait
from advisor.spec.spec import Spec

_VLLM_MAX_VOCABULARY: Final = 258_048  # package source of vllm 0.33.0
_ENGINE_NAMES: Final = ("vllm", "sglang", "lorax", "tgi")  # written small, also at the start
_WORDS: Final = ("engine", "model", "base", "rank", "dtype", "method", "note")  # that reasons may name

Situation = Literal[
    "merged",
    "unmerged",
    "many-adapters",
    "no-multi-lora",
    "no-mixing",
    "fixed-at-start",
    "rank-too-large",
    "dora-unserved",
    "modules_to_save-unserved",
    "vocabulary-too-large",
    "base-differs",
    "dtype:bfloat16",
    "dtype:fp8",
    "dtype-unserved",
    "speculation",
    "method:ngram",
    "method:draft_model",
    "method:eagle3",
    "method:mtp",
    "method-unknown",
    "method-without-lora",
    "method-with-note",
]
Fact = Situation | Trait


def _fillable(reason: str) -> str:
    """No width or attribute in the braces: {engine:999999999} would be as many spaces."""
    try:
        known = all(
            word is None or (word in _WORDS and not width and kind is None)
            for _, word, width, kind in Formatter().parse(reason)
        )
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"text whose braces name only {', '.join(_WORDS)}")
    return reason


class Rule(Spec):
    """One rule of compatibility.json."""

    id: str = Field(min_length=1, description="A word for the rule.")
    engines: tuple[str, ...] = Field((), description="Engines that it is about; all if empty.")
    when: tuple[Fact, ...] = Field(description="Facts that must all hold.")
    verdict: Literal["refuse", "warn"] = Field(description="Whether the deployment is left out.")
    reason: Annotated[str, AfterValidator(_fillable)] = Field(
        min_length=1, description="Starts in the middle of a sentence; may name {engine}, {rank}, {note}, ..."
    )
    mend: str = Field("", description="What to do about it, as a sentence.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule that speaks against a deployment, or warns about it."""

    rule: str
    refuses: bool
    reason: str  # goes on in the middle of a sentence
    mend: str
    source: str

    @property
    def sentence(self) -> str:
        """Reason and mend in plain words."""
        first = self.reason.split()[0]
        opening = (
            self.reason[:1].upper() if first.isalpha() and first not in _ENGINE_NAMES else self.reason[:1]
        )
        return f"{opening}{self.reason[1:]}." + (f" {self.mend}" if self.mend else "")


def check(
    engine: EngineCapability,
    adapters: AdapterSet,
    model: ModelShape,
    speculation: str | None = None,
    *,
    merged: bool,
) -> tuple[Verdict, ...]:
    """Return what speaks against a deployment, refusals first; empty if nothing does.

    Args:
        engine: the engine's row of the catalog.
        adapters: what is served; an empty set means the base model alone.
        model: the base model.
        speculation: the draft's method, None for none.
        merged: whether each adapter is merged into its own copy of the base.
    """
    facts = _facts(engine, adapters, model, speculation, merged=merged)
    method = engine.method(speculation) if speculation else None
    words = {
        "engine": engine.name,
        "model": model.name,
        "base": ", ".join(sorted(adapters.base_models)),
        "rank": adapters.max_rank,
        "dtype": model.weights_dtype.value,
        "method": speculation or "",
        "note": method.note if method else "",
    }
    spoken = [
        Verdict(
            rule.id,
            rule.verdict == "refuse",
            rule.reason.format(**words),
            rule.mend,
            f"{rule.source} ({rule.date})",
        )
        for rule in rows("compatibility.json", Rule, lambda rule: rule.id)
        if facts.issuperset(rule.when) and (not rule.engines or engine.name in rule.engines)
    ]
    return tuple(sorted(spoken, key=lambda verdict: not verdict.refuses))


def _facts(
    engine: EngineCapability,
    adapters: AdapterSet,
    model: ModelShape,
    speculation: str | None,
    *,
    merged: bool,
) -> set[str]:
    """Describe the deployment in the words that rules use."""
    method = engine.method(speculation) if speculation else None
    has_adapters = len(adapters) > 0
    facts = {
        f"dtype:{model.weights_dtype.value}": True,
        "dtype-unserved": model.weights_dtype.value not in engine.quantisations,
        "speculation": speculation is not None,
        f"method:{speculation or 'ngram'}": speculation is not None,
        "method-unknown": speculation is not None and method is None,
    }
    if has_adapters:
        facts |= dict.fromkeys(adapters.traits, True)
        facts |= {
            "merged": merged,
            "unmerged": not merged,
            "many-adapters": len(adapters) > 1,
            "no-multi-lora": not engine.multi_lora,
            "no-mixing": not engine.mixes_adapters,
            "fixed-at-start": not engine.loads_at_run_time,
            "rank-too-large": engine.max_lora_rank(adapters.max_rank) is None,
            "dora-unserved": not engine.serves_dora,
            "modules_to_save-unserved": not engine.serves_modules_to_save,
            "vocabulary-too-large": model.vocab_size > _VLLM_MAX_VOCABULARY,
            "method-without-lora": method is not None and not method.with_lora,
            "method-with-note": method is not None and method.with_lora and bool(method.note),
            "base-differs": any(_differs(base, model) for base in adapters.base_models),
        }
    assert facts.keys() <= {*get_args(Situation), *get_args(Trait)}
    return {fact for fact, holds in facts.items() if holds}


def _differs(base: str, model: ModelShape) -> bool:
    """Whether an adapter's base is another catalog model; what the catalog does not know may be any copy."""
    try:
        known, own = model_named(base), model_named(model.name)
    except NotInCatalogError:
        return False
    return known.name.removesuffix("-FP8") != own.name.removesuffix("-FP8")
