"""Errors for the person who reads them. Nothing else belongs here."""


class BadInput(ValueError):
    """Something a person gave is wrong: one sentence that says what, where, and what to do next. Exit status 2."""


class JobFailed(RuntimeError):
    """The input was fine and the work still failed. Exit status 1."""
