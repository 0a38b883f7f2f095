"""What the platform can do: one package or module for each step from events to an audience. Knows nothing of Dagster."""
