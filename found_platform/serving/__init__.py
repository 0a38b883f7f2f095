"""The server: a JSON API and a console for people, over the application layer.

`application` makes the app; `protection` guards every request before anything reads it; `doors` says who may; `jobs` runs what
takes long; `problems` says what was wrong. `api/` is for programs, `console/` for people. What does not belong here: what anything
means. A handler reads a request, calls one use case of `app` and writes what it returns.
"""
