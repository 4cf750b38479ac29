"""The search for copies: what it must find among many, and what it must not connect."""

import numpy as np
import pytest

from pipeline.quality import search
from pipeline.quality.duplicates import find_pictures, find_sounds, group_clips, share_sound
from pipeline.quality.picture_hash import BYTES


def random_codes(n: int, length: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, length, 4), np.uint8)


def flip_bits(codes: np.ndarray, share: float) -> np.ndarray:
    bits = np.random.default_rng(1).random((*codes.shape, 8)) < share
    return codes ^ np.packbits(bits, axis=-1)[..., 0]


def test_groups_join_pairs_and_are_named_by_their_first_clip():
    assert group_clips({(1, 4), (4, 6), (2, 5)}, 8).tolist() == [-1, 1, 2, -1, 1, 2, 1, -1]
    assert group_clips(set(), 2).tolist() == [-1, -1]


def test_a_sound_is_found_shifted_and_changed():
    codes = random_codes(50)
    lengths = np.full(50, 60)
    codes[40] = flip_bits(codes[3], 0.15)
    codes[41, :45], lengths[41] = flip_bits(codes[7, 15:], 0.15), 45
    assert find_sounds(codes, lengths) == {(3, 40), (7, 41)}


def test_less_than_half_is_no_copy():
    codes = random_codes(10)
    codes[9, :25] = codes[2, -25:]
    assert find_sounds(codes, np.full(10, 60)) == set()


def test_silence_and_steady_tones_are_no_copies():
    codes = np.zeros((20, 60, 4), np.uint8)
    codes[10:] = [0, 1, 0, 0]
    assert find_sounds(codes, np.full(20, 60)) == set()
    assert not share_sound(codes[10], codes[11], 0)


@pytest.mark.parametrize("shape", [(0, 60, 4), (3, 5, 4), (3, 0, 4)])
def test_few_and_short_sounds_have_no_copies(shape):
    assert find_sounds(np.zeros(shape, np.uint8), np.full(shape[0], shape[1])) == set()


def test_pictures_that_show_nothing_are_no_copies():
    assert find_pictures(np.zeros((5, 4, BYTES), np.uint8)) == set()


def test_a_sound_that_many_clips_have_is_one_group():
    codes = random_codes(300)
    codes[100:] = codes[0]
    pairs = find_sounds(codes, np.full(300, 60))
    groups = group_clips(pairs, 300)
    assert set(groups[100:]) == {0} and set(groups[1:100]) == {-1}
    assert len(pairs) < 300 * search.NEIGHBOURS  # not one for each two clips


def test_many_codes_are_searched_in_cells():
    n = search.MAX_EXACT + 5000
    codes = np.random.default_rng(0).integers(0, 256, (n, 16), np.uint8)
    rows = np.arange(0, n, 50)
    queries = codes[rows].copy()
    queries[:, 0] ^= 7  # three other bits
    pairs = [*search.search(search.build(codes), queries, 20)]
    n_right = sum(len(np.unique(query[rows[query] == row])) for query, row in pairs)
    assert sum(len(row) for _, row in pairs) == n_right >= 0.9 * len(rows)
