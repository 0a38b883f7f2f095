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
        partition_by: columns whose partitions are rewritten without a person; empty for a table that is rewritten whole.
        key: the column that holds the user.
        list_of_keys: whether the column holds several users a row.
    """

    name: str
    partition_by: tuple[str, ...] = ()
    key: str = "user_key"
    list_of_keys: bool = False


CUTOFF = ("cutoff",)

USER_TABLES: tuple[UserTable, ...] = (
    UserTable("raw_events"),
    UserTable("user_days"),
    UserTable("raw_profile"),
    UserTable("behavior_sequence"),
    UserTable("search_text"),
    UserTable("user_tabular"),
    UserTable("training_set", CUTOFF),
    UserTable("user_text_pairs", CUTOFF),
    UserTable("user_embeddings", ("model_version", "as_of")),
    UserTable("benchmark_scores", CUTOFF),
    UserTable("prompt_seeds", ("prompt",)),
    UserTable("suppressions"),
    UserTable("audience_members", ("audience", "refresh")),
    UserTable("audience_specifications", key="without_users", list_of_keys=True),
)
"""Every table that holds users. A new one that is not here fails the tests."""
