"""Fingerprints: every setting and file that changes an outcome makes those assets stale whose outcome it changes."""

from pathlib import Path
from typing import Any

import dagster as dg

from dagster_defs import fingerprints, staleness
from dagster_defs.execution import open_instance
from dagster_defs.graph import AssetGraph
from found_platform.evaluation import scenarios
from found_platform.settings import Settings

REPLAY = {"tuned_prompts", "audience_members", "benchmark_results", "benchmark_report"}  # they ask the past again, or tell of it
PUBLISHED = {"user_index"}  # and what look-ups ask beside it
SNAPSHOTS = {"behavior_text", "behavior_sequence", "search_text", "user_tabular"}
TEXTS = {"text_vectors", "user_text_pairs", "found_model", "user_embeddings", "promotion"} | REPLAY
HORIZON = {"training_set", "user_text_pairs", "behavior_encoder", "tabular_encoder", "found_model", "promotion"} | REPLAY

STALE: dict[str, tuple[Any, set[str]]] = {
    "home": (Path("elsewhere"), set()),
    "profile": ("tiny", HORIZON | TEXTS | PUBLISHED),
    "horizon_days": (14, HORIZON),
    "lookback_days": (
        30,
        SNAPSHOTS
        | {"online_features", "training_set", "user_text_pairs", "found_model", "user_embeddings", "promotion"}
        | (PUBLISHED - {"user_index"})  # what is published reaches as far back as the log
        | REPLAY,
    ),
    "training_days": (90, {"training_set", "user_embeddings"} | PUBLISHED | REPLAY),
    "grid_days": (7, {"training_set", "user_embeddings"} | PUBLISHED | REPLAY),
    "sequence_length": (64, SNAPSHOTS),
    "search_length": (32, SNAPSHOTS),
    "quarantine_threshold": (0.1, {"quarantine"}),
    "consent_column": ("consent", {"tuned_prompts", "audience_members"}),
    "consent_purposes": ("email=consent", {"tuned_prompts", "audience_members"}),
    "encoder": ("another-encoder", TEXTS | PUBLISHED),
    "encoder_precision": ("bfloat16", TEXTS | PUBLISHED),
    "duckdb_memory": ("1GB", set()),
    "wait_minutes": (5.0, set()),
    "engine": ("sc://localhost:50051", set()),
    "engine_token": ("word", set()),
    "database_url": ("postgresql://found@localhost/found", set()),
    "console_url": ("http://127.0.0.1:8321", set()),
    "mlflow_url": ("http://127.0.0.1:5000", set()),
    "evidently_url": ("http://127.0.0.1:8000", set()),
    "redis_url": ("redis://localhost/0", set()),
    "lake_uri": ("s3://found/lakes", set()),
    "milvus_uri": ("http://localhost:19530", set()),
    "milvus_token": ("root:Milvus", set()),
    "milvus_import_uri": ("/shared/imports", set()),
    "milvus_index": ("HNSW", PUBLISHED),
    "rewriter": ("a-language-model", REPLAY),
    "rewriter_endpoint": ("http://localhost:8000", REPLAY),
    "rewriter_host": ("rewriter.example", set()),
    "owner": ("team:growth", set()),
    "automation": (True, set()),
    "retrain_at": ("0 4 * * *", set()),
    "retrain_cooldown_days": (14, set()),
    "keep_runs_days": (30, set()),
    "keep_versions_days": (3, set()),
    "keep_models_days": (30, set()),
    "retention": ("events=730", set()),
    "disk_free_gb": (50.0, set()),
    "retire_days": (60, set()),
    "alert_webhook": ("http://127.0.0.1:9/alerts", set()),
    "alert_secret": ("ab" * 32, set()),
    "alert_mail_to": ("ops@example.org", set()),
    "alert_mail_from": ("found@example.org", set()),
    "alert_smtp": ("127.0.0.1:25", set()),
    "alert_smtp_user": ("found", set()),
    "alert_smtp_password": ("word", set()),
    "oidc_issuer": ("https://login.example.org", set()),
    "oidc_client_id": ("found", set()),
    "oidc_client_secret": ("word", set()),
    "oidc_label": ("the shop", set()),
    "oidc_scopes": ("openid groups", set()),
    "oidc_roles": ("shop=viewer", set()),
    "oidc_roles_claim": ("roles", set()),
    "oidc_name_claim": ("email", set()),
    "secret": ("ab" * 16, set()),
}
"""By setting: another value, and the assets that it makes stale by itself, before what follows from them."""


def test_a_setting_makes_those_assets_stale_whose_outcome_it_changes(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assets = AssetGraph(settings).table
    before = {asset: fingerprints.settings_read(settings, asset) for asset in assets}
    assert STALE.keys() == Settings.model_fields.keys(), "a setting has no row: say which assets it makes stale"
    stale = {}
    for name, (value, _) in STALE.items():
        changed = Settings(**{"home": tmp_path, name: value})
        stale[name] = {asset for asset in assets if fingerprints.settings_read(changed, asset) != before[asset]}
    assert stale == {name: assets for name, (_, assets) in STALE.items()}


def test_every_setting_without_effect_exists() -> None:
    fields = {*Settings.model_fields, *(n for n, v in vars(Settings).items() if isinstance(v, property))}
    assert {name for name in fingerprints.WITHOUT_EFFECT if "." not in name} <= fields


def test_what_a_setting_makes_stale_is_told_of_a_home(settings: Settings) -> None:
    changed = AssetGraph(settings.model_copy(update={"milvus_index": "HNSW"}))
    with open_instance(settings) as instance:
        assert {s.asset for s in staleness.states(changed, instance) if s.stale} == PUBLISHED


def test_other_labels_in_the_same_file_make_the_benchmark_stale(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    labels = tmp_path / "labels.csv"
    labels.write_text("user_id,label\n1,1\n")
    (tmp_path / "benchmark.yaml").write_text(f"labels: {labels}\nscenarios: {tmp_path / 'scenarios.json'}\n")
    before = scenarios.fingerprint(settings)
    assert scenarios.fingerprint(settings) == before
    labels.write_text("user_id,label\n1,0\n")
    assert scenarios.fingerprint(settings) != before


WRITTEN_BESIDE = {"user_days": "raw_events"}
"""Tables that an asset writes besides the one of its name."""


def test_every_asset_declares_what_it_reads(settings: Settings) -> None:
    graph = AssetGraph(settings)
    undeclared, seen = {}, set()
    with open_instance(settings) as instance:
        for asset, row in graph.table.items():
            event = instance.get_latest_materialization_event(dg.AssetKey(asset))
            if event is None or event.asset_materialization is None:
                continue
            tables = event.asset_materialization.metadata["read_versions"].value
            assert isinstance(tables, dict)
            reads = {WRITTEN_BESIDE.get(t, t) for t in tables} & graph.table.keys() - {asset}
            seen |= reads
            if reads - row.reads.keys():
                undeclared[asset] = reads - row.reads.keys()
    assert undeclared == {}
    assert {"raw_events", "user_tabular", "user_embeddings", "text_vectors"} <= seen  # it is recorded at all
