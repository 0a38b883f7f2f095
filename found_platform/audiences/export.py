"""Members leave the platform: raw user ids in a file, and beside it a file that says where they come from.

Suppression and consent are asked again at that moment, whatever they were at the refresh. Both files can be read by their owner
alone, and appear whole or not at all. The row in the audit is written first: no file is without one.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import contextlib
import datetime as dt
import fcntl
import glob
import hashlib
import io
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from found_platform import lake
from found_platform.audiences import membership, specification
from found_platform.audiences.membership import Refresh
from found_platform.errors import BadInput
from found_platform.privacy import actor, audit, exports, keys, suppression
from found_platform.settings import Settings

WRITERS = {".parquet": pq.write_table, ".csv": csv.write_csv}


@dataclass(frozen=True)
class Exported:
    """`users` in the file at `path`; `kept_back` counts members whom suppression, consent or erasure took out since the refresh
    (`without_id` those of them who have no id in the vault),
    `held_out` those of the rest who are in the holdout."""

    path: Path
    provenance: Path
    users: int
    kept_back: int
    without_id: int
    held_out: int


def export(settings: Settings, audience: str, path: Path, *, with_holdout: bool = False, overwrite: bool = False) -> Exported:
    """Writes the members at the newest refresh, best first: user_id, score, probability, holdout.

    The holdout is left out unless `with_holdout`. The file beside it is called as `path` with `.provenance.json` after it. Raises
    BadInput for an audience without members, for a path that cannot be written, and for one that is there unless `overwrite`.
    """
    specification.newest(settings, audience)
    if path.suffix not in WRITERS:
        raise BadInput(f"{path} is neither a .parquet nor a .csv file: the suffix says what is written.")
    if not overwrite:
        refuse_existing(path, beside(path))
    refresh = membership.last(settings, audience)
    if refresh is None:
        raise BadInput(f"The audience {audience!r} has no members yet: `found audience refresh {audience}` finds them.")
    members = membership.members(settings, refresh)
    may_leave = allowed(settings, members, refresh)
    exposed = may_leave.filter(pc.invert(may_leave["holdout"]))
    rows = may_leave if with_holdout else exposed
    content = io.BytesIO()
    WRITERS[path.suffix](rows, content)
    exported = Exported(
        path=path,
        provenance=beside(path),
        users=rows.num_rows,
        kept_back=refresh.size - may_leave.num_rows,
        without_id=refresh.size - keys.count_known(settings, members["user_key"].to_pylist()),
        held_out=may_leave.num_rows - exposed.num_rows,
    )
    provenance = _provenance(settings, refresh, exported, with_holdout)
    sha256 = hashlib.sha256(content.getbuffer()).hexdigest()
    audit.record(
        settings,
        "export",
        audience=audience,
        question=provenance["specification"],
        rows=exported.users,
        model_version=refresh.model_version,
        index_version=refresh.index_version,
        reason=f"refresh {refresh.refresh}{', with the holdout' if with_holdout else ''}, sha256 {sha256}",
    )
    exports.note(settings, exported.path)
    place_with_provenance(exported.path, content.getbuffer(), provenance)
    return exported


def allowed(settings: Settings, members: pa.Table, refresh: Refresh) -> pa.Table:
    """The members of a refresh who may be targeted now, by their raw ids."""
    user_keys: list[str] = members["user_key"].to_pylist()
    ids = keys.user_ids(settings, user_keys)
    raw_ids = pa.array([ids.get(key) for key in user_keys], pa.string())  # who was erased has no id any more
    purpose = specification.version(settings, refresh.audience, refresh.spec_version).question.purpose
    may_be_targeted = suppression.allowed(settings, user_keys, refresh.as_of, purpose)
    may_leave = pc.and_(pa.array(may_be_targeted, pa.bool_()), pc.is_valid(raw_ids))
    return members.select(["score", "probability", "holdout"]).add_column(0, "user_id", raw_ids).filter(may_leave)


def _provenance(settings: Settings, refresh: Refresh, exported: Exported, with_holdout: bool) -> dict[str, Any]:
    suppressions = lake.version(settings.lake, suppression.TABLE) if lake.exists(settings.lake, suppression.TABLE) else None
    spec = specification.version(settings, refresh.audience, refresh.spec_version)
    return {
        "audience": refresh.audience,
        "specification_version": refresh.spec_version,
        "specification": spec.summary(),
        "rewriting": refresh.rewriting,
        "outcome": refresh.demand.get("outcome"),
        "warning": membership.doubt(refresh),
        "mode": refresh.mode,
        "reason": refresh.reason,
        "refresh": refresh.refresh,
        "refreshed_at": f"{refresh.refreshed_at:%Y-%m-%dT%H:%M:%SZ}",
        "refreshed_by": refresh.refreshed_by,
        "as_of": str(refresh.as_of),
        "model_version": refresh.model_version,
        "index_version": refresh.index_version,
        "delta_versions": refresh.delta_versions,
        "suppressions_version_at_export": suppressions,
        "consents_at_export": suppression.attributes(settings, spec.question.purpose),
        "size_because": refresh.size_because,
        "threshold": refresh.threshold,
        "counts": {
            "base": refresh.base,
            "eligible": refresh.eligible,
            "members": refresh.size,
            "without_id": exported.without_id,
            "after_suppression": refresh.size - exported.kept_back,
            "holdout": exported.held_out,
            "in_file": exported.users,
        },
        "holdout_in_file": with_holdout,
    }


def refuse_existing(*paths: Path) -> None:
    """Raises BadInput for a file, or a folder with something in it, that a command would replace."""
    for path in paths:
        if (path.is_dir() and any(path.iterdir())) or (path.exists() and not path.is_dir()):
            raise BadInput(f"{path} exists already: choose another name, or add --force to replace it.")


def beside(path: Path) -> Path:
    """Where it is said where a file comes from."""
    return path.with_name(f"{path.name}.provenance.json")


def place_with_provenance(path: Path, content: bytes | memoryview, provenance: dict[str, Any]) -> None:
    """Puts a file in place, and first the one beside it: what is `said` of it, who wrote it when, and its hash."""
    written = {"exported_at": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}", "exported_by": str(actor.current())}
    provenance = {**provenance, **written, "file": path.name, "sha256": hashlib.sha256(content).hexdigest()}
    place(beside(path), json.dumps(provenance, indent=1, ensure_ascii=False).encode())
    place(path, content)


JUST_OPENED = 5.0
"""Seconds within which an unfinished file may be one that is not locked yet."""


def place(path: Path, content: bytes | memoryview) -> None:
    """Writes a file for its owner alone, and puts it in place when it is whole. What killed processes have left of it goes."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        _remove_left(path)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        partial.unlink(missing_ok=True)


def _remove_left(path: Path) -> None:
    """Removes unfinished files of the same name, which hold ids too. Whoever still writes one holds its lock."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - left.stat().st_mtime > JUST_OPENED:
                left.unlink()
