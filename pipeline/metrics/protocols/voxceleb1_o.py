"""VoxCeleb1-O: do two utterances come from one speaker? Trials of the published list `veri_test2.txt`.

- The score of a trial is the cosine of the two embeddings; the embedding of an utterance is the mean over
  its windows. A model of two modalities is also measured by the other one, and by the mean of both scores.
- `eer`: at the threshold where false acceptances (score > t) and false rejections (score <= t) come closest,
  their mean; thresholds are all scores and the midpoints between them.
- `min_dcf`: min over these thresholds of P miss + (1 - P) false acceptance, P = 0.01: as the authors' code
  has it, where rejecting everybody costs 0.01. `min_dcf_normalized`: divided by P, as in the VoxCeleb
  challenges, where that costs 1.

Source: ECAPA-TDNN (arXiv 2005.07143); speechbrain/speechbrain, utils/metric_stats.py; VoxCeleb (arXiv
1706.08612).
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.metrics.bootstrap import summarize
from pipeline.metrics.protocols._base import KEY, WINDOWS, Listing, Options, Protocol, Subset, Windows
from pipeline.metrics.verification import ErrorRates, select_trials
from pipeline.store import list_files

TARGET_PROBABILITY = 0.01  # P: the prior probability that a trial is of one speaker
UTTERANCE = re.compile(r"([^/]+)/[^/]+/[^/]+")  # person, recording, file
Trial = tuple[bool, str, str]  # whether it is of one speaker, and its two utterances


class Voxceleb1O(Protocol):
    """truth: of each utterance, its speaker. extra: the trials."""

    needs = WINDOWS
    lists = ("veri_test2.txt", "veri_test.txt")
    data = "VoxCeleb1, 37,611 trials of 40 speakers"
    measures = "EER, minDCF (P = 0.01)"
    blind_guess = "EER .5; reject everybody: 0.01"
    source = "ECAPA-TDNN, arXiv 2005.07143; speechbrain/speechbrain"

    def read(self, path: str) -> Listing:
        """Read lines `1 <person>/<recording>/<file> <person>/<recording>/<file>`; 0: two speakers."""
        trials: list[Trial] = []
        problems = []
        for line, fields in list_files.read_rows(path, path, KEY, delimiter=" "):
            fields = [field for field in fields if field]
            names = [_without_extension(name) for name in fields[1:]]
            if len(fields) == 3 and fields[0] in ("0", "1") and all(map(UTTERANCE.fullmatch, names)):
                trials.append((fields[0] == "1", names[0], names[1]))
            else:
                problems.append(f"line {line}: not 0 or 1 and two utterances: {' '.join(fields)[:60]}")
        if not trials:
            problems.append("no trial in it")
        list_files.raise_problems(path, KEY, problems)
        return Listing({name: name.split("/")[0] for _, *pair in trials for name in pair}, trials)

    def ids(self, row: dict[str, Any]) -> Iterator[str]:
        """Yield the end of the path of a clip's sound: person, recording and file."""
        if row.get("audio"):
            name = "/".join(row["audio"].rpartition("::")[2].split("/")[-3:])
            yield _without_extension(name)

    def is_listed(self, row: dict[str, Any], listing: Listing) -> bool:
        """Return whether a clip is of a speaker of the trials: verification is of people never heard."""
        speakers = set(listing.truth.values())
        return row["subject"] in speakers or any(name.split("/")[0] in speakers for name in self.ids(row))

    def has_truth(self, row: dict[str, Any]) -> bool:
        """Return whether it is known who is in a clip."""
        return row["subject"] is not None

    def own_truth(self, row: dict[str, Any]) -> str | None:
        """Return the person in a clip."""
        return row["subject"]

    def evaluate(self, outputs: Windows, subset: Subset, options: Options) -> dict[str, Any]:
        """Compute EER and minDCF by each modality, and by both."""
        first, second, is_same = self._select_trials(subset, options.seed)
        if is_same.all() or not is_same.any():
            raise UserError(
                f"evaluate.protocols: voxceleb1_o: {int(is_same.sum())} trials of one speaker and"
                f" {int((~is_same).sum())} of two among {len(subset.ids)} utterances: it needs both kinds"
            )
        scores = {}
        for modality, windows in outputs.embeddings.items():
            vectors = np.asarray(windows, float).mean(1)
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
            scores[modality] = (vectors[first] * vectors[second]).sum(1)
        if len(scores) == 2:
            scores["both"] = (scores["audio"] + scores["video"]) / 2
        people = np.array([[subset.truth[a], subset.truth[b]] for a, b in zip(first, second, strict=True)])
        result: dict[str, Any] = {"n": len(is_same)}
        if subset.extra:
            result["n_trials_listed"] = len(subset.extra)
        for modality, values in scores.items():
            result[modality] = error_metrics(values, is_same, people, options.bootstrap, options.seed)
        return result

    def _select_trials(self, subset: Subset, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the trials: indices of their first and second utterances, and whether they are of one
        speaker. Published ones with both utterances; else pairs of clips of different videos."""
        if subset.extra is None:
            speakers = [str(speaker) for speaker in subset.truth]
            return select_trials(speakers, np.asarray(subset.groups), seed)
        indices = {name: i for i, name in enumerate(subset.ids)}
        trials = [trial for trial in subset.extra if trial[1] in indices and trial[2] in indices]
        pairs = np.array([[indices[a], indices[b]] for _, a, b in trials], int).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1], np.array([same for same, _, _ in trials], bool)


def error_metrics(
    scores: np.ndarray, is_same: np.ndarray, people: np.ndarray | None, bootstrap: int, seed: int
) -> dict[str, Any]:
    """Return EER and minDCF of trials, as the top of this module defines them.

    scores: (t,), higher if the utterances are more similar. is_same: (t,) bool. people: (t, 2), resampled
    together; None: each trial for itself.
    """
    rates = ErrorRates(scores, is_same)
    metrics = summarize(lambda w: _errors(*rates.rates(w)), len(scores), people, bootstrap, seed)
    chance = {"eer": 0.5, "min_dcf": TARGET_PROBABILITY, "min_dcf_normalized": 1.0}
    return metrics | {"n_same": int(is_same.sum()), "chance": chance}


def _errors(miss: np.ndarray, false_alarm: np.ndarray) -> dict[str, np.ndarray]:
    """Return EER, minDCF and normalized minDCF, (b,) each, from both rates at each threshold, (b, k).

    The first threshold, below all scores, is not among the published ones. NaN where a rate is.
    """
    miss, false_alarm = miss[:, 1:], false_alarm[:, 1:]
    rows, closest = np.arange(len(miss)), np.abs(miss - false_alarm).argmin(1)
    eer = (miss[rows, closest] + false_alarm[rows, closest]) / 2
    cost = (TARGET_PROBABILITY * miss + (1 - TARGET_PROBABILITY) * false_alarm).min(1)
    return {"eer": eer, "min_dcf": cost, "min_dcf_normalized": cost / TARGET_PROBABILITY}


def _without_extension(path: str) -> str:
    """Return `<person>/<recording>/<file>` without the extension: copies are in WAV, M4A or FLAC."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


PROTOCOL = Voxceleb1O()
