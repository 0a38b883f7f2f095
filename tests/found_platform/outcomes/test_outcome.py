"""An outcome says what can be asked of a log, and refuses what nobody could do."""

import pytest

from found_platform.errors import BadInput
from found_platform.outcomes import Act, Among, Outcome, Statement, parse

GOLD = {"about": ["gold"]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"will": [{"times": 2, "days": 3}]}, "will.0: times and days are two measures: keep one"),
        ({"will": [{"total": 9, "share": 0.5}]}, "will.0: total and share are two measures: keep one"),
        ({"will": [{"more_than_before": "times", "less_than_before": "days"}]}, "more_than_before and less_than_before are two"),
        ({"will": [{"do": {"channels": ["phone"]}}]}, "will.0.do: there is no channel 'phone'; there are pay_bill"),
        ({"will": [{"do": {**GOLD, "not_about": ["GOLD"]}}]}, "will.0.do: 'gold' is both asked for and left out"),
        ({"will": [{"do": GOLD}, {"do": GOLD, "negated": True}]}, "the same is asked for and excluded: nobody can do both"),
        (
            {"will": [{"do": GOLD, "history": "first"}, {"do": GOLD, "times": 2, "history": "again"}]},
            "the same is to be done for the first time and again: nobody can do both",
        ),
        (
            {"will": [{"do": GOLD, "times": 5}, {"do": GOLD, "times": 3, "negated": True}]},
            "the same is asked for and excluded: nobody can do both",
        ),
        ({"will": [{"do": GOLD, "times": 5}, {"do": GOLD, "negated": True}]}, "the same is asked for and excluded"),
        ({"will": [{"do": GOLD}, {"negated": True}]}, "the same is asked for and excluded"),
        (
            {"will": [{"do": {**GOLD, "channels": ["pay_bill"]}}, {"do": {"channels": ["pay_bill", "spm"]}, "negated": True}]},
            "the same is asked for and excluded",
        ),
        ({"will": [{"do": GOLD, "times": 5}, {"times": 3, "negated": True}]}, "the same is asked for and excluded"),
        ({"will": [{"more_than_before": "days"}, {"less_than_before": "days"}]}, "more and less than before: nobody can do both"),
        ({"will": [{"days": 10}], "within_days": 7}, "10 days on which it is done do not fit into 7 days"),
        ({"will": [{"share": 0.5}]}, "will.0: a share of what they do is a share of something: say what"),
        ({"will": [{"do": GOLD, "negated": True}], "rank": "value"}, "ranking by value takes one plain act"),
        ({"will": [{"do": GOLD, "times": 2}], "rank": "affinity"}, "ranking by affinity takes one plain act"),
        ({"will": [{"do": GOLD}, {"do": {}}], "rank": "value"}, "ranking by value takes one plain act"),
        ({"will": [{"do": {}}], "rank": "affinity"}, "which share of their acts something is: say what"),
        ({"will": [{}], "among": {"did": {}}}, "among: `did` and `last_days` belong together"),
        ({"will": [{}], "among": {"last_days": 7}}, "among: `did` and `last_days` belong together"),
        ({"will": [{}], "among": {"negated": True}}, "among: `negated` says that something was not done: say what"),
    ],
)
def test_what_contradicts_itself_is_refused_by_its_key(content: dict, reason: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(content)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"will": [{}], "withn_days": 7}, "withn_days: there is no such key"),
        ({"will": [{"do": {"statuses": ["ok"], "state": "ok"}}]}, "will.0.do.state: there is no such key"),
        ({"within_days": 7}, "will: it is missing"),
        ({"will": []}, "will: [] cannot be used"),
        ({"will": [{}] * 9}, "will: "),
        ({"will": [{}], "within_days": 0}, "within_days: 0 cannot be used"),
        ({"will": [{}], "within_days": 5000}, "within_days: 5000 cannot be used"),
        ({"will": [{"times": 0}]}, "will.0.times: 0 cannot be used"),
        ({"will": [{"share": 1.5}]}, "will.0.share: 1.5 cannot be used"),
        ({"will": [{"total": float("nan")}]}, "will.0.total: nan cannot be used"),
        ({"will": [{"do": {"min_amount": float("inf")}}]}, "will.0.do.min_amount: inf cannot be used"),
        ({"will": [{"do": {"min_amount": -1}}]}, "will.0.do.min_amount: -1 cannot be used"),
        ({"will": [{}], "join": "xor"}, "join: 'xor' cannot be used"),
        ({"will": [{}], "rank": "best"}, "rank: 'best' cannot be used"),
        ({"will": [{"do": {"about": "gold"}}]}, "will.0.do.about: 'gold' cannot be used (write a list, as in [gold])"),
        ({"will": [{"do": {"about": [" "]}}]}, "will.0.do.about.0: ' ' cannot be used"),
        ({"will": [{"do": {"categories": [""]}}]}, "will.0.do.categories.0: '' cannot be used"),
        ({"will": [{"do": "gold"}]}, "will.0.do: 'gold' cannot be used (write keys and values)"),
        ({"will": ["gold"]}, "will.0: 'gold' cannot be used (write keys and values)"),
        ({"will": [{}], "among": "men"}, "among: 'men' cannot be used (write keys and values)"),
        ({"will": [{}], 3: 4}, "3: "),
        ({}, "will: it is missing"),
        (["will"], "holds no outcome: write `will:`"),
        (None, "holds no outcome: write `will:`"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_key_and_the_next_step(content: object, reason: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(content, "mine.yaml")
    message = str(refused.value)
    assert message.startswith("mine.yaml")
    assert reason in message
    assert "docs/outcomes.md" in message
    assert not any(word in message.lower() for word in ("tuple", "dictionary", "instance of", "pydantic", "valueerror"))


def test_one_statement_need_not_be_a_list() -> None:
    assert parse({"will": {"do": GOLD}}) == parse({"will": [{"do": GOLD}]}) == Outcome(will=(Statement(do=Act(about=("gold",))),))


def test_what_may_be_joined_by_or_may_exclude_each_other() -> None:
    outcome = parse({"will": [{"do": GOLD}, {"do": GOLD, "negated": True}], "join": "or"})
    assert [statement.negated for statement in outcome.will] == [False, True]
    parse({"will": [{"do": GOLD, "times": 3}, {"do": GOLD, "times": 5, "negated": True}]})  # three or four times
    parse({"will": [{"less_than_before": "times"}, {"negated": True}]})  # less, and none at all


@pytest.mark.parametrize(
    ("outcome", "is_plain"),
    [
        (parse({"will": {"do": GOLD}}), True),
        (parse({"will": {"do": {**GOLD, "channels": ["search"], "min_amount": 5}}, "within_days": 9}), True),
        (parse({"will": {"do": GOLD}, "among": {"where": "tier = 'a'"}}), True),
        (parse({"will": {}}), False),
        (parse({"will": {"do": {**GOLD, "categories": ["food"]}}}), False),
        (parse({"will": {"do": {**GOLD, "statuses": ["paid"]}}}), False),
        (parse({"will": {"do": {**GOLD, "payment_methods": ["card"]}}}), False),
        (parse({"will": {"do": {**GOLD, "returned": True}}}), False),
        (parse({"will": {"do": GOLD, "times": 1}}), False),
        (parse({"will": {"do": GOLD, "negated": True}}), False),
        (parse({"will": {"do": GOLD, "history": "again"}}), False),
        (parse({"will": {"do": GOLD}, "rank": "affinity"}), False),
        (parse({"will": {"do": GOLD}, "among": {"did": {}, "last_days": 28}}), False),
        (parse({"will": [{"do": GOLD}, {"do": {"about": ["tea"]}}]}), False),
    ],
)
def test_texts_alone_answer_only_whether_something_they_name_is_done(outcome: Outcome, is_plain: bool) -> None:
    assert outcome.is_plain == is_plain


def test_nothing_said_of_an_act_is_anything() -> None:
    assert Act().is_anything
    assert not Act(returned=True).is_anything
    assert Statement().is_at_all
    assert not Statement(days=1).is_at_all
    assert Among() == Outcome(will=(Statement(),)).among


@pytest.mark.parametrize(
    "will",
    [
        [{"do": GOLD, "times": 2}, {"do": GOLD, "times": 5, "negated": True}],  # between 2 and 4 times
        [{"do": {"channels": ["spm"]}}, {"do": {"channels": ["pay_bill"]}, "negated": True}],  # looks and does not buy
        [{"do": {}}, {"do": GOLD, "negated": True}],
        [{"do": {"about": ["gold", "silver"]}}, {"do": GOLD, "negated": True}],
        [{"do": {**GOLD, "returned": True}}, {"do": {}, "negated": True}],  # what is brought back is no act of doing it
        [{"do": GOLD}, {"do": {**GOLD, "min_amount": 100}, "negated": True}],
    ],
)
def test_what_somebody_can_do_is_no_contradiction(will: list) -> None:
    assert len(parse({"will": will}).will) == 2
