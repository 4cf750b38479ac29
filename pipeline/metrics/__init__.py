"""Metrics, each with its 95% bootstrap interval, chance and n. numpy alone: no model is needed.

`correspondence`, `retrieval`, `classification`, `verification`, `localization`: `evaluate` or a function
of the same name. `bootstrap`: intervals; `over_seeds`: those of several trainings.
"""
