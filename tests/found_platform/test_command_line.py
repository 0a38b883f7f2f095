"""Command lines in a few words: the name, the arguments, no path, one line."""

import pytest

from found_platform import command_line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/opt/venv/bin/found", "demo"], "found demo"),
        (["/opt/venv/bin/found", "demo", "--profile", "tiny", "--home", "/data/homes/ours"], "found demo --profile tiny"),
        (["found", "demo", "--home", "ours", "--force"], "found demo --force"),
        (["found", "demo", "--home=ours", "--source=~/shop.yaml"], "found demo"),
        (["found", "backfill", "--from", "2026-03-01", "--to", "2026-03-31"], "found backfill --from 2026-03-01 --to 2026-03-31"),
        (["/opt/venv/bin/python3.11", "/opt/venv/bin/found", "serve", "--all"], "found serve --all"),
        (["/usr/bin/python3", "-B", "-m", "dagster", "api", "execute_run", '{"__class__": "Args"}'], "dagster api execute_run"),
        (["/opt/venv/lib/site-packages/dagster/__main__.py", "api", "execute_run", "{}"], "dagster api execute_run"),
        (["/usr/bin/python3", "-c", "import this\nthis.s"], "python"),
        (["-c", "ours"], "python ours"),
        (["/usr/bin/python3", "-B"], "python"),
        ([], "python"),
        ([""], "python"),
    ],
)
def test_a_command_line_is_its_name_and_arguments_without_paths(arguments: list[str], words: str) -> None:
    assert command_line.words(arguments) == words


def test_a_sentence_stays_in_a_line_of_a_terminal() -> None:
    assert command_line.line("waiting for a, held by pid 4 (found demo)") == "waiting for a, held by pid 4 (found demo)"
    long = "waiting for run-user_tabular-2026-03, held by pid 4711 (found backfill --from 2026-03-01 --to 2026-03-31)"
    assert command_line.line(long) == "waiting for run-user_tabular-2026-03, held by pid 4711 (found backfill --from…)"
    assert command_line.line("a" * 100) == "a" * 79 + "…"
    assert command_line.line("two\nlines") == "two lines"
    assert max(len(command_line.line("word (" + "x" * n + " y)")) for n in range(120)) == command_line.COLUMNS
