"""Draw the eight instruments of the synthetic ensemble, as they move with their notes.

Each is drawn in its own coordinates, about -1..1 with y downwards. All use the same parts of a palette of
random colours, so that only the shapes distinguish them.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from pipeline.sources.ensemble.pen import CIRCLE, Palette, Pen, Pose, mirror, mix, smooth

_GUITAR = smooth(
    mirror([(0.2, -0.1), (0.44, 0.0), (0.38, 0.28), (0.3, 0.36), (0.5, 0.5), (0.6, 0.85), (0.3, 1.02)])
)


def _acoustic_guitar(pen: Pen, c: Palette, pose: Pose) -> None:
    pen.fill(_GUITAR, c.body, c.ink)
    pen.fill(_GUITAR * (0.86, 0.88) + (0, 0.05), mix(c.body, c.light, 0.3))
    pen.oval(0, 0.32, 0.21, 0.19, c.trim)
    pen.oval(0, 0.32, 0.16, 0.145, c.dark)
    pen.box(-0.23, 0.7, 0.23, 0.78, c.dark)
    pen.fill([(-0.065, -0.76), (0.065, -0.76), (0.085, 0.18), (-0.085, 0.18)], c.dark, c.ink)
    for k in range(9):
        y = -0.72 + 0.86 * (1 - 0.87**k) / (1 - 0.87**9)
        pen.line([(-0.07, y), (0.07, y)], c.light, 0.012)
    pen.fill([(-0.07, -0.74), (-0.12, -1.02), (0.12, -1.02), (0.07, -0.74)], c.trim, c.ink)
    for y in (-0.97, -0.89, -0.81):
        pen.oval(-0.16, y, 0.045, 0.03, c.light, c.ink)
        pen.oval(0.16, y, 0.045, 0.03, c.light, c.ink)
    along = np.linspace(0, 1, 9)
    for k, x in enumerate((-0.055, -0.02, 0.02, 0.055)):
        swing = 0.035 * pose.hit * np.sin(np.pi * along) * np.sin(70 * pose.since + 2 * k)
        pen.line(np.stack([x + swing, -0.76 + 1.5 * along], 1), c.light, 0.014)
    sweep = pose.side * (0.33 - 0.66 * np.clip(pose.since / 0.14, 0, 1)) if pose.count else 0.33
    hand = pen.rotate(-35, (sweep, 0.5))
    hand.oval(sweep + 0.1, 0.5, 0.2, 0.12, c.hand, c.ink)
    hand.oval(sweep - 0.06, 0.47, 0.1, 0.045, c.hand, c.ink)
    fret = -0.6 + 0.5 * pose.pitch
    for k in range(3):
        pen.oval(-0.02, fret + 0.06 * k, 0.13, 0.028, c.hand, c.ink)


_CELLO = mirror(
    [
        *smooth([(0.0, -0.2), (0.2, -0.2), (0.36, -0.14), (0.36, 0.06), (0.31, 0.12)], closed=False),
        (0.35, 0.15),
        *smooth([(0.3, 0.17), (0.2, 0.22), (0.2, 0.36), (0.32, 0.42)], closed=False),
        (0.38, 0.44),
        *smooth([(0.35, 0.46), (0.44, 0.54), (0.46, 0.8), (0.2, 0.87), (0.0, 0.87)], closed=False),
    ]
)


def _cello(pen: Pen, c: Palette, pose: Pose) -> None:
    pen.line([(0, 0.85), (0, 1.05)], c.dark, 0.03)
    pen.fill(_CELLO, c.body, c.ink)
    pen.fill(_CELLO * (0.82, 0.86) + (0, 0.05), mix(c.body, c.light, 0.18))
    for s in (-1, 1):
        f = np.array([(0.15, 0.14), (0.2, 0.17), (0.17, 0.28), (0.21, 0.39), (0.26, 0.42)])
        pen.line(smooth(f * (s, 1), closed=False), c.dark, 0.03)
    pen.fill([(-0.05, 0.5), (0.05, 0.5), (0.08, 0.78), (-0.08, 0.78)], c.dark, c.ink)
    pen.fill([(-0.045, -0.78), (0.045, -0.78), (0.07, 0.16), (-0.07, 0.16)], c.dark, c.ink)
    pen.fill([(-0.12, 0.4), (-0.07, 0.33), (0.07, 0.33), (0.12, 0.4)], c.light, c.ink)
    pen.fill([(-0.06, -0.78), (-0.045, -0.95), (0.045, -0.95), (0.06, -0.78)], c.trim, c.ink)
    pen.oval(0, -0.98, 0.07, 0.065, c.trim, c.ink)
    pen.oval(0, -0.98, 0.025, 0.025, c.ink)
    for y in (-0.9, -0.83):
        pen.line([(-0.17, y), (0.17, y)], c.dark, 0.03)
    along = np.linspace(0, 1, 7)
    for k, x in enumerate((-0.04, 0, 0.04)):
        swing = 0.02 * pose.sustain * np.sin(np.pi * along) * np.sin(60 * pose.since + 2 * k)
        pen.line(np.stack([x + swing, -0.78 + 1.28 * along], 1), c.light, 0.012)
    shake = 0.03 * pose.sustain * np.sin(36 * pose.since)
    for k in range(3):
        pen.oval(-0.02, -0.55 + 0.55 * pose.pitch + 0.06 * k + shake, 0.11, 0.028, c.hand, c.ink)
    bow = pen.rotate(-8, (0, 0.27), (0.3 * pose.stroke, 0))
    bow.line([(-0.62, 0.27), (0.6, 0.27)], c.light, 0.025)
    bow.line([(-0.64, 0.27), (-0.58, 0.2), (0.0, 0.23), (0.64, 0.2)], c.trim, 0.04, c.ink)
    bow.box(0.52, 0.19, 0.64, 0.3, c.dark, c.ink)
    bow.oval(0.64, 0.22, 0.12, 0.1, c.hand, c.ink)


def _drum(pen: Pen, c: Palette, pose: Pose) -> None:
    for x in (-0.5, 0.0, 0.5):
        pen.line([(x, 0.5), (1.2 * x, 1.0)], c.dark, 0.06, c.ink)
    half = CIRCLE[:14]  # the near half of a rim, right to left
    rim = half * (0.74, 0.2)
    shell = np.concatenate([rim + (0, -0.12), (rim + (0, 0.55))[::-1]])
    pen.fill(shell, c.body, c.ink)
    for y0 in (-0.08, 0.47):
        hoop = np.concatenate([rim + (0, y0 - 0.04), (rim + (0, y0 + 0.09))[::-1]])
        pen.fill(hoop, c.trim, c.ink)
    low, high = rim[::2] + (0, 0.47), rim[1::2] + (0, 0.03)
    pen.line(np.stack([low, high], 1).reshape(-1, 2), c.light, 0.035)
    pen.oval(0, -0.12, 0.74, 0.2, c.trim, c.ink)
    pen.oval(0, -0.13, 0.68, 0.17, c.light)
    for k in range(3):
        r = min(pose.since * 2.2, 1.0) * (1 - 0.25 * k)
        ring = CIRCLE * (0.66 * r, 0.165 * r) + (0, -0.13)
        pen.line(ring, mix(c.light, c.dark, 0.6 * pose.hit), 0.02)
    for s in (-1, 1):
        lift = pose.lift if s == pose.side else 1.0
        stick = pen.rotate(-s * 48 * lift, (s * 0.78, -0.52))
        stick.line([(s * 0.85, -0.55), (s * 0.16, -0.18)], c.dark, 0.05, c.ink)
        stick.oval(s * 0.16, -0.18, 0.07, 0.07, c.trim, c.ink)
        stick.oval(s * 0.85, -0.55, 0.12, 0.1, c.hand, c.ink)


_BELL = smooth(
    mirror([(0.1, -0.72), (0.32, -0.66), (0.38, -0.2), (0.44, 0.2), (0.74, 0.52), (0.78, 0.62), (0.6, 0.62)])
)


def _church_bell(pen: Pen, c: Palette, pose: Pose) -> None:
    pen.line([(-0.72, -0.9), (0.72, -0.9)], c.trim, 0.14, c.ink)
    for x in (-0.72, 0.72):
        pen.line([(x, -0.94), (x, -0.76)], c.dark, 0.08, c.ink)
    swing = 13 * pose.strength * np.exp(-pose.since / 0.7) * np.cos(9 * pose.since) * pose.side
    tongue = pen.rotate(-0.9 * swing, (0, -0.7))
    tongue.line([(0, 0.3), (0, 0.74)], c.dark, 0.05, c.ink)
    tongue.oval(0, 0.76, 0.12, 0.13, c.dark, c.ink)
    bell = pen.rotate(swing, (0, -0.9))
    bell.line([(-0.12, -0.85), (-0.08, -0.66), (0.08, -0.66), (0.12, -0.85)], c.dark, 0.06)
    bell.fill(_BELL, c.body, c.ink)
    bell.fill(smooth([(-0.26, -0.6), (-0.12, -0.62), (-0.2, 0.2), (-0.46, 0.5)]), mix(c.body, c.light, 0.55))
    for y, x in ((-0.42, 0.345), (-0.34, 0.355), (0.3, 0.55)):
        bell.line([(-x, y), (0, y + 0.04), (x, y)], c.trim, 0.035)
    bell.line([(-0.7, 0.54), (0, 0.58), (0.7, 0.54)], c.light, 0.04)


def _electronic_organ(pen: Pen, c: Palette, pose: Pose) -> None:
    pen.box(-0.86, -0.4, 0.86, 0.75, c.body, c.ink)
    pen.fill([(-0.5, -0.4), (-0.56, -0.85), (0.56, -0.85), (0.5, -0.4)], c.trim, c.ink)
    pen.box(-0.36, -0.78, 0.36, -0.46, c.light, c.ink)
    for y in (-0.7, -0.62, -0.54):
        pen.line([(-0.3, y), (0.3, y)], c.dark, 0.015)
    pen.box(-0.62, 0.26, 0.62, 0.7, mix(c.body, c.dark, 0.6), c.ink)
    for y in np.linspace(0.32, 0.64, 5):
        pen.line([(-0.56, y), (0.56, y)], c.trim, 0.03)
    for k in range(9):  # drawbars; every note moves some a little
        x = -0.64 + 0.16 * k
        down = 0.03 * pose.sustain * ((k + pose.count) % 3 == 0)
        pen.line([(x, -0.36), (x, -0.3 + down)], c.light, 0.06, c.ink)
    key = int(pose.pitch * 11.99)
    for row, (y0, y1, half) in enumerate(((-0.24, -0.05, 0.72), (0.0, 0.21, 0.8))):
        pen.box(-half, y0, half, y1, c.light, c.ink)
        wide = 2 * half / 12
        if pose.sustain and row == pose.count % 2:
            pen.box(key * wide - half, y0, (key + 1) * wide - half, y1, c.trim)
        for k in range(1, 12):
            x = k * wide - half
            pen.line([(x, y0), (x, y1)], c.ink, 0.012)
            if k % 7 not in (0, 3):
                pen.box(x - 0.035, y0, x + 0.035, y0 + 0.6 * (y1 - y0), c.dark)
    for s in (-1, 1):
        pen.fill([(s * 0.82, -0.3), (s * 0.98, -0.3), (s * 0.98, 0.86), (s * 0.82, 0.86)], c.trim, c.ink)
    for k in range(9):
        x = -0.56 + 0.14 * k
        deep = 0.05 * pose.sustain * (k == int(pose.pitch * 8.99))
        pen.line([(0.8 * x, 0.78 + deep), (x, 1.0 + deep)], c.dark if k % 2 else c.light, 0.07, c.ink)
    for row, half in ((0, 0.72), (1, 0.8)):
        down = pose.sustain if row == pose.count % 2 else 0.0
        x = (2 * pose.pitch - 1) * (half - 0.2) * (1 if row == pose.count % 2 else -0.7)
        y = (-0.02 if row == 0 else 0.26) - 0.08 * (1 - down)
        pen.oval(x, y, 0.19, 0.09, c.hand, c.ink)


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


def _piano(pen: Pen, c: Palette, pose: Pose) -> None:
    for x in (-0.6, 0.05, 0.85):
        pen.fill([(x - 0.07, 0.25), (x + 0.07, 0.25), (x + 0.035, 0.95), (x - 0.035, 0.95)], c.body, c.ink)
        pen.oval(x, 0.97, 0.05, 0.04, c.trim, c.ink)
    pen.line([(-0.3, 0.3), (-0.3, 0.8)], c.trim, 0.04, c.ink)
    pen.line([(-0.42, 0.82), (-0.18, 0.82)], c.trim, 0.06, c.ink)
    pen.fill(_PIANO_LID, mix(c.body, c.dark, 0.35), c.ink)
    pen.fill(_PIANO_LID * (0.88, 0.86) + (0.02, -0.02), mix(c.body, c.light, 0.25))
    pen.fill([(-0.55, -0.03), (-0.4, -0.2), (0.8, -0.16), (0.95, -0.03)], c.trim, c.ink)
    for k in range(7):  # strings; the one that sounds vibrates
        x = -0.42 + 0.17 * k
        near = k == int(pose.pitch * 6.99)
        shift = 0.03 * pose.hit * near * np.sin(60 * pose.since)
        pen.line(
            [(x, -0.04), (x + 0.08 + shift, -0.11), (x + 0.16, -0.17)],
            c.light,
            0.02 + 0.03 * pose.hit * near,
        )
    pen.line([(0.5, -0.05), (0.3, -0.62)], c.dark, 0.035)
    pen.fill(_PIANO_RIM, c.body, c.ink)
    pen.line([(-0.6, 0.2), (0.95, 0.2)], mix(c.body, c.light, 0.4), 0.035)
    pen.fill([(-1.05, 0.1), (-0.6, -0.02), (-0.6, 0.3), (-1.05, 0.3)], c.body, c.ink)
    keys = np.array([(-1.05, 0.1), (-0.98, 0.02), (-0.46, 0.02), (-0.53, 0.1)])
    pen.fill(keys, c.light, c.ink)
    for k in range(1, 7):
        x = -1.05 + 0.075 * k
        pen.line([(x, 0.1), (x + 0.07, 0.02)], c.dark, 0.035 if k % 3 else 0.012)
    for s in (-1, 1):
        up = 0.24 * pose.lift if s == pose.side else 0.2
        x = -0.95 + 0.3 * (pose.pitch if s == pose.side else 0.5) + 0.06 * s
        pen.line([(x - 0.2, -0.22 - up), (x, -0.01 - up)], c.hand, 0.09, c.ink)
        pen.oval(x, 0.0 - up, 0.11, 0.07, c.hand, c.ink)


def _trumpet_bell() -> np.ndarray:
    x = np.linspace(0.3, 1.0, 12)
    half = 0.05 + 0.36 * ((x - 0.3) / 0.7) ** 3.2
    return np.concatenate([np.stack([x, -0.22 - half], 1), np.stack([x, -0.22 + half], 1)[::-1]])


_TRUMPET_BELL = _trumpet_bell()
_TRUMPET_LOOP = smooth([(0.34, 0.2), (0.5, 0.2), (0.52, -0.02), (0.5, -0.22), (0.2, -0.22)], closed=False)
_TRUMPET_COIL = smooth([(-0.3, -0.22), (-0.5, -0.22), (-0.56, 0.0), (-0.5, 0.2), (-0.2, 0.2)], closed=False)


def _trumpet(pen: Pen, c: Palette, pose: Pose) -> None:
    pen = pen.rotate(-9 * pose.hit - 3 * pose.sustain, (-0.9, -0.1), (-0.03 * pose.hit, 0))
    pen.line([(-0.96, -0.22), (0.36, -0.22)], c.body, 0.085, c.ink)
    pen.line(_TRUMPET_COIL, c.body, 0.085, c.ink)
    pen.line(_TRUMPET_LOOP, c.body, 0.085, c.ink)
    pen.line([(-0.4, 0.2), (0.42, 0.2)], c.body, 0.085, c.ink)
    pen.fill(_TRUMPET_BELL, c.body, c.ink)
    pen.fill([(0.6, -0.24), (1.0, -0.5), (1.0, -0.34), (0.6, -0.22)], mix(c.body, c.light, 0.6))
    pen.oval(1.0, -0.22, 0.07, 0.41, c.dark, c.ink)
    pen.fill([(-1.06, -0.34), (-1.06, -0.1), (-0.92, -0.18), (-0.92, -0.26)], c.trim, c.ink)
    for k, x in enumerate((-0.2, 0.0, 0.2)):
        down = 0.12 * pose.sustain * (int(pose.pitch * 6.99 + 1) >> k & 1)
        pen.line([(x, -0.5 + down), (x, -0.36)], c.light, 0.04, c.ink)
        pen.line([(x - 0.05, -0.5 + down), (x + 0.05, -0.5 + down)], c.light, 0.05, c.ink)
        pen.box(x - 0.075, -0.38, x + 0.075, 0.36, c.trim, c.ink)
        pen.line([(x - 0.025, -0.3), (x - 0.025, 0.28)], c.light, 0.025)
        pen.oval(x - 0.02, -0.56 + down, 0.1, 0.06, c.hand, c.ink)
        pen.oval(x, 0.38, 0.075, 0.03, c.dark, c.ink)


def _flute(pen: Pen, c: Palette, pose: Pose) -> None:
    pen = pen.rotate(4 * pose.hit, (-0.8, 0))
    pen.box(-1.0, -0.085, 1.0, 0.085, c.body, c.ink)
    pen.box(-0.98, -0.055, 0.98, -0.015, mix(c.body, c.light, 0.6))
    for x in (-0.98, -0.4, 0.62, 0.98):
        pen.box(x - 0.03, -0.11, x + 0.03, 0.11, c.trim, c.ink)
    pen.oval(-0.72, -0.05, 0.15, 0.09, c.trim, c.ink)
    pen.oval(-0.72, -0.06, 0.055, 0.035, c.dark)
    pen.line([(-0.3, 0.07), (0.9, 0.07)], c.trim, 0.03)
    pressed = int(pose.pitch * 31.99)
    for k in range(8):
        x = -0.27 + 0.115 * k + (0.1 if k > 6 else 0)
        pen.oval(x, -0.02, 0.056, 0.075, c.light, c.ink)
        pen.oval(x, -0.02, 0.024, 0.034, c.dark)
        if k in (1, 2, 3, 5, 6):
            down = pose.sustain * (pressed >> (k - 1 - (k > 4)) & 1)
            y = -0.25 + 0.13 * down
            pen.oval(x, y, 0.048, 0.12, c.hand, c.ink)
    if pose.sustain:  # the breath above the lip plate
        for k in range(3):
            far = 0.08 * k + 0.12 * ((pose.since * 3) % 1)
            pen.line([(-0.72 - far, -0.2 - 0.7 * far), (-0.66 - far, -0.25 - 0.7 * far)], c.light, 0.03)


DRAW: dict[str, Callable[[Pen, Palette, Pose], None]] = {
    "Piano": _piano,
    "Acoustic guitar": _acoustic_guitar,
    "Drum": _drum,
    "Trumpet": _trumpet,
    "Flute": _flute,
    "Cello": _cello,
    "Electronic organ": _electronic_organ,
    "Church bell": _church_bell,
}
# Range of the rotation in degrees, to either side. Long instruments are diagonal: wider boxes.
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
def extent(name: str) -> np.ndarray:
    """Return the convex hull (points, 2) of the area that the instrument covers while it plays."""
    pen = Pen(None, np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    palette = Palette(*[(0.0, 0.0, 0.0)] * 6)
    for count in range(3):
        for since in (0.0, 0.03, 0.08, 0.17, 0.3, 0.6, 99.0):
            for pitch in (0.0, 0.35, 0.7, 1.0):
                DRAW[name](pen, palette, Pose(count, since, 0.2, 1.0, pitch, 0.5))
    points = np.concatenate(pen.points).astype(np.float32)
    return cv2.convexHull(points)[:, 0].astype(np.float64)
