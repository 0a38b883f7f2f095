"""Saved audiences: what they are, who is in them, what leaves, and what they were worth.

`specification` says what an audience is, and keeps every version of it; `sizing` how many members it has; `preview` what it would
be; `membership` who is in it, refresh by refresh; `export` lets members leave; `lift` compares them with the holdout; `pictures`
draws.
"""
