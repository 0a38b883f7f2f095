"""The shapes of results: what `document.as_document` writes of each type, as JSON Schemas that a program can read beforehand.

What belongs here: fields, types and what they mean, read from the classes themselves. What does not: where a result is answered,
and what is put around it (`serving.api.described`).
"""

import datetime as dt
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any

Schema = dict[str, Any]

PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    NoneType: {"type": "null"},
    Any: {},
    dt.date: {"type": "string", "format": "date"},
    dt.datetime: {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", "description": "UTC"},
}


@dataclass(frozen=True, eq=False)
class Written:
    """A result that says itself how it is written: the fields of another class, `without` some, and more `plus`.

    `optional` names what is not always there.
    """

    name: str
    doc: str
    of: Any = None
    without: tuple[str, ...] = ()
    plus: Mapping[str, Any] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    open_ended: bool = False  # a document of its own, which another page describes


class Shapes:
    """Schemas of types; those of classes are kept by name in `components` and referred to."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}
        self._names: dict[Any, str] = {}
        self._written = _written()

    def of(self, kind: Any) -> Schema:
        """The schema of a type."""
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if kind in PLAIN:
            return dict(PLAIN[kind])
        if isinstance(kind, Written) or kind in self._written or is_dataclass(kind):
            return {"$ref": f"#/components/schemas/{self._component(kind)}"}
        if isinstance(kind, type) and issubclass(kind, Enum):
            return {"type": "string", "enum": [each.value for each in kind]}
        if isinstance(kind, type) and issubclass(kind, PurePath):
            return {"type": "string"}
        if origin in (typing.Union, UnionType):
            return {"anyOf": [self.of(each) for each in inner]}
        if origin is typing.Literal:
            return {"enum": list(inner)}
        if origin is tuple and inner[-1] is not Ellipsis:
            return {"type": "array", "prefixItems": [self.of(each) for each in inner], "minItems": len(inner), "items": False}
        if origin in (list, tuple, Sequence, frozenset):
            return {"type": "array", "items": self.of(inner[0])}
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of(inner[1])}
        raise TypeError(f"There is no shape of {kind!r}: name one in `shapes`.")

    def returned(self, use_case: Callable[..., Any]) -> Any:
        """What a use case returns."""
        function = getattr(use_case, "__wrapped__", use_case)
        return typing.get_type_hints(function, localns=_names())["return"]

    def members(self, kind: Any) -> Schema:
        """An object of the fields of a class, not by reference."""
        written = kind if isinstance(kind, Written) else self._written.get(kind)
        if written is None:
            doc, types, optional = kind.__doc__ or "", self._fields(kind), ()
        else:
            types = self._fields(written.of) if written.of else {}
            types = {**{name: each for name, each in types.items() if name not in written.without}, **written.plus}
            doc, optional = written.doc, written.optional
            if written.open_ended:
                return {"type": "object", "description": doc}
        about = described(doc)
        if is_dataclass(of := written.of if written else kind):
            about = {each.metadata.get("key", each.name): about[each.name] for each in fields(of) if each.name in about} | about
        properties = {name: self.of(each) for name, each in types.items()}
        for name, sentence in about.items():
            if name in properties:
                properties[name] = {**properties[name], "description": sentence}
        required = [name for name in properties if name not in optional]
        plain = " ".join(doc.split("\n\nAttributes:")[0].split()).replace("`", "")
        return {
            "type": "object",
            "description": plain,
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def _fields(self, kind: Any) -> dict[str, Any]:
        """By the key that each is written as."""
        hints = typing.get_type_hints(kind, localns=_names())
        listed_fields = (each for each in fields(kind) if not each.metadata.get("apart"))
        return {each.metadata.get("key", each.name): hints[each.name] for each in listed_fields}

    def _component(self, kind: Any) -> str:
        written = kind if isinstance(kind, Written) else self._written.get(kind)
        if (of := written or kind) not in self._names:
            name = of.name if isinstance(of, Written) else of.__name__
            while name in self.components:
                name += "_"
            self._names[of] = name
            self.components[name] = {}  # a class may have itself within it
            self.components[name] = self.members(of)
        return self._names[of]


def described(doc: str) -> dict[str, str]:
    """What the `Attributes:` of a docstring say, by name."""
    _, _, part = doc.partition("Attributes:\n")
    sentences: dict[str, str] = {}
    name = ""
    for line in part.splitlines():
        text = line.strip()
        if not text:
            break
        if begin := re.match(r"(\w+): (.*)", text):
            name = begin[1]
            sentences[name] = begin[2]
        elif name:
            sentences[name] += f" {text}"
    return sentences


CLASSES = (
    "audiences.answer.Audience",
    "audiences.deliveries.Delivery",
    "audiences.deliveries.Destination",
    "audiences.export.Exported",
    "audiences.gates.Standing",
    "audiences.lift.Lift",
    "audiences.membership.Refresh",
    "audiences.preview.Preview",
    "audiences.prompts.Tuned",
    "audiences.specification.Specification",
    "erasure.erase.Certificate",
    "housekeeping.expiry.Expired",
    "index.pointer.Publication",
    "privacy.access.Token",
    "privacy.suppression.Agreed",
    "privacy.suppression.Change",
    "registry.model_versions.Version",
    "rewriting.interface.Rewriting",
    "settings.Settings",
)
"""What the application layer names in annotations and imports only where it is used."""


@cache
def _names() -> dict[str, Any]:
    """Those classes, by name."""
    paths = [path.rpartition(".") for path in CLASSES]
    return {name: getattr(import_module(f"found_platform.{module}"), name) for module, _, name in paths}


def _written() -> dict[Any, Written]:
    """Classes with a method `as_dict`, and what it writes."""
    from found_platform.app import audiences, graph, lookups, models, prompts, rewriting
    from found_platform.index.pointer import Publication
    from found_platform.index.recall import RecallCheck
    from found_platform.outcomes import Outcome

    names = _names()
    refresh, lift, read = names["Refresh"], names["Lift"], names["Rewriting"]
    whose = {
        "audience": str,
        "version": int,
        "specification": dict[str, Any],
        "created_by": str,
        "created_at": dt.datetime | None,
    }
    version = {
        "version": str,
        "created": dt.datetime,
        "aliases": list[str],
        "tags": dict[str, Any],
        "erased_persons": int,
        "retires": dt.date | None,
    }
    prompt = {
        **{name: each for name, each in typing.get_type_hints(names["Tuned"]).items() if name not in ("head", "missing")},
        "made_from": str,
        "kind": str,
        "chosen_because": str,
        "leave_one_out": dict[str, float],
        "warning": str | None,
        "unknown": dict[str, list[int]],
        "suggested_negatives": list[str],
    }
    backfilled = {
        "from": dt.date,
        "to": dt.date,
        "days_not_in_the_home": int,
        "assets": dict[str, graph.AssetDays],
        "stale": dict[str, list[str]],
    }

    def doc(of: Any) -> str:
        return of.__doc__ or ""

    return {
        Outcome: Written("Outcome", "What is asked of users, as docs/outcomes.md has it.", open_ended=True),
        lookups.Answer: Written("Audience", doc(names["Audience"]), names["Audience"]),
        audiences.Previewed: Written("Preview", doc(names["Preview"]), names["Preview"]),
        audiences.Listed: Written(
            "SavedAudience",
            "A saved audience: its newest specification and its newest refresh; `changed` where one was just asked for.",
            plus={**whose, "refresh": refresh | None, "changed": bool},
            optional=("changed",),
        ),
        audiences.AudiencePage: Written(
            "AudiencePage",
            doc(audiences.AudiencePage),
            plus={**whose, "refreshes": list[refresh], "failure": str | None, "outdated": str | None},
        ),
        prompts.TunedPrompt: Written("TunedPrompt", doc(prompts.TunedPrompt), plus=prompt),
        rewriting.Understood: Written(
            "Understood", doc(rewriting.Understood), read, plus={"cutoff": dt.date, "in_words": str | None}
        ),
        lift: Written("Lift", doc(lift), lift, plus={"exposed_share": float, "holdout_share": float}),
        models.VersionRow: Written("ModelVersion", "A registered version of the model.", plus=version),
        models.VersionPage: Written("ModelVersionPage", "A version and its card, in Markdown.", plus={**version, "card": str}),
        Publication: Written(
            "Publication", doc(Publication), Publication, without=("recall_checks",), plus={"audit": list[RecallCheck]}
        ),
        names["Destination"]: Written(
            "Destination",
            "Where members may be sent. An admin alone is told more than its name.",
            names["Destination"],
            optional=("address", "by", "at", "options"),
        ),
        graph.Backfilled: Written("Backfilled", doc(graph.Backfilled), plus=backfilled),
    }
