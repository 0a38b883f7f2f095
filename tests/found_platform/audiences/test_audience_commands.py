"""`found audience`: the commands from preview to forget."""

import json
from collections.abc import Callable
from pathlib import Path

from campaign_times import dated, midnight
from conftest import Outcome
from saved_audiences import GOLD, PETS

from found_platform import lake
from found_platform.audiences import lookup, membership
from found_platform.privacy import keys
from found_platform.settings import Settings


def test_the_commands_from_preview_to_forget(apart: Settings, tmp_path: Path, found: Callable[..., Outcome]) -> None:
    home = ("--home", apart.home)

    def document(*command: object) -> dict:
        outcome = found("audience", *command, *home, "--format", "json")
        assert outcome.status == 0, outcome.err
        return json.loads(outcome.out)

    left_out = tmp_path / "left_out.txt"
    left_out.write_text("user_id\nnobody-we-know\n")
    demand = [GOLD.sentence, "--where", "events_28d >= 1", "--exclude", left_out, "--top", 40, "--holdout", 0.25]
    seen = document("preview", *demand, "--plot", tmp_path / "preview.png")
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")
    again = found("audience", "preview", *demand, "--plot", tmp_path / "preview.png", *home)
    assert (again.status, "preview.png exists already" in again.err) == (2, True)
    assert seen["size"] == 40
    table = found("audience", "preview", *demand, *home)
    assert table.status == 0, table.err
    assert all(sample["user_id"] in table.out for sample in seen["sample"])

    saved = document("save", "gold-soon", *demand)["audiences"][0]
    assert (saved["version"], saved["refresh"]["size"], saved["refresh"]["joins"]) == (1, 40, 40)
    again = found("audience", "refresh", "gold-soon", *home)
    assert (again.status, "nobody joined, nobody left" in again.out) == (0, True), again.err
    (line,) = (line.split() for line in again.out.splitlines() if line.split()[:1] == ["gold-soon"])
    assert line[1:4] == ["40", "0", "0"], "nobody joined and nobody left in the table too"
    assert [(a["audience"], a["changed"]) for a in document("refresh", "gold-soon")["audiences"]] == [("gold-soon", False)]
    assert document("preview", "--name", "gold-soon")["last_size"] == 40
    document("save", "pets", PETS.sentence, "--without", "gold-soon", "--level", "broad")
    assert [a["audience"] for a in document("refresh", "--all")["audiences"]] == ["gold-soon", "pets"]
    assert [a["audience"] for a in document("list")["audiences"]] == ["gold-soon", "pets"]
    shown = document("show", "gold-soon")
    assert (shown["specification"]["without_users"], len(shown["refreshes"])) == (1, 1)
    assert found("audience", "lift", "gold-soon", *home).status == 2, "nothing can have come of it in data that is older"
    last = membership.last(apart, "gold-soon")
    assert last is not None
    dated(apart, last, midnight(last.as_of, -20))
    for command in (("list",), ("show", "gold-soon"), ("audit",), ("lift", "gold-soon")):
        outcome = found("audience", *command, *home)
        assert outcome.status == 0, outcome.err
    assert "gold-soon" in found("audience", "list", *home).out

    assert document("lift", "gold-soon", "--days", 5)["holdout"]["users"] == saved["refresh"]["held_out"]
    export = document("export", "gold-soon", "--out", tmp_path / "users.csv")
    assert export["users"] == 40 - saved["refresh"]["held_out"]
    actions = [entry["action"] for entry in document("audit")["entries"]]
    assert actions[:3] == ["export", "lift", "lift"]
    assert found("audience", "lift", "gold-soon", *home).status == 2, "it was exported after the data's end"

    for command, status, message in (
        (("save", "preview", GOLD.sentence), 2, "No audience is called preview"),
        (("refresh",), 2, "or --all"),
        (("refresh", "pets", "--all"), 2, "or --all"),
        (("show", "nobody"), 2, "there are gold-soon, pets"),
        (("forget", "gold-soon"), 2, "left out of pets"),
        (("forget", "pets"), 0, ""),
        (("show", "pets"), 2, "There is no audience 'pets'"),
        (("export", "pets", "--out", tmp_path / "pets.csv"), 2, "There is no audience 'pets'"),
    ):
        outcome = found("audience", *command, *home)
        assert (outcome.status, message in outcome.err) == (status, True), (command, outcome)
    left = lake.read(apart.lake, membership.MEMBERS)["audience"].to_pylist()
    assert set(left) == {"gold-soon"}


def test_a_filter_that_selects_nobody_is_said_in_a_sentence_by_every_command(
    apart: Settings, tmp_path: Path, found: Callable[..., Outcome]
) -> None:
    home, where = ("--home", apart.home), ("--where", "events_28d > 100000")
    base = lookup.score(apart, GOLD).base
    sentence = f"Nobody matches the filter 'events_28d > 100000'; {base:,} users have a history."
    for mode in ("aligned", "auto"):
        shown = found("audience", "find", GOLD.sentence, *where, "--mode", mode, *home)
        assert (shown.status, sentence in shown.out, "score" in shown.out) == (0, True, False), shown.err
    answer = json.loads(found("audience", "find", GOLD.sentence, *where, *home, "--format", "json").out)
    assert (answer["count"], answer["users"], answer["note"]) == (0, [], sentence)
    written = found("audience", "find", GOLD.sentence, *where, *home, "--out", tmp_path / "nobody.csv")
    assert sentence in written.err
    assert sentence[:-1] in found("audience", "preview", GOLD.sentence, *where, *home).out
    saved_one = found("audience", "save", "nobody-there", GOLD.sentence, *where, *home)
    assert (saved_one.status, f"Nobody is in nobody-there: {sentence}" in saved_one.out) == (0, True), saved_one.err

    everybody = lookup.score(apart, GOLD).keys
    left_out = tmp_path / "all.txt"
    left_out.write_text("user_id\n" + "".join(f"{name}\n" for name in keys.user_ids(apart, everybody).values()))
    excluded = json.loads(found("audience", "find", GOLD.sentence, "--exclude", left_out, *home, "--format", "json").out)
    assert excluded["note"].startswith(f"None of the {base:,} users with a history can be chosen")
    high = json.loads(found("audience", "find", GOLD.sentence, "--min-score", 1000, *home, "--format", "json").out)
    assert high["note"].startswith("Nobody scores 1000 or more: the best of ")
    assert lookup.find(apart, GOLD).note is None


def test_a_look_up_replaces_no_file_unless_it_is_told_to(apart: Settings, tmp_path: Path, found: Callable[..., Outcome]) -> None:
    out = tmp_path / "users.csv"
    command = ("audience", "find", GOLD.sentence, "--mode", "aligned", "--top", 5, "--out", out, "--home", apart.home)
    assert found(*command).status == 0
    before = out.read_text()
    refused = found(*command)
    assert (refused.status, "users.csv exists already" in refused.err, out.read_text()) == (2, True, before)
    out.unlink()
    beside = found(*command)
    assert (beside.status, "users.csv.provenance.json exists already" in beside.err, out.exists()) == (2, True, False)
    assert found(*command, "--force").status == 0
