"""A profile as sections: where its terms come from, and what was measured beside what is fitted."""

from __future__ import annotations

import numpy as np

from advisor.fitted import Fitted
from advisor.plots import held as plots
from advisor.profile import Profile
from advisor.report.section import Figure, Section
from advisor.tables import held as tables
from advisor.tables.known import profile_terms

_TERMS = {
    "dense": "All layers' matrix products, norms and activations.",
    "head": "Final norm and output matrix.",
    "attention": "Attention of decoding sequences.",
    "lora": "Shrink and expand of unmerged adapters: adapters × rank, all slots reserved.",
}


def origins(profile: Profile) -> Section:
    """Provenance of every term, and how far off each may be."""
    date = profile.created.date().isoformat()
    words = [
        f"{profile.device.name} with {profile.engine} {profile.engine_version}, {date}.",
        tables.provenance(profile),
    ]
    if profile.residual is not None:
        found = profile.residual
        words.append(
            f"Held to {found.points} engine steps: predicted over measured {found.median_relative:+.1%} "
            f"(median), nine in ten within {found.p90_absolute_relative:.1%}. Steps: {found.source}."
        )
    figure = Figure(
        "intervals",
        "How far off each kind of term may be; the colour says where it is from. The dot is "
        "the profile's figure.",
        lambda: plots.intervals(profile),
    )
    return Section("origins", profile.name, tuple(words), profile.notes, (figure,), (profile_terms(profile),))


def measured(found: Fitted) -> Section:
    """Each term's samples beside its curve, and the engine's steps beside the profile's."""
    figures = [
        Figure(
            f"term-{name}",
            f"{words} Dots: measured alone; lines: fitted, before the terms are held to the engine's steps.",
            lambda name=name: plots.term(found, name),  # type: ignore[misc]
        )
        for name, words in _TERMS.items()
        if any(point.term == name for point in found.points)
    ]
    words: tuple[str, ...] = ()
    if found.steps:
        unseen = [s.predicted_s / s.measured_s - 1 for s in found.steps if not s.seen and s.measured_s > 0]
        if unseen:
            within = np.quantile(np.abs(unseen), 0.9)
            words = (f"Of {len(unseen)} steps that no fit saw, nine in ten are within {within:.1%}.",)
        figures.insert(
            0,
            Figure(
                "engine-steps",
                "Steps of the engine. On the dashed line the profile says what was measured.",
                lambda: plots.steps(found),
            ),
        )
    return Section("fitted", "Measured against fitted", words, (), tuple(figures))
