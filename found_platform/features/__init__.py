"""Features as Ibis expressions over the raw events: one module an idea, one function a feature table, and one writer of days."""
