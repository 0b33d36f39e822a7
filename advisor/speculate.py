"""Which drafts may be tried on a device, and how often their tokens are accepted for base and adapters."""

from __future__ import annotations

from advisor.catalog.acceptance import adapter_shift_factor
from advisor.deployment import Drafting
from advisor.profile import DraftTerm, ModelTerms
from advisor.spec.spec import Origin, worst
from advisor.spec.speculation import Acceptance, Draft


def drafting_of(draft: Draft, terms: ModelTerms, draft_length: int) -> Drafting | None:
    """Join the user's draft with the profile's cost of drafting; None where the profile has no such draft.

    Acceptance for adapters, where it was not measured: a custom draft and n-gram keep the base's;
    another keeps a share of τ - 1 that depends on how far the fine-tune moved (facts.md 4.4,
    assumptions, marked estimated). The marginals are scaled, so τ - 1 = Σ a_i is too.
    """
    term = _term(draft, terms)
    if term is None:
        return None
    base = draft.base_acceptance or term.acceptance
    if draft.adapter_acceptance is not None:
        adapter, note = draft.adapter_acceptance, "acceptance for adapters as given"
    elif draft.custom or draft.method == "ngram":
        adapter, note = base, "acceptance for adapters as for the base"
    else:
        factor = adapter_shift_factor(draft.adapter_shift)
        marginals = tuple(a * factor for a in base.marginals)
        adapter = Acceptance(
            marginals=marginals, origin=Origin.ESTIMATED, source=f"{draft.adapter_shift} shift"
        )
        shift = draft.adapter_shift
        note = f"acceptance for adapters assumed: {factor:g} of the base's accepted drafts ({shift} shift)"
    return Drafting(term, draft_length, base, adapter, worst(term.origin, base.origin, adapter.origin), note)


def _term(draft: Draft, terms: ModelTerms) -> DraftTerm | None:
    for term in terms.drafts:
        if term.method == draft.method and (
            draft.model is None or term.model is None or draft.model == term.model
        ):
            return term
    return None
