"""Pages, charts, galleries and tables."""
