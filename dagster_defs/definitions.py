"""The code location that Dagster loads: all definitions for the home that `FOUND_HOME` names (default `.found`)."""

import os

from dagster_defs.build import build_defs
from found_platform import home, logs

os.umask(home.PRIVATE_UMASK)  # Dagster's processes start here
logs.install()
defs = build_defs()
