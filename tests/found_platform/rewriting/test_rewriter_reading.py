"""Reading a demand: what it names and leaves out, when, and how much."""

import time

import pytest

from found_platform.rewriting import reading


@pytest.mark.parametrize(
    ("demand", "parts", "unwanted", "kinds"),
    [
        ("people who will soon buy gold", ("gold",), (), ("purchase",)),
        ("people who will buy gold but not silver", ("gold",), ("silver",), ("purchase",)),
        ("Buyers of gold rings, necklaces or bars.", ("gold rings", "necklaces", "bars"), (), ("purchase",)),
        (
            "who buys pizza except frozen pizza or cheese, and also soda",
            ("pizza", "soda"),
            ("frozen pizza", "cheese"),
            ("purchase",),
        ),
        ("customers looking for language lessons", ("language lessons",), (), ("search",)),
        ("anyone opening the travel app", ("travel app",), (), ("click",)),
        ("those who browse or search for flights, never hotels", ("flights",), ("hotels",), ("browsing", "search")),
        ("pet owners who will buy cat food", ("cat food",), (), ("purchase",)),
        ("buyers of cat food who won't buy dog food", ("cat food",), ("dog food",), ("purchase",)),
        ("people not buying milk", ("milk",), (), ("purchase",)),
        ("drinks without caffeine", ("drinks",), ("caffeine",), ()),
        ("not only milk but also bread", ("not only milk but bread",), (), ()),
        ("whose money will not last", ("not last",), (), ()),
        ("people who will", (), (), ()),
    ],
)
def test_what_a_demand_names_and_leaves_out(demand: str, parts: tuple, unwanted: tuple, kinds: tuple) -> None:
    read = reading.read(demand)
    assert (read.parts, read.unwanted, read.kinds) == (parts, unwanted, kinds)


@pytest.mark.parametrize(
    ("phrase", "days"),
    [
        ("in the next two weeks", 14),
        ("within 10 days", 10),
        ("next month", 30),
        ("over the next 3 months", 90),
        ("in a fortnight", 14),
        ("this weekend", 7),
        ("tomorrow", 1),
        ("in the coming weeks", None),
        ("soon", None),
        ("in 4000 years", None),
        ("in 99999999999999999999 days", None),
    ],
)
def test_when(phrase: str, days: int | None) -> None:
    read = reading.read(f"people who will buy gold {phrase}")
    assert read.horizon_days == days
    assert read.parts == ("gold",)


@pytest.mark.parametrize(
    ("demand", "once", "total", "times", "parts"),
    [
        ("people who will spend more than 100 euros on wine", None, 100.0, None, ("wine",)),
        ("people who will spend more than 100 euros on wine at once", 100.0, None, None, ("wine",)),
        ("who buys a phone for over $1,200.50", 1200.5, None, None, ("phone",)),
        ("orders of laptops above 1.5k", 1500.0, None, None, ("laptops",)),
        ("spending at least 20 on coffee", None, 20.0, None, ("coffee",)),
        ("spending 20 or more on coffee", None, 20.0, None, ("coffee",)),
        ("shoppers over 60 years old who buy tea", None, None, None, ("tea",)),
        ("spend at least 3 times on coffee", None, None, 3, ("coffee",)),
        ("buy at least 3 tents", None, None, 3, ("tents",)),
        ("more than 100 tents", None, None, None, ("tents",)),
    ],
)
def test_how_much(demand: str, once: float | None, total: float | None, times: int | None, parts: tuple) -> None:
    read = reading.read(demand)
    assert (read.min_amount, read.total, read.acts.times, read.parts) == (once, total, times, parts)


@pytest.mark.parametrize(
    "demand",
    [
        "people who do not buy meat",
        "people who will definitely not buy meat",
        "people unlikely to buy meat",
        "who will never buy meat",
        "people who buy no meat",
    ],
)
def test_what_will_not_be_done_is_named_and_negated(demand: str) -> None:
    read = reading.read(demand)
    assert (read.parts, read.unwanted, read.kinds, read.acts.negated) == (("meat",), (), ("purchase",), True)


def test_an_upper_limit_of_what_is_spent_is_read_and_one_of_an_order_is_said_not_to_be_used() -> None:
    read = reading.read("people who spend less than 20 euros on coffee")
    assert (read.parts, read.min_amount, read.most_total, read.notes) == (("coffee",), None, 20.0, ())
    read = reading.read("people who buy coffee for less than 20 euros")
    assert (read.parts, read.min_amount, read.most_total) == (("coffee",), None, None)
    assert "upper limit" in read.notes[0]


@pytest.mark.parametrize("words", ["or ", "und ", "who will buy gold and ", "1,"])
def test_a_demand_as_long_as_may_be_is_soon_read(words: str) -> None:
    began = time.monotonic()
    reading.clauses((words * 1000)[:1000])
    assert time.monotonic() - began < 20  # a second or two; it was over a minute when every word of joining was tried
