"""Every command of `found`, by name. A command reads its options, asks the application layer and prints."""

from collections.abc import Callable

import typer

from found_platform.cli import (
    alerts,
    audience,
    backfill,
    benchmark,
    demo,
    destinations,
    erasure,
    housekeeping,
    model,
    retention,
    rewriter,
    saved,
    serve,
    service,
    source,
    suppression,
    tune,
    user,
)
from found_platform.cli.options import grouped

Command = Callable[..., None]


def _add(typer_app: typer.Typer, commands: dict[str, Command]) -> typer.Typer:
    for name, command in commands.items():
        typer_app.command(name)(grouped(command))
    return typer_app


COMMANDS: dict[str, Command] = {
    "demo": demo.run,
    "backfill": backfill.backfill,
    "status": backfill.status,
    "rewrite": rewriter.rewrite,
    "publish": service.publish,
    "promote": service.promote,
    "serve": serve.serve,
    "erase": erasure.erase,
    "doctor": housekeeping.doctor,
    "alerts": alerts.alerts,
    "gc": housekeeping.gc,
    "backup": housekeeping.backup,
    "restore": housekeeping.restore,
    "move-database": housekeeping.move_database,
    "move-lake": housekeeping.move_lake,
    "records": housekeeping.records,
    "expire": retention.expire,
}

GROUPS: dict[str, tuple[str, dict[str, Command]]] = {
    "source": ("Write, check and follow a source file.", {"init": source.init, "check": source.check, "pull": source.pull}),
    "user": ("Look at a user.", {"show": user.show, "consent": user.consent, "export": user.export}),
    "audience": (
        "Find users.",
        {
            "find": audience.find,
            "tune": tune.tune,
            "preview": saved.preview,
            "save": saved.save,
            "refresh": saved.refresh,
            "keep": saved.keep,
            "list": saved.list_saved,
            "show": saved.show,
            "export": saved.export,
            "deliver": saved.deliver,
            "lift": saved.lift,
            "forget": saved.forget,
            "audit": saved.audit,
        },
    ),
    "destination": (
        "Where members may be sent.",
        {"add": destinations.add, "list": destinations.list_destinations, "remove": destinations.remove},
    ),
    "token": (
        "Who may use the console and the API.",
        {
            "create": serve.create_token,
            "list": serve.list_tokens,
            "revoke": serve.revoke_token,
            "sign-out": serve.sign_out,
        },
    ),
    "benchmark": (
        "Compare methods on labelled scenarios.",
        {"run": benchmark.run, "show": benchmark.show, "compare": benchmark.compare},
    ),
    "rewriter": ("Teach a language model to rewrite demands.", {"train": rewriter.train}),
    "model": ("Look at the model versions.", {"list": model.list_versions, "show": model.show}),
    "rollback": (
        "Go back to what served before: the model and its index, or the index alone.",
        {"model": service.rollback_model, "index": service.rollback_index},
    ),
    "hold": (
        "Keep persons and tables from being erased and from expiring.",
        {"add": retention.add_hold, "remove": retention.remove_hold, "list": retention.list_holds},
    ),
    "suppress": (
        "Keep users out of every audience.",
        {"add": suppression.add, "lift": suppression.lift, "list": suppression.list_suppressed},
    ),
}

app = _add(
    typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="From events to audiences: a sentence in, a list of users out.",
    ),
    COMMANDS,
)
for name, (about, commands) in GROUPS.items():
    app.add_typer(_add(typer.Typer(no_args_is_help=True, help=about), commands), name=name)
