"""Code versions: a change makes those assets stale that can reach it, and no others."""

import ast
import contextlib
import datetime as dt
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pytest

from dagster_defs import code_version, runs, source_tree
from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import AssetRun
from found_platform import workers
from found_platform.audiences import specification
from found_platform.audiences.lookup import Question
from found_platform.settings import Settings

TREE = {
    "dagster_defs/assets/shop.py": """
from found_platform import counting, plugins, prices
from dagster_defs.materialization import asset
def build(graph):
    settings = graph.settings
    @asset(graph, "sums", kinds={"duckdb"})
    def sums(run):
        return run.written(prices.total(settings, run.days))
    def table(name, description):
        @asset(graph, name, kinds=set())
        def written(run):
            return helper(run)
        return written
    def helper(run):
        return counting.REGISTRY, settings.grid_days, plugins.load()
    return [sums, table("counts", "How many there are.")]
""",
    "found_platform/__init__.py": "",
    "found_platform/prices.py": """
from found_platform import words
LIMIT = 3
OTHER = 4
def total(settings, days):
    '''All of it.'''
    return min(LIMIT, settings.lookback_days, settings.sizes.horizon_days)  # at most
def unused():
    return OTHER
def described():
    return words.read("words.yaml")
""",
    "found_platform/words.py": "def read(name): return name\n",
    "found_platform/words.yaml": "a: 1\n",
    "found_platform/counting/__init__.py": """
from found_platform.counting import by_hand, registry
from found_platform.counting.registry import REGISTRY
""",
    "found_platform/counting/registry.py": """
REGISTRY = {}
def counts(function):
    REGISTRY[function.__name__] = function
    return function
""",
    "found_platform/counting/by_hand.py": """
from found_platform.counting.registry import counts
@counts
def one():
    return ["python", "-m", "found_platform.program"]
""",
    "found_platform/program.py": "def main(): return 1\n",
    "found_platform/plugins/__init__.py": """
import importlib, pkgutil
def load():
    return [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
""",
    "found_platform/plugins/one.py": "NAME = 1\n",
}


def codes(folder: Path) -> dict[str, str]:
    """Writes TREE. Returns the code of each of its assets."""
    for name, content in TREE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return {asset: reach.code for asset, reach in code_version.compute(folder).items()}


def changed(folder: Path, file: str, old: str, new: str) -> set[str]:
    """The assets whose code is another one after a change of a file."""
    before = codes(folder)
    assert old in TREE[file]
    (folder / file).write_bytes(TREE[file].replace(old, new).encode())
    return {a for a, r in code_version.compute(folder).items() if r.code != before[a]}


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("found_platform/prices.py", "LIMIT = 3", "LIMIT = 5", {"sums"}),
        ("found_platform/prices.py", "OTHER = 4", "OTHER = 5", set()),  # in the same file, and out of reach
        ("found_platform/prices.py", "'''All of it.'''", "'''Everything.'''", set()),
        ("found_platform/prices.py", "  # at most", "", set()),
        ("found_platform/prices.py", "\n", "\r\n", set()),
        ("found_platform/prices.py", "return OTHER", "return 0", set()),
        ("found_platform/counting/by_hand.py", '"python"', '"python3"', {"counts"}),  # reached by the decorator that registers it
        ("found_platform/program.py", "return 1", "return 2", {"counts"}),  # named in the command of a process
        ("found_platform/plugins/one.py", "NAME = 1", "NAME = 2", {"counts"}),  # loaded by its package
        ("dagster_defs/assets/shop.py", "settings.grid_days", "settings.training_days", {"counts"}),  # of a helper beside it
        ("found_platform/words.yaml", "a: 1", "a: 2", set()),
        ("found_platform/prices.py", "def total(settings, days):", "def total(settings, days):\n    described()", {"sums"}),
    ],
)
def test_a_change_counts_for_who_can_reach_it(tmp_path: Path, file: str, old: str, new: str, stale: set[str]) -> None:
    assert changed(tmp_path, file, old, new) == stale


def test_package_data_count_for_who_reads_them(tmp_path: Path) -> None:
    codes(tmp_path)
    path = tmp_path / "found_platform" / "prices.py"
    path.write_text(TREE["found_platform/prices.py"].replace("return min(", "return described(), min("))
    before = code_version.compute(tmp_path)
    assert "data:words.yaml" in before["sums"].definitions
    (tmp_path / "found_platform" / "words.yaml").write_text("a: 2\n")
    after = code_version.compute(tmp_path)
    assert {a for a in after if after[a].code != before[a].code} == {"sums"}


def test_the_settings_that_code_reads_are_told(tmp_path: Path) -> None:
    codes(tmp_path)
    reaches = code_version.compute(tmp_path)
    assert reaches["sums"].settings == {"lookback_days", "sizes.horizon_days"}
    assert reaches["counts"].settings == {"grid_days"}


def test_every_asset_has_its_own_reach(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path)
    reaches = {asset: code_version.reach(settings, asset) for asset in AssetGraph(settings).table}
    features = {d for d in reaches["raw_events"].definitions if d.startswith("found_platform.features.tabular:")}
    assert not features
    assert any(d.startswith("found_platform.training.tasks:") for d in reaches["found_model"].definitions)  # another process
    assert "data:templates.yaml" in reaches["user_text_pairs"].definitions
    assert {"data:en.yaml", "data:de_acts.yaml", "data:floors.yaml"} <= reaches["audience_members"].definitions
    assert "data:pay_bill.yaml" in reaches["behavior_sequence"].definitions  # a folder of files that is listed
    assert not any(d.startswith("models.") for d in reaches["training_set"].definitions)
    assert not (tmp_path / "dagster").exists()  # nothing is written where there is no home


