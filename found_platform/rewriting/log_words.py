"""What a demand says, in the words that a log has for it: "will cancel" is the event "subscription cancelled", where there is one,
and who pays late or does not show up has the status that says so.

What belongs here: finding that event or status, and writing it in the place of the verb. Where the log has neither, the words stay:
who cancels will do nothing more, or brings something back (`acts`).
"""

import re

from found_platform.rewriting import opposites, spelling
from found_platform.rewriting.ground import Ground, words
from found_platform.rewriting.language import Language

DONE = ("click", "purchase")
"""Kinds of acts in which something is undone: who reads or searches for it has not done it."""


def written(lake: Ground, text: str, spoken: Language) -> str:
    """A demand in lower case with events and statuses of this lake in the place of verbs that mean them."""
    for place, entry in enumerate(spoken.at("status_words")):
        statuses = [status for status in lake.statuses if re.fullmatch(entry["statuses"], status.lower())]
        match = spoken.pattern("status_words", str(place), "words").search(text) if statuses else None
        if match and not any(re.search(entry["statuses"], item.lower()) for item in lake.items[: lake.texts]):
            kept = match.groupdict().get("object") or ""
            text = f"{text[: match.start()]}{kept} {spoken.at('with_status')} {statuses[0].lower()}{text[match.end() :]}"
    for pattern in spoken.patterns("acts", "undoes"):
        for match in pattern.finditer(text):
            name = (
                "" if spoken.pattern("acts", "looks_for").search(text[: match.start()]) else _undone(lake, match["object"], spoken)
            )
            if name:
                return f"{text[: match.start()]}{name}{text[match.end() :]}"
    return text


def _undone(lake: Ground, thing: str | None, spoken: Language) -> str:
    """What this lake calls it that a thing, or all that somebody has here, is undone; empty where it has no word for it."""
    names = words(thing or "")
    all_of_it = re.compile(opposites.content()["contracts"])
    is_all = all(all_of_it.fullmatch(name) for name in names)
    events = []
    for place in opposites.undoing(lake.items[: lake.texts]):
        if sum(int(lake.kinds[kind][place]) for kind in DONE if kind in lake.kinds):
            own = words(lake.items[place])
            is_named = any(spelling.is_alike(name, word) for name in names for word in own)
            if is_named or (is_all and all(all_of_it.fullmatch(word) or _undoes(word) for word in own)):
                events.append((not is_named, lake.items[place].lower()))
    if events:
        return f" {spoken.at('or')} ".join(name for is_other, name in events if is_other == min(events)[0])
    statuses = [status for status in lake.statuses if _undoes(status.lower())]
    return f"{thing} {spoken.at('with_status')} {statuses[0].lower()}" if statuses and not is_all else ""


def _undoes(word: str) -> bool:
    return re.search(opposites.content()["stems"], word) is not None
