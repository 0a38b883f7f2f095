"""What `found source init` writes for files, checked."""

from pathlib import Path

import yaml

from found_platform.sources import config, examination, init


def draft(folder: Path, *paths: Path) -> tuple[dict, list[str]]:
    """What is written for files: the source file's content, which passes the check, and its questions."""
    out = folder / "shop.yaml"
    written = init.write(paths or [folder], out=out, force=True)
    examination.check(config.load(out))
    return yaml.safe_load(written.text), written.questions


def entry(folder: Path, *paths: Path, channel: str = "pay_bill") -> dict:
    return draft(folder, *paths)[0]["channels"][channel]
