"""Published systems, a folder for each.

`experiments/<system>/` holds what its authors did and what comes out here:

- `params.yaml`, or a file for each of several variants: the authors' settings as an overlay of the project's
  params.yaml. `python -m experiments NAME` prints them as flags of `dvc exp run`.
- `published.yaml`: what was published, and which of our numbers stands beside it (published.py).
- `README.md`: the system, its results here, the differences.
- where the system has a study: `study.yaml`, the settings of the study; `dvc.yaml`, its stages, each a module
  of the folder; `table.py`, which makes the tables of `README.md` from `metrics.json`.

`README.md` of this folder is one table over all systems: `python -m experiments.table` writes it.

The studies are a DVC project of their own, so that no `dvc` command of the project's root reads them.
"""
