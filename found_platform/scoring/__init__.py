"""Vectors and the past to scores: how every user is ranked for a demand, and why."""
