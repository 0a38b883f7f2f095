"""Code versions: a change makes those assets stale that can reach it, and no others."""

from pathlib import Path

import pytest

from dagster_defs import code_version
from dagster_defs.graph import AssetGraph
from found_platform.settings import Settings

TREE = {
    "dagster_defs/assets/shop.py": """
from found_platform import counting, prices
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
        return counting.REGISTRY, settings.grid_days
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
    assert {"data:words.yaml", "data:floors.yaml"} <= reaches["audience_members"].definitions
    assert not any(d.startswith("models.") for d in reaches["training_set"].definitions)
    assert not (tmp_path / "dagster").exists()  # nothing is written where there is no home


def test_what_is_reached_is_kept_while_nobody_edits_the_code(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path)
    settings.dagster_home.mkdir()
    first = code_version.reach(settings, "raw_events")
    code_version._reaches.cache_clear()
    code_version._computed.cache_clear()
    assert code_version.reach(settings, "raw_events") == first
    assert code_version._computed.cache_info().misses == 0  # read, not computed
