"""What commands load before they answer: a library that takes seconds to import is loaded by those that need it alone."""

import json
import subprocess
import sys

import pytest

from found_platform.settings import Settings

MODELS = {"transformers", "mlflow", "feast", "evidently", "pymilvus", "peft", "accelerate"}
NUMBERS = {"torch", "sklearn", "scipy"}
GRAPH = {"dagster", "sqlalchemy", "alembic", "ibis"}
COMPILER = {"torch._dynamo", "sympy", "torch.distributed.tensor"}

COMMANDS = """
import contextlib, io, json, sys
from found_platform.cli.app import app
from found_platform.errors import BadInput
for arguments, banned in json.loads(sys.argv[1]):
    out, refusal = io.StringIO(), ""
    with contextlib.redirect_stdout(out):
        try:
            app(arguments, standalone_mode=False)
        except BadInput as error:
            refusal = str(error)
    print(json.dumps([sorted(set(banned) & set(sys.modules)), out.getvalue(), refusal]))
"""


def loaded(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def calls(*commands: tuple[list[object], set[str]]) -> list[tuple[list[str], str, str]]:
    """Of each command, one after the other in a new process: the banned modules that are loaded, its output and its refusal."""
    request = json.dumps([([str(argument) for argument in arguments], sorted(banned)) for arguments, banned in commands])
    finished = subprocess.run([sys.executable, "-c", COMMANDS, request], capture_output=True, text=True, check=True)
    return [tuple(json.loads(line)) for line in finished.stdout.splitlines()]


def test_help_loads_no_heavy_library() -> None:
    heavy = MODELS | NUMBERS | GRAPH | {"pandas", "pyarrow", "duckdb", "deltalake"}
    assert loaded(f"import sys; from found_platform.cli.app import app; print({heavy!r} & set(sys.modules) or '')") == ""


@pytest.mark.slow
def test_the_code_location_loads_no_model_library() -> None:
    heavy = MODELS | {"torch", "sklearn"}
    assert loaded(f"import sys; import dagster_defs.definitions; print({heavy!r} & set(sys.modules) or '')") == ""


def test_the_graph_as_data_loads_no_dagster() -> None:
    assert loaded(f"import sys; from dagster_defs import graph, staleness; print({GRAPH!r} & set(sys.modules) or '')") == ""


def test_a_command_loads_what_its_answer_needs_and_no_more(settings: Settings) -> None:
    home: list[object] = ["--home", settings.home]
    from dagster_defs import staleness

    states = staleness.of_home(settings)  # every event of the log is read now
    question = ["audience", "find", "people who will soon buy gold", "--top", 3, "--format", "json", *home]
    status, listed, refused, audience = calls(
        (["status", "--format", "json", *home], MODELS | NUMBERS | GRAPH),
        (["audience", "list", *home], MODELS | NUMBERS | GRAPH),
        ([*question, "--where", "evens_28d >= 3"], MODELS | NUMBERS | GRAPH),
        (question, MODELS | GRAPH | COMPILER),
    )
    assert [status[0], listed[0], refused[0], audience[0]] == [[], [], [], []]
    assert {asset["asset"]: len(asset["made"]) for asset in json.loads(status[1])["assets"]} == {
        s.asset: len(s.materialized) for s in states
    }
    assert "did you mean events_28d" in refused[2]
    assert len(json.loads(audience[1])["users"]) == 3
