"""Training as the platform runs it: `preflight` before, `stages` as processes, `fit` for the model versions that come out.

What happens inside such a process is `found_platform.training`, which knows nothing of the platform.
"""
