"""Channels are files: what is wrong in one is said, and everything that depends on channels follows from them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from found_platform import channels, contract
from found_platform.rewriting.language import DEFAULT, languages
from found_platform.training_data import templates

NEW = "code: {code}\nkind: support\nmodality: {modality}\nsentence: 'Asks about {{items}}.'\nverbs: [ask]\nexamples: [ask about]\n"


def with_file(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """The channels of the package and one more."""
    for file in Path(channels.__file__).parent.glob("*.yaml"):
        (folder / file.name).write_text(file.read_text())
    (folder / "support.yaml").write_text(text)
    monkeypatch.setattr(channels, "resources", SimpleNamespace(files=lambda _: folder))
    monkeypatch.setattr(channels, "channels", channels.channels.__wrapped__)


def test_a_new_channel_is_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_file(monkeypatch, tmp_path, NEW.format(code=4, modality="sequence"))
    *_, newest = channels.channels()
    assert (newest.name, newest.code, newest.kind) == ("support", 4, "support")


@pytest.mark.parametrize("code", [3, 7])
def test_codes_without_a_gap_and_never_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int) -> None:
    with_file(monkeypatch, tmp_path, NEW.format(code=code, modality="sequence"))
    with pytest.raises(ValueError, match="number them 0, 1, 2"):
        channels.channels()


def test_one_channel_holds_the_searches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_file(monkeypatch, tmp_path, NEW.format(code=4, modality="search"))
    with pytest.raises(ValueError, match="Exactly one channel"):
        channels.channels()


def test_descriptions_and_demands_know_every_channel() -> None:
    kinds = {channel.kind: channel.name for channel in channels.channels()}
    assert {k: v["channel"] for k, v in templates.templates()["kinds"].items() if "channel" in v} == kinds
    assert languages()[DEFAULT].kinds.keys() == kinds.keys()
    assert tuple(kinds.values()) == contract.CHANNELS
