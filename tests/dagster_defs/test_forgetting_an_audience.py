"""An audience goes whole: whoever is interrupted while it goes can ask for the rest by its name."""

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from dagster_defs import service
from dagster_defs.build import build_defs
from dagster_defs.graph import AUDIENCES
from found_platform import lake
from found_platform.audiences import membership, specification
from found_platform.audiences.question import Question, Size
from found_platform.settings import Settings

NAME = "gold"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """A home with a saved audience of one member."""
    settings = Settings.load(tmp_path)
    saved = specification.Specification(audience=NAME, question=Question("people who buy gold"), size=Size(top=1))
    specification.save(settings, saved)
    row = {field.name: "" if field.type == pa.string() else 0 for field in membership.MEMBERS_SCHEMA}
    row |= {"audience": NAME, "refresh": 1, "user_key": "somebody", "as_of": dt.date(2026, 3, 1), "holdout": False}
    row |= {"refreshed_at": dt.datetime(2026, 3, 1, tzinfo=dt.UTC)}
    table = pa.Table.from_pylist([row], membership.MEMBERS_SCHEMA)
    lake.append(settings.lake, membership.MEMBERS, table, schema=membership.MEMBERS_SCHEMA, partition_by=("audience", "refresh"))
    return settings


def members(settings: Settings) -> int:
    return lake.read(settings.lake, membership.MEMBERS).num_rows


def test_members_that_an_interrupted_call_left_go_with_the_next_one(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = lake.replace

    def interrupted(folder: Path, table: str, *arguments: Any, **options: Any) -> int:
        if table == membership.MEMBERS:
            raise KeyboardInterrupt
        return replace(folder, table, *arguments, **options)

    monkeypatch.setattr(lake, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        membership.forget(home, NAME)
    assert members(home) == 1
    monkeypatch.setattr(lake, "replace", replace)
    membership.forget(home, NAME)
    assert members(home) == 0
    assert specification.names(home) == []


def test_no_partition_stays_of_an_audience_that_is_gone(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    job = build_defs(home).resolve_job_def(service.FORGET)
    run_config = {"ops": {service.OPS[service.FORGET]: {"config": {"audience": NAME}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(AUDIENCES, [NAME])
        delete = instance.delete_dynamic_partition
        monkeypatch.setattr(type(instance), "delete_dynamic_partition", lambda *_: pytest.fail("interrupted"))
        assert not job.execute_in_process(run_config=run_config, instance=instance, raise_on_error=False).success
        assert specification.names(home) == [NAME]
        monkeypatch.setattr(type(instance), "delete_dynamic_partition", lambda _, *arguments: delete(*arguments))
        assert job.execute_in_process(run_config=run_config, instance=instance).success
        assert instance.get_dynamic_partitions(AUDIENCES) == []
    assert specification.names(home) == []
