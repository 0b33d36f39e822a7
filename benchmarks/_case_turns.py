"""What would turn the answer to a case: its margin, the uncertain figure that matters most, what-ifs."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.certainty import Tip
from advisor.recommendation import Option, Recommendation, Turn
from advisor.tables import ranking, units

Others = Sequence[tuple[str, Recommendation]]


def lines(main: Recommendation, others: Others) -> list[str]:
    """Everything that is known of it, a sentence each, without the full stop."""
    best = ranking.recommended(main)
    if best is None:
        return ["Nothing meets the objective as it is asked"]
    said = [_capital(_load(best)), *(_capital(line) for line in _inputs(main))]
    if main.certainty is not None:
        sure = main.certainty
        said.append(
            f"The choice stands in {sure.stands} of {sure.draws} draws of everything that is uncertain (each "
            f"term within its interval, other requests of the same kind, the load ± {sure.load_spread:.0%}); "
            f"as it stands it meets every limit in {sure.holds}"
        )
    return [*said, *(f"If {words}: {_against(best, ranking.recommended(other))}" for words, other in others)]


def answer(main: Recommendation) -> tuple[str, str]:
    """The answer and its price per hour, for the index."""
    best = ranking.recommended(main)
    if best is None:
        return "nothing meets the objective", units.DASH
    price = units.DASH if best.usd_per_hour is None else units.usd(best.usd_per_hour)
    return f"{ranking.label(best)}{_slots(best)}", price


def line(main: Recommendation, others: Others) -> str:
    """The same for the index: changed questions that get another answer, the first input, the load."""
    best = ranking.recommended(main)
    if best is None:
        return "nothing meets the objective as it is asked"
    answers = [(words, ranking.recommended(other)) for words, other in others]
    said = [f"if {words}: {_short(other)}" for words, other in answers if not _same(best, other)]
    return "; ".join([*_inputs(main)[:1], _load(best), *said])


def _load(best: Option) -> str:
    if best.headroom is None:
        return "how much more load it carries was not found"
    return f"a limit breaks at {units.times(best.headroom)} the load"


def _inputs(main: Recommendation) -> list[str]:
    """The price and the uncertain term at which the choice turns; empty where none does."""
    tips = main.certainty.tips if main.certainty is not None else ()
    known = [tip for tip in tips if tip.chance > 0 and (tip.below is not None or tip.above is not None)]
    return [
        *(_tip(main, tip) for tip in known[:1]),
        *(_turn(main, turn) for turn in main.turns if _price(turn)),
    ]


def _price(turn: Turn) -> bool:
    return turn.turns and turn.what.startswith("price")


def _turn(main: Recommendation, turn: Turn) -> str:
    return f"{turn.what} {turn.value}: {ranking.named(main, turn.recommended)}"


def _tip(main: Recommendation, tip: Tip) -> str:
    sides = [
        f"at {side} {value:.2f} times the figure used {_named(main, option)}"
        for side, value, option in (
            ("less than", tip.below, tip.below_option),
            ("more than", tip.above, tip.above_option),
        )
        if value is not None
    ]
    origin = "" if tip.origin is None else f" ({tip.origin.value})"
    return f"{tip.input}{origin}: {', '.join(sides)} (chance {tip.chance:.0%})"


def _named(main: Recommendation, option: str | None) -> str:
    return "nothing compared holds" if option is None else f"{ranking.named(main, option)} is best"


def _same(best: Option, other: Option | None) -> bool:
    return other is not None and ranking.label(best) == ranking.label(other)


def _against(best: Option, other: Option | None) -> str:
    if other is None:
        return "nothing meets the objective"
    if _same(best, other):
        return f"the same{_slots(other)}"
    price = ""
    if other.usd_per_hour is not None and best.usd_per_hour:
        ratio = units.times(other.usd_per_hour / best.usd_per_hour)
        price = f" at ${units.usd(other.usd_per_hour)}/h ({ratio} the price)"
    return f"{ranking.label(other)}{_slots(other)}{price}"


def _short(other: Option | None) -> str:
    if other is None:
        return "nothing meets the objective"
    price = "" if other.usd_per_hour is None else f", ${units.usd(other.usd_per_hour)}/h"
    return f"{ranking.label(other)}{price}"


def _slots(option: Option) -> str:
    return f" with max_loras {option.limits.max_loras}" if option.limits and option.limits.max_loras else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