def test_what_is_reached_is_kept_while_nobody_edits_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(tmp_path)
    settings.dagster_home.mkdir()
    first = code_version.reach(settings, "raw_events")
    code_version._reaches.cache_clear()
    code_version._computed.cache_clear()
    monkeypatch.setattr(code_version, "compute", lambda root: pytest.fail("it is computed, and not read"))
    assert code_version.reach(settings, "raw_events") == first


@contextlib.contextmanager
def calls_within(names: set[str]) -> Iterator[None]:
    """Collects "module:name" of the first-party functions and classes that are called.

    Left out is what an import calls, and what is called by code without effect.
    """
    folders = {str(code_version.ROOT / package) + "/" for package in source_tree.PACKAGES}

    def ours(frame: FrameType) -> bool:
        return any(frame.f_code.co_filename.startswith(folder) for folder in folders)

    def profile(frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_qualname.split(".")[0]
        if event != "call" or not ours(frame) or name.startswith("<"):
            return
        caller = frame.f_back
        if caller is not None and caller.f_code.co_filename.endswith("/dagster_defs/materialization.py"):  # records the run
            return
        if caller is not None and caller.f_code.co_filename.endswith("/warnings.py"):  # what the command line shows of warnings
            return
        while caller is not None:
            if ours(caller) and (caller.f_code.co_name == "<module>" or caller.f_globals["__name__"] in source_tree.WITHOUT_EFFECT):
                return
            caller = caller.f_back
        names.add(f"{frame.f_globals['__name__']}:{name}")

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "asset", ["user_tabular", "text_vectors", "user_text_pairs", "promotion", "user_index", "audience_members"]
)
def test_what_an_asset_calls_is_in_its_reach(
    settings: Settings, cutoff: dt.date, tmp_path: Path, asset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Settings.load(Path(shutil.copytree(settings.home, tmp_path / "found")))
    called: set[str] = set()
    guarded = AssetRun.guarded

    @contextlib.contextmanager
    def watched(run: AssetRun) -> Iterator[None]:
        with guarded(run), calls_within(called):
            yield

    monkeypatch.setattr(AssetRun, "guarded", watched)
    if asset == "audience_members":
        specification.save(copy, specification.draft(copy, audience="gold", question=Question(sentence="gold"), top=20))
        runs.refresh(copy, "gold")
    else:
        runs.materialize(copy, asset, str(cutoff - dt.timedelta(days=1) if asset == "user_tabular" else cutoff))
    reached = code_version.reach(copy, asset).definitions
    free = {source_tree.SETTINGS, *source_tree.WITHOUT_EFFECT}
    assert len(called) > 10
    assert sorted(name for name in called - reached if name.split(":")[0] not in free) == []


def test_a_source_tree_that_is_read_beside_this_process_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = codes(tmp_path)
    monkeypatch.setattr(code_version, "ROOT", tmp_path)
    monkeypatch.setattr(code_version, "_state", lambda: "a state of this test")
    monkeypatch.setattr(code_version, "_begun", {})
    settings = Settings.load(tmp_path / "home")
    code_version.begin(settings)
    assert not code_version._begun, "nothing forks: it is read when somebody asks"
    with workers.beside():
        code_version.begin(settings)
        monkeypatch.setattr(code_version, "Tree", None)
        assert {asset: code_version.reach(settings, asset).code for asset in expected} == expected
    settings.dagster_home.mkdir(parents=True)
    (settings.dagster_home / "reach.json").write_text('{"state": "a state of this test"}')
    with workers.beside():
        code_version.begin(settings)
    assert not code_version._begun, "what is kept holds"


def test_runs_that_begin_at_the_same_time_read_the_source_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that parse at the same time fail in Python 3.11."""
    calls = []

    def compute(root: Path) -> dict[str, code_version.Reach]:
        calls.append(root)
        time.sleep(0.3)
        return {"user_index": code_version.Reach("code", frozenset(), frozenset())}

    monkeypatch.setattr(code_version, "compute", compute)
    monkeypatch.setattr(code_version, "_begun", {})
    code_version._computed.cache_clear()
    homes = [Settings(home=tmp_path / str(i)) for i in range(4)]
    try:
        with ThreadPoolExecutor(4) as pool:
            codes = {reach.code for reach in pool.map(lambda home: code_version.reach(home, "user_index"), homes)}
        assert (codes, len(calls)) == ({"code"}, 1)
    finally:
        code_version._computed.cache_clear()
        code_version._reaches.cache_clear()


def test_several_threads_read_the_source_at_once() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            read = [*pool.map(lambda _: set(source_tree.Tree(code_version.ROOT).bodies()), range(4))]
    finally:
        sys.setswitchinterval(interval)
    assert read == [read[0]] * 4


def test_every_part_of_a_source_file_is_walked_in_the_order_of_pythons_own_walk() -> None:
    tree = ast.parse(Path(source_tree.__file__).read_bytes())
    parts = [part for part in ast.walk(tree) if not isinstance(part, ast.expr_context)]
    assert len(parts) > 1000
    assert source_tree._walked(tree) == parts
