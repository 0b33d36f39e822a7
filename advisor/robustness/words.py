"""How sure an answer is, in a paragraph."""

from __future__ import annotations

from advisor.certainty import Certainty, Spread, Tip

_ENOUGH = 20
"""Draws from which on 5 % and 95 % of them are not the ends."""


def said(answer: Certainty) -> str:
    """The shares, the price, and what to measure next."""
    load = f", the load ± {answer.load_spread:.0%}" if answer.load_spread else ""
    drawn = f"every term within its interval, other requests of the same kind{load}"
    parts = [
        f"The choice stands in {answer.stands} of {answer.draws} draws ({drawn}).",
        f"With the replicas as they are it meets every limit in {answer.holds}.",
    ]
    parts += _price(next(spread for spread in answer.spreads if spread.name == "USD/h"), answer.draws)
    others = [share for share in answer.best if share.option != answer.compared[0]]
    parts += [
        f"In {share.draws} the best is {share.option}."
        if share.option is not None
        else f"In {share.draws} none of the {len(answer.compared)} options compared holds."
        for share in others[:3]
    ]
    return " ".join([*parts, *_next(answer)])


def _price(spread: Spread, draws: int) -> list[str]:
    interval = " (90 %)" if draws >= _ENOUGH else ""
    if spread.low is None:
        return ["In most draws twice the replicas would not do either."]
    if spread.high is None:
        low = f"{spread.low:.2f} USD/h"
        return [f"Resized in each draw it costs {low} or more; in some twice the replicas would not do."]
    return [f"Resized in each draw it costs {spread.low:.2f} to {spread.high:.2f} USD/h{interval}."]


def _next(answer: Certainty) -> list[str]:
    if not answer.tips:
        return ["With every input as estimated another option compared is as good: see the shares."]
    first = answer.tips[0]
    if first.chance <= 0:
        return ["No input turns the choice by itself."]
    parts = []
    if first.interval is None:
        parts.append(
            f"Other requests alone turn it in {first.chance:.0%} of draws: a longer trace tells more."
        )
    elif first.origin is None:
        parts.append(f"Know the load better: {_turns(first)} (chance {first.chance:.0%}).")
    term = next((tip for tip in answer.tips if tip.input == answer.measure_next), None)
    if term is not None:
        parts.append(f"Measure next: {term.input}; {_turns(term)} (chance {term.chance:.0%}).")
    return parts


def _turns(tip: Tip) -> str:
    sides = [
        f"{side} {value:.2f} times the estimate"
        for side, value in (("below", tip.below), ("above", tip.above))
        if value is not None
    ]
    return f"by itself it turns the choice {' or '.join(sides)}"
