"""Documents of a person: whatever one holds, it is read within bounds or refused in a sentence."""

import time
from pathlib import Path

import pytest

from found_platform import documents
from found_platform.errors import BadInput
from found_platform.evaluation import scenarios
from found_platform.outcomes import document
from found_platform.sources import config

LEVELS = range(1, 10)
BOMBS = {
    "aliases of aliases": "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in LEVELS),
    "merged aliases": "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in LEVELS),
    "deep lists": "name: " + "[" * 100_000 + "]" * 100_000,
    "deep mappings": "".join(f"{' ' * i}a:\n" for i in range(1_000)),
    "deep and unclosed": "{a: " * 50_000,
    "an alias of itself": "name: x\nchannels: &a\n  pay_bill: *a\n",
    "many keys": "name: x\n" + "".join(f"x-{i}: 1\n" for i in range(60_000)),
    "a long text": "name: " + "x" * 2_000_000,
    "a number of many digits": "name: x\nspan: " + "9" * 10_000,
    "a day that is none": "name: x\nspan: 2026-02-31",
    "an object of Python": "name: !!python/object/apply:os.system [ls]",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("read", [config.load, document.load, scenarios._specs])
def test_no_document_hangs_or_fills_the_process(read, bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(BOMBS[bomb])
    begun = time.process_time()
    with pytest.raises(BadInput, match=r"mine\.yaml") as refused:
        read(path)
    assert len(str(refused.value)) < 2_000
    assert time.process_time() - begun < 3  # a source file of every recipe takes a few milliseconds


def test_a_document_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(BadInput, match="more than 1,000,000 bytes"):
        documents.load(Path("/dev/zero"), "source file")


def test_what_a_person_writes_is_within_bounds(tmp_path: Path) -> None:
    """Anchors that several entries share, JSON, a mark of the byte order, and nothing at all."""
    assert documents.parse("x-c: &c {user_id: u}\na: [*c, *c]\nb: {<<: *c, text: t}", "it") == {
        "x-c": {"user_id": "u"},
        "a": [{"user_id": "u"}, {"user_id": "u"}],
        "b": {"user_id": "u", "text": "t"},
    }
    assert documents.parse('{"a": [1, null]}', "it") == {"a": [1, None]}
    assert documents.parse("", "it") is None
    (tmp_path / "marked.yaml").write_bytes(b"\xef\xbb\xbfname: x")
    assert documents.load(tmp_path / "marked.yaml", "source file") == {"name": "x"}
