"""Fetch segments of online videos."""
