"""Slips of the pen: what is no word is read as the one word that it may be, and the answer says so."""

from collections.abc import Callable

import pytest

from found_platform.rewriting import Rewriting

Rewrite = Callable[[str], Rewriting]


@pytest.mark.parametrize(
    ("demand", "meant", "read"),
    [
        ("who wiil byu cofee", "who will buy coffee", ["“wiil” as “will”", "“byu” as “buy”", "“cofee” as “coffee”"]),
        ("custmers likley to chrun", "customers likely to churn", ["“chrun” as “churn”"]),
        ("peopel who will buy runing shoes agian", "people who will buy running shoes again", ["“agian” as “again”"]),
        (
            "women who will buy perfum in the nxet two weeks",
            "women who will buy perfume in the next two weeks",
            ["“nxet” as “next”"],
        ),
        ("Kuden, die im nächsten Moant kaufen", "Kunden, die im nächsten Monat kaufen", ["“moant” as “monat”"]),
        ("Kunden, die warscheinlich abspirngen", "Kunden, die wahrscheinlich abspringen", ["“abspirngen” as “abspringen”"]),
    ],
)
def test_a_slip_is_mended_and_shown(demand: str, meant: str, read: list[str], rewrite: Rewrite) -> None:
    mended = rewrite(demand)
    assert mended.outcome == rewrite(meant).outcome
    assert mended.outcome is not None
    assert all(words in mended.note for words in read)
    assert mended.demand == demand


@pytest.mark.parametrize(
    "demand",
    [
        "who will not but coffee",
        "who will buy a hat or a mouth organ",
        "people who will move next moth",
        "who will form a band",
        "hikers from Leeds who will buy boots",
        "Besucher, die sich weder einloggen noch anmelden",
        "Kunden, die Rinder oder Hosen kaufen",
        "who will buy ZQ-7714 X",
    ],
)
def test_a_word_is_never_read_as_another_one(demand: str, rewrite: Rewrite) -> None:
    assert "read “" not in rewrite(demand).note
