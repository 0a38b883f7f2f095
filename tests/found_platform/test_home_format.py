"""A home: its secret, its format, and who may read it."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import call_found

from found_platform import home_format, registry
from found_platform import settings as settings_module
from found_platform.errors import BadInput
from found_platform.privacy import keys
from found_platform.settings import Settings

HEX = "00ff" * 8


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("", "is a secret of 0 bytes and must have at least 16"),
        (" \n", "is a secret of 0 bytes"),
        ("00ff", "is a secret of 2 bytes"),
        (HEX[:-2], "is a secret of 15 bytes"),
        (HEX + "0", "is not hexadecimal"),
        ("xyz", "is not hexadecimal"),
    ],
)
@pytest.mark.parametrize("way", ["environment", "settings.yaml", "file"])
def test_a_secret_that_is_none_is_refused_in_every_way_it_can_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, secret: str, message: str
) -> None:
    if way == "environment":
        monkeypatch.setenv("FOUND_SECRET", secret)
    elif way == "settings.yaml":
        (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"format": home_format.FORMAT, "secret": secret}))
    else:
        (tmp_path / "secret").write_text(secret)
    with pytest.raises(BadInput, match=message) as refused:
        keys.home_secret(Settings.load(tmp_path))
    assert ("FOUND_SECRET" if way != "file" else str(tmp_path / "secret")) in str(refused.value)
    assert not secret.strip() or secret not in str(refused.value)
    assert not (tmp_path / "secret.sha256").exists()


def test_a_secret_that_is_no_text_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(f"format: {home_format.FORMAT}\nsecret: 12345678901234567890123456789012\n")
    with pytest.raises(BadInput, match="The setting secret") as refused:
        Settings.load(tmp_path)
    assert "1234567890" not in str(refused.value)


def test_a_secret_file_may_end_with_a_line_break(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(HEX + "\n")
    assert keys.home_secret(Settings.load(tmp_path)) == bytes.fromhex(HEX)


def test_a_secret_of_the_environment_and_the_same_one_in_the_file_make_the_same_keys(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(HEX)
    assert keys.home_secret(Settings.load(tmp_path)) == keys.home_secret(Settings.load(tmp_path, secret=HEX))


@pytest.mark.slow
def test_processes_that_start_together_agree_on_one_secret(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from found_platform.settings import Settings; from found_platform.privacy import keys\n"
        "home = Settings.load(pathlib.Path(sys.argv[1])); sys.stdin.read()\n"
        "print(keys.home_secret(home).hex())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    secrets = {process.communicate(timeout=120)[0] for process in started}
    assert secrets == {(tmp_path / "secret").read_text() + "\n"}
    assert {p.stat().st_mode & 0o777 for p in tmp_path.glob("secret*")} == {0o600}


def everything(home: Path) -> Iterator[Path]:
    yield home
    yield from home.rglob("*")


def readable_by_others(home: Path) -> list[Path]:
    return [path for path in everything(home) if not path.is_symlink() and path.stat().st_mode & 0o077]


def test_nobody_but_its_owner_can_read_anything_in_a_home(settings: Settings) -> None:
    assert readable_by_others(settings.home) == []


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> Path:
    """A copy of the demo's home that was not opened yet."""
    return Path(shutil.copytree(settings.home, tmp_path / "found"))


