"""`found serve` and `found token create|list|revoke|sign-out`: the console and the API, and who may come in."""

from typing import Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import DEFAULT_HOME, Home, Place
from found_platform.cli.tables import print_json, table, terminal

PORT = 8321


def serve(
    home: Home = DEFAULT_HOME,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens.")] = PORT,
    host: Annotated[str, typer.Option(help="Of which of this machine's addresses.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen where others can reach it; tokens are needed.")
    ] = False,
    name: Annotated[list[str] | None, typer.Option(help="A name that browsers may know it by; may be repeated.")] = None,
    rate: Annotated[int, typer.Option(min=1, help="Requests a minute of one token or session.")] = 1200,
    webserver: Annotated[str, typer.Option(help="Where Dagster's webserver runs by itself: it is told of new days.")] = "",
    pages: Annotated[str, typer.Option(help="Dagster's pages as a browser reaches them, to link to.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Pages of Dagster, MLflow and Evidently too, on 127.0.0.1.")] = False,
    dagster_port: Annotated[int, typer.Option(min=1, max=65535, help="Of Dagster's pages, with --all.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535, help="Of MLflow's pages, with --all.")] = 5000,
    evidently_port: Annotated[int, typer.Option(min=1, max=65535, help="Of Evidently's pages, with --all.")] = 8000,
) -> None:
    """Serve the console and the API of a home until it is stopped."""
    from found_platform.serving import server, together
    from found_platform.serving.options import Options

    def started(where: server.Started, others: tuple[together.Neighbour, ...] = ()) -> None:
        print(f"The console is at {where.address}, the API at {where.address}/api/v1 (what it takes: /api/v1/docs).")
        for other in others:
            print(f"{other.name} is at {other.address}")
        print(f"Sign in once, within the hour: {where.link}")
        print("Ctrl-C stops it." if not others else "Ctrl-C stops all of them.", flush=True)

    options = Options(home, host, port, allow_remote, tuple(name or ()), rate, dagster=pages, webserver=webserver)
    if everything:
        together.run(options, together.Ports(dagster_port, mlflow_port, evidently_port), started)
    else:
        server.run(options, started)


def create_token(
    name: Annotated[str, typer.Argument(help="Whose token it is.")],
    place: Place,
    role: Annotated[str, typer.Option(help="viewer, marketer, exporter, operator or admin.")],
    days: Annotated[float | None, typer.Option(help="How long it is valid. Default: until it is revoked.")] = None,
) -> None:
    """Make a token for the API and the console; it is shown once."""
    from found_platform.app import access

    created = ask(access.create_token, place.home, access.NewToken(name, role, days))
    if place.as_json:
        print_json(created)
        return
    until = f"until {created.token.expires_at:%Y-%m-%d %H:%M} UTC" if created.token.expires_at else "until it is revoked"
    print(created.secret)
    print(f"The token of {name}, {role}, {until}. Keep it: the home has its hash alone, and it is not shown again.")


def list_tokens(place: Place) -> None:
    """List the tokens, without their secrets."""
    from found_platform.app import access

    tokens = ask(access.list_tokens, place.home)
    if place.as_json:
        print_json(tokens)
        return
    rows = [
        (
            t.name,
            t.role,
            t.state,
            f"{t.created_at:%Y-%m-%d %H:%M}",
            f"{t.expires_at:%Y-%m-%d}" if t.expires_at else "-",
            t.created_by,
        )
        for t in tokens
    ]
    columns = ("name", "role", "state", "made (UTC)", "expires", "by")
    terminal().print(table(*columns, left=columns, rows=rows))


def revoke_token(name: Annotated[str, typer.Argument(help="A token's name.")], place: Place) -> None:
    """End a token, and the sessions that were opened with it."""
    from found_platform.app import access

    token = ask(access.revoke_token, place.home, name)
    if place.as_json:
        print_json(token)
    else:
        print(f"The token {token.name} ({token.role}) is revoked; whoever was signed in with it is signed out.")


def sign_out(
    name: Annotated[str, typer.Argument(help="By which name somebody is signed in, as the audit has it after `console:`.")],
    place: Place,
) -> None:
    """Sign somebody out of the console everywhere, as after they lost a role at the identity provider."""
    from found_platform.app import access

    ended = ask(access.end_sessions, place.home, name)
    if place.as_json:
        print_json(ended)
    else:
        print(f"{ended.name} is signed out ({ended.sessions} {'session' if ended.sessions == 1 else 'sessions'}).")
