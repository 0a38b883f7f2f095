"""The application layer: the one way in. A module a noun, a function a thing that a person, a program or a schedule can ask.

A use case takes a `Context` (of which home, who asks, who is told how far it is) and at most one request, frozen and typed. It
returns one typed result and never prints; what is wrong is BadInput or JobFailed. What belongs here: requests, results, who asked,
rows of the audit, progress. What does not: how anything is done (the platform), in what order assets run (the graph), and words and
tables for a terminal (the command line). Everything but requests is imported when it is used.
"""
