"""`found audience find`: look users up."""

import contextlib
import hashlib
import io
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich import box
from rich.console import Console
from rich.table import Table

from found_platform.audiences import export, lookup
from found_platform.audiences.lookup import Audience, Question
from found_platform.cli.app import existing_home, print_json
from found_platform.cli.rewriter import understood
from found_platform.errors import BadInput
from found_platform.privacy import audit, keys
from found_platform.scoring import evidence
from found_platform.settings import Settings

TYPES = {"user_id": pa.string(), "score": pa.float64(), "probability": pa.float64(), "evidence": pa.string()}
OUTPUTS = {".parquet": "parquet", ".csv": "csv", ".json": "json"}


def find(question: Question, *, exclude: Path | None, home: Path, format: str, out: Path | None, **asked: Any) -> None:
    """Prints the users for a question, or writes them to a file and beside it where they come from."""
    lookup.check(question)
    if out is not None and out.suffix not in OUTPUTS:
        raise BadInput(f"--out is {out}: name it .parquet, .csv or .json.")
    if format == "parquet" and out is None:
        raise BadInput("Parquet does not go to a terminal: add --out FILE.parquet.")
    settings = Settings.load(existing_home(home))
    left_out = frozenset(keys.read_users(settings, exclude)) if exclude else frozenset()
    with contextlib.redirect_stdout(io.StringIO()):  # libraries may print while they load; stdout is for the answer
        audience = lookup.find(settings, question, exclude=left_out, **asked)
    content = None if out is None else encoded(OUTPUTS[out.suffix], audience)
    said = {**asdict(question), **{k: v for k, v in asked.items() if v}, "without_users": len(left_out) or None}
    if out is not None and content is not None:
        answered = {k: v for k, v in audience.as_dict().items() if k not in ("query", "users")}
        audit.record(
            settings,
            "export",
            question=said,
            rows=audience.count,
            model_version=audience.model_version,
            index_version=audience.index_version,
            reason=f"of a look-up, sha256 {hashlib.sha256(content).hexdigest()}",
        )
        export.place_with_provenance(out, content, {"question": {k: v for k, v in said.items() if v is not None}, **answered})
        print(f"{audience.count} users written to {out}", file=sys.stderr)
    elif format == "table":
        show(Console(highlight=False, markup=False), audience)
    elif format == "json":
        print_json(audience.as_dict())
    else:
        sys.stdout.write(encoded(format, audience).decode())


def encoded(format: str, audience: Audience) -> bytes:
    """An answer as JSON, CSV or Parquet."""
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    if format == "json":
        return json.dumps(audience.as_dict(), indent=1, default=str).encode()
    rows = [_row(user) for user in audience.as_dict()["users"]]
    names = ("user_id", "score", "probability", *(["evidence"] if any(r["evidence"] for r in rows) else []))
    table = pa.Table.from_pylist([{n: r[n] for n in names} for r in rows], schema=pa.schema([(n, TYPES[n]) for n in names]))
    sink = io.BytesIO()
    (pc.write_csv if format == "csv" else pq.write_table)(table, sink)
    return sink.getvalue()


def _row(user: Mapping[str, Any]) -> dict[str, Any]:
    said = user["evidence"]
    return {**user, "evidence": evidence.as_sentence([evidence.Evidence(**e) for e in said]) if said else None}


def show(console: Console, audience: Audience) -> None:
    """The answer as a table for a terminal, with what answered and as of when."""
    console.print(f"“{audience.query}”", style="bold", soft_wrap=True)
    for line in understood(audience.rewriting) if audience.rewriting else ():
        console.print(line, style="dim", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("user")
    table.add_column("score", justify="right")
    calibrated = any(u.probability is not None for u in audience.users)
    explained = any(u.evidence for u in audience.users)
    if calibrated:
        table.add_column("chance", justify="right")
    if explained:
        table.add_column("because of", overflow="fold")
    for rank, user in enumerate(audience.users, 1):
        cells = [str(rank), user.user_id, f"{user.score:.3f}"]
        cells += [f"{user.probability:.0%}" if user.probability is not None else ""] if calibrated else []
        cells += [evidence.as_sentence(user.evidence or [])] if explained else []
        table.add_row(*cells)
    console.print(table)
    how = "exact" if audience.exact else "approximate"
    console.print(
        f"{audience.count} users as of {audience.as_of}, model version {audience.model_version}, mode {audience.mode}, {how}: "
        f"{audience.reason}",
        soft_wrap=True,
    )
