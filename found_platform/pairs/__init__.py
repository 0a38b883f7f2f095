"""Pairs: what a user was before a moment, and a description of what they did after it."""
