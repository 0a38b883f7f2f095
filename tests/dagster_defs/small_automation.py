"""A home that nobody clicks in: its sensors and conditions are evaluated by hand, at a time that the test says."""

import datetime as dt
from collections import defaultdict
from collections.abc import Set as AbstractSet

import dagster as dg
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor

from dagster_defs.build import build_defs
from dagster_defs.jobs import JOB_OF
from found_platform.settings import Settings


class Daemon:
    """What Dagster's daemon does with the definitions of a home, tick by tick; runs are executed here, one after the other.

    The definitions are built at the start and at `reload`, as the code location of a server is.
    """

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, now: dt.datetime):
        self.settings, self.instance, self.now = settings, instance, now
        self.runs: list[str] = []  # of each run: its job and what it was of
        self._cursors: dict[str, str | None] = {}
        self._conditions: AssetDaemonCursor | None = None
        self.reload()

    def reload(self) -> None:
        self.defs = build_defs(Settings.load(self.settings.home), clock=lambda: self.now)

    def sensor(self, name: str) -> tuple[list[dg.RunRequest], str | None]:
        """A tick of a sensor: what it asks for, or why it asks for nothing."""
        repository = self.defs.get_repository_def()
        sensor = repository.get_sensor_def(name)
        context = dg.build_sensor_context(
            self.instance,
            cursor=self._cursors.get(name),
            repository_def=repository,
            sensor_name=name,
            instance_ref=self.instance.get_ref(),
        )
        tick = sensor.evaluate_tick(context)
        self._cursors[name] = tick.cursor
        return list(tick.run_requests or []), tick.skip_message

    def schedule(self, name: str, at: dt.datetime) -> tuple[list[dg.RunRequest], str | None]:
        """A tick of a schedule."""
        repository = self.defs.get_repository_def()
        context = dg.build_schedule_context(self.instance, scheduled_execution_time=at, repository_def=repository)
        tick = repository.get_schedule_def(name).evaluate_tick(context)
        return list(tick.run_requests or []), tick.skip_message

    def conditions(self) -> dict[str, AbstractSet[str | None]]:
        """A tick of the conditions: partitions by asset."""
        outcome = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self._conditions, evaluation_time=self.now)
        self._conditions = outcome.cursor
        names = [key.path[-1] for key in self.defs.get_repository_def().asset_graph.get_all_asset_keys()]
        requested = {name: outcome.get_requested_partitions(dg.AssetKey(name)) for name in names}
        return {name: keys for name, keys in requested.items() if keys}

    def execute(self, request: dg.RunRequest, job: str | None = None) -> bool:
        """A run as it was asked for. Whether it succeeded."""
        name = request.job_name or job
        assert name is not None
        outcome = self.defs.resolve_job_def(name).execute_in_process(
            asset_selection=list(request.asset_selection) if request.asset_selection else None,
            partition_key=request.partition_key,
            run_config=dict(request.run_config),
            tags=dict(request.tags),
            instance=self.instance,
            raise_on_error=False,
        )
        self.runs.append(f"{name} {request.partition_key or request.tags.get('dagster/asset_partition_range_end', '')}".strip())
        return outcome.success

    def settle(self, sensors: tuple[str, ...], ticks: int = 30) -> None:
        """Ticks of these sensors and of the conditions until none asks for anything."""
        for _ in range(ticks):
            self.reload()
            requests = [(self.defs.get_repository_def().get_sensor_def(n).job_name, r) for n in sensors for r in self.sensor(n)[0]]
            together: dict[tuple[str, str | None], list[str]] = defaultdict(list)
            for asset, keys in self.conditions().items():
                for key in keys:
                    together[JOB_OF[asset], key].append(asset)
            for (job, key), assets in together.items():
                selection = [dg.AssetKey(asset) for asset in assets]
                requests.append((job, dg.RunRequest(job_name=job, partition_key=key, asset_selection=selection)))
            if not requests:
                return
            for job, request in requests:
                assert self.execute(request, job), f"{job} {request.partition_key}: {request.asset_selection}"
        raise AssertionError(f"it does not come to rest: {self.runs}")
