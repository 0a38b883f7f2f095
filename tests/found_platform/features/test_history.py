"""The history of days: what is there, what is missing between the first and the last day, and how many rows."""

from found_platform.features import history

DAYS = [f"2024-03-{day:02d}" for day in range(1, 21)]


def test_days_between_the_first_and_the_last_are_gaps_and_days_around_them_are_none() -> None:
    rows: dict[str, int | None] = {day: 10 for day in DAYS[2:18] if day not in DAYS[5:8] and day != DAYS[10]}
    days = history.of("raw_events", DAYS, rows)
    assert (days.first, days.last, len(days.days)) == ("2024-03-03", "2024-03-18", 12)
    assert days.gaps == [("2024-03-06", "2024-03-08"), ("2024-03-11", "2024-03-11")]
    assert (days.missing, days.total) == (4, 120)
    assert days.sentence == "raw_events lacks 4 days between its first and its last one: 2024-03-06 to 2024-03-08, 2024-03-11"


def test_a_table_without_gaps_or_without_days_says_nothing() -> None:
    assert history.of("raw_events", DAYS, dict.fromkeys(DAYS, 1)).sentence == ""
    empty = history.of("search_text", DAYS, {})
    assert (empty.first, empty.last, empty.missing, empty.sentence) == (None, None, 0, "")


def test_days_that_the_home_no_longer_has_are_no_part_of_it() -> None:
    days = history.of("raw_events", DAYS[5:], dict.fromkeys(DAYS, 1))
    assert (days.first, days.total) == ("2024-03-06", 15)


def test_of_many_gaps_the_first_are_named_and_the_others_counted() -> None:
    days = history.of("raw_events", DAYS, dict.fromkeys(DAYS[::2], 1))
    assert days.missing == len(days.gaps) == 9
    assert days.sentence.endswith("2024-03-10 and 4 more gaps")


def test_the_picture_has_a_hole_where_a_day_is_missing_and_is_drawn_of_no_days_too() -> None:
    rows: dict[str, int | None] = {DAYS[0]: 5, DAYS[1]: None, DAYS[9]: 7}
    days = history.of("raw_events", DAYS, rows)
    assert dict(days.rows) == {DAYS[0]: 5, DAYS[9]: 7}
    assert history.plot([days, history.of("search_text", DAYS, {})]).startswith(b"\x89PNG")
