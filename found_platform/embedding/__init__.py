"""Vectors in bulk: every user's state as of a day, and sentences as queries to it."""
