"""Which lake tables hold users: the one list that suppression, erasure and tests go by.

What belongs here: where a person's rows lie and what becomes of them when the person is forgotten. What does not: forgetting, and
what holds users outside the lake: the vault (`privacy.vault`, which removes by key) and the published snapshots (`index.snapshot`,
which are written anew).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class UserTable:
    """A table with rows of users.

    Attributes:
        name: of the lake table.
        about: what of a person it holds, in words for the record of processing.
        partition_by: columns whose partitions are rewritten without a person; empty for a table that is rewritten whole.
        key: the column that holds the user.
        list_of_keys: whether the column holds several users a row.
    """

    name: str
    about: str
    partition_by: tuple[str, ...] = ()
    key: str = "user_key"
    list_of_keys: bool = False


CUTOFF = ("cutoff",)

USER_TABLES: tuple[UserTable, ...] = (
    UserTable("raw_events", "what they did, when, and for how much"),
    UserTable("user_days", "on which days they did anything"),
    UserTable("raw_profile", "attributes of the profile, consent among them"),
    UserTable("behavior_sequence", "their last acts, by day"),
    UserTable("search_text", "what they searched for, by day"),
    UserTable("user_tabular", "counts and sums of their acts, and attributes, by day"),
    UserTable("training_set", "what models learn from: their history up to a day", CUTOFF),
    UserTable("user_text_pairs", "what models learn from: what they did after a day, in sentences", CUTOFF),
    UserTable("user_embeddings", "vectors of a model, which stand for their history", ("model_version", "as_of")),
    UserTable("benchmark_scores", "scores and labels of users by whom methods are compared", CUTOFF),
    UserTable("prompt_seeds", "who is an example of a tuned prompt", ("prompt",)),
    UserTable("suppressions", "who may not be targeted, since when and why"),
    UserTable("audience_members", "who is in which audience, with score and chance", ("audience", "refresh")),
    UserTable("audience_specifications", "whom an audience leaves out by name", key="without_users", list_of_keys=True),
)
"""Every table that holds users. A new one that is not here fails the tests."""
