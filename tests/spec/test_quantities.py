from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.spec.quantities import duration_text, parse

POSITIVE = st.floats(min_value=5e-324, max_value=1e300)


@given(POSITIVE)
@example(0.0015)
@example(5400.0)
@example(0.1 + 0.2)
@example(123456.789)
def test_a_written_duration_reads_back_exactly(seconds: float) -> None:
    assert parse(duration_text(seconds), "duration") == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "500ms"),
        (1.5, "1.5s"),
        (90.0, "90s"),
        (600.0, "10min"),
        (7200.0, "2h"),
        (2e-6, "2us"),
        (0.0, "0s"),
    ],
)
def test_durations_are_written_as_people_write_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("500ms", "duration", 0.5),
        (" 2 s ", "duration", 2.0),
        ("1.5e3 us", "duration", 0.0015),
        ("3µs", "duration", 3e-6),  # micro sign
        ("3μs", "duration", 3e-6),  # Greek mu
        ("24h", "duration", 86400.0),
        ("2.5 USD/h", "price per hour", 2.5),
        ("$/h", "price per hour", None),
        ("730 USD/month", "price per hour", 1.0),
        ("0.2 $/Mtok", "price per million tokens", 0.2),
        ("30 req/min", "rate", 0.5),
        ("3/s", "rate", 3.0),
        ("-1s", "duration", -1.0),  # the field's bound refuses it, with a better sentence
    ],
)
def test_units(text: str, kind: str, value: float | None) -> None:
    if value is None:
        with pytest.raises(ValueError, match="with its unit"):
            parse(text, kind)
    else:
        assert parse(text, kind) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "bad",
    [
        500,
        0.5,
        None,
        True,
        [],
        "",
        "500",
        "ms",
        "500 m",
        "500 MS",
        "1.2.3s",
        "nan s",
        "inf s",
        "1,000ms",
        "٣s",
    ],
)
def test_what_is_no_duration_is_refused_with_the_units_to_write(bad: object) -> None:
    with pytest.raises(
        ValueError, match=r"a duration with its unit, such as 500ms or 2s \(units: us, µs, ms"
    ):
        parse(bad, "duration")


def test_an_infinite_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="a finite duration"):
        parse("1e400s", "duration")


@pytest.mark.parametrize("absurd", ["9" * 1_000_000, "9" * 1_000_000 + "s", "1" + " " * 1_000_000 + "s"])
def test_an_absurdly_long_quantity_is_refused_at_once(absurd: str) -> None:
    with pytest.raises(ValueError, match="with its unit"):
        parse(absurd, "duration")
