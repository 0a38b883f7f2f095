"""Files of users, suppression as a history, consent, and `found suppress`."""

import datetime as dt
import gzip
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Outcome, at, lake_of, write_source

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.privacy import keys, suppression
from found_platform.privacy.suppression import Change, allowed
from found_platform.settings import Settings

USERS = ["ann", "bob", "Zoë, the 1st", " spaced ", "007"]
DAY = dt.date(2024, 1, 4)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with these users, whose profile says when who consented."""
    folder = tmp_path_factory.mktemp("original")
    consents = [
        ("ann", "2023-01-01", True),
        ("bob", "2023-01-01", True),
        ("bob", "2024-01-02", False),
        ("Zoë, the 1st", "2023-01-01", False),
        ("Zoë, the 1st", "2024-01-02", True),
        ("Zoë, the 1st", "2999-01-01", False),
        (" spaced ", "2024-01-01", True),
        (" spaced ", "2024-01-03", None),
    ]
    profile = [{"user_id": u, "as_of": at(d), "consent": c, "age": 3} for u, d, c in consents]
    events = [{"user_id": u, "event_time": at("2024-01-01"), "text": "tea"} for u in USERS]
    profile.append({"user_id": "later", "as_of": at("2999-01-01"), "consent": True, "age": 3})
    return lake_of(folder / "home", write_source(folder / "source", events, profile))


@pytest.fixture
def home(original: Settings, tmp_path: Path) -> Settings:
    """A copy of it that a test may change."""
    return Settings.load(Path(shutil.copytree(original.home, tmp_path / "home")), profile="tiny")


def keys_of(settings: Settings, *users: str) -> list[str]:
    secret = keys.home_secret(settings)
    return [keys.user_key(secret, user) for user in users]


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def quoted(user: str) -> str:
    return f'"{user}"'


FILES: dict[str, Callable[[Path], object]] = {
    "users.parquet": lambda path: pq.write_table(pa.table({"other": range(5), "user_id": USERS}), path),
    "one_column.parquet": lambda path: pq.write_table(pa.table({"customer": USERS}), path),
    "users.csv": lambda path: write(path, "reason,user_id", *(f"why not,{quoted(u)}" for u in USERS)),
    "plain.csv": lambda path: write(path, *map(quoted, USERS)),
    "headed.txt": lambda path: write(path, "user_id", *map(quoted, USERS)),
    "plain.txt": lambda path: write(path, "ann", "", *map(quoted, USERS), "", "ann"),
    "plain": lambda path: path.write_bytes(("\ufeff" + "\r\n".join(map(quoted, USERS))).encode()),
    "users.csv.gz": lambda path: path.write_bytes(gzip.compress("\n".join(["user_id", *map(quoted, USERS)]).encode())),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_users_in_any_form_gives_the_same_keys(tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / name)
    settings = Settings(home=tmp_path)
    assert keys.read_users(settings, tmp_path / name) == set(keys_of(settings, *USERS))


def test_a_number_is_written_as_the_scan_of_a_source_writes_it(tmp_path: Path) -> None:
    ids = pa.table({"user_id": pa.array([7, 70, 7_000_000], pa.int32())})
    pq.write_table(ids, tmp_path / "users.parquet")
    events = tmp_path / "events.parquet"
    pq.write_table(ids.append_column("at", pa.array([at("2024-01-01")] * 3)).append_column("text", pa.array(["tea"] * 3)), events)
    source = tmp_path / "source.yaml"
    columns = "{user_id: user_id, event_time: at, text: text}"
    source.write_text(f"name: numbers\nchannels: {{pay_bill: {{path: {events}, columns: {columns}}}}}\n")
    settings = lake_of(tmp_path / "home", source)
    stored = lake.read(settings.lake, "raw_events")["user_key"].to_pylist()
    assert keys.read_users(settings, tmp_path / "users.parquet") == set(stored)


def test_a_header_without_users_names_nobody(tmp_path: Path) -> None:
    assert keys.read_users(Settings(home=tmp_path), write(tmp_path / "users.csv", "user_id,reason")) == set()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "missing.csv does not exist: write their ids into a file, one a line"),
        ("empty.csv", b"", "has no column user_id"),
        ("other.csv", b"customer,why\nsecret-ann,x\n", "has no column user_id"),
        ("twice.csv", b"user_id,user_id\nsecret-ann,secret-bob\n", "has no column user_id"),
        ("signs.csv", b"user_id;why\nsecret-ann;x\n", "has no column user_id"),
        ("blank.csv", b'user_id\nsecret-ann\n\n""\n', "blank.csv, row 3: there is no user id"),
        ("spaces.txt", b"secret-ann\n  \n", "spaces.txt, row 2: there is no user id"),
        ("width.csv", b"user_id,why\nsecret-ann,x\nsecret-ann\n", "width.csv, row 2: 1 values where there should be 2"),
        ("names.txt", b"secret-ann\nsecret-bob,secret-name\n", "names.txt, row 2: 2 values where there should be 1"),
        ("open.csv", b'user_id\nsecret-ann\n"secret-bob\nsecret-name\n', "open.csv, line 4 cannot be read as CSV"),
        ("break.csv", b'user_id\nsecret-ann\n"secret-bob\nsecret-name"\n', "break.csv, row 2: the user id holds a line break"),
        ("latin.csv", "user_id\nZoë\n".encode("latin-1"), "latin.csv is not UTF-8"),
        ("sheet.xlsx", b"PK\x03\x04\xff\xfe", "sheet.xlsx is not UTF-8"),
        ("cut.csv.gz", gzip.compress(b"user_id\nsecret-ann\n", mtime=0)[:-9], "cut.csv.gz cannot be read"),
        ("no.parquet", b"user_id\nsecret-ann\n", "no.parquet cannot be read"),
        ("null.parquet", pa.table({"user_id": ["secret-ann", None]}), "null.parquet, row 2: there is no user id"),
        ("other.parquet", pa.table({"a": ["secret-ann"], "b": [1]}), "has no column user_id; it has a, b"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_row_and_without_an_id(
    tmp_path: Path, name: str, content: bytes | pa.Table | None, message: str
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        pq.write_table(content, tmp_path / name)
    with pytest.raises(BadInput, match=message) as refused:
        keys.read_users(Settings(home=tmp_path), tmp_path / name)
    assert "secret" not in str(refused.value)


def test_who_is_suppressed_is_left_out_from_then_on_and_until_it_is_lifted(home: Settings, tmp_path: Path) -> None:
    everybody = keys_of(home, *USERS)
    assert allowed(home, everybody, DAY).tolist() == [True] * 5
    assert allowed(home, [], DAY).shape == (0,)
    file = write(tmp_path / "out.csv", "user_id,reason", "ann,asked by mail", "007,", "nobody yet,")
    assert suppression.add(home, file, "a campaign") == Change(changed=3, unchanged=0, unknown=1)
    assert allowed(home, everybody, DAY).tolist() == [False, True, True, True, False]
    assert allowed(home, everybody, dt.date(1970, 1, 1)).tolist() == [False, True, True, True, False], "whatever the day"
    assert suppression.suppressed(home) == set(keys_of(home, "ann", "007", "nobody yet"))
    assert suppression.add(home, file, "a campaign") == Change(changed=0, unchanged=3, unknown=1)
    assert suppression.lift(home, write(tmp_path / "in.txt", "ann", "bob"), "came back") == Change(1, 1, 0)
    assert allowed(home, everybody, DAY).tolist() == [True, True, True, True, False]
    history = lake.read(home.lake, "suppressions").sort_by("since").to_pylist()
    ann = keys_of(home, "ann")[0]
    assert [(r["active"], r["reason"]) for r in history if r["user_key"] == ann] == [(True, "asked by mail"), (False, "came back")]
    assert {r["reason"] for r in history if r["active"]} == {"asked by mail", "a campaign"}
    assert all(r["by"] and dt.datetime.now(dt.UTC) - r["since"] < dt.timedelta(minutes=10) for r in history)
    assert len(history) == 4


@pytest.mark.slow
def test_who_is_unknown_yet_is_left_out_when_they_appear(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", profile="tiny")
    settings.lake.mkdir(parents=True)
    suppression.add(settings, write(tmp_path / "out.txt", "new"))
    events = [{"user_id": user, "event_time": at("2024-01-01"), "text": "tea"} for user in ("ann", "new")]
    profile = [{"user_id": "ann", "consent": True}, {"user_id": "bob", "consent": None}, {"user_id": "new", "consent": True}]
    lake_of(settings.home, write_source(tmp_path / "source", events, profile))
    everybody = keys_of(settings, "ann", "bob", "new")
    assert allowed(settings, everybody, DAY).tolist() == [True, True, False]
    with_consent = settings.model_copy(update={"consent_column": "consent"})
    assert allowed(with_consent, everybody, DAY).tolist() == [True, False, False], "rows without a day are known for ever"


def test_a_clock_that_was_set_back_changes_no_order(home: Settings, tmp_path: Path) -> None:
    (ann,) = keys_of(home, "ann")
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(days=400)
    entry = {"user_key": ann, "active": False, "reason": "", "since": ahead, "by": "a clock ahead"}
    lake.append(home.lake, "suppressions", pa.Table.from_pylist([entry], suppression.SCHEMA), schema=suppression.SCHEMA)
    suppression.add(home, write(tmp_path / "out.txt", "ann"))
    assert allowed(home, [ann], DAY).tolist() == [False]


def test_a_bad_row_changes_nothing(home: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="row 2"):
        suppression.add(home, write(tmp_path / "out.csv", "user_id", "ann", '" "'))
    assert suppression.suppressed(home) == set()
    assert not lake.exists(home.lake, "suppressions")


def test_any_sequence_of_changes_leaves_the_newest_state(home: Settings, tmp_path: Path) -> None:
    chance, state = random.Random(0), dict.fromkeys(USERS, False)
    for _ in range(15):
        users, active = chance.sample(USERS, chance.randint(1, 3)), chance.random() < 0.5
        change = suppression.add if active else suppression.lift
        change(home, write(tmp_path / "users.csv", "user_id", *map(quoted, users)), chance.choice(["", "a reason"]))
        state |= dict.fromkeys(users, active)
        assert allowed(home, keys_of(home, *USERS), DAY).tolist() == [not state[user] for user in USERS]


def test_no_raw_id_is_written_and_no_key_enters_the_log(home: Settings, tmp_path: Path) -> None:
    suppression.add(home, write(tmp_path / "out.csv", "user_id", '"Zoë, the 1st"'), "asked")
    files = [path for path in (home.lake / "suppressions").rglob("*") if path.is_file()]
    assert files
    assert not any("Zoë".encode() in path.read_bytes() for path in files)
    (key,) = keys_of(home, "Zoë, the 1st")
    assert not any(key.encode() in path.read_bytes() for path in files if path.parent.name == "_delta_log")


def test_without_true_in_the_newest_row_there_is_no_consent(home: Settings, tmp_path: Path) -> None:
    everybody = keys_of(home, *USERS, "later", "never seen")
    with_consent = home.model_copy(update={"consent_column": "consent"})
    # withdrawn; given later, and withdrawn only in a year to come; unsaid since; without a profile; not yet given; unknown
    assert allowed(with_consent, everybody, DAY).tolist() == [True, False, True, False, False, False, False]
    assert allowed(with_consent, everybody, dt.date(2024, 1, 1)).tolist() == [True, False, True, False, False, False, False], (
        "as it is now"
    )
    assert allowed(with_consent, everybody, dt.date(2998, 12, 31)).tolist() == [True, False, True, False, False, False, False]
    assert allowed(with_consent, everybody, dt.date(2999, 1, 1)).tolist() == [True, False, False, False, False, True, False], (
        "days ahead"
    )
    suppression.add(home, write(tmp_path / "out.txt", "ann"))
    assert allowed(with_consent, everybody[:3], DAY).tolist() == [False, False, True]


@pytest.mark.parametrize("column", ["age", "agreed", ""])
def test_a_consent_column_that_is_none_lets_nobody_be_targeted(home: Settings, column: str) -> None:
    with pytest.raises(BadInput, match=r"consent_column is .* there is consent"):
        allowed(home.model_copy(update={"consent_column": column}), keys_of(home, "ann"), DAY)


def test_the_consent_column_is_kept_with_the_home(home: Settings) -> None:
    home.model_copy(update={"consent_column": "consent"}).keep()
    assert Settings.load(home.home).consent_column == "consent"


def test_the_commands(home: Settings, tmp_path: Path, found: Callable[..., Outcome]) -> None:
    assert found("suppress", "list", "--home", home.home).out == "Nobody is suppressed.\n"
    assert json.loads(found("suppress", "list", "--home", home.home, "--format", "json").out) == {"count": 0, "users": []}
    file = write(tmp_path / "out.csv", "user_id,reason", "ann,moved", "bob,", "new,")
    added = found("suppress", "add", file, "--reason", "by law", "--home", home.home)
    assert added.status == 0, added.err
    assert added.out == (
        "Suppressed: 3. Were so already: 0.\n"
        "Never seen in this home: 1 of them. Check that the file has the ids as the source writes them.\n"
    )
    listed = json.loads(found("suppress", "list", "--home", home.home, "--format", "json").out)
    assert listed["count"] == 3
    assert {(u["user_key"], u["reason"]) for u in listed["users"]} == set(
        zip(keys_of(home, "ann", "bob", "new"), ("moved", "by law", "by law"), strict=True)
    )
    shown = found("suppress", "list", "--home", home.home).out
    assert "Suppressed: 3." in shown
    assert all(part in shown for part in ("moved", "by law", keys_of(home, "bob")[0]))
    assert found("suppress", "lift", file, "--home", home.home).out.startswith("No longer suppressed: 3. Were not suppressed: 0.")
    assert found("suppress", "list", "--home", home.home).out == "Nobody is suppressed.\n"


def test_the_commands_refuse_what_cannot_be_used(home: Settings, tmp_path: Path, found: Callable[..., Outcome]) -> None:
    bad = found("suppress", "add", write(tmp_path / "out.csv", "user_id", '""'), "--home", home.home)
    assert (bad.status, bad.out) == (2, "")
    assert "out.csv, row 1: there is no user id" in bad.err
    nowhere = found("suppress", "add", write(tmp_path / "out.txt", "ann"), "--home", tmp_path / "typo")
    assert nowhere.status == 2
    assert not (tmp_path / "typo").exists()


@pytest.fixture
def by_purpose(tmp_path: Path) -> Settings:
    """Ann agrees to mail and ads, Bob to mail alone, and withdraws it in March; Cem said nothing."""
    settings = Settings(home=tmp_path / "home", profile="tiny", consent_purposes="email=mail, ads=ads")
    events = [{"user_id": user, "event_time": at("2024-01-01"), "text": "tea"} for user in ("ann", "bob", "cem")]
    profile = [
        {"user_id": "ann", "as_of": at("2024-01-01"), "mail": True, "ads": True},
        {"user_id": "bob", "as_of": at("2024-01-01"), "mail": True, "ads": False},
        {"user_id": "bob", "as_of": at("2024-02-01"), "mail": True, "ads": False},
        {"user_id": "bob", "as_of": at("2024-03-01"), "mail": False, "ads": False},
    ]
    lake_of(settings.home, write_source(tmp_path / "source", events, profile))
    return settings


@pytest.mark.parametrize(
    ("purpose", "column", "expected"),
    [(None, None, [True, True, True]), ("email", None, [True, False, False]), ("ads", "mail", [True, False, False])],
)
def test_each_purpose_asks_for_its_own_consent_beside_that_for_anything(
    by_purpose: Settings, purpose: str | None, column: str | None, expected: list[bool]
) -> None:
    settings = by_purpose.model_copy(update={"consent_column": column})
    assert suppression.allowed(settings, keys_of(settings, "ann", "bob", "cem"), DAY, purpose).tolist() == expected


def test_a_purpose_that_nobody_can_consent_to_is_refused(by_purpose: Settings) -> None:
    with pytest.raises(BadInput, match="no purpose 'post': the setting consent_purposes names ads and email"):
        suppression.allowed(by_purpose, keys_of(by_purpose, "ann"), DAY, "post")
    unfit = by_purpose.model_copy(update={"consent_purposes": "email=age"})
    with pytest.raises(BadInput, match="The setting consent_purposes for email is 'age', which is no profile attribute"):
        suppression.allowed(unfit, keys_of(unfit, "ann"), DAY, "email")


def test_what_was_agreed_to_at_a_moment_is_said_with_since_when(by_purpose: Settings) -> None:
    (bob,) = keys_of(by_purpose, "bob")

    def mail(moment: str) -> tuple[bool | None, dt.datetime | None]:
        (state,) = [each for each in suppression.agreed(by_purpose, bob, at(moment)) if each.purpose == "email"]
        return state.value, state.since

    assert mail("2023-12-01") == (None, None)
    assert mail("2024-02-15") == (True, at("2024-01-01"))
    assert mail("2024-03-02") == (False, at("2024-03-01"))
