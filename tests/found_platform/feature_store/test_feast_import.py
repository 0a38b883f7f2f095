"""Feast is imported without rewriting its source, and typeguard is left as it was."""

import subprocess
import sys

CODE = """
import typeguard, typeguard._decorators as decorators
kept, compiled = typeguard.typechecked, []
instrument = decorators.instrument
decorators.instrument = lambda function: compiled.append(function) or instrument(function)
from found_platform.feature_store import feast_import
feast_import.load()
import feast
assert feast.FeatureView
print(len(compiled), typeguard.typechecked is kept)
"""


def test_no_method_of_feast_is_compiled_again() -> None:
    process = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["0", "True"]
