"""The benchmark: scenarios with labels, every method on the same users, every metric in one table."""
