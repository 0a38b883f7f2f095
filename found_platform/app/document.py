"""A result as plain data, for whoever writes JSON."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

APART: Mapping[str, Any] = {"apart": True}
"""Metadata of a field that is for words and tables, and no part of the document."""


def written_as(key: str) -> Mapping[str, Any]:
    """Metadata of a field whose key in the document is another than its name: readers of documents know it by that."""
    return {"key": key}


def as_document(result: Any) -> Any:
    """Dicts, lists, strings, numbers and None. A class that has `as_dict` says itself how it is written.

    Days and times are ISO dates, and times with a blank before the hour; paths are as they were given.
    """
    if hasattr(result, "as_dict"):
        return as_document(result.as_dict())
    if is_dataclass(result) and not isinstance(result, type):
        listed_fields = (f for f in fields(result) if not f.metadata.get("apart"))
        return {f.metadata.get("key", f.name): as_document(getattr(result, f.name)) for f in listed_fields}
    if isinstance(result, Mapping):
        return {str(key): as_document(value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [as_document(value) for value in result]
    if isinstance(result, dt.date | dt.datetime | PurePath):
        return str(result)
    return result
