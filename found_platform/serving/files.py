"""Exports as downloads: the file that the use case writes, sent once and removed. No copy stays on the server."""

import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path

from starlette.responses import Response

from found_platform.app import audiences
from found_platform.app.context import Context

MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


def export(context: Context, name: str, format: str, with_holdout: bool = False) -> Response:
    """The members of an audience as a file. Where they come from is in headers: refresh, versions, counts and the hash."""
    folder = Path(tempfile.mkdtemp(prefix="found-export-"))
    try:
        stem = name if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name) else "audience"
        path = folder / f"{stem}.{format}"
        exported = audiences.export(context, audiences.Export(name, path, with_holdout))
        content = path.read_bytes()
        provenance = json.loads(exported.provenance.read_text())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    headers = {
        "content-disposition": f'attachment; filename="{path.name}"',
        "found-sha256": hashlib.sha256(content).hexdigest(),
        "found-users": str(exported.users),
        "found-refresh": str(provenance["refresh"]),
        "found-as-of": str(provenance["as_of"]),
        "found-model-version": str(provenance["model_version"]),
        "found-index-version": str(provenance["index_version"]),
        "found-held-out": str(exported.held_out),
        "found-kept-back": str(exported.kept_back),
    }
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)
