"""Errors for the person who reads them. Nothing else belongs here."""


class BadInput(ValueError):
    """Something a person gave is wrong: one sentence that says what, where, and what to do next. Exit status 2."""


class NotFound(BadInput):
    """What a person names is not there. The sentence says what is."""


class Conflict(BadInput):
    """Somebody else has changed what a person edits since they read it. Nothing is overwritten."""


class JobFailed(RuntimeError):
    """The input was fine and the work still failed. Exit status 1."""
