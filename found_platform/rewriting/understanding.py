"""A demand as its words and this lake together read it: values and attributes that the lake knows name nothing else.

What belongs here: which words are a filter, and which of who is meant the data does not tell. What does not: words alone
(`reading`), and the items that a demand is about (`retrieval`).
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from found_platform.rewriting import ellipses, language, profile_values, reading, values
from found_platform.rewriting.ground import Ground
from found_platform.rewriting.language import Language
from found_platform.rewriting.outcome import condition
from found_platform.rewriting.reading import Reading
from found_platform.rewriting.values import Values


def understand(lake: Ground, demand: str) -> tuple[Reading, Values]:
    """The reading of a demand, and the values that it names; the words for values and attributes of this lake name nothing else."""
    spoken, _ = language.told_by(demand)
    plain, unheeded = language.heeded(spoken.plain(demand), spoken, lake.vocabulary)
    filters = profile_values.filters_of(lake, plain, spoken)
    read = reading.read(_cut(plain, [one.words for one in filters]), spoken)
    in_data = tuple(named for named in read.attributes if condition(lake, named))
    clause = read.acts.before.words if read.acts.before else ""
    rest, named_values = values.take(lake, plain, clause, spoken)
    rest, named_values = values.take_bare(lake, rest, clause, named_values, spoken)
    rest = _cut(rest, [*(one.words for one in filters), *(named.words for named in in_data)])
    again = reading.read(rest, spoken)
    if named_values.before and again.acts.before is None:  # "with a credit card": nothing of the clause is left
        again = replace(again, acts=replace(again.acts, before=read.acts.before))
    unknown = [named.words for named in read.attributes if named not in in_data]
    if again.parts and set(again.parts) <= set(unknown):  # "men who will buy", where the data knows no men
        again = reading.read(_cut(rest, unknown), spoken)
    untold = [word for word in unknown if word not in (*again.parts, *again.before_parts)]
    untold += [word for word in _untold(again, spoken) if not any(word in other for other in untold)]
    notes = [f"the data does not tell who is “{', '.join(untold)}”"] if untold else []
    if not language.told_by(demand)[1]:
        notes.append(reading.unknown_language())
    conditions = tuple(filter(None, (one.condition for one in filters)))
    notes = (*again.notes, *notes, *unheeded)
    again = replace(again, attributes=in_data, conditions=conditions, notes=notes)
    return ellipses.completed(lake, again, spoken), named_values


def _untold(read: Reading, spoken: Language) -> list[str]:
    """What a demand names of who is meant and nothing has read: "prepaid customers who will …"."""
    dull = {*spoken.at("who"), *(word for names in spoken.at("acts", "general").values() for word in names)}
    crowds = set(spoken.at("crowds"))
    names = (" ".join(word for word in part.split() if word not in dull) for part in read.who_parts)
    is_named = any(name and name not in crowds for name in names)
    return [read.who] if is_named else []


def _cut(text: str, words: Sequence[str]) -> str:
    """A text without the first place of each of some words."""
    for word in words:
        end = r"(?!\w)" if word[-1:].isalnum() else ""
        text = re.sub(rf"(?<!\w){re.escape(word)}{end}", " ", text, count=1)
    return text
