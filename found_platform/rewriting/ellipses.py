"""What a list says once for all of its items: "fly to Paris or Rome" is two flights, and no hotel in Rome.

What belongs here: completing the later items, and leaving out those that this lake has of another kind alone. What does not: which
items stand for a part (`retrieval`).
"""

from dataclasses import replace

from found_platform.rewriting import reading
from found_platform.rewriting.ground import Ground, words
from found_platform.rewriting.language import Language
from found_platform.rewriting.reading import Reading

LONGEST = 3
"""Words of an item that may lack what the first one says."""


def completed(lake: Ground, read: Reading, spoken: Language) -> Reading:
    """A reading whose parts are whole; a note names each of which this lake has nothing of the kind."""
    if len(read.parts) < 2:
        return read
    does = spoken.pattern("relative").split(read.subject, maxsplit=1)[-1]
    first, *later = [item.strip() for item in spoken.pattern("items").split(does) if item.strip()]
    match = spoken.pattern("complement").match(first)
    head = reading.core(match["head"], spoken) if match else ""
    if not match or not head:
        return read
    own = reading.core(match["own"], spoken)
    kind = _kind(lake, f"{head} {own}", words(own))
    for item in later:
        name = reading.core(item, spoken)
        if not kind or name != item or name not in read.parts or len(item.split()) > LONGEST:
            continue
        places = _holders(lake, words(name))
        if not places or any(lake.items[place].lower() == name for place in places):
            continue  # a thing of its own: "a hotel in Paris and airport parking"
        whole = f"{head} {name}"
        is_of_kind = any(kind & set(words(lake.items[place])) for place in places)
        parts = tuple(whole if part == name else part for part in read.parts if part != name or is_of_kind)
        lacking = () if is_of_kind else (f"nothing in the data resembles “{whole}”: it is left out",)
        read = replace(read, parts=parts, notes=(*read.notes, *lacking))
    return read


def _kind(lake: Ground, part: str, own: list[str]) -> set[str]:
    """What the item that a part is nearest to says beside the part's `own` words: "flight" of a "flight to Paris"."""
    places = _holders(lake, own)
    if not places:
        return set()
    nearest = places[int((lake.vectors[places] @ lake.ask([part])[0]).argmax())]
    return {word for word in words(lake.items[nearest]) if len(word) > LONGEST and word not in own}


def _holders(lake: Ground, own: list[str]) -> list[int]:
    """Places of the items that hold all of some words."""
    places = set[int].intersection(*(set(lake.vocabulary.get(word, ())) for word in own)) if own else set[int]()
    return sorted(places)
