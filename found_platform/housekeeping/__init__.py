"""Keeping a home in order: what may go by its age, copies of a home, and what a person should look at.

`garbage` is how anything goes; `replaced` and `retired` say what of the lake, the index, MLflow and training may; `backup` and
`restore` copy a home; `condition` looks at its files. What belongs to Dagster (runs, ticks, heartbeats) is `dagster_defs`'.
"""
