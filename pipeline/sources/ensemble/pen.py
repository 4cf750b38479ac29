"""Draw polygons and lines for the synthetic ensemble: colours, poses, a pen, smooth outlines."""

from dataclasses import dataclass

import cv2
import numpy as np

SHIFT = 4  # fractional bits of coordinates that OpenCV is given
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
    """The state of a playing instrument at one moment. The defaults are an instrument at rest.

    `count` notes have begun, the last one `since` s ago, with `strength` and `pitch` (both 0..1) and a length
    of `length` s. The next one begins in `until` s.
    """

    count: int = 0
    since: float = 99.0
    until: float = 99.0
    strength: float = 0.0
    pitch: float = 0.5
    length: float = 0.0

    @property
    def hit(self) -> float:
        """The loudness of the last note's beginning: 1 for a strong note, then falling to 0 within 0.5 s."""
        return self.strength * float(np.exp(-self.since / 0.16))

    @property
    def sustain(self) -> float:
        """1 while a note is held, with ramps of 50 ms at both ends, else 0."""
        inside = min(self.since / 0.05, (self.length - self.since) / 0.05)
        return float(np.clip(inside, 0, 1))

    @property
    def side(self) -> int:
        """1 or -1, alternating with each note: up and down strokes, left and right hands."""
        return 1 if self.count % 2 else -1

    @property
    def stroke(self) -> float:
        """The position of a bow, -1..1: it moves from one end to the other during each note."""
        share = float(np.clip(self.since / max(self.length, 0.1), 0, 1))
        return self.side * (1 - 2 * share)

    @property
    def lift(self) -> float:
        """The height of a stick or hand: 0 at the moment of a strike, 1 halfway between two."""
        after, before = 1 - np.exp(-self.since / 0.09), 1 - np.exp(-self.until / 0.09)
        return float(after * before)


class Pen:
    """Draws on an RGB image. `matrix` (2, 3) maps an instrument's coordinates to pixels.

    Without an image it draws nothing and collects the points, in pixels, in `points`.
    """

    def __init__(self, image: np.ndarray | None, matrix: np.ndarray) -> None:
        self.image = image
        self.matrix = np.asarray(matrix, np.float64)
        self.size = float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))  # pixels per unit
        self.points: list[np.ndarray] = []

    def rotate(
        self, degrees: float, centre: tuple[float, float] = (0, 0), shift: tuple[float, float] = (0, 0)
    ) -> "Pen":
        """Return a pen for a part of the instrument that is rotated around `centre` and moved by `shift`."""
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        x, y = centre
        local = np.array(
            [[c, -s, x - c * x + s * y + shift[0]], [s, c, y - s * x - c * y + shift[1]], [0, 0, 1]]
        )
        pen = Pen(self.image, self.matrix @ local)
        pen.points = self.points
        return pen

    def _to_pixels(self, points: Points) -> np.ndarray:
        p = np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        if self.image is None:
            self.points.append(p)
        return np.round(p * (1 << SHIFT)).astype(np.int32)

    def fill(self, points: Points, colour: Colour, edge: Colour | None = None) -> None:
        """Draw a filled polygon, with an outline in the colour `edge`."""
        p = self._to_pixels(points)
        if self.image is not None:
            cv2.fillPoly(self.image, [p], colour, cv2.LINE_AA, SHIFT)
            if edge is not None:
                cv2.polylines(
                    self.image, [p], True, edge, max(round(0.022 * self.size), 1), cv2.LINE_AA, SHIFT
                )

    def line(self, points: Points, colour: Colour, width: float, edge: Colour | None = None) -> None:
        """Draw a polyline, with an outline in the colour `edge`. width: in the instrument's units."""
        p = self._to_pixels(points)
        if self.image is not None:
            if edge is not None:
                thick = max(round((width + 0.04) * self.size), 1)
                cv2.polylines(self.image, [p], False, edge, thick, cv2.LINE_AA, SHIFT)
            thick = max(round(width * self.size), 1)
            cv2.polylines(self.image, [p], False, colour, thick, cv2.LINE_AA, SHIFT)

    def oval(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, edge: Colour | None = None
    ) -> None:
        self.fill(CIRCLE * (rx, ry) + (x, y), colour, edge)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, edge: Colour | None = None
    ) -> None:
        self.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, edge)


_ANGLE = np.linspace(0, 2 * np.pi, 28, endpoint=False)
CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)


def smooth(points: Points, closed: bool = True) -> np.ndarray:
    """Return the polygon (or polyline) after cutting its corners three times (Chaikin, 1974)."""
    p = np.asarray(points, np.float64)
    for _ in range(3):
        a, b = (p, np.roll(p, -1, 0)) if closed else (p[:-1], p[1:])
        p = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], 1).reshape(-1, 2)
    return p


def mirror(right: Points) -> np.ndarray:
    """Return the closed outline whose right half goes from top to bottom through these points."""
    r = np.asarray(right, np.float64)
    return np.concatenate([r, r[::-1] * (-1, 1)])


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return a mixture of two colours. share: of b, 0..1."""
    return tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))
