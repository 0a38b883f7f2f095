"""The graph: which assets, with which policy, and that a cutoff never maps to a day at or after it."""

import datetime as dt
import shutil
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from dagster_defs import fingerprints, links
from dagster_defs.build import build_assets, build_defs
from dagster_defs.execution import open_instance
from dagster_defs.graph import CUTOFF, DAILY, DAYS, HISTORY, NONE, AssetGraph
from found_platform import reports
from found_platform.contract import MAX_PARTITIONS
from found_platform.settings import Settings

AGAINST = "holds_against_the_champion"
"""A second check of the promotion: who loses waits, and no run fails by it."""

GROUPS = {
    "quarantine": "ingest",
    "raw_events": "ingest",
    "raw_profile": "ingest",
    "behavior_text": "features",
    "behavior_sequence": "features",
    "search_text": "features",
    "user_tabular": "features",
    "online_features": "features",
    "history": "features",
    "training_set": "training_data",
    "text_vectors": "training_data",
    "user_text_pairs": "training_data",
    "behavior_encoder": "pretrain",
    "tabular_encoder": "pretrain",
    "found_model": "align",
    "user_embeddings": "publish",
    "promotion": "publish",
    "user_index": "publish",
    "tuned_prompts": "audience",
    "audience_members": "audience",
    "benchmark_results": "benchmark",
    "benchmark_report": "benchmark",
    "feature_drift": "monitor",
}


@pytest.fixture(scope="module")
def own(settings: Settings) -> AssetGraph:
    return AssetGraph(settings)


@pytest.fixture(scope="module")
def specs(own: AssetGraph) -> dict[str, dg.AssetSpec]:
    return {spec.key.path[-1]: spec for asset in build_assets(own) for spec in asset.specs}


def test_there_are_exactly_these_assets_in_these_groups(specs: dict[str, dg.AssetSpec]) -> None:
    assert {name: spec.group_name for name, spec in specs.items()} == GROUPS


