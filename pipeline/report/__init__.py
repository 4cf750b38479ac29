"""Pages that stand alone, and tables.

`experiment_page`: `build` writes report/index.html from what `data.gather` collected. `page`: `write`
fills in a template. Beside them `charts` (SVG), `plots` (JPEG), `galleries`, `metric_tables`, `classes`,
`data_uri`, `tsne`, and `terminal_table`, the metrics on a terminal.
"""
