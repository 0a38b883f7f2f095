"""Feast is imported without rewriting its source or loading PyTorch; typeguard is left as it was, whichever threads import it."""

import subprocess
import sys

import pytest

CODE = """
import sys, threading, typeguard, typeguard._decorators as decorators
kept, compiled = typeguard.typechecked, []
instrument = decorators.instrument
decorators.instrument = lambda function: compiled.append(function) or instrument(function)
from found_platform.feature_store import feast_import
threads = [threading.Thread(target=feast_import.load) for _ in range(4)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
import feast
assert feast.FeatureView
print(len(compiled), typeguard.typechecked is kept, "torch" in sys.modules)
from feast.online_response import get_torch
print(get_torch().ones(1).sum().item())
"""


@pytest.mark.slow
def test_no_method_of_feast_is_compiled_again_and_torch_is_loaded_where_it_is_asked_for() -> None:
    process = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["0", "True", "False", "1.0"]
