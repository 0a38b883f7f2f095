"""The Dagster UI as a product: what a person finds there has a name, an owner, a description, figures to plot and a next step."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.metadata import JsonMetadataValue

from dagster_defs import checks, jobs, service
from dagster_defs.build import build_defs
from dagster_defs.execution import open_instance
from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import in_home, in_words
from found_platform.errors import BadInput, JobFailed
from found_platform.settings import Settings

IN_JSON = {"read_versions"}
"""Metadata that are no figure: which version of each table a run has read."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> dg.RepositoryDefinition:
    return build_defs(Settings.load(tmp_path_factory.mktemp("home"), owner="team:growth")).get_repository_def()


def is_described(text: str | None) -> bool:
    return text is not None and len(text) > 25 and text.strip().endswith(".")


def test_every_asset_has_the_owner_of_the_setting_a_kind_a_tag_and_a_freshness_policy(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    for key in graph.get_all_asset_keys():
        node, name = graph.get(key), key.path[-1]
        assert list(node.owners) == ["team:growth"], name
        assert node.kinds, name
        assert node.tags["domain"] == node.group_name, name
        assert is_described(node.description), name
        assert node.freshness_policy is not None, name


def test_every_check_job_sensor_and_schedule_says_what_it_is_for(repository: dg.RepositoryDefinition) -> None:
    for asset, of_asset in checks.CHECKS.items():
        assert {spec.name for spec in checks.specs(asset)} == of_asset.keys()
        assert all(is_described(spec.description) for spec in checks.specs(asset)), asset
    named = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    assert {job.name for job in named} == {*jobs.JOBS, *service.OPS}
    for definition in [*named, *repository.sensor_defs, *repository.schedule_defs]:
        assert is_described(definition.description), definition.name


def test_every_asset_is_in_one_job_and_a_job_takes_one_cutoff_or_one_day(repository: dg.RepositoryDefinition) -> None:
    table = AssetGraph(Settings.load(Path("nowhere"))).table
    assert sorted(asset for job in jobs.JOBS.values() for asset in job.assets) == sorted(table)
    for name, job in jobs.JOBS.items():
        kinds = {table[asset].partitions for asset in job.assets} - {"none"}
        assert len(kinds) == 1, name
        assert repository.get_job(name).partitions_def is not None, name


def test_what_the_demo_has_run_bears_names_and_tags_that_a_person_looks_for(settings: Settings) -> None:
    with open_instance(settings) as instance:
        runs = [run for run in instance.get_runs() if run.is_success]
    assert {run.job_name for run in runs} >= {jobs.INGEST, jobs.TRAIN, jobs.PUBLISH, jobs.DRIFT}
    assert not [run.job_name for run in runs if run.job_name.startswith("__")]
    assert all(
        run.tags["found/source"] == "simulated" for run in runs if run.job_name in jobs.JOBS and run.job_name != jobs.REFRESH
    )
    assert all(run.tags["found/cutoff"] for run in runs if run.job_name in (jobs.TRAIN, jobs.PUBLISH))
    assert {run.tags.get("found/model") for run in runs if run.job_name == jobs.PUBLISH} - {None}


def test_figures_are_numbers_that_dagster_plots(settings: Settings) -> None:
    plotted: dict[str, set[str]] = {}
    with open_instance(settings) as instance:
        for asset in AssetGraph(settings).table:
            event = instance.get_latest_materialization_event(dg.AssetKey(asset))
            if event is None or event.asset_materialization is None:
                continue
            metadata = event.asset_materialization.metadata
            assert {name for name, value in metadata.items() if isinstance(value, JsonMetadataValue)} <= IN_JSON, asset
            numbers = (dg.IntMetadataValue, dg.FloatMetadataValue)
            plotted[asset] = {name for name, value in metadata.items() if isinstance(value, numbers)}
            assert not [name for name, value in metadata.items() if str(value.value).startswith("file://")], asset
    assert {"bad_share", "rows_read", "good_rows"} <= plotted["quarantine"]
    assert {"future_auc", "phrase_auc", "users"} <= plotted["promotion"]
    assert "recall_at_100" in plotted["user_index"]
    assert {"drifted_figures", "not_judged_figures"} <= plotted["feature_drift"]
    assert {"seconds", "held_out_auc"} <= plotted["found_model"]


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (BadInput("The file a.csv does not exist."), "The file a.csv does not exist."),
        (JobFailed("The index is busy."), "The index is busy."),
        (RuntimeError("the disk is full"), "the_asset failed: the disk is full"),
        (KeyError(), "the_asset failed: no reason was given"),
    ],
)
def test_a_failure_ends_with_the_next_step_and_names_no_class(error: Exception, what: str) -> None:
    @dg.op
    def the_asset() -> None:
        with in_words("the_asset"):
            raise error

    @dg.job
    def a_job() -> None:
        the_asset()

    result = a_job.execute_in_process(raise_on_error=False)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.description == what
    step = str(failure.user_failure_data.metadata["next_step"].value)
    assert "press Re-execute" in step
    assert "Error" not in what + step


def test_a_path_of_metadata_is_text_below_the_home_which_may_be_moved(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home")
    report = settings.home / "monitoring" / "report.html"
    assert in_home(settings, dg.MetadataValue.path(str(report))) == dg.MetadataValue.text("monitoring/report.html")
    elsewhere = dg.MetadataValue.path(str(tmp_path / "x"))
    assert in_home(settings, elsewhere) == elsewhere
    assert in_home(settings, 7) == 7
