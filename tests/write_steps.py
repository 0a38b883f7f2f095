"""Killing a process at each of its write steps, for tests: what a step is, and a program that forks for each try.

A step is the commit of a SQLite database, a commit of a Delta table, a file or folder that gets its name, is opened for writing or
goes, a call that changes the index, or what MLflow is told. Steps of one kind (the same asset, call and place; numbers and names
made by chance count as the same) are one: the process ends itself by SIGKILL right before the first one that no try before it has
died at.

`python write_steps.py` reads lines `HOME KILLED ARGUMENT…` from stdin and answers each with how a forked process ended: its imports
are made once, and a try costs what it does.
"""

import json
import os
import re
import shlex
import signal
import sqlite3
import sqlite3.dbapi2
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

BY_CHANCE = re.compile(r"(?<=/\.)\w{8}(?=\.)|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8,}|(tmp|found-spill-)\w{8}|\d+")
UNFINISHED = re.compile(r"\.partial|\.building|/building/")
"""What is opened under such a name is nothing yet: the step is when it gets its own."""

WRITES = os.O_WRONLY | os.O_RDWR
NOT_OF_THE_STATE = ("locks/", "tmp/", "dagster/storage/")
"""Below a home: who works at the moment, what is thrown away with the process, and what steps printed."""

DELTA = {"lake": ("write_deltalake",), "daily": ("write_deltalake",)}
INDEX = ("create_collection", "insert", "flush", "create_index", "load_collection", "drop_collection")
REGISTRY = (
    "create_run",
    "log_batch",
    "set_terminated",
    "create_registered_model",
    "create_model_version",
    "set_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "log_artifacts",
)


class Steps:
    """The steps of this process in a home; `killed` is the file with the kinds that processes have died at."""

    def __init__(self, home: Path, killed: Path):
        self._home, self._killed = str(home.resolve()) + "/", killed
        self._before = set(killed.read_text().splitlines()) if killed.exists() else set()
        self._turn = threading.RLock()

    def at(self, call: str, path: object) -> None:
        """A step is about to be done."""
        place = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)
        if os.sep in place:
            place = os.path.abspath(place)
            if not place.startswith(self._home) or place[len(self._home) :].startswith(NOT_OF_THE_STATE):
                return
            place = place[len(self._home) :]
        from found_platform import logs

        kind = json.dumps([logs._fields.get().get("asset", ""), call, BY_CHANCE.sub("#", place)])
        with self._turn:
            if kind in self._before:
                return
            with self._killed.open("a") as file:
                file.write(kind + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, owner: Any, name: str, place: Callable[..., object]) -> None:
        """Makes each call of a function a step."""
        function = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            self.at(name, place(*args, **options))
            return function(*args, **options)

        setattr(owner, name, call)

    def install(self) -> None:
        import pymilvus
        from mlflow import MlflowClient

        from found_platform import daily, lake

        sys.addaudithook(self._audited)
        steps = self

        class Connection(sqlite3.Connection):
            path = ""

            def commit(self) -> None:
                if self.in_transaction:
                    steps.at("commit", self.path)
                super().commit()

            def execute(self, query: str, *values: Any) -> sqlite3.Cursor:  # pyright: ignore[reportIncompatibleMethodOverride]
                if query.lstrip().upper().startswith("COMMIT"):
                    steps.at("commit", self.path)
                return super().execute(query, *values)

            def __exit__(self, kind: Any, *error: Any) -> Any:
                if kind is None and self.in_transaction:
                    steps.at("commit", self.path)
                return super().__exit__(kind, *error)

        def connect(database: Any, *args: Any, **options: Any) -> sqlite3.Connection:
            con = real(database, *args, **{"factory": Connection, **options})
            if isinstance(con, Connection):
                con.path = str(database).removeprefix("file:").partition("?")[0]
            return con

        real = sqlite3.connect
        sqlite3.connect = sqlite3.dbapi2.connect = connect
        for module in (lake, daily):
            self.before(
                module, "write_deltalake", lambda table, *_, **__: str(getattr(table, "table_uri", table)).removeprefix("file://")
            )
        self.before(lake.DeltaTable, "create", lambda uri, *_, **__: str(uri))
        for name in INDEX:
            self.before(pymilvus.MilvusClient, name, lambda *_, **__: "index")
        for name in REGISTRY:
            self.before(MlflowClient, name, lambda *_, **__: "registry")

    def _audited(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "os.rename":
            self.at("rename", args[1])
        elif event in ("os.remove", "shutil.rmtree"):
            self.at(event, args[0])
        elif event == "open" and _is_written(*args):
            self.at("open", args[0])


def _is_written(path: object, _: object, flags: object) -> bool:
    """Whether a file that is opened is one of the state, and may change."""
    return isinstance(path, str) and isinstance(flags, int) and bool(flags & WRITES) and not UNFINISHED.search(path)


def attempt(home: Path, killed: Path, arguments: list[str]) -> None:
    """A command of `found`, in a process that may die of it."""
    from found_platform.cli import main

    Steps(home, killed).install()
    sys.argv = ["found", *arguments]
    main()


def serve() -> None:
    """A process for each line, one after the other."""
    import mlflow  # noqa: F401
    import pymilvus  # noqa: F401
    import torch  # noqa: F401

    import dagster_defs.definitions  # noqa: F401
    import found_platform.cli.app  # noqa: F401

    for line in sys.stdin:
        home, killed, *arguments = shlex.split(line)
        pid = os.fork()
        if not pid:
            try:
                nothing = os.open(os.devnull, os.O_RDWR)
                os.dup2(nothing, 0)
                os.dup2(os.open(f"{killed}.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
                os.dup2(1, 2)
                attempt(Path(home), Path(killed), arguments)
            except SystemExit as end:
                sys.stdout.flush()
                os._exit(int(end.code or 0))
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(70)
            sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
