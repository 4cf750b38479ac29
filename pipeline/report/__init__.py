"""Self-contained HTML pages, plots and tables.

`data`: `collect` reads the outputs of the stages. `experiment_page`: `build` writes report/index.html from
them. `page`: `write` renders a template. Their parts: `charts` (SVG), `plots` (JPEG), `galleries`,
`metric_tables`, `classes`, `data_uri`, `tsne`. `terminal_table`: the metrics on a terminal.
"""
