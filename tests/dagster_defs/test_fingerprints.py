"""Fingerprints: every setting that changes an outcome makes just those assets stale whose outcome it changes."""

from typing import Any

import pytest
from conftest import SHARED  # noqa: F401
from dagster_defs import fingerprints, staleness
from dagster_defs.execution import open_instance
from dagster_defs.graph import AssetGraph
from found_platform.evaluation import scenarios
from found_platform.settings import Settings