def as_before(home: Path) -> None:
    """Makes a home one of format 1: absolute addresses in MLflow's database, prompts beside the artifacts, files for everybody."""
    old = "file:///the/folder/it/was_made%20in/mlflow/artifacts"
    (home / "mlflow" / "prompts").mkdir()
    with sqlite3.connect(home / "mlflow" / "mlflow.db") as db:
        for table, column in home_format.ADDRESSES:
            query = f"SELECT rowid, {column} FROM {table} WHERE {column} LIKE 'mlflow-artifacts:%'"
            for row, address in db.execute(query).fetchall():
                place = f"{old}/{address.removeprefix(home_format.ARTIFACTS)}".rstrip("/")
                db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [place, row])
    kept = yaml.safe_load((home / "settings.yaml").read_text())
    del kept["format"]
    (home / "settings.yaml").write_text(yaml.safe_dump(kept))
    for path in everything(home):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_home_of_before_is_brought_up_to_date_where_it_lies_now(copy: Path) -> None:
    as_before(copy)
    opened = Settings.load(copy)
    assert readable_by_others(copy) == []
    assert yaml.safe_load((copy / "settings.yaml").read_text())["format"] == home_format.FORMAT
    assert registry.champion(opened).tags["gate"] == "passed"
    with sqlite3.connect(copy / "mlflow" / "mlflow.db") as db:
        for table, column in home_format.ADDRESSES:
            assert not db.execute(f"SELECT 1 FROM {table} WHERE {column} LIKE 'file:%'").fetchall()
    outcome = call_found("audience", "find", "people who will soon buy gold", "--top", 3, "--home", copy)
    assert outcome.status == 0, outcome.err


def test_a_home_that_was_copied_for_everybody_is_made_private_when_it_is_opened(copy: Path) -> None:
    for path in everything(copy):
        path.chmod(0o755 if path.is_dir() else 0o644)
    Settings.load(copy)
    assert readable_by_others(copy) == []


def test_what_a_command_writes_elsewhere_holds_raw_ids_and_is_private(settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "users.csv"
    outcome = call_found("audience", "find", "people who will soon buy gold", "--top", 3, "--home", settings.home, "--out", out)
    assert outcome.status == 0, outcome.err
    assert out.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [home_format.FORMAT + 1, "seven"])
def test_a_home_of_a_newer_version_is_refused(tmp_path: Path, number: object) -> None:
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"format": number}))
    (tmp_path / "source.yaml").write_text("name: any")
    refused = call_found("model", "list", "--home", tmp_path)
    assert refused.status == 2
    assert re.search(r"was made by a newer version of the platform .* install that version, or choose another --home", refused.err)


@pytest.mark.parametrize("content", ["profile: [", "- profile", "\xff"])
def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.yaml").write_text(content, encoding="latin-1")
    with pytest.raises(BadInput, match=r"settings\.yaml"):
        Settings.load(tmp_path)


def test_a_home_keeps_the_precision_of_the_machine_it_was_made_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of one precision are compared with each other alone: a home that is moved, or from before, encodes as it did."""
    monkeypatch.setattr(settings_module, "precision_of_this_machine", lambda: "bfloat16")
    fresh = Settings.load(tmp_path / "new")
    fresh.keep()
    assert fresh.text_encoder == "offline-text:bfloat16"
    assert Settings.load(tmp_path / "tiny", profile="tiny").text_encoder == "random-bert"
    monkeypatch.setattr(settings_module, "precision_of_this_machine", lambda: "float32")
    assert Settings.load(tmp_path / "new").encoder_precision == "bfloat16"
    file = tmp_path / "new" / "settings.yaml"
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if "precision" not in line))
    monkeypatch.setattr(settings_module, "precision_of_this_machine", lambda: "bfloat16")
    assert Settings.load(tmp_path / "new").encoder_precision == "float32"


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("fma avx512_bf16 vaes", "bfloat16"), ("amx_bf16 amx_tile", "bfloat16"), ("avx512f avx512_vnni", "float32"), ("", "float32")],
)
def test_a_cpu_that_multiplies_bfloat16_encodes_in_it(flags: str, precision: str) -> None:
    assert settings_module.precision_of(f"processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t:\n") == precision


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("format: -3\n", "has the format -3"),
        (f"format: {home_format.FORMAT}\n1: cpu\n", "holds no mapping of settings"),
        (f"format: {home_format.FORMAT}\ncolour: red\n", "colour .*there is no such setting; leave it out"),
    ],
)
def test_a_settings_file_that_is_none_is_refused_in_a_sentence(tmp_path: Path, settings: str, message: str) -> None:
    (tmp_path / "settings.yaml").write_text(settings)
    with pytest.raises(BadInput, match=message):
        Settings.load(tmp_path)
    assert (tmp_path / "settings.yaml").read_text() == settings
