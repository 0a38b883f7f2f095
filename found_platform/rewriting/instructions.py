"""What a language model is told and asked, and how its answer is read. The same words in training and in use."""

import json
import re
from collections.abc import Sequence
from typing import Any

from found_platform.rewriting.ground import template_kinds

Message = dict[str, str]
"""`role` (system, user or assistant) and `content`."""

EXAMPLES = 20
"""Items of the data that a model is shown with a demand."""

OUTCOME = (
    "If the demand is about how often, how much, or no longer doing something, answer with one JSON object instead, leaving out "
    'what is not said: {"will": [{"do": {"about": [ITEM], "channels": [CHANNEL]}, "times": N, "days": N, "total": AMOUNT, '
    '"negated": true, "history": "first" or "again"}], "within_days": N, "rank": "chance", "affinity" or "value"}'
)
"""Acts, which no sentence of the templates can say."""


def rewriting(demand: str, items: Sequence[str], days: int) -> list[Message]:
    """Asks for a demand in the templates' language, shown items of the data that are near to it."""
    forms = "\n".join(kind["sentence"].format(days=days, items="ITEM, ITEM") for kind in template_kinds().values())
    system = (
        "You turn a demand for an audience into sentences that say what these people will do. Use only these forms, the ones that "
        f"fit the demand, with two to five items each:\n{forms}\n"
        f"Items are taken from the data below. Leave out what the demand leaves out. Answer with the sentences alone.\n{OUTCOME}"
    )
    listed = "\n".join(f"- {item}" for item in items[:EXAMPLES])
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": f"Items of the data:\n{listed}\nDemand: {demand}"},
    ]


def outcome_of(answer: str) -> Any:
    """The JSON object in an answer; None without one."""
    start, end = answer.find("{"), answer.rfind("}")
    if start < 0 or end < start:
        return None
    try:
        return json.loads(answer[start : end + 1])
    except ValueError:
        return None


def items_of(answer: str) -> dict[str, list[str]]:
    """The items by kind of template in an answer; other words in it are passed over."""
    items_by_kind: dict[str, list[str]] = {}
    for kind, template in template_kinds().items():
        before, after = template["sentence"].split("{items}")
        lead = re.escape(before.strip()).replace(r"\{days\}", r"\d+").replace(r"\ ", r"\s+")
        tail = re.escape(after.strip())
        for enumeration in re.findall(rf"{lead}\s+([^\n]+?){tail}(?=\s*(?:\n|$|In\s+the\s+next\b))", answer, flags=re.IGNORECASE):
            items = (item.strip(" -\"'“”") for item in enumeration.split(", "))
            items_by_kind[kind] = list(dict.fromkeys([*items_by_kind.get(kind, []), *filter(None, items)]))
    return items_by_kind
