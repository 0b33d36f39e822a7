"""Which drafts may be tried on a device, and how often their tokens are accepted for base and adapters."""

from __future__ import annotations

from advisor.catalog.acceptance import acceptance_of
from advisor.deployment import Drafting
from advisor.profile import DraftTerm, ModelTerms
from advisor.spec.spec import Origin, worst
from advisor.spec.speculation import Draft


def drafting_of(draft: Draft, terms: ModelTerms, draft_length: int) -> Drafting | None:
    """Join the user's draft with the profile's cost of drafting; None where the profile has no such draft.

    Acceptance for the base: the user's, else the profile's if it was measured there, else a published
    one for the task. For adapters: the user's, else the base's for a custom draft, else an assumed share
    of it that depends on how far the fine-tune moved.
    """
    term = _term(draft, terms)
    if term is None:
        return None
    if draft.base_acceptance is None and term.acceptance.origin.badness <= Origin.FITTED.badness:
        draft = draft.model_copy(update={"base_acceptance": term.acceptance})
    base, adapter = acceptance_of(draft)
    origin = worst(term.origin, base.origin, adapter.origin)
    return Drafting(
        term,
        draft_length,
        base,
        adapter,
        origin,
        f"acceptance for adapters: {adapter.source}",
        training_usd_per_hour=0.0 if draft.training is None else draft.training.usd_per_hour,
    )


def _term(draft: Draft, terms: ModelTerms) -> DraftTerm | None:
    for term in terms.drafts:
        if term.method == draft.method and (
            draft.model is None or term.model is None or draft.model == term.model
        ):
            return term
    return None