def test_every_asset_is_owned_described_versioned_and_of_a_kind(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        assert spec.owners, name
        assert spec.kinds, name
        assert spec.code_version, name
        assert len(spec.description or "") > 40, name


def test_every_asset_links_to_the_console_and_models_to_mlflow_where_their_addresses_are_set(settings: Settings) -> None:
    pages = ("console", "mlflow", "evidently")

    def linked(**addresses: str) -> dict[str, dict[str, str]]:
        graph = AssetGraph(settings.model_copy(update=addresses))
        specs = (spec for asset in build_assets(graph) for spec in asset.specs)
        return {spec.key.path[-1]: {key: value.value for key, value in spec.metadata.items() if key in pages} for spec in specs}

    assert not any(linked().values()), "nobody knows where a console is"
    assets = linked(console_url="https://found.example.org/", mlflow_url="http://127.0.0.1:5000")
    assert {
        name: about["console"] for name, about in assets.items() if name in ("raw_events", "promotion", "audience_members")
    } == {
        "raw_events": "https://found.example.org/data",
        "promotion": "https://found.example.org/models",
        "audience_members": "https://found.example.org/audiences",
    }
    assert all("console" in about for about in assets.values())
    assert {name for name, about in assets.items() if "mlflow" in about} == {"found_model", "promotion", "user_index"}
    assert assets["promotion"]["mlflow"] == "http://127.0.0.1:5000/#/models/found"
    links = {n: a["evidently"] for n, a in linked(evidently_url="http://127.0.0.1:8000").items() if "evidently" in a}
    assert links == {
        "feature_drift": f"http://127.0.0.1:8000{reports.pages(reports.FEATURE_DRIFT)}",
        "benchmark_report": f"http://127.0.0.1:8000{reports.pages(reports.BENCHMARK)}",
    }


def test_what_a_run_made_links_to_its_version_its_audience_and_its_report(settings: Settings) -> None:
    graph = AssetGraph(
        settings.model_copy(update={"console_url": "http://c", "mlflow_url": "http://m", "evidently_url": "http://e"})
    )

    def of(asset: str, key: str, **metadata: str) -> dict[str, str]:
        return {name: str(value.value) for name, value in links.of_run(graph, asset, [key], metadata).items()}

    assert of("promotion", "2026-03-01", model_version="7") == {
        "model_in_console": "http://c/models/7",
        "model_in_mlflow": "http://m/#/models/found/versions/7",
    }
    assert of("audience_members", "gold") == {"audience_in_console": "http://c/audiences/gold"}
    assert of("feature_drift", "2026-03-01", report="x") == {
        "report_in_console": "http://c/api/v1/drift/2026-03-01/page",
        "report_in_evidently": f"http://e{reports.page(reports.FEATURE_DRIFT, '2026-03-01')}",
    }
    assert of("feature_drift", "2026-03-01") == {}, "there was nothing to compare"


def test_ingest_features_model_and_promotion_have_a_blocking_check_and_drift_warns(own: AssetGraph) -> None:
    checks = {c.asset_key.path[-1]: c.blocking for a in build_assets(own) for c in a.check_specs if c.name != AGAINST}
    blocking = dict.fromkeys(["quarantine", "behavior_sequence", "user_tabular", "found_model", "promotion"], True)
    assert [c.blocking for a in build_assets(own) for c in a.check_specs if c.name == AGAINST] == [False]
    assert checks == {
        **blocking,
        "feature_drift": False,
        "history": False,
        "tuned_prompts": False,
        "audience_members": False,
        "user_embeddings": False,
    }


def test_partitions_are_days_and_stay_under_the_limit(own: AssetGraph) -> None:
    first, end = own.span.start, own.span.end
    for name, row in own.table.items():
        kind = row.partitions
        keys = own.keys(name)
        assert len(keys) < MAX_PARTITIONS
        if kind == DAILY:
            assert (keys[0], keys[-1]) == (str(first), str(end - dt.timedelta(days=1)))
        if kind == CUTOFF:
            assert (keys[0], keys[-1]) == (str(first + dt.timedelta(days=1)), str(end))


def upstream_days(graph, asset: str, upstream: str, key: str) -> list[str]:
    """What Dagster itself resolves a key of an asset to."""
    child, parent = dg.AssetKey(asset), dg.AssetKey(upstream)
    definition = graph.get(child).partitions_def
    mapping = graph.get_partition_mapping(child, parent)
    result = mapping.get_upstream_mapped_partitions_result_for_partitions(
        definition.subset_with_partition_keys([key]), definition, graph.get(parent).partitions_def
    )
    return sorted(result.partitions_subset.get_partition_keys())


def resolved(settings: Settings, serialised: bool):
    repository = build_defs(settings).get_repository_def()
    if not serialised:
        return repository.asset_graph
    from dagster._core.remote_representation.external_data import RepositorySnap
    from dagster._serdes import deserialize_value, serialize_value

    snap = deserialize_value(serialize_value(RepositorySnap.from_def(repository)), RepositorySnap)

    return Serialised({n.asset_key: n for n in snap.asset_nodes})


class Serialised:
    """The graph as another process reads it: partitions and mappings that have been through Dagster's serialisation."""

    def __init__(self, nodes: dict) -> None:
        self.nodes = nodes

    def get(self, key: dg.AssetKey) -> SimpleNamespace:
        node = self.nodes[key]
        parents = {edge.parent_asset_key for edge in node.parent_edges}
        return SimpleNamespace(partitions_def=node.partitions and node.partitions.get_partitions_definition(), parent_keys=parents)

    def get_partition_mapping(self, child: dg.AssetKey, parent: dg.AssetKey) -> dg.PartitionMapping:
        return next(e.partition_mapping for e in self.nodes[child].parent_edges if e.parent_asset_key == parent)


@pytest.mark.parametrize("serialised", [False, True])
def test_a_cutoff_follows_from_the_history_and_from_its_own_cutoff_also_as_the_ui_sees_it(
    settings: Settings, own: AssetGraph, serialised: bool
) -> None:
    """No day is an upstream of a cutoff for Dagster: it would read the cutoff's own day, or all days."""
    graph = resolved(settings, serialised)
    from_history = set()
    for asset, row in own.table.items():
        if row.partitions != CUTOFF:
            continue
        upstreams = {key.path[-1] for key in graph.get(dg.AssetKey(asset)).parent_keys}
        assert upstreams == own.upstreams(asset).keys()
        assert {own.table[upstream].partitions for upstream in upstreams} <= {CUTOFF, NONE}
        assert {u for u in upstreams if own.table[u].partitions == CUTOFF} == {
            u for u in row.reads if own.table[u].partitions == CUTOFF
        }
        from_history |= {asset} if HISTORY in upstreams else set()
        for upstream in upstreams - {HISTORY}:
            assert row.reads[upstream] is None
            mapping = graph.get_partition_mapping(dg.AssetKey(asset), dg.AssetKey(upstream))
            assert mapping is None or isinstance(mapping, dg.IdentityPartitionMapping)
    assert from_history == {a for a, row in own.table.items() if row.partitions == CUTOFF and any(row.reads.values())}
    assert {key.path[-1] for key in graph.get(dg.AssetKey(HISTORY)).parent_keys} == set(DAYS)


def test_a_cutoff_reads_only_days_before_it(own: AssetGraph) -> None:
    checked = 0
    for row in own.table.values():
        for upstream, read in row.reads.items():
            if row.partitions == CUTOFF and own.table[upstream].partitions == DAILY:
                assert read is not None
                assert fingerprints.days_read("2026-03-01", read)[1] == "2026-02-28"
                checked += 1
    assert checked > 10


def test_a_day_at_or_after_a_cutoff_changes_nothing_of_it_and_one_before_does(
    settings: Settings, cutoff: dt.date, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(settings.home, home, ignore=shutil.ignore_patterns("lake", "index", "simulated"))
    graph, key = AssetGraph(settings.model_copy(update={"home": home})), str(cutoff)
    reading = [asset for asset, row in graph.table.items() if row.partitions == CUTOFF and any(row.reads.values())]

    reading.remove("benchmark_results")  # it asks for labels, which are not there

    def of_the_cutoff(instance: dg.DagsterInstance) -> dict[str, str]:
        return {asset: fingerprints.of(graph, instance, asset, [key])[key] for asset in reading}

    with open_instance(graph.settings) as instance:
        before, history = of_the_cutoff(instance), fingerprints.of(graph, instance, HISTORY, [])
        for days, changed in ((0, False), (3, False), (-1, True)):
            for table in DAYS:
                about = {"fingerprint": "x", "rows_hash": "other rows", "dagster/partition_row_count": 1}
                day = str(cutoff + dt.timedelta(days=days))
                instance.report_runless_asset_event(dg.AssetMaterialization(table, partition=day, metadata=about))
            now = of_the_cutoff(instance)
            assert {asset for asset in before if now[asset] != before[asset]} == (before.keys() if changed else set())
            assert history != fingerprints.of(graph, instance, HISTORY, []), "a history tells of every day"
            history = fingerprints.of(graph, instance, HISTORY, [])


def test_a_snapshot_reads_its_lookback_and_its_own_day(settings: Settings, own: AssetGraph) -> None:
    graph = resolved(settings, False)
    short = AssetGraph(settings.model_copy(update={"lookback_days": 5}))
    assert len(upstream_days(resolved(short.settings, False), "behavior_sequence", "raw_events", own.keys("raw_events")[20])) == 5
    assert upstream_days(graph, "behavior_text", "raw_events", own.keys("raw_events")[7]) == [own.keys("raw_events")[7]]


@pytest.mark.slow
def test_the_graph_loads_before_anything_has_run(tmp_path) -> None:
    dg.Definitions.validate_loadable(build_defs(Settings.load(tmp_path)))
