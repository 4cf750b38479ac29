"""Find clips whose sound or picture recurs in other clips: re-encoded, cropped, cut or quieter copies.

Hashes and fingerprints that are near each other, by the index of FAISS for binary codes, make candidates. Two
clips are a pair if half of the shorter one fits the other.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.quality import search
from pipeline.quality.picture_hash import MAX_DISTANCE, get_hashes, is_part

MIN_SHARE = 0.5  # of the frames, or of the codes of the shorter sound, that must fit
CHUNK = 1024  # clips whose queries are searched at a time

SAME_FRAME = 6  # bits: frames of a clip with such hashes are searched once

BLOCK_CODES, BLOCK_STEP = 8, 2  # codes of a block of sound, which is searched, and steps between two of them
QUERY_HOP = 4  # steps between queries: neighbouring codes are alike, since their windows overlap
BLOCK_LENGTH = (BLOCK_CODES - 1) * BLOCK_STEP + 1  # steps
SOUND_RADIUS = 80  # bits of a block of 256 that may differ
MIN_BITS = 48  # of a block that are set, and that are not: others are tones that never change, or silence
MAX_ERROR = 0.45  # bits that differ, as a share of those that differ between other sounds of these kinds
MIN_EXPECTED = 0.1  # share of the bits that differ between other sounds: below, they say too little

Pairs = set[tuple[int, int]]  # of clips, by their positions; the first is smaller


def group_clips(pairs: Iterable[tuple[int, int]], count: int) -> np.ndarray:
    """Return for each of `count` clips the first clip of its group, (count,) int; -1 if it is in no pair."""
    edges = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    groups = np.full(count, -1, np.int64)
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    paired = np.unique(edges)  # sorted: the first clip of a component comes first
    _, first, inverse = np.unique(component[paired], return_index=True, return_inverse=True)
    groups[paired] = paired[first[inverse]]
    return groups


# --- pictures --------------------------------------------------------------------------------------------


def find_pictures(descriptions: Any) -> Pairs:
    """Return the pairs of clips of which one shows what the other shows, or a part of it.

    descriptions: of n clips, (n, frames, bytes) uint8 (picture_hash.describe), an array or read from shards.
    Both numbers of a pair are positions in it.
    """
    hashes = [get_hashes(chunk)[:, :, 0] for _, chunk in _read_chunks(descriptions)]  # of whole pictures
    if not hashes:
        return set()
    whole = np.concatenate(hashes)  # (n, frames, bytes)
    clip, frame = np.nonzero(_frames_to_search(whole))
    index = search.build(whole[clip, frame])
    searched = np.zeros(whole.shape[:2], bool)
    searched[clip, frame] = True
    candidates: Pairs = set()
    for first, chunk in _read_chunks(descriptions):
        query_clip, query_frame = np.nonzero(searched[first : first + len(chunk)])
        queries = get_hashes(chunk[query_clip, query_frame])  # (queries, regions, bytes)
        n_regions = queries.shape[1]
        for query, row in search.search(index, queries.reshape(-1, queries.shape[2]), MAX_DISTANCE):
            candidates |= _ordered_pairs(first + query_clip[query // n_regions], clip[row])
    return {(a, b) for a, b in candidates if share_pictures(descriptions[a], descriptions[b])}


def share_pictures(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether one of two clips shows what the other shows, or a part of it.

    first, second: their descriptions, (frames, bytes).
    """
    return _shows(first, second) or _shows(second, first)


def _shows(original: np.ndarray, copy: np.ndarray) -> bool:
    """Return whether the pictures of `copy`, whole, are in one region of the pictures of `original`."""
    original, copy = (frames[np.any(get_hashes(frames)[:, 0], axis=1)] for frames in (original, copy))
    if not len(original) or not len(copy):
        return False
    # (frames of the original, regions, frames of the copy)
    distances = _count_bits(get_hashes(original)[:, :, None] ^ get_hashes(copy)[:, 0])
    shares = np.mean(distances.min(axis=0) <= MAX_DISTANCE, axis=1)  # of each region
    if shares.max() < MIN_SHARE:
        return False
    region = shares.argmax()
    nearest = distances[:, region].argmin(axis=0)  # frame of the original for each frame of the copy
    return any(is_part(original[i], copy[j]) for j, i in enumerate(nearest))


def _frames_to_search(whole: np.ndarray) -> np.ndarray:
    """Return which frames are searched, (n, frames) bool: not those that repeat one before, or show nothing.

    whole: hashes of whole pictures, (n, frames, bytes).
    """
    searched = np.any(whole, axis=2)
    for i in range(1, whole.shape[1]):
        for j in range(i):
            searched[:, i] &= _count_bits(whole[:, i] ^ whole[:, j]) > SAME_FRAME
    return searched


