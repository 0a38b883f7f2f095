"""What runs by itself: sensors, schedules and conditions of assets, all of them off until `FOUND_AUTOMATION` or a person says so.

What belongs here: when something is asked for, and why not. What does not: what a run does (`assets/`, `jobs`). Each module has
one reason to start a run: `files` that changed, `retraining`, `audiences` that are out of date, `deliveries` that are missing,
`conditions` of what follows from others, `expiry` of what is too old.
"""
