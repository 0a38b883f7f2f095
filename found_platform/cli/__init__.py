"""The `found` command: options in, a request to the application layer, words and tables out. Nothing imports it."""

import atexit
import os
import sys
import warnings

TRACE = "FOUND_TRACE"
"""Variable with which an error that was not foreseen is shown with its trace."""


INTERRUPTED = 130
"""Exit status of what was stopped by Ctrl-C, as shells have it."""


def main() -> None:
    """Runs the command line. Exit status: 0 done, 1 the job failed, 2 bad input; an error is one sentence on stderr."""
    try:
        _run()
    except KeyboardInterrupt:  # also while libraries are loaded
        _tell("stopped; run the same command again to go on.")
        raise SystemExit(INTERRUPTED) from None


def _run() -> None:
    if not sys.warnoptions:  # libraries warn one another of deprecations, and turn filters on again: `python -W default` shows them
        warnings.showwarning = lambda *_, **__: None
        atexit.register(warnings.simplefilter, "ignore")  # once Python's modules are gone at the end, nobody asks `showwarning`
    from found_platform import garbage, logs
    from found_platform.app.process import private_files
    from found_platform.cli.app import app
    from found_platform.cli.asking import stdout_for_answers
    from found_platform.errors import BadInput, JobFailed

    garbage.of_command()
    try:
        logs.install()
        _check_arguments()
        with private_files(), stdout_for_answers():
            app()
    except BadInput as error:
        _tell(error)
        raise SystemExit(2) from None
    except JobFailed as error:
        _tell(error)
        raise SystemExit(1) from None
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer makes this of Ctrl-C, and says nothing
            raise KeyboardInterrupt from None
        raise
    except Exception as error:
        if os.environ.get(TRACE):
            raise
        _tell(_sentence(error))
        raise SystemExit(1) from None


def _tell(sentence: object) -> None:
    """Prints an error. What it repeats may hold signs that steer a terminal: they are shown, and steer nothing."""
    from found_platform.cli.visible import visible

    print(f"found: {visible(str(sentence))}", file=sys.stderr)


def _sentence(error: Exception) -> str:
    """What to read of an error that no part of the platform has expected."""
    import traceback

    from found_platform.app.process import harm

    if (sentence := harm(error)) is not None:
        return sentence
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"line {last.lineno} of {last.filename}"
    return (
        f"this failed in a way that was not foreseen ({place}): run it again, with {TRACE}=1 before it to see more and report it."
    )


def _check_arguments() -> None:
    """Raises BadInput for bytes on the command line that are no text: nothing could be looked up or printed by them."""
    from found_platform.errors import BadInput

    for argument in sys.argv[1:]:
        if any(0xD800 <= ord(sign) <= 0xDFFF for sign in argument):
            raise BadInput(f"{argument!r} on the command line is not UTF-8: write it in the encoding of your terminal.")
