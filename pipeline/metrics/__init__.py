"""Metrics, each with its 95% bootstrap interval, chance and n. They work on arrays and need no model.

`retrieval.evaluate`, `classification.evaluate`, `verification.evaluate`, `localization.evaluate` and
`correspondence.evaluate` return all metrics of their kind. `bootstrap`: intervals; `over_seeds`: intervals
for several trainings.
"""
