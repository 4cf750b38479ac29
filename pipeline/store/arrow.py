"""Use pyarrow without the import of pandas, which takes 0.3 to 0.6 s and 50 MB."""

import sys

import pyarrow as pa


class _PandasBlocker:
    """An importer that raises ImportError for pandas."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> None:
        if name == "pandas":
            raise ImportError(name)


def skip_pandas_import() -> None:
    """Prevent pyarrow from importing pandas when it converts its first list to an array.

    Does nothing if pandas is imported already. `to_pandas` of pyarrow still works: it imports pandas itself.
    """
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _PandasBlocker)
        try:
            pa.array([0])
        finally:
            sys.meta_path.remove(_PandasBlocker)
