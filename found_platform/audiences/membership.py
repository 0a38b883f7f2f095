"""Who is in an audience: every refresh is kept, so that joins and leaves can be read back.

A refresh counts once its row in `audience_refreshes` is there. It is written last: whatever fails before it leaves the members as
they were. A refresh that comes out the same writes nothing.
"""

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad

from found_platform import home, index, lake, row_hash
from found_platform.audiences import lookup, prompts, sizing, specification
from found_platform.audiences.answer import Scored
from found_platform.audiences.specification import Specification
from found_platform.contract import TIMESTAMP
from found_platform.errors import BadInput
from found_platform.privacy import actor, audit, keys, suppression, tombstones
from found_platform.settings import Settings

MEMBERS, REFRESHES = "audience_members", "audience_refreshes"
_OF_A_REFRESH = (
    pa.field("audience", pa.string(), nullable=False),
    pa.field("refresh", pa.int64(), nullable=False),
    pa.field("spec_version", pa.int64(), nullable=False),
    pa.field("refreshed_at", TIMESTAMP, nullable=False),
    pa.field("as_of", pa.date32(), nullable=False),
    pa.field("model_version", pa.string(), nullable=False),
    pa.field("index_version", pa.string(), nullable=False),
)
MEMBERS_SCHEMA = pa.schema(
    [
        *_OF_A_REFRESH,
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("probability", pa.float64()),
        pa.field("holdout", pa.bool_(), nullable=False),
    ]
)
REFRESHES_SCHEMA = pa.schema(
    [
        *_OF_A_REFRESH,
        pa.field("refreshed_by", pa.string(), nullable=False),
        pa.field("mode", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("demand", pa.string(), nullable=False),
        pa.field("rewriting", pa.string()),
        pa.field("base", pa.int64(), nullable=False),
        pa.field("eligible", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("size_because", pa.string(), nullable=False),
        pa.field("threshold", pa.float64()),
        pa.field("held_out", pa.int64(), nullable=False),
        pa.field("joins", pa.int64(), nullable=False),
        pa.field("leaves", pa.int64(), nullable=False),
        pa.field("delta_versions", pa.string(), nullable=False),
    ]
)
"""`base` counts users with any history, `eligible` those of them who could be chosen; `threshold` is the lowest score of a member.
`demand` (what was looked for), `rewriting` and `delta_versions` (table: version) are JSON."""

JSON = ("demand", "rewriting", "delta_versions")

LIVE = ("raw_profile", suppression.TABLE)
"""Tables that are read as they are at a refresh; it names their versions, and those that the published states were read from."""

MADE_FROM = ("spec_version", "as_of", "model_version", "index_version")
"""Of another version, a refresh is another one whoever is in it."""

JUMP = 0.3
"""A change of the size by more than this share is worth a warning."""


@dataclass(frozen=True)
class Refresh:
    """One refresh, as its row in `audience_refreshes` has it."""

    audience: str
    refresh: int
    spec_version: int
    refreshed_at: dt.datetime
    as_of: dt.date
    model_version: str
    index_version: str
    refreshed_by: str
    mode: str
    reason: str
    demand: dict[str, Any]
    rewriting: dict[str, Any] | None
    base: int
    eligible: int
    size: int
    size_because: str
    threshold: float | None
    held_out: int
    joins: int
    leaves: int
    delta_versions: dict[str, int]


@dataclass(frozen=True)
class Outcome:
    """What a refresh did. `refresh` is the newest refresh now; `changed` is false where it came out as the last one.

    `size_before` is the size at the refresh before, None at the first.
    """

    refresh: Refresh
    changed: bool
    size_before: int | None
    scored: Scored


def refresh(settings: Settings, audience: str) -> Outcome:
    """Finds the members of an audience anew, by its newest specification and what is published now.

    Raises BadInput where there is no such audience, or one that it leaves out has no members yet, and Conflict where it is frozen.
    """
    spec = specification.newest(settings, audience)
    specification.check_not_frozen(spec)
    with _turn(settings, audience):
        delta_versions = {table: lake.version(settings.lake, table) for table in LIVE if lake.exists(settings.lake, table)}
        scored = lookup.score(settings, spec.question, excluded(settings, spec))
        cut = sizing.cut(spec, scored)
        chosen = scored.keys[: cut.size]
        before = last(settings, audience)
        old = members(settings, before) if before else MEMBERS_SCHEMA.empty_table()
        old_keys, new_keys = set(old["user_key"].to_pylist()), set(chosen)
        kept_out = held_out(settings, audience, chosen, spec.holdout)
        current = Refresh(
            audience=audience,
            refresh=before.refresh + 1 if before else 1,
            spec_version=spec.version,
            refreshed_at=dt.datetime.now(dt.UTC),
            as_of=dt.date.fromisoformat(scored.published.as_of),
            model_version=scored.published.model_version,
            index_version=scored.published.name.removesuffix(".db"),
            refreshed_by=str(actor.current()),
            mode=scored.mode,
            reason=scored.reason,
            demand=_plain(scored.demand.as_dict()),
            rewriting=_plain(scored.rewriting.as_dict()) if scored.rewriting else None,
            base=scored.base,
            eligible=len(scored.rows),
            size=cut.size,
            size_because=cut.why,
            threshold=float(scored.scores[cut.size - 1]) if cut.size else None,
            held_out=int(kept_out.sum()),
            joins=len(new_keys - old_keys),
            leaves=len(old_keys - new_keys),
            delta_versions={**scored.population.states.delta_versions, **delta_versions},
        )
        rows = _rows(current, chosen, scored, kept_out)
        changed = before is None or not _same(before, old, current, rows)
        if before is not None and not changed:
            current = before
        audit.record(  # before it is written: a process that is killed in between has said more than it did, and never less
            settings,
            "refresh",
            audience=audience,
            question=spec.summary(),
            rows=cut.size,
            model_version=current.model_version,
            index_version=current.index_version,
            reason=f"refresh {current.refresh}" + ("" if changed else ", nothing had changed"),
        )
        if changed:
            _write(settings, current, rows)
    return Outcome(current, changed, before.size if before else None, scored)


def made_from(settings: Settings, audience: str) -> str:
    """What a refresh would be made from now, in one line: where it stays the same, so do the members."""
    spec = specification.newest(settings, audience)
    left_out = [last(settings, name) for name in spec.without_audiences]
    inputs = [spec.version, index.live(settings).name, [r and r.refresh for r in left_out], settings.consent_column]
    inputs += [settings.consents] if spec.question.purpose else []
    inputs += [lake.version(settings.lake, t) for t in (suppression.TABLE, "raw_profile") if lake.exists(settings.lake, t)]
    inputs += [prompts.fingerprint(settings)] if spec.question.prompt else [settings.rewriter, settings.rewriter_endpoint]
    return json.dumps(inputs)


def excluded(settings: Settings, spec: Specification) -> frozenset[str]:
    """The keys of everybody whom a specification leaves out, as it stands now: also the holdouts of the audiences it names."""
    left_out = set(spec.without_users)
    for name in spec.without_audiences:
        newest = last(settings, name)
        if newest is None:
            raise BadInput(
                f"The audience {name!r} is to be left out and has no members yet: `found audience refresh {name}` first."
            )
        left_out.update(members(settings, newest)["user_key"].to_pylist())
    return frozenset(left_out)


def held_out(settings: Settings, audience: str, user_keys: Sequence[str], share: float) -> np.ndarray:
    """(N,) bool: who is in the holdout of an audience. The same for ever; a smaller share keeps some of those of a larger one.

    A keyed hash of the audience's name and the user decides, so nobody outside the home can tell, and the holdouts of two audiences
    have nothing to do with each other.
    """
    if not share:
        return np.zeros(len(user_keys), bool)
    secret = keys.home_secret(settings)
    hashes = [hmac.digest(secret, f"holdout {audience} {key}".encode(), hashlib.sha256)[:8] for key in user_keys]
    return np.frombuffer(b"".join(hashes), dtype=">u8") < share * 2.0**64


def jump(before: int | None, size: int) -> str | None:
    """A warning where the size is no longer what it was; None where it is, or where there was none."""
    if before is None or abs(size - before) <= JUMP * before:
        return None
    change = f"{(size - before) / before:+.0%}" if before else "from nobody"
    return f"the size goes from {before:,} to {size:,} ({change}), more than {JUMP:.0%}"


def doubt(refresh: Refresh) -> str | None:
    """Why the members may be none that the sentence asks for; None where it was understood."""
    document = refresh.rewriting or {}
    return f"not understood: {document['doubt']}" if document.get("doubt") else document.get("note") or None


def history(settings: Settings, audience: str) -> list[Refresh]:
    """Every refresh, newest first."""
    if not lake.exists(settings.lake, REFRESHES):
        return []
    rows = lake.read(settings.lake, REFRESHES, pad.field("audience") == audience).sort_by([("refresh", "descending")]).to_pylist()
    return [_read(row) for row in rows]


def _read(row: dict[str, Any]) -> Refresh:
    """A row of `audience_refreshes`. Older homes call the demand's minimum amount `least`."""
    documents = {name: json.loads(row[name] or "null") for name in JSON}
    demand = {"min_amount" if key == "least" else key: value for key, value in documents["demand"].items()}
    return Refresh(**{**row, **documents, "demand": demand})


def last(settings: Settings, audience: str) -> Refresh | None:
    """The newest refresh."""
    return next(iter(history(settings, audience)), None)


def members(settings: Settings, of: Refresh) -> pa.Table:
    """The members at a refresh, best first, as MEMBERS_SCHEMA has them; who is being erased is none any more."""
    mine = (pad.field("audience") == of.audience) & (pad.field("refresh") == of.refresh)
    if not of.size:
        return MEMBERS_SCHEMA.empty_table()
    if erasing := tombstones.erasing(settings):
        mine &= ~pad.field("user_key").isin(sorted(erasing))
    return (
        lake.read(settings.lake, MEMBERS, mine)
        .select(MEMBERS_SCHEMA.names)
        .sort_by([("score", "descending"), ("user_key", "ascending")])
    )


def rows_hash(settings: Settings, of: Refresh) -> str:
    """A hash of who is in an audience at a refresh, with score and holdout."""
    mine = (pad.field("audience") == of.audience) & (pad.field("refresh") == of.refresh)
    hashed = [f.name for f in _OF_A_REFRESH if f.name != "audience"]
    hashes = row_hash.by_key(settings.lake, MEMBERS, "audience", mine, drop=hashed) if of.size else {}
    return hashes.get(of.audience, (0, "nobody"))[1]


def moved(settings: Settings, audience: str, number: int) -> tuple[list[str], list[str]]:
    """The keys of who joined and of who left at a refresh, against the one before."""
    of = {
        r.refresh: set(members(settings, r)["user_key"].to_pylist())
        for r in history(settings, audience)
        if number - 1 <= r.refresh <= number
    }
    old_keys, new_keys = of.get(number - 1, set()), of[number]
    return sorted(new_keys - old_keys), sorted(old_keys - new_keys)


def forget(settings: Settings, audience: str) -> None:
    """Removes an audience: its members at every refresh, and its specifications. What was done with it stays in the audit.

    The specifications go last: whoever is interrupted can ask for the rest by the audience's name.
    """
    with _turn(settings, audience):
        specification.check_unused(settings, audience)
        for table, schema in ((MEMBERS, MEMBERS_SCHEMA), (REFRESHES, REFRESHES_SCHEMA)):
            if lake.exists(settings.lake, table):
                lake.replace(settings.lake, table, schema.empty_table(), schema=schema, predicate=f"audience = '{audience}'")
        specification.forget(settings, audience)
    audit.record(settings, "forget", audience=audience)


def recount(settings: Settings) -> None:
    """Corrects the sizes of refreshes of which rows of members were taken out, as by an erasure. Who joined and left stays told."""
    if not (lake.exists(settings.lake, MEMBERS) and lake.exists(settings.lake, REFRESHES)):
        return
    with lake.connect(settings.duckdb_memory) as con:
        lake.view(con, "members", settings.lake, MEMBERS)
        lake.view(con, "refreshes", settings.lake, REFRESHES)
        counted = con.execute(
            "SELECT r.* REPLACE (count(user_key) AS size, count(user_key) FILTER (holdout) AS held_out), r.size AS was "
            "FROM refreshes r LEFT JOIN members USING (audience, refresh) GROUP BY ALL"
        ).to_arrow_table()
    if counted["was"].to_pylist() != counted["size"].to_pylist():
        rows = counted.select(REFRESHES_SCHEMA.names).cast(REFRESHES_SCHEMA)
        lake.replace(settings.lake, REFRESHES, rows, schema=REFRESHES_SCHEMA)


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """As it will be read back."""
    return json.loads(json.dumps(document))


def _turn(settings: Settings, audience: str) -> home.HomeLock:
    return home.lock(settings.home, f"audience-{audience}")


def _rows(current: Refresh, chosen: list[str], scored: Scored, kept_out: np.ndarray) -> pa.Table:
    fields = asdict(current)
    of_refresh = {f.name: pa.array([fields[f.name]] * len(chosen), f.type) for f in _OF_A_REFRESH}
    chances = [None] * len(chosen) if scored.probabilities is None else scored.probabilities[: len(chosen)]
    return pa.table(
        {
            **of_refresh,
            "user_key": pa.array(chosen, pa.string()),
            "score": pa.array(scored.scores[: len(chosen)], pa.float64()),
            "probability": pa.array(chances, pa.float64()),
            "holdout": pa.array(kept_out, pa.bool_()),
        },
        schema=MEMBERS_SCHEMA,
    )


def _same(before: Refresh, old: pa.Table, current: Refresh, rows: pa.Table) -> bool:
    """Whether a refresh came out as the one before it; the last bits of a score may differ from run to run."""
    if any(getattr(before, field) != getattr(current, field) for field in MADE_FROM) or len(old) != len(rows):
        return False
    old, rows = (table.select(["user_key", "holdout", "score"]).sort_by("user_key") for table in (old, rows))
    who = ["user_key", "holdout"]
    return old.select(who).equals(rows.select(who)) and np.allclose(old["score"].to_numpy(), rows["score"].to_numpy(), 1e-6, 1e-9)


def _write(settings: Settings, current: Refresh, rows: pa.Table) -> None:
    mine = f"audience = '{current.audience}' AND refresh = {current.refresh}"
    lake.replace(settings.lake, MEMBERS, rows, schema=MEMBERS_SCHEMA, partition_by=("audience", "refresh"), predicate=mine)
    document = asdict(current)
    document |= {name: document[name] and json.dumps(document[name], ensure_ascii=False) for name in JSON}
    lake.append(settings.lake, REFRESHES, pa.Table.from_pylist([document], REFRESHES_SCHEMA), schema=REFRESHES_SCHEMA)
