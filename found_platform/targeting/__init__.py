"""Targeting: a demand and rules in, ranked users out."""
