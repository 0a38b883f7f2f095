"""The list of tables that hold users, held against a lake."""

import pyarrow as pa

from found_platform import lake
from found_platform.privacy.user_tables import USER_TABLES
from found_platform.settings import Settings

ELSEWHERE = {"prompt_seeds", "suppressions", "audience_members", "audience_specifications"}
"""Tables that a home has only after somebody tuned, suppressed or saved."""


def test_every_table_of_a_lake_that_holds_users_is_in_the_list(settings: Settings) -> None:
    listed = {table.name: table for table in USER_TABLES}
    in_lake = [folder.name for folder in sorted(settings.lake.iterdir()) if lake.exists(settings.lake, folder.name)]
    for name in in_lake:
        table = lake.open_table(settings.lake, name)
        columns = pa.schema(table.schema().to_arrow()).names
        assert ("user_key" in columns or "user_id" in columns) <= (name in listed), f"{name} holds users and is not in the list"
        if name in listed:
            assert listed[name].key in columns
            assert listed[name].partition_by == tuple(table.metadata().partition_columns)
    assert set(listed) - set(in_lake) <= ELSEWHERE


def test_tables_that_are_written_later_are_listed_by_the_names_they_have() -> None:
    from found_platform.audiences import membership, prompts, specification
    from found_platform.privacy import suppression

    listed = {table.name: table for table in USER_TABLES}
    schemas = {
        membership.MEMBERS: membership.MEMBERS_SCHEMA,
        prompts.TABLE: prompts.SCHEMA,
        specification.TABLE: specification.SCHEMA,
        suppression.TABLE: suppression.SCHEMA,
    }
    assert set(schemas) == ELSEWHERE
    for name, schema in schemas.items():
        assert listed[name].key in schema.names
        assert listed[name].list_of_keys == pa.types.is_list(schema.field(listed[name].key).type)
