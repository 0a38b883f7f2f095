"""Audiences of a demo's home, saved and refreshed in a line."""

from pathlib import Path

from found_platform.audiences import membership, specification
from found_platform.audiences.lookup import Question
from found_platform.audiences.specification import Specification
from found_platform.privacy import keys, suppression
from found_platform.settings import Settings

GOLD = Question(sentence="people who will soon buy gold")
PETS = Question(sentence="pet owners who will buy food for their cat or dog")


def saved(settings: Settings, name: str, question: Question = GOLD, **fields: object) -> Specification:
    sizes = fields if {"top", "level", "min_score"} & set(fields) else {"top": 60, **fields}
    return specification.save(settings, specification.draft(settings, audience=name, question=question, **sizes))


def refreshed(settings: Settings, name: str, question: Question = GOLD, **fields: object) -> membership.Refresh:
    saved(settings, name, question, **fields)
    return membership.refresh(settings, name).refresh


def keys_at(settings: Settings, of: membership.Refresh) -> list[str]:
    return membership.members(settings, of)["user_key"].to_pylist()


def suppress(settings: Settings, folder: Path, user_keys: list[str]) -> None:
    path = folder / "suppressed.txt"
    path.write_text("user_id\n" + "".join(f"{name}\n" for name in keys.user_ids(settings, user_keys).values()))
    suppression.add(settings, path, "asked")
