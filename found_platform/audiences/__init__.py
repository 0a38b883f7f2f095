"""Audiences: users for a question, and audiences that are kept.

`lookup` answers a question; `prompts` are questions tuned on seed users. Of saved audiences, `specification` says what one is and
keeps every version of it; `sizing` how many members it has; `preview` what it would be; `membership` who is in it, refresh by
refresh; `export` lets members leave; `lift` compares them with the holdout; `pictures` draws.
"""