# --- sounds ----------------------------------------------------------------------------------------------


def find_sounds(codes: Any, lengths: np.ndarray) -> Pairs:
    """Return the pairs of clips that have the same sound.

    codes: fingerprints of n clips, (n, codes, 4) uint8, an array or read shard by shard. lengths: codes of
    each clip that are real, (n,).
    """
    # Any half of a clip, which is what a copy must have, holds two blocks of the index.
    hop = max(QUERY_HOP, (codes.shape[1] // 2 - BLOCK_LENGTH) // 2)
    parts = [_informative_blocks(chunk, lengths, first, hop) for first, chunk in _read_chunks(codes)]
    if not sum(len(clip) for _, clip, _ in parts):
        return set()
    blocks, clip, start = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    del parts
    index = search.build(blocks)
    del blocks
    pairs: Pairs = set()
    for first, chunk in _read_chunks(codes):
        queries, query_clip, query_start = _informative_blocks(chunk, lengths, first, QUERY_HOP)
        candidates: set[tuple[int, int, int]] = set()  # two clips, and the step of one where the other begins
        for query, row in search.search(index, queries, SOUND_RADIUS):
            offset = query_start[query] - start[row]
            triples = np.stack([query_clip[query], clip[row], offset], axis=1)
            candidates.update(map(tuple, triples[triples[:, 0] != triples[:, 1]].tolist()))
        for a, b, offset in sorted(candidates):
            pair = (min(a, b), max(a, b))
            if pair not in pairs and share_sound(codes[a][: lengths[a]], codes[b][: lengths[b]], offset):
                pairs.add(pair)
    return pairs


def _informative_blocks(
    codes: np.ndarray, lengths: np.ndarray, first: int, hop: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return blocks of clips, (blocks, bytes), and the clip and the step at which each begins, (blocks,).

    codes: (clips, codes, 4). lengths: codes of all clips that are real. first: the number of the first clip.
    hop: steps between two blocks.
    """
    starts = np.arange(0, max(codes.shape[1] - BLOCK_LENGTH + 1, 0), hop)
    steps = starts[:, None] + np.arange(0, BLOCK_LENGTH, BLOCK_STEP)
    blocks = codes[:, steps].reshape(len(codes), len(starts), BLOCK_CODES * codes.shape[2])
    n_bits = _count_bits(blocks)
    informative = (n_bits >= MIN_BITS) & (n_bits <= 8 * blocks.shape[2] - MIN_BITS)
    clip, number = np.nonzero(
        informative & (starts + BLOCK_LENGTH <= lengths[first : first + len(codes), None])
    )
    return blocks[clip, number], (first + clip).astype(np.int32), starts[number].astype(np.int32)


def share_sound(first: np.ndarray, second: np.ndarray, offset: int) -> bool:
    """Return whether two clips have the same sound. offset: step of `first` at which `second` begins.

    first, second: their fingerprints, (codes, 4). At least half of the shorter one must overlap the other.
    Bits are compared with what is expected of two other sounds, whose bits are set as often.
    """
    best = 1.0
    for shift in (offset - 1, offset, offset + 1):
        a, b = first[max(shift, 0) :], second[max(-shift, 0) :]
        length = min(len(a), len(b))
        if length < max(BLOCK_LENGTH, MIN_SHARE * min(len(first), len(second))):
            continue
        a_bits, b_bits = np.unpackbits(a[:length], axis=1), np.unpackbits(b[:length], axis=1)
        p, q = a_bits.mean(axis=0), b_bits.mean(axis=0)
        expected = np.mean(p * (1 - q) + q * (1 - p))
        if expected >= MIN_EXPECTED:
            best = min(best, float(np.mean(a_bits != b_bits) / expected))
    return best <= MAX_ERROR


def _read_chunks(values: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of the first clip and the values of CHUNK clips at a time, (clips, ...)."""
    for first in range(0, len(values), CHUNK):
        yield first, np.stack([values[i] for i in range(first, min(first + CHUNK, len(values)))])


def _ordered_pairs(first: np.ndarray, second: np.ndarray) -> Pairs:
    """Return the pairs of different clips, the smaller number first."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    return set(zip(low[low != high].tolist(), high[low != high].tolist(), strict=True))


def _count_bits(codes: np.ndarray) -> np.ndarray:
    """Return how many bits are set in the last axis of bytes."""
    return np.bitwise_count(codes).sum(axis=-1, dtype=np.int32)
