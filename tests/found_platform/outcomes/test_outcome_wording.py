"""An outcome in one plain sentence: nothing that changes who is chosen is left unsaid."""

import pytest

from found_platform.outcomes import describe, parse


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"will": {}}, "will do anything in the next 14 days"),
        ({"will": {"negated": True}, "within_days": 90}, "will not do anything in the next 90 days"),
        ({"will": {"do": {"returned": True}}}, "will bring back anything in the next 14 days"),
        (
            {"will": {"do": {"about": ["gold"], "not_about": ["gold plated"], "channels": ["pay_bill"]}}},
            "will do something like “gold” and not like “gold plated” as a purchase in the next 14 days",
        ),
        (
            {"will": {"do": {"categories": ["tea", "coffee"], "statuses": ["paid"], "payment_methods": ["card"], "min_amount": 5}}},
            "will do something category “tea” or “coffee” status “paid” paid by “card” for 5 or more at once in the next 14 days",
        ),
        ({"will": {"times": 3}}, "will do anything at least 3 times in the next 14 days"),
        ({"will": {"times": 3, "negated": True}}, "will do anything fewer than 3 times in the next 14 days"),
        ({"will": {"days": 3, "negated": True}}, "will do anything on fewer than 3 days in the next 14 days"),
        ({"will": {"total": 50, "negated": True}}, "will do anything for less than 50 in total in the next 14 days"),
        (
            {"will": {}, "among": {"did": {"about": ["tea"]}, "last_days": 30, "times": 2, "negated": True}},
            "will do anything in the next 14 days, among those who did something like “tea” fewer than 2 times in the last 30 days",
        ),
        ({"will": {"days": 3}}, "will do anything on at least 3 days in the next 14 days"),
        ({"will": {"total": 1500}}, "will do anything for at least 1,500 in total in the next 14 days"),
        (
            {"will": {"do": {"about": ["tea"]}, "share": 0.25}},
            "will do something like “tea” as at least 25% of what they do in the next 14 days",
        ),
        ({"will": {"more_than_before": "times"}}, "will do anything more often than in as many days before in the next 14 days"),
        (
            {"will": {"less_than_before": "total"}},
            "will do anything for less in total than in as many days before in the next 14 days",
        ),
        (
            {"will": [{"do": {"about": ["tea"]}, "history": "first"}, {"history": "again"}], "join": "or"},
            "will do something like “tea” for the first time or will do anything again in the next 14 days",
        ),
        (
            {"will": {}, "among": {"where": "tier = 'a'", "did": {"about": ["tea"]}, "last_days": 30}},
            "will do anything in the next 14 days, among those who did something like “tea” in the last 30 days and users with "
            "tier = 'a'",
        ),
        (
            {"will": {}, "among": {"did": {"returned": True}, "last_days": 30, "negated": True}},
            "will do anything in the next 14 days, among those who did not bring back anything in the last 30 days",
        ),
        (
            {"will": {}, "among": {"did": {"returned": True}, "last_days": 30}},
            "will do anything in the next 14 days, among those who brought back anything in the last 30 days",
        ),
        ({"will": {}, "rank": "value"}, "will do anything in the next 14 days; ranked by the expected amount"),
        (
            {"will": {"do": {"about": ["tea"]}}, "rank": "affinity"},
            "will do something like “tea” in the next 14 days; ranked by the share of what they do",
        ),
    ],
)
def test_an_outcome_is_told_in_words(content: dict, sentence: str) -> None:
    assert describe(parse(content), 14) == sentence


def test_a_large_total_is_told_whole() -> None:
    assert "for at least 1,234,567 in total" in describe(parse({"will": {"total": 1_234_567}}), 14)
