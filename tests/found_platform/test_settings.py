"""Settings: no secret of an address reaches a file or a message."""

import re
from pathlib import Path

import pytest

from found_platform import settings
from found_platform.errors import BadInput
from found_platform.settings import INSTEAD, UNSHOWN, Settings

HELD = {
    "engine": "sc://engine.internal:15002/;user_id=ann;token=hunter2",
    "milvus_uri": "http://root:hunter2@milvus:19530",
    "rewriter_endpoint": "https://llm.example/v1?api_key=hunter2",
    "alert_smtp": "smtp://ann:hunter2@mail.example:587",
    "oidc_issuer": "https://id.example/realm?client_secret=hunter2",
    "console_url": "https://ann:hunter2@found.example",
    "mlflow_url": "https://mlflow.example/?token=hunter2",
    "evidently_url": "https://evidently.example/?token=hunter2",
}


@pytest.mark.parametrize("name", INSTEAD)
def test_an_address_that_holds_a_secret_is_refused_with_what_to_do_and_not_shown(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=rf"The setting {name} .* is not what it must be: it holds a .*: leave that out, and "
    ) as refused:
        Settings.load(tmp_path, **{name: HELD[name]})
    assert INSTEAD[name] in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_what_an_earlier_version_kept_of_such_an_address_is_said(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(f"format: 3\nengine: {HELD['engine']}\n")
    with pytest.raises(BadInput, match=rf"FOUND_ENGINE, or {tmp_path}/settings.yaml\) .* set FOUND_ENGINE_TOKEN") as refused:
        Settings.load(tmp_path)
    assert "hunter2" not in str(refused.value)


def test_what_opens_something_is_never_written_into_the_home(tmp_path: Path) -> None:
    values = dict.fromkeys(UNSHOWN, "hunter2") | {
        "database_url": "postgresql://found:hunter2@db/found",
        "redis_url": "redis://:hunter2@redis:6379/0",
    }
    Settings.load(tmp_path, **values, engine="sc://engine.internal:15002").keep()
    written = (tmp_path / "settings.yaml").read_text()
    assert "hunter2" not in written
    assert not any(name in written for name in UNSHOWN if name != "secret")
    assert "engine: sc://engine.internal:15002" in written
    assert Settings.load(tmp_path, secret="ab" * 16).engine_token is None


def test_a_token_is_part_of_the_address_for_the_client_alone() -> None:
    from found_platform.engine.spark_connect import with_token

    assert with_token("sc://host:1", "a/b;c=") == "sc://host:1/;token=a%2Fb%3Bc%3D"
    assert with_token("sc://host:1/", "t") == "sc://host:1/;token=t"
    assert with_token("sc://host:1/;user_id=ann", "t") == "sc://host:1/;user_id=ann;token=t"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("FOUND_HORIZONDAYS", "FOUND_HORIZON_DAYS"),
        ("FOUND_CONSENT_COLUM", "FOUND_CONSENT_COLUMN"),
        ("FOUND_SECRETS", None),  # of a deployment
        ("FOUND_CONSOLE_PORT", None),  # of a cluster, for a service of that name
        ("FOUND_HORIZON_DAYS", None),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_told(
    variable: str, meant: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(variable, "14")
    settings._tell_of_misspelt.cache_clear()
    Settings.load(tmp_path)
    assert caplog.messages == ([f"{variable} is no setting, and nobody reads it: is {meant} meant?"] if meant else [])


def test_a_setting_of_another_form_is_refused_with_one_that_would_do(tmp_path: Path) -> None:
    with_a_form = {name: field.examples for name, field in Settings.model_fields.items() if "pattern=" in repr(field.metadata)}
    assert len(with_a_form) > 10
    for name, examples in with_a_form.items():
        assert examples, f"{name} has an example"
        with pytest.raises(BadInput, match=rf"^The setting {name} \(.*it must be like {re.escape(examples[0])}") as error:
            Settings.load(tmp_path, **{name: "(no"})
        assert "pattern" not in str(error.value)
        if name not in ("database_url", "lake_uri"):  # of which a home must be, too
            assert getattr(Settings.load(tmp_path, **{name: examples[-1]}), name) == examples[-1]
