"""What the console carries of others, and what its pages may name."""

import hashlib
import json
import re

import pytest

from found_platform.serving.console.rendering import ENVIRONMENT, HERE, STATIC

VENDOR = STATIC / "vendor"
MANIFEST = json.loads((VENDOR / "manifest.json").read_text())["files"]
TEMPLATES = sorted((HERE / "templates").glob("*.html"))


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["file"])
def test_each_vendored_file_is_the_one_that_the_manifest_names(entry: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert (VENDOR / entry["license_file"]).read_text().strip()
    assert entry["package"]
    assert entry["version"]
    assert entry["license"]


def test_nothing_is_vendored_that_the_manifest_does_not_name() -> None:
    present = {path.name for path in VENDOR.iterdir() if path.is_file()}
    assert present == {"manifest.json", *(entry["file"] for entry in MANIFEST)}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_hold_nothing_that_a_strict_policy_forbids_and_no_address_elsewhere(template) -> None:
    text = template.read_text()
    ENVIRONMENT.get_template(template.name)
    assert not re.search(r"\sstyle\s*=", text), "styles stand in the style sheet"
    assert not re.search(r"\son[a-z]+\s*=", text), "scripts stand in console.js"
    assert not re.search(r"<script(?! src=\"/static/)", text)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text)
    assert not re.search(r"\bhx-on|\bjs:|\[[^\]]*\]\"", re.sub(r"pattern=\"[^\"]*\"", "", text)), "htmx would evaluate it"
    icons = set(re.findall(r'ui\.icon\("([a-z0-9-]+)"', text))
    symbols = set(re.findall(r'<symbol id="([a-z0-9-]+)"', (VENDOR / "icons.svg").read_text()))
    assert icons <= symbols
