"""The exception for a file that cannot be decoded."""

from pipeline.store.status import Outcome, failed


class MediaError(Exception):
    """A file cannot be decoded. outcome: the failed outcome of its clip, with the status and the reason."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome: Outcome = failed(status, detail)
