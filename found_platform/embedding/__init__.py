"""Vectors in bulk: the cache of text vectors, and every user's state as of a day."""
