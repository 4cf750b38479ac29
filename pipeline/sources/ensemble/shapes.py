"""Draw the eight instruments of the synthetic ensemble, as they move with their notes.

Two functions draw one instrument in its own coordinates, about -1..1 with y downwards, in the order from
back to front: what never moves, which is drawn once for each clip, and over it what moves. All use the same
palette of random colours, so that only the shapes distinguish the instruments. The numbers are coordinates,
widths and radii; they were chosen by eye.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.sources.ensemble.pen import CIRCLE, NEVER, Palette, Pen, Pose, mirror, mix, smooth

_GUITAR = smooth(
    mirror([(0.2, -0.1), (0.44, 0.0), (0.38, 0.28), (0.3, 0.36), (0.5, 0.5), (0.6, 0.85), (0.3, 1.02)])
)


def _guitar_body(pen: Pen, c: Palette) -> None:
    """Draw a guitar without its strings."""
    pen.fill(_GUITAR, c.body, c.ink)
    pen.fill(_GUITAR * (0.86, 0.88) + (0, 0.05), mix(c.body, c.light, 0.3))
    pen.oval(0, 0.32, 0.21, 0.19, c.trim)
    pen.oval(0, 0.32, 0.16, 0.145, c.dark)  # the sound hole
    pen.box(-0.23, 0.7, 0.23, 0.78, c.dark)  # the bridge
    pen.fill([(-0.065, -0.76), (0.065, -0.76), (0.085, 0.18), (-0.085, 0.18)], c.dark, c.ink)
    for k in range(9):  # frets, closer to each other towards the body
        y = -0.72 + 0.86 * (1 - 0.87**k) / (1 - 0.87**9)
        pen.line([(-0.07, y), (0.07, y)], c.light, 0.012)
    pen.fill([(-0.07, -0.74), (-0.12, -1.02), (0.12, -1.02), (0.07, -0.74)], c.trim, c.ink)
    for y in (-0.97, -0.89, -0.81):  # tuning pegs on both sides of the head
        pen.oval(-0.16, y, 0.045, 0.03, c.light, c.ink)
        pen.oval(0.16, y, 0.045, 0.03, c.light, c.ink)


def _guitar_hands(pen: Pen, c: Palette, pose: Pose) -> None:
    """Draw strings that swing after each note, a hand that strums and one on the frets."""
    position = np.linspace(0, 1, 9)  # along a string
    for k, x in enumerate((-0.055, -0.02, 0.02, 0.055)):
        swing = 0.035 * pose.hit * np.sin(np.pi * position) * np.sin(70 * pose.since + 2 * k)
        pen.line(np.stack([x + swing, -0.76 + 1.5 * position], 1), c.light, 0.014)
    hand_x = 0.33
    if pose.count:  # the hand crosses the strings within 0.14 s
        hand_x = pose.side * (0.33 - 0.66 * np.clip(pose.since / 0.14, 0, 1))
    hand = pen.rotate(-35, (hand_x, 0.5))
    hand.oval(hand_x + 0.1, 0.5, 0.2, 0.12, c.hand, c.ink)
    hand.oval(hand_x - 0.06, 0.47, 0.1, 0.045, c.hand, c.ink)
    finger_y = -0.6 + 0.5 * pose.pitch
    for k in range(3):  # fingers of the other hand
        pen.oval(-0.02, finger_y + 0.06 * k, 0.13, 0.028, c.hand, c.ink)


_CELLO = mirror(
    [
        *smooth([(0.0, -0.2), (0.2, -0.2), (0.36, -0.14), (0.36, 0.06), (0.31, 0.12)], closed=False),
        (0.35, 0.15),
        *smooth([(0.3, 0.17), (0.2, 0.22), (0.2, 0.36), (0.32, 0.42)], closed=False),
        (0.38, 0.44),
        *smooth([(0.35, 0.46), (0.44, 0.54), (0.46, 0.8), (0.2, 0.87), (0.0, 0.87)], closed=False),
    ]
)


def _cello_body(pen: Pen, c: Palette) -> None:
    """Draw a cello without its strings."""
    pen.line([(0, 0.85), (0, 1.05)], c.dark, 0.03)  # the spike
    pen.fill(_CELLO, c.body, c.ink)
    pen.fill(_CELLO * (0.82, 0.86) + (0, 0.05), mix(c.body, c.light, 0.18))
    for sign in (-1, 1):  # the two f-holes
        f_hole = np.array([(0.15, 0.14), (0.2, 0.17), (0.17, 0.28), (0.21, 0.39), (0.26, 0.42)])
        pen.line(smooth(f_hole * (sign, 1), closed=False), c.dark, 0.03)
    pen.fill([(-0.05, 0.5), (0.05, 0.5), (0.08, 0.78), (-0.08, 0.78)], c.dark, c.ink)  # the tailpiece
    pen.fill([(-0.045, -0.78), (0.045, -0.78), (0.07, 0.16), (-0.07, 0.16)], c.dark, c.ink)
    pen.fill([(-0.12, 0.4), (-0.07, 0.33), (0.07, 0.33), (0.12, 0.4)], c.light, c.ink)  # the bridge
    pen.fill([(-0.06, -0.78), (-0.045, -0.95), (0.045, -0.95), (0.06, -0.78)], c.trim, c.ink)
    pen.oval(0, -0.98, 0.07, 0.065, c.trim, c.ink)  # the scroll
    pen.oval(0, -0.98, 0.025, 0.025, c.ink)
    for y in (-0.9, -0.83):
        pen.line([(-0.17, y), (0.17, y)], c.dark, 0.03)


def _cello_bow(pen: Pen, c: Palette, pose: Pose) -> None:
    """Draw the strings, a bow that moves during each note, and a hand that shakes on them (vibrato)."""
    position = np.linspace(0, 1, 7)  # along a string
    for k, x in enumerate((-0.04, 0, 0.04)):
        swing = 0.02 * pose.sustain * np.sin(np.pi * position) * np.sin(60 * pose.since + 2 * k)
        pen.line(np.stack([x + swing, -0.78 + 1.28 * position], 1), c.light, 0.012)
    shake = 0.03 * pose.sustain * np.sin(36 * pose.since)
    for k in range(3):  # fingers
        pen.oval(-0.02, -0.55 + 0.55 * pose.pitch + 0.06 * k + shake, 0.11, 0.028, c.hand, c.ink)
    bow = pen.rotate(-8, (0, 0.27), (0.3 * pose.stroke, 0))
    bow.line([(-0.62, 0.27), (0.6, 0.27)], c.light, 0.025)  # its hair, then stick, frog and hand
    bow.line([(-0.64, 0.27), (-0.58, 0.2), (0.0, 0.23), (0.64, 0.2)], c.trim, 0.04, c.ink)
    bow.box(0.52, 0.19, 0.64, 0.3, c.dark, c.ink)
    bow.oval(0.64, 0.22, 0.12, 0.1, c.hand, c.ink)


def _drum_shell(pen: Pen, c: Palette) -> None:
    """Draw a drum on three legs."""
    for x in (-0.5, 0.0, 0.5):  # legs
        pen.line([(x, 0.5), (1.2 * x, 1.0)], c.dark, 0.06, c.ink)
    rim = CIRCLE[:14] * (0.74, 0.2)  # the near half of a rim, right to left
    shell = np.concatenate([rim + (0, -0.12), (rim + (0, 0.55))[::-1]])
    pen.fill(shell, c.body, c.ink)
    for y in (-0.08, 0.47):
        hoop = np.concatenate([rim + (0, y - 0.04), (rim + (0, y + 0.09))[::-1]])
        pen.fill(hoop, c.trim, c.ink)
    low, high = rim[::2] + (0, 0.47), rim[1::2] + (0, 0.03)
    pen.line(np.stack([low, high], 1).reshape(-1, 2), c.light, 0.035)  # a cord in zigzag
    pen.oval(0, -0.12, 0.74, 0.2, c.trim, c.ink)
    pen.oval(0, -0.13, 0.68, 0.17, c.light)  # the skin


def _drum_sticks(pen: Pen, c: Palette, pose: Pose) -> None:
    """Draw two sticks, which strike in turn, and ripples on the skin after each strike."""
    for k in range(3):  # ripples, which grow and fade
        radius = min(pose.since * 2.2, 1.0) * (1 - 0.25 * k)
        ripple = CIRCLE * (0.66 * radius, 0.165 * radius) + (0, -0.13)
        pen.line(ripple, mix(c.light, c.dark, 0.6 * pose.hit), 0.02)
    for sign in (-1, 1):  # the left and the right stick
        lift = pose.lift if sign == pose.side else 1.0
        stick = pen.rotate(-sign * 48 * lift, (sign * 0.78, -0.52))
        stick.line([(sign * 0.85, -0.55), (sign * 0.16, -0.18)], c.dark, 0.05, c.ink)
        stick.oval(sign * 0.16, -0.18, 0.07, 0.07, c.trim, c.ink)
        stick.oval(sign * 0.85, -0.55, 0.12, 0.1, c.hand, c.ink)


_BELL = smooth(
    mirror([(0.1, -0.72), (0.32, -0.66), (0.38, -0.2), (0.44, 0.2), (0.74, 0.52), (0.78, 0.62), (0.6, 0.62)])
)


def _bell_beam(pen: Pen, c: Palette) -> None:
    """Draw the beam of a bell."""
    pen.line([(-0.72, -0.9), (0.72, -0.9)], c.trim, 0.14, c.ink)  # the beam, with a bearing at each end
    for x in (-0.72, 0.72):
        pen.line([(x, -0.94), (x, -0.76)], c.dark, 0.08, c.ink)


def _swinging_bell(pen: Pen, c: Palette, pose: Pose) -> None:
    """Draw a bell with a clapper, which swings after each note."""
    # A damped oscillation, in degrees.
    swing = 13 * pose.strength * np.exp(-pose.since / 0.7) * np.cos(9 * pose.since) * pose.side
    clapper = pen.rotate(-0.9 * swing, (0, -0.7))
    clapper.line([(0, 0.3), (0, 0.74)], c.dark, 0.05, c.ink)
    clapper.oval(0, 0.76, 0.12, 0.13, c.dark, c.ink)
    bell = pen.rotate(swing, (0, -0.9))
    bell.line([(-0.12, -0.85), (-0.08, -0.66), (0.08, -0.66), (0.12, -0.85)], c.dark, 0.06)
    bell.fill(_BELL, c.body, c.ink)
    bell.fill(smooth([(-0.26, -0.6), (-0.12, -0.62), (-0.2, 0.2), (-0.46, 0.5)]), mix(c.body, c.light, 0.55))
    for y, x in ((-0.42, 0.345), (-0.34, 0.355), (0.3, 0.55)):  # ornamental bands
        bell.line([(-x, y), (0, y + 0.04), (x, y)], c.trim, 0.035)
    bell.line([(-0.7, 0.54), (0, 0.58), (0.7, 0.54)], c.light, 0.04)


_MANUALS = ((-0.24, -0.05, 0.72), (0.0, 0.21, 0.8))  # rows of keys: top, bottom, half of the width


def _organ_body(pen: Pen, c: Palette) -> None:
    """Draw an organ: two rows of keys, a sheet of music, a loudspeaker, side walls."""
    pen.box(-0.86, -0.4, 0.86, 0.75, c.body, c.ink)
    pen.fill([(-0.5, -0.4), (-0.56, -0.85), (0.56, -0.85), (0.5, -0.4)], c.trim, c.ink)
    pen.box(-0.36, -0.78, 0.36, -0.46, c.light, c.ink)  # a sheet of music
    for y in (-0.7, -0.62, -0.54):
        pen.line([(-0.3, y), (0.3, y)], c.dark, 0.015)
    pen.box(-0.62, 0.26, 0.62, 0.7, mix(c.body, c.dark, 0.6), c.ink)  # the loudspeaker
    for y in np.linspace(0.32, 0.64, 5):
        pen.line([(-0.56, y), (0.56, y)], c.trim, 0.03)
    for top, bottom, half_width in _MANUALS:
        pen.box(-half_width, top, half_width, bottom, c.light, c.ink)
        for k in range(1, 12):
            x = k * half_width / 6 - half_width
            pen.line([(x, top), (x, bottom)], c.ink, 0.012)
            if k % 7 not in (0, 3):  # a black key
                pen.box(x - 0.035, top, x + 0.035, top + 0.6 * (bottom - top), c.dark)
    for x0, x1 in ((-0.82, -0.98), (0.82, 0.98)):  # the side walls
        pen.fill([(x0, -0.3), (x1, -0.3), (x1, 0.86), (x0, 0.86)], c.trim, c.ink)


def _organ_keys(pen: Pen, c: Palette, pose: Pose) -> None:
    """Draw drawbars and pedals, two hands, and the pressed key and pedal, which show the pitch."""
    for k in range(9):  # drawbars; every note moves some a little
        x = -0.64 + 0.16 * k
        down = 0.03 * pose.sustain * ((k + pose.count) % 3 == 0)
        pen.line([(x, -0.36), (x, -0.3 + down)], c.light, 0.06, c.ink)
    for k in range(9):  # pedals
        x = -0.56 + 0.14 * k
        down = 0.05 * pose.sustain * (k == int(pose.pitch * 8.99))
        pen.line([(0.8 * x, 0.78 + down), (x, 1.0 + down)], c.dark if k % 2 else c.light, 0.07, c.ink)
    for manual, (top, bottom, half_width) in enumerate(_MANUALS):
        is_playing = manual == pose.count % 2  # notes alternate between the two rows of keys
        if pose.sustain and is_playing:  # the pressed key, below the black ones
            x = int(pose.pitch * 11.99) * half_width / 6 - half_width
            pen.box(x, top + 0.6 * (bottom - top), x + half_width / 6, bottom, c.trim)
        x = (2 * pose.pitch - 1) * (half_width - 0.2) * (1 if is_playing else -0.7)
        pressed = pose.sustain if is_playing else 0.0
        pen.oval(x, bottom + 0.04 - 0.08 * (1 - pressed), 0.19, 0.09, c.hand, c.ink)


_PIANO_LID = smooth(
    [(-0.55, -0.02), (-0.62, -0.7), (-0.5, -0.95), (0.1, -0.9), (0.35, -0.62), (0.85, -0.55), (0.98, -0.02)]
)
_PIANO_RIM = smooth(
    [
        (-0.72, -0.05),
        (-0.72, 0.28),
        (-0.3, 0.3),
        (0.8, 0.3),
        (1.02, 0.26),
        (1.02, -0.02),
        (0.9, -0.05),
        (-0.2, -0.05),
    ]
)


def _piano_body(pen: Pen, c: Palette) -> None:
    """Draw a grand piano from the side, without its strings."""
    for x in (-0.6, 0.05, 0.85):  # legs with castors
        pen.fill([(x - 0.07, 0.25), (x + 0.07, 0.25), (x + 0.035, 0.95), (x - 0.035, 0.95)], c.body, c.ink)
        pen.oval(x, 0.97, 0.05, 0.04, c.trim, c.ink)
    pen.line([(-0.3, 0.3), (-0.3, 0.8)], c.trim, 0.04, c.ink)  # the pedals
    pen.line([(-0.42, 0.82), (-0.18, 0.82)], c.trim, 0.06, c.ink)
    pen.fill(_PIANO_LID, mix(c.body, c.dark, 0.35), c.ink)
    pen.fill(_PIANO_LID * (0.88, 0.86) + (0.02, -0.02), mix(c.body, c.light, 0.25))
    pen.fill([(-0.55, -0.03), (-0.4, -0.2), (0.8, -0.16), (0.95, -0.03)], c.trim, c.ink)
    pen.line([(0.5, -0.05), (0.3, -0.62)], c.dark, 0.035)  # the stick that holds the lid open
    pen.fill(_PIANO_RIM, c.body, c.ink)
    pen.line([(-0.6, 0.2), (0.95, 0.2)], mix(c.body, c.light, 0.4), 0.035)
    pen.fill([(-1.05, 0.1), (-0.6, -0.02), (-0.6, 0.3), (-1.05, 0.3)], c.body, c.ink)
    keys = np.array([(-1.05, 0.1), (-0.98, 0.02), (-0.46, 0.02), (-0.53, 0.1)])
    pen.fill(keys, c.light, c.ink)
    for k in range(1, 7):  # the gaps between keys; the wide ones are black keys
        x = -1.05 + 0.075 * k
        pen.line([(x, 0.1), (x + 0.07, 0.02)], c.dark, 0.035 if k % 3 else 0.012)


def _piano_hands(pen: Pen, c: Palette, pose: Pose) -> None:
    """Draw the strings, of which one moves with each note, and two arms that play in turn."""
    for k in range(7):  # strings; the one that sounds vibrates
        x = -0.42 + 0.17 * k
        vibration = pose.hit * (k == int(pose.pitch * 6.99))
        shift = 0.03 * vibration * np.sin(60 * pose.since)
        points = [(x, -0.04), (x + 0.08 + shift, -0.11), (x + 0.16, -0.17)]
        pen.line(points, c.light, 0.02 + 0.03 * vibration)
    for sign in (-1, 1):  # the two arms
        is_playing = sign == pose.side
        height = 0.24 * pose.lift if is_playing else 0.2  # of the hand above the keys
        x = -0.95 + 0.3 * (pose.pitch if is_playing else 0.5) + 0.06 * sign
        pen.line([(x - 0.2, -0.22 - height), (x, -0.01 - height)], c.hand, 0.09, c.ink)
        pen.oval(x, 0.0 - height, 0.11, 0.07, c.hand, c.ink)


def _trumpet_bell() -> np.ndarray:
    """Return the outline (24, 2) of the bell, the wide end of a trumpet: upper edge, then lower edge."""
    x = np.linspace(0.3, 1.0, 12)
    radius = 0.05 + 0.36 * ((x - 0.3) / 0.7) ** 3.2
    return np.concatenate([np.stack([x, -0.22 - radius], 1), np.stack([x, -0.22 + radius], 1)[::-1]])


_TRUMPET_BELL = _trumpet_bell()
_TRUMPET_LOOP = smooth([(0.34, 0.2), (0.5, 0.2), (0.52, -0.02), (0.5, -0.22), (0.2, -0.22)], closed=False)
_TRUMPET_COIL = smooth([(-0.3, -0.22), (-0.5, -0.22), (-0.56, 0.0), (-0.5, 0.2), (-0.2, 0.2)], closed=False)


def _no_still_part(pen: Pen, c: Palette) -> None:
    """Draw nothing: all of this instrument moves."""


def _trumpet(pen: Pen, c: Palette, pose: Pose) -> None:
    """Draw a trumpet that jerks at each attack; the pitch presses some of its three valves."""
    pen = pen.rotate(-9 * pose.hit - 3 * pose.sustain, (-0.9, -0.1), (-0.03 * pose.hit, 0))
    pen.line([(-0.96, -0.22), (0.36, -0.22)], c.body, 0.085, c.ink)  # the tube, in four parts
    pen.line(_TRUMPET_COIL, c.body, 0.085, c.ink)
    pen.line(_TRUMPET_LOOP, c.body, 0.085, c.ink)
    pen.line([(-0.4, 0.2), (0.42, 0.2)], c.body, 0.085, c.ink)
    pen.fill(_TRUMPET_BELL, c.body, c.ink)
    pen.fill(
        [(0.6, -0.24), (1.0, -0.5), (1.0, -0.34), (0.6, -0.22)], mix(c.body, c.light, 0.6)
    )  # a reflection
    pen.oval(1.0, -0.22, 0.07, 0.41, c.dark, c.ink)
    pen.fill([(-1.06, -0.34), (-1.06, -0.1), (-0.92, -0.18), (-0.92, -0.26)], c.trim, c.ink)  # the mouthpiece
    fingering = int(pose.pitch * 6.99 + 1)  # 1..7: bit k is set if valve k is pressed
    for k, x in enumerate((-0.2, 0.0, 0.2)):
        down = 0.12 * pose.sustain * (fingering >> k & 1)
        pen.line([(x, -0.5 + down), (x, -0.36)], c.light, 0.04, c.ink)
        pen.line([(x - 0.05, -0.5 + down), (x + 0.05, -0.5 + down)], c.light, 0.05, c.ink)
        pen.box(x - 0.075, -0.38, x + 0.075, 0.36, c.trim, c.ink)
        pen.line([(x - 0.025, -0.3), (x - 0.025, 0.28)], c.light, 0.025)
        pen.oval(x - 0.02, -0.56 + down, 0.1, 0.06, c.hand, c.ink)  # a finger
        pen.oval(x, 0.38, 0.075, 0.03, c.dark, c.ink)


def _flute(pen: Pen, c: Palette, pose: Pose) -> None:
    """Draw a flute; the pitch presses some of its keys, and breath leaves the lip plate during a note."""
    pen = pen.rotate(4 * pose.hit, (-0.8, 0))
    pen.box(-1.0, -0.085, 1.0, 0.085, c.body, c.ink)
    pen.box(-0.98, -0.055, 0.98, -0.015, mix(c.body, c.light, 0.6))
    for x in (-0.98, -0.4, 0.62, 0.98):  # joints
        pen.box(x - 0.03, -0.11, x + 0.03, 0.11, c.trim, c.ink)
    pen.oval(-0.72, -0.05, 0.15, 0.09, c.trim, c.ink)  # the lip plate and its hole
    pen.oval(-0.72, -0.06, 0.055, 0.035, c.dark)
    pen.line([(-0.3, 0.07), (0.9, 0.07)], c.trim, 0.03)
    fingering = int(pose.pitch * 31.99)  # 0..31: bit i is set if finger i presses its key
    finger_of_key = {1: 0, 2: 1, 3: 2, 5: 3, 6: 4}
    for k in range(8):  # keys
        x = -0.27 + 0.115 * k + (0.1 if k > 6 else 0)
        pen.oval(x, -0.02, 0.056, 0.075, c.light, c.ink)
        pen.oval(x, -0.02, 0.024, 0.034, c.dark)
        if k in finger_of_key:
            down = pose.sustain * (fingering >> finger_of_key[k] & 1)
            pen.oval(x, -0.25 + 0.13 * down, 0.048, 0.12, c.hand, c.ink)
    if pose.sustain:  # three puffs of breath above the lip plate, which move away from it
        for k in range(3):
            away = 0.08 * k + 0.12 * ((pose.since * 3) % 1)
            pen.line([(-0.72 - away, -0.2 - 0.7 * away), (-0.66 - away, -0.25 - 0.7 * away)], c.light, 0.03)


Draw = Callable[[Pen, Palette, Pose], None]


class Drawing(NamedTuple):
    """The functions that draw an instrument with a pen, in the colours of a palette."""

    draw_still: Callable[[Pen, Palette], None]  # what never moves
    draw_moving: Draw  # the rest, over it, in a pose

    def draw(self, pen: Pen, palette: Palette, pose: Pose) -> None:
        """Draw all of the instrument."""
        self.draw_still(pen, palette)
        self.draw_moving(pen, palette, pose)


DRAWINGS = {  # by AudioSet's name
    "Piano": Drawing(_piano_body, _piano_hands),
    "Acoustic guitar": Drawing(_guitar_body, _guitar_hands),
    "Drum": Drawing(_drum_shell, _drum_sticks),
    "Trumpet": Drawing(_no_still_part, _trumpet),
    "Flute": Drawing(_no_still_part, _flute),
    "Cello": Drawing(_cello_body, _cello_bow),
    "Electronic organ": Drawing(_organ_body, _organ_keys),
    "Church bell": Drawing(_bell_beam, _swinging_bell),
}
# The minimum and maximum rotation in degrees, to either side. Long, thin instruments are drawn diagonally, so
# that their bounding boxes are not flat.
ANGLES = {
    "Piano": (0, 6),
    "Acoustic guitar": (22, 38),
    "Drum": (0, 10),
    "Trumpet": (0, 18),
    "Flute": (22, 36),
    "Cello": (0, 12),
    "Electronic organ": (0, 6),
    "Church bell": (0, 6),
}


@cache
def covered_hull(name: str) -> np.ndarray:
    """Return the convex hull (points, 2) of what an instrument covers while it plays, in its coordinates.

    It is drawn in many poses, with a pen that only collects the points. name: a key of DRAWINGS.
    """
    pen = Pen(None, np.array([[1.0, 0, 0], [0, 1.0, 0]]))  # pixels are the instrument's units
    palette = Palette(*[(0.0, 0.0, 0.0)] * 6)  # has no effect
    for count in range(3):
        for since in (0.0, 0.03, 0.08, 0.17, 0.3, 0.6, NEVER):
            for pitch in (0.0, 0.35, 0.7, 1.0):
                pose = Pose(count, since, until=0.2, strength=1.0, pitch=pitch, length=0.5)
                DRAWINGS[name].draw(pen, palette, pose)
    points = np.concatenate(pen.points).astype(np.float32)
    return cv2.convexHull(points)[:, 0].astype(np.float64)
