"""pyarrow without pandas, which it would import for nothing."""

import sys

import pyarrow as pa


class _NoPandas:
    """An importer that finds no pandas."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> None:
        if name == "pandas":
            raise ImportError(name)


def spare_pandas() -> None:
    """pyarrow imports pandas (0.3 to 0.6 s, 50 MB) to make an array of its first list: let it find none.

    Nothing where pandas is imported already; where somebody asks pyarrow for a DataFrame, it looks again.
    """
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NoPandas)
        try:
            pa.array([0])
        finally:
            sys.meta_path.remove(_NoPandas)
