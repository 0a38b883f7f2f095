"""Monitoring: Evidently reports and what they say."""
