"""Errors for the person who reads them. Nothing else belongs here."""

MOST_CHARACTERS = 2_000
"""Of a sentence. What it repeats of a file may be longer; its beginning says what is wrong, its end what to do."""


class BadInput(ValueError):
    """Something a person gave is wrong: one sentence that says what, where, and what to do next. Exit status 2."""

    def __init__(self, sentence: object = ""):
        text, half = str(sentence), MOST_CHARACTERS // 2
        super().__init__(text if len(text) <= MOST_CHARACTERS else f"{text[:half]} … {text[-half:]}")


class NotFound(BadInput):
    """What a person names is not there. The sentence says what is."""


class Conflict(BadInput):
    """Somebody else has changed what a person edits since they read it. Nothing is overwritten."""


class JobFailed(RuntimeError):
    """The input was fine and the work still failed. Exit status 1."""


class Unfinished(JobFailed):
    """Something was done in part, for something else was written meanwhile or is in the way. The same call goes on."""
