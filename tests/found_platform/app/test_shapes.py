"""The shapes of results are what `as_document` writes of them."""

import datetime as dt
import inspect
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from found_platform.app import models
from found_platform.app.document import APART, as_document
from found_platform.app.shapes import Shapes, described
from found_platform.audiences.lift import Group, Lift
from found_platform.registry import Version
from found_platform.serving.api.described import GIVEN
from found_platform.serving.application import create_app
from found_platform.serving.options import Options

MOMENT = dt.datetime(2026, 5, 1, 10, 12, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Inner:
    """One. `when` is UTC."""

    when: dt.datetime
    pair: tuple[int, str]


@dataclass(frozen=True)
class Outer:
    """What it is.

    Attributes:
        place: where it lies,
            on this machine.
        rows: of all.
    """

    place: Path
    rows: list[Inner]
    by_name: dict[str, float | None]
    said: str = field(default="", metadata=APART)


def fits(kind: Any, document: Any) -> bool:
    shapes = Shapes()
    schema = shapes.members(kind)
    return jsonschema_rs.Draft202012Validator({**schema, "components": {"schemas": shapes.components}}).is_valid(document)


def test_fields_are_those_of_the_document_and_no_other_fits() -> None:
    document = as_document(Outer(Path("a/b"), [Inner(MOMENT, (1, "x"))], {"x": None, "y": 0.5}))
    assert fits(Outer, document)
    assert not fits(Outer, {**document, "said": ""}), "it is no part of the document"
    assert not fits(Outer, {name: value for name, value in document.items() if name != "rows"})
    assert not fits(Outer, {**document, "by_name": {"x": "y"}})
    assert described(Outer.__doc__ or "") == {"place": "where it lies, on this machine.", "rows": "of all."}


def test_what_says_itself_how_it_is_written_has_that_shape() -> None:
    lift = Lift("gold", 1, (), MOMENT.date(), MOMENT.date(), "bought gold", Group(80, 8), Group(60, 3), 0.05, -0.01, 0.1, "none")
    assert fits(Lift, as_document(lift))
    row = models.VersionRow(Version("2", MOMENT, ["champion"], {"gate": "passed"}), [], None)
    assert fits(models.VersionRow, as_document(row))
    assert fits(models.VersionPage, as_document(models.VersionPage(row, "# Card")))


def test_every_answer_that_says_itself_how_it_is_written_has_a_row() -> None:
    shapes = Shapes()
    for given in GIVEN:
        kind = shapes.returned(given.what) if inspect.isfunction(given.what) else given.what
        for each in (kind, *typing.get_args(kind)):
            assert each in shapes._written or not hasattr(each, "as_dict"), f"{each} has no row in shapes._written"


def test_every_reference_of_the_document_leads_somewhere(tmp_path: Path) -> None:
    document = create_app(Options(tmp_path), warm=False).openapi()
    names = set(document["components"]["schemas"])

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert references(document) <= names
    assert "x-answer" not in str(document)


def test_a_type_without_a_shape_is_named() -> None:
    with pytest.raises(TypeError, match="There is no shape of"):
        Shapes().of(complex)
