"""How the eight instruments of the embedded ensemble look, and how they move with their notes.

Each is drawn in its own coordinates, about -1..1 with y downwards, in whatever colours it is given: a palette
has the same parts for all, so that only the shape tells them apart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

SHIFT = 4  # bits of a pixel's fraction that OpenCV is given
Colour = tuple[float, ...]  # red, green, blue
Points = list[tuple[float, float]] | np.ndarray


@dataclass(frozen=True, slots=True)
class Palette:
    """RGB colours in 0..255."""

    body: Colour
    trim: Colour
    light: Colour
    dark: Colour
    hand: Colour
    ink: Colour


@dataclass(frozen=True, slots=True)
class Pose:
    """Where in its music an instrument is.

    `count` notes have begun, the last one `since` s ago, with `strength` and `pitch` (both 0..1), held for
    `length` s; the next one begins `until` s from now. At rest: no note, nothing to come.
    """

    count: int = 0
    since: float = 99.0
    until: float = 99.0
    strength: float = 0.0
    pitch: float = 0.5
    length: float = 0.0

    @property
    def hit(self) -> float:
        """1 when a strong note begins, falling to 0 within half a second."""
        return self.strength * float(np.exp(-self.since / 0.16))

    @property
    def held(self) -> float:
        """1 while a note is held, going up and down within 50 ms."""
        inside = min(self.since / 0.05, (self.length - self.since) / 0.05)
        return float(np.clip(inside, 0, 1))

    @property
    def side(self) -> int:
        """1 or -1, changing with every note: up and down strokes, left and right hands."""
        return 1 if self.count % 2 else -1

    @property
    def stroke(self) -> float:
        """From -1 to 1 and back, one way for each note, over the whole of its length."""
        share = float(np.clip(self.since / max(self.length, 0.1), 0, 1))
        return self.side * (1 - 2 * share)

    @property
    def lift(self) -> float:
        """0 at the moment of a strike, 1 half way between two."""
        after, before = 1 - np.exp(-self.since / 0.09), 1 - np.exp(-self.until / 0.09)
        return float(after * before)


class Pen:
    """Draws points of an instrument's own coordinates, moved by `matrix` (2, 3), on an RGB image.

    Without an image it only remembers, in `seen`, the points that it was given.
    """

    def __init__(self, image: np.ndarray | None, matrix: np.ndarray) -> None:
        self.image = image
        self.matrix = np.asarray(matrix, np.float64)
        self.size = float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))  # pixels per unit
        self.seen: list[np.ndarray] = []

    def turned(
        self, degrees: float, about: tuple[float, float] = (0, 0), by: tuple[float, float] = (0, 0)
    ) -> "Pen":
        """A pen for a part that is turned by `degrees` about a point and moved by `by`."""
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        x, y = about
        local = np.array([[c, -s, x - c * x + s * y + by[0]], [s, c, y - s * x - c * y + by[1]], [0, 0, 1]])
        pen = Pen(self.image, self.matrix @ local)
        pen.seen = self.seen
        return pen

    def _pixels(self, points: Points) -> np.ndarray:
        p = np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        if self.image is None:
            self.seen.append(p)
        return np.round(p * (1 << SHIFT)).astype(np.int32)

    def fill(self, points: Points, colour: Colour, edge: Colour | None = None) -> None:
        p = self._pixels(points)
        if self.image is not None:
            cv2.fillPoly(self.image, [p], colour, cv2.LINE_AA, SHIFT)
            if edge is not None:
                cv2.polylines(
                    self.image, [p], True, edge, max(round(0.022 * self.size), 1), cv2.LINE_AA, SHIFT
                )

    def line(self, points: Points, colour: Colour, width: float, edge: Colour | None = None) -> None:
        p = self._pixels(points)
        if self.image is not None:
            if edge is not None:
                thick = max(round((width + 0.04) * self.size), 1)
                cv2.polylines(self.image, [p], False, edge, thick, cv2.LINE_AA, SHIFT)
            thick = max(round(width * self.size), 1)
            cv2.polylines(self.image, [p], False, colour, thick, cv2.LINE_AA, SHIFT)

    def oval(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, edge: Colour | None = None
    ) -> None:
        self.fill(_CIRCLE * (rx, ry) + (x, y), colour, edge)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, edge: Colour | None = None
    ) -> None:
        self.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, edge)


_ANGLE = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)


def _smooth(points: Points, closed: bool = True) -> np.ndarray:
    """The polygon with its corners cut three times (Chaikin, 1974)."""
    p = np.asarray(points, np.float64)
    for _ in range(3):
        a, b = (p, np.roll(p, -1, 0)) if closed else (p[:-1], p[1:])
        p = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], 1).reshape(-1, 2)
    return p


def _mirrored(right: Points) -> np.ndarray:
    """The closed outline whose right half goes from top to bottom through these points."""
    r = np.asarray(right, np.float64)
    return np.concatenate([r, r[::-1] * (-1, 1)])


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    return tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))


_GUITAR = _smooth(
    _mirrored([(0.2, -0.1), (0.44, 0.0), (0.38, 0.28), (0.3, 0.36), (0.5, 0.5), (0.6, 0.85), (0.3, 1.02)])
)


def _acoustic_guitar(pen: Pen, c: Palette, pose: Pose) -> None:
    pen.fill(_GUITAR, c.body, c.ink)
    pen.fill(_GUITAR * (0.86, 0.88) + (0, 0.05), _mix(c.body, c.light, 0.3))
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
    hand = pen.turned(-35, (sweep, 0.5))
    hand.oval(sweep + 0.1, 0.5, 0.2, 0.12, c.hand, c.ink)
    hand.oval(sweep - 0.06, 0.47, 0.1, 0.045, c.hand, c.ink)
    fret = -0.6 + 0.5 * pose.pitch
    for k in range(3):
        pen.oval(-0.02, fret + 0.06 * k, 0.13, 0.028, c.hand, c.ink)


_CELLO = _mirrored(
    [
        *_smooth([(0.0, -0.2), (0.2, -0.2), (0.36, -0.14), (0.36, 0.06), (0.31, 0.12)], closed=False),
        (0.35, 0.15),
        *_smooth([(0.3, 0.17), (0.2, 0.22), (0.2, 0.36), (0.32, 0.42)], closed=False),
        (0.38, 0.44),
        *_smooth([(0.35, 0.46), (0.44, 0.54), (0.46, 0.8), (0.2, 0.87), (0.0, 0.87)], closed=False),
    ]
)


def _cello(pen: Pen, c: Palette, pose: Pose) -> None:
    pen.line([(0, 0.85), (0, 1.05)], c.dark, 0.03)
    pen.fill(_CELLO, c.body, c.ink)
    pen.fill(_CELLO * (0.82, 0.86) + (0, 0.05), _mix(c.body, c.light, 0.18))
    for s in (-1, 1):
        f = np.array([(0.15, 0.14), (0.2, 0.17), (0.17, 0.28), (0.21, 0.39), (0.26, 0.42)])
        pen.line(_smooth(f * (s, 1), closed=False), c.dark, 0.03)
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
        swing = 0.02 * pose.held * np.sin(np.pi * along) * np.sin(60 * pose.since + 2 * k)
        pen.line(np.stack([x + swing, -0.78 + 1.28 * along], 1), c.light, 0.012)
    shake = 0.03 * pose.held * np.sin(36 * pose.since)
    for k in range(3):
        pen.oval(-0.02, -0.55 + 0.55 * pose.pitch + 0.06 * k + shake, 0.11, 0.028, c.hand, c.ink)
    bow = pen.turned(-8, (0, 0.27), (0.3 * pose.stroke, 0))
    bow.line([(-0.62, 0.27), (0.6, 0.27)], c.light, 0.025)
    bow.line([(-0.64, 0.27), (-0.58, 0.2), (0.0, 0.23), (0.64, 0.2)], c.trim, 0.04, c.ink)
    bow.box(0.52, 0.19, 0.64, 0.3, c.dark, c.ink)
    bow.oval(0.64, 0.22, 0.12, 0.1, c.hand, c.ink)


def _drum(pen: Pen, c: Palette, pose: Pose) -> None:
    for x in (-0.5, 0.0, 0.5):
        pen.line([(x, 0.5), (1.2 * x, 1.0)], c.dark, 0.06, c.ink)
    half = _CIRCLE[:14]  # the near half of a rim, right to left
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
        ring = _CIRCLE * (0.66 * r, 0.165 * r) + (0, -0.13)
        pen.line(ring, _mix(c.light, c.dark, 0.6 * pose.hit), 0.02)
    for s in (-1, 1):
        lift = pose.lift if s == pose.side else 1.0
        stick = pen.turned(-s * 48 * lift, (s * 0.78, -0.52))
        stick.line([(s * 0.85, -0.55), (s * 0.16, -0.18)], c.dark, 0.05, c.ink)
        stick.oval(s * 0.16, -0.18, 0.07, 0.07, c.trim, c.ink)
        stick.oval(s * 0.85, -0.55, 0.12, 0.1, c.hand, c.ink)


_BELL = _smooth(
    _mirrored(
        [(0.1, -0.72), (0.32, -0.66), (0.38, -0.2), (0.44, 0.2), (0.74, 0.52), (0.78, 0.62), (0.6, 0.62)]
    )
)


def _church_bell(pen: Pen, c: Palette, pose: Pose) -> None:
    pen.line([(-0.72, -0.9), (0.72, -0.9)], c.trim, 0.14, c.ink)
    for x in (-0.72, 0.72):
        pen.line([(x, -0.94), (x, -0.76)], c.dark, 0.08, c.ink)
    swing = 13 * pose.strength * np.exp(-pose.since / 0.7) * np.cos(9 * pose.since) * pose.side
    tongue = pen.turned(-0.9 * swing, (0, -0.7))
    tongue.line([(0, 0.3), (0, 0.74)], c.dark, 0.05, c.ink)
    tongue.oval(0, 0.76, 0.12, 0.13, c.dark, c.ink)
    bell = pen.turned(swing, (0, -0.9))
    bell.line([(-0.12, -0.85), (-0.08, -0.66), (0.08, -0.66), (0.12, -0.85)], c.dark, 0.06)
    bell.fill(_BELL, c.body, c.ink)
    bell.fill(
        _smooth([(-0.26, -0.6), (-0.12, -0.62), (-0.2, 0.2), (-0.46, 0.5)]), _mix(c.body, c.light, 0.55)
    )
    for y, x in ((-0.42, 0.345), (-0.34, 0.355), (0.3, 0.55)):
        bell.line([(-x, y), (0, y + 0.04), (x, y)], c.trim, 0.035)
    bell.line([(-0.7, 0.54), (0, 0.58), (0.7, 0.54)], c.light, 0.04)


def _electronic_organ(pen: Pen, c: Palette, pose: Pose) -> None:
    pen.box(-0.86, -0.4, 0.86, 0.75, c.body, c.ink)
    pen.fill([(-0.5, -0.4), (-0.56, -0.85), (0.56, -0.85), (0.5, -0.4)], c.trim, c.ink)
    pen.box(-0.36, -0.78, 0.36, -0.46, c.light, c.ink)
    for y in (-0.7, -0.62, -0.54):
        pen.line([(-0.3, y), (0.3, y)], c.dark, 0.015)
    pen.box(-0.62, 0.26, 0.62, 0.7, _mix(c.body, c.dark, 0.6), c.ink)
    for y in np.linspace(0.32, 0.64, 5):
        pen.line([(-0.56, y), (0.56, y)], c.trim, 0.03)
    for k in range(9):  # drawbars, moved a little by every note
        x = -0.64 + 0.16 * k
        down = 0.03 * pose.held * ((k + pose.count) % 3 == 0)
        pen.line([(x, -0.36), (x, -0.3 + down)], c.light, 0.06, c.ink)
    key = int(pose.pitch * 11.99)
    for row, (y0, y1, half) in enumerate(((-0.24, -0.05, 0.72), (0.0, 0.21, 0.8))):
        pen.box(-half, y0, half, y1, c.light, c.ink)
        wide = 2 * half / 12
        if pose.held and row == pose.count % 2:
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
        deep = 0.05 * pose.held * (k == int(pose.pitch * 8.99))
        pen.line([(0.8 * x, 0.78 + deep), (x, 1.0 + deep)], c.dark if k % 2 else c.light, 0.07, c.ink)
    for row, half in ((0, 0.72), (1, 0.8)):
        down = pose.held if row == pose.count % 2 else 0.0
        x = (2 * pose.pitch - 1) * (half - 0.2) * (1 if row == pose.count % 2 else -0.7)
        y = (-0.02 if row == 0 else 0.26) - 0.08 * (1 - down)
        pen.oval(x, y, 0.19, 0.09, c.hand, c.ink)


_LID = _smooth(
    [(-0.55, -0.02), (-0.62, -0.7), (-0.5, -0.95), (0.1, -0.9), (0.35, -0.62), (0.85, -0.55), (0.98, -0.02)]
)
_RIM = _smooth(
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
    pen.fill(_LID, _mix(c.body, c.dark, 0.35), c.ink)
    pen.fill(_LID * (0.88, 0.86) + (0.02, -0.02), _mix(c.body, c.light, 0.25))
    pen.fill([(-0.55, -0.03), (-0.4, -0.2), (0.8, -0.16), (0.95, -0.03)], c.trim, c.ink)
    for k in range(7):  # strings; the one that sounds trembles
        x = -0.42 + 0.17 * k
        near = k == int(pose.pitch * 6.99)
        tremble = 0.03 * pose.hit * near * np.sin(60 * pose.since)
        pen.line(
            [(x, -0.04), (x + 0.08 + tremble, -0.11), (x + 0.16, -0.17)],
            c.light,
            0.02 + 0.03 * pose.hit * near,
        )
    pen.line([(0.5, -0.05), (0.3, -0.62)], c.dark, 0.035)
    pen.fill(_RIM, c.body, c.ink)
    pen.line([(-0.6, 0.2), (0.95, 0.2)], _mix(c.body, c.light, 0.4), 0.035)
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


def _horn_curve() -> np.ndarray:
    x = np.linspace(0.3, 1.0, 12)
    half = 0.05 + 0.36 * ((x - 0.3) / 0.7) ** 3.2
    return np.concatenate([np.stack([x, -0.22 - half], 1), np.stack([x, -0.22 + half], 1)[::-1]])


_HORN = _horn_curve()
_LOOP = _smooth([(0.34, 0.2), (0.5, 0.2), (0.52, -0.02), (0.5, -0.22), (0.2, -0.22)], closed=False)
_COIL = _smooth([(-0.3, -0.22), (-0.5, -0.22), (-0.56, 0.0), (-0.5, 0.2), (-0.2, 0.2)], closed=False)


def _trumpet(pen: Pen, c: Palette, pose: Pose) -> None:
    pen = pen.turned(-9 * pose.hit - 3 * pose.held, (-0.9, -0.1), (-0.03 * pose.hit, 0))
    pen.line([(-0.96, -0.22), (0.36, -0.22)], c.body, 0.085, c.ink)
    pen.line(_COIL, c.body, 0.085, c.ink)
    pen.line(_LOOP, c.body, 0.085, c.ink)
    pen.line([(-0.4, 0.2), (0.42, 0.2)], c.body, 0.085, c.ink)
    pen.fill(_HORN, c.body, c.ink)
    pen.fill([(0.6, -0.24), (1.0, -0.5), (1.0, -0.34), (0.6, -0.22)], _mix(c.body, c.light, 0.6))
    pen.oval(1.0, -0.22, 0.07, 0.41, c.dark, c.ink)
    pen.fill([(-1.06, -0.34), (-1.06, -0.1), (-0.92, -0.18), (-0.92, -0.26)], c.trim, c.ink)
    for k, x in enumerate((-0.2, 0.0, 0.2)):
        down = 0.12 * pose.held * (int(pose.pitch * 6.99 + 1) >> k & 1)
        pen.line([(x, -0.5 + down), (x, -0.36)], c.light, 0.04, c.ink)
        pen.line([(x - 0.05, -0.5 + down), (x + 0.05, -0.5 + down)], c.light, 0.05, c.ink)
        pen.box(x - 0.075, -0.38, x + 0.075, 0.36, c.trim, c.ink)
        pen.line([(x - 0.025, -0.3), (x - 0.025, 0.28)], c.light, 0.025)
        pen.oval(x - 0.02, -0.56 + down, 0.1, 0.06, c.hand, c.ink)
        pen.oval(x, 0.38, 0.075, 0.03, c.dark, c.ink)


def _flute(pen: Pen, c: Palette, pose: Pose) -> None:
    pen = pen.turned(4 * pose.hit, (-0.8, 0))
    pen.box(-1.0, -0.085, 1.0, 0.085, c.body, c.ink)
    pen.box(-0.98, -0.055, 0.98, -0.015, _mix(c.body, c.light, 0.6))
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
            down = pose.held * (pressed >> (k - 1 - (k > 4)) & 1)
            y = -0.25 + 0.13 * down
            pen.oval(x, y, 0.048, 0.12, c.hand, c.ink)
    if pose.held:  # the breath, leaving over the lip plate
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
# Degrees that each is turned by, to either side: long ones lie across, so that their boxes are like others.
TURN = {
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
def reach(name: str) -> np.ndarray:
    """The convex hull (points, 2) of all that the instrument covers while it plays, in its coordinates."""
    pen = Pen(None, np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    palette = Palette(*[(0.0, 0.0, 0.0)] * 6)
    for count in range(3):
        for since in (0.0, 0.03, 0.08, 0.17, 0.3, 0.6, 99.0):
            for pitch in (0.0, 0.35, 0.7, 1.0):
                DRAW[name](pen, palette, Pose(count, since, 0.2, 1.0, pitch, 0.5))
    points = np.concatenate(pen.seen).astype(np.float32)
    return cv2.convexHull(points)[:, 0].astype(np.float64)
