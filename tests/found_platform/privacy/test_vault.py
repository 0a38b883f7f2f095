"""The vault: by key, private, in one place, and taken over from homes that kept it as a Delta table."""

import stat
from pathlib import Path

import pyarrow as pa
import pytest

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.privacy import keys, vault
from found_platform.settings import Settings

USERS = ["ann", "bob", "Zoë, the 1st", " spaced ", "007"]
SCHEMA = pa.schema([("user_key", pa.string()), ("user_id", pa.string())])


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings.load(tmp_path / "home", profile="tiny", secret="00ff" * 8)


def named(settings: Settings, users: list[str]) -> pa.Table:
    settings.home.mkdir(parents=True, exist_ok=True)
    return keys.key_table(keys.home_secret(settings), users)


def test_ids_come_back_by_key_and_users_already_there_stay(home: Settings) -> None:
    first, more = named(home, USERS[:3]), named(home, USERS)
    keys.remember(home, first)
    keys.remember(home, more)
    by_key = dict(zip(more["user_key"].to_pylist(), USERS, strict=True))
    assert keys.user_ids(home, list(by_key)) == by_key
    some = list(by_key)[1]
    assert keys.user_ids(home, [some, "0" * 32]) == {some: by_key[some]}
    assert keys.count_known(home, [*by_key, "0" * 32, some]) == len(USERS)
    assert stat.S_IMODE((home.home / vault.DATABASE).stat().st_mode) == 0o600


def test_more_keys_than_one_query_takes_come_back(home: Settings) -> None:
    many = named(home, [f"user {i}" for i in range(2 * vault.AT_ONCE + 7)])
    keys.remember(home, many)
    assert len(keys.user_ids(home, many["user_key"].to_pylist())) == many.num_rows


def test_a_removed_user_leaves_no_trace_in_the_file(home: Settings) -> None:
    table = named(home, ["somebody-to-forget", "somebody-else"])
    keys.remember(home, table)
    vault.remove(home, [table["user_key"][0].as_py()])
    assert keys.user_ids(home, table["user_key"].to_pylist()) == {table["user_key"][1].as_py(): "somebody-else"}
    assert b"somebody-to-forget" not in (home.home / vault.DATABASE).read_bytes()


def test_a_vault_of_before_is_taken_over_and_its_ids_are_in_one_place(home: Settings) -> None:
    table = named(home, USERS)
    lake.append(home.lake, vault.TABLE, table.select(SCHEMA.names).cast(SCHEMA), schema=SCHEMA)
    assert set(keys.user_ids(home, table["user_key"].to_pylist()).values()) == set(USERS)
    assert not lake.exists(home.lake, vault.TABLE)
    assert keys.count_known(home, table["user_key"].to_pylist()) == len(USERS)


def test_a_vault_that_is_gone_is_told_with_what_to_do(home: Settings) -> None:
    table = named(home, USERS)
    assert keys.count_known(home, table["user_key"].to_pylist()) == 0
    with pytest.raises(BadInput, match=r"vault\.db is not there.*restore it"):
        keys.user_ids(home, table["user_key"].to_pylist())
