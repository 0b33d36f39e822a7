"""What the scenario's traffic would cost by the token, from the catalog's dated prices or the user's own.

Nothing is simulated: latency by the token is the provider's, and not known here.
"""

from __future__ import annotations

from advisor.bytoken import TokenOffer
from advisor.catalog.prices import lora_offers, token_prices
from advisor.search.question import Question, facts_of
from advisor.spec.price import TokenPrice

_SECONDS_PER_HOUR = 3600.0
_NOT_OFFERED = "the base alone: adapters are not sold at this price"


def request_usd(prompt_tokens: float, output_tokens: float, price: TokenPrice) -> float:
    """Price of one request of these lengths."""
    usd = prompt_tokens * price.usd_per_mtok_input + output_tokens * price.usd_per_mtok_output
    return usd / 1e6


def prices_by_token(question: Question) -> tuple[TokenPrice, ...]:
    """The user's own price alone where one is given, else the catalog's for this model, cheapest first."""
    own = question.scenario.prices.serverless_usd_per_mtok
    if own is None:
        return token_prices(question.model)
    price = TokenPrice(
        provider="own",
        model=question.model.name,
        usd_per_mtok_input=own,
        usd_per_mtok_output=own,
        lora="as you know it",
        source="prices.serverless_usd_per_mtok in the scenario",
        date="given by the user",
    )
    return (price,)


def offers_by_token(question: Question, usd_per_hour: float | None) -> tuple[TokenOffer, ...]:
    """Every known price beside the deployment's.

    Args:
        question: the traffic and the model.
        usd_per_hour: of the recommended deployment; None: there is none.
    """
    facts = facts_of(question)
    found = []
    for price in prices_by_token(question):
        each = request_usd(facts.prompt_tokens_mean, facts.output_tokens_mean, price)
        equal = None if usd_per_hour is None or each <= 0 else usd_per_hour / _SECONDS_PER_HOUR / each
        found.append(
            TokenOffer(
                provider=price.provider,
                usd_per_mtok_input=price.usd_per_mtok_input,
                usd_per_mtok_output=price.usd_per_mtok_output,
                usd_per_hour=each * facts.rate_rps * _SECONDS_PER_HOUR,
                equal_rps=equal,
                adapters=adapters_at(price) if len(question.adapters) else "",
                source=price.source,
                date=price.date,
            )
        )
    return tuple(found)


def adapters_at(price: TokenPrice) -> str:
    """The rule at this price, or what else the provider sells to those who have adapters."""
    if price.lora:
        return price.lora
    others = [
        f"{one.offer} ({one.price_rule}; {one.limits or 'no limit named'})"
        for one in lora_offers(price.provider)
    ]
    return f"{_NOT_OFFERED}; sold: {'; '.join(others)}" if others else _NOT_OFFERED
