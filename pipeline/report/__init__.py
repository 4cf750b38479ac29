"""Self-contained HTML pages, plots and tables.

`data`: `collect_report_data` reads the outputs of the stages. `experiment_page`: `write_report` writes
report/index.html from them. `page`: `write_page` renders a template. Their parts: `charts` (SVG), `plots`
(JPEG), `galleries`, `metric_tables`, `classes`, `data_uri`, `tsne`. `terminal_table`: the metrics on a
terminal.
"""
