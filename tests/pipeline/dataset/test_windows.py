"""The rule for windows: the usable part of a clip, where windows begin, and which frames they contain."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.windows import MIDDLE, MISSING, WindowRule

# 100 columns a second; windows of 20 columns in clips of 41.
RULE = WindowRule(sample_rate=1000, hop_length=10, window_seconds=0.2, window_frames=2, clip_columns=41)


@pytest.mark.parametrize(
    ("sound", "picture", "usable"),
    [
        (0.4, 0.4, 0.4),
        (0.3, 0.4, 0.3),  # a short sound
        (0.4, 0.3, 0.3),  # a window's middle must be in the picture
        (0.4, 0.2, 0.2),
        (0.4, 0.1, 0.4),  # a picture shorter than a window: sound decides
        (0.1, 0.4, 0.1),
        (0.3, MISSING, 0.3),
        (0.1, MISSING, 0.1),
        (MISSING, 0.3, 0.3),
        (MISSING, 0.1, 0.1),  # a picture alone, shorter than a window
    ],
)
def test_usable_seconds(sound, picture, usable):
    assert RULE.usable_seconds(np.array([sound]), np.array([picture])).tolist() == [usable]


def test_usable_columns_end_with_the_sound_or_the_stored_clip():
    assert RULE.usable_columns(np.array([0.0, 0.004, 0.01, 0.29, 0.4, 9.0])).tolist() == [1, 1, 2, 30, 41, 41]


def test_a_window_is_no_longer_than_a_clip_and_has_at_least_one_column():
    audio = SimpleNamespace(sample_rate=1000, hop_length=10, window_seconds=0.2)
    video = SimpleNamespace(window_frames=2)
    assert WindowRule.from_config(audio, video, 41) == RULE and RULE.columns == 20
    assert WindowRule.from_config(audio, video, 15).columns == 15
    audio.window_seconds = 0.001
    assert WindowRule.from_config(audio, video, 41).columns == 1


def test_positions_go_from_the_first_window_to_the_last():
    seconds = np.array([0.4, 0.4, 0.4, 0.1])
    assert RULE.first_columns(seconds, 0.0).tolist() == [0, 0, 0, 0]
    assert RULE.first_columns(seconds, 1.0).tolist() == [21, 21, 21, 0]
    assert RULE.first_columns(seconds, MIDDLE).tolist() == [11, 11, 11, 0]
    assert RULE.start_seconds(np.array([0, 11])).tolist() == [0.0, 0.11]


@given(st.floats(0.0, 0.4), st.floats(0.0, 0.5))
def test_positions_of_starts_give_these_starts_or_the_last_window(seconds, start):
    usable = np.array([seconds])
    column = RULE.first_columns(usable, RULE.positions(usable, np.array([start])))[0]
    last = max(int(RULE.usable_columns(usable)[0]) - RULE.columns, 0)
    assert column == min(round(start * 100), last)


def test_frames_are_the_nearest_to_a_moment_in_order():
    times = np.array([[0.04, 0.12, 0.2, 0.28]] * 3)
    first = np.array([0, 10, 20])  # windows from 0, 0.1 and 0.2 s on
    assert RULE.frames(first, times).tolist() == [[0, 1], [1, 2], [2, 3]]
    assert RULE.frames(first, times, np.array([0.0, 0.0, 1.0])).tolist() == [[0, 1], [0, 1], [2, 3]]
