"""Draw polygons and lines for the synthetic ensemble: colours, poses, a pen, smooth outlines."""

from dataclasses import dataclass

import cv2
import numpy as np

FRACTION_BITS = 4  # OpenCV is given coordinates as integers, in 1/16 of a pixel
EDGE_WIDTH = 0.022  # of the outline around a polygon, in the instrument's units
LINE_EDGE_WIDTH = 0.04  # of the outline around a line: both sides together, in the instrument's units
NEVER = 99.0  # s: stands for a note that is not there: long ago, or far in the future
Colour = tuple[float, ...]  # red, green, blue in 0..255
Points = list[tuple[float, float]] | np.ndarray  # (points, 2): x and y of each


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one instrument, RGB in 0..255. They are random; `ink` is for outlines."""

    body: Colour
    trim: Colour
    light: Colour
    dark: Colour
    hand: Colour
    ink: Colour


@dataclass(frozen=True, slots=True)
class Pose:
    """The state of a playing instrument at one moment. The defaults are an instrument at rest.

    count: number of notes that have begun. since: s since the last of them began. until: s until the next one
    begins. strength, pitch, length: of the last one; strength and pitch in 0..1, length in s.
    """

    count: int = 0
    since: float = NEVER
    until: float = NEVER
    strength: float = 0.0
    pitch: float = 0.5
    length: float = 0.0

    @property
    def hit(self) -> float:
        """The effect of the last attack: 1 at the start of the strongest note, almost 0 after 0.5 s."""
        return self.strength * float(np.exp(-self.since / 0.16))

    @property
    def sustain(self) -> float:
        """1 while a note is held, 0 otherwise; it rises and falls in 0.05 s at both ends of the note."""
        inside = min(self.since / 0.05, (self.length - self.since) / 0.05)
        return float(np.clip(inside, 0, 1))

    @property
    def side(self) -> int:
        """1 or -1, alternating with each note: up and down strokes, left and right hands."""
        return 1 if self.count % 2 else -1

    @property
    def stroke(self) -> float:
        """The position of a bow, -1..1: it moves from one end to the other during each note."""
        progress = float(np.clip(self.since / max(self.length, 0.1), 0, 1))  # through the note, 0..1
        return self.side * (1 - 2 * progress)

    @property
    def lift(self) -> float:
        """The height of a stick or hand: 0 at the moment of a strike, near 1 halfway between two."""
        rise_after_last = 1 - np.exp(-self.since / 0.09)
        fall_before_next = 1 - np.exp(-self.until / 0.09)
        return float(rise_after_last * fall_before_next)


class Pen:
    """Draws on an RGB image in the coordinates of an instrument (about -1..1, y downwards).

    Without an image it draws nothing: it collects the points that it would draw, to measure an instrument.

    image: uint8 (height, width, 3), or None. matrix: (2, 3), maps the instrument's coordinates to pixels.
    pixels_per_unit: its scale. points: without an image, the points of all shapes so far, in pixels.
    """

    def __init__(self, image: np.ndarray | None, matrix: np.ndarray) -> None:
        self.image = image
        self.matrix = np.asarray(matrix, np.float64)
        self.pixels_per_unit = float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))
        self.points: list[np.ndarray] = []

    def rotate(
        self, degrees: float, centre: tuple[float, float] = (0, 0), shift: tuple[float, float] = (0, 0)
    ) -> "Pen":
        """Return a pen for a part of the instrument that is rotated around `centre` and moved by `shift`.

        centre, shift: (x, y) in the instrument's units. Both pens draw on one image and share `points`.
        """
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        x, y = centre
        rotation = np.array(
            [
                [cos, -sin, x - cos * x + sin * y + shift[0]],
                [sin, cos, y - sin * x - cos * y + shift[1]],
                [0, 0, 1],
            ]
        )
        pen = Pen(self.image, self.matrix @ rotation)
        pen.points = self.points
        return pen

    def fill(self, points: Points, colour: Colour, edge: Colour | None = None) -> None:
        """Draw a filled polygon. edge: the colour of its outline; None: without an outline."""
        pixels = self._to_pixels(points)
        if self.image is None:
            self.points.append(pixels)
            return
        coordinates = [np.rint(pixels * (1 << FRACTION_BITS)).astype(np.int32)]  # in 1/16 of a pixel
        cv2.fillPoly(self.image, coordinates, colour, cv2.LINE_8, FRACTION_BITS)
        if edge is not None:
            self._draw_polylines(coordinates, True, edge, EDGE_WIDTH)

    def line(self, points: Points, colour: Colour, width: float, edge: Colour | None = None) -> None:
        """Draw a line through points. width: in the instrument's units. edge: the colour of its outline."""
        pixels = self._to_pixels(points)
        if self.image is None:
            self.points.append(pixels)
            return
        coordinates = [np.rint(pixels * (1 << FRACTION_BITS)).astype(np.int32)]  # in 1/16 of a pixel
        if edge is not None:  # a wider line below: what the line itself does not cover is the outline
            self._draw_polylines(coordinates, False, edge, width + LINE_EDGE_WIDTH)
        self._draw_polylines(coordinates, False, colour, width)

    def oval(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, edge: Colour | None = None
    ) -> None:
        """Draw a filled ellipse. x, y: its centre. rx, ry: its radii. edge: the colour of its outline."""
        self.fill(CIRCLE * (rx, ry) + (x, y), colour, edge)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, edge: Colour | None = None
    ) -> None:
        """Draw a filled rectangle from (x0, y0) to (x1, y1). edge: the colour of its outline."""
        self.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, edge)

    def _to_pixels(self, points: Points) -> np.ndarray:
        """Return points (points, 2) in the instrument's coordinates as pixels, with fractions."""
        return np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def _draw_polylines(
        self, coordinates: list[np.ndarray], is_closed: bool, colour: Colour, width: float
    ) -> None:
        """Draw lines of a width in the instrument's units, at least 1 pixel wide.

        coordinates: the lines, in 1/16 of a pixel. is_closed: connect the last and first points.
        """
        assert self.image is not None  # the callers return earlier if there is no image
        thickness = max(round(width * self.pixels_per_unit), 1)
        cv2.polylines(self.image, coordinates, is_closed, colour, thickness, cv2.LINE_8, FRACTION_BITS)


_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)  # (28, 2), radius 1, clockwise from the right


def smooth(points: Points, closed: bool = True) -> np.ndarray:
    """Return a polygon, or a line if not `closed`, with rounded corners: (more points, 2).

    Each corner is cut off, three times (Chaikin, 1974).
    """
    vertices = np.asarray(points, np.float64)
    for _ in range(3):
        starts, ends = vertices[:-1], vertices[1:]  # of each side
        if closed:  # one more side, from the last point to the first
            starts, ends = vertices, np.roll(vertices, -1, 0)
        # Two points on each side, at a quarter and at three quarters, replace its ends.
        vertices = np.stack([0.75 * starts + 0.25 * ends, 0.25 * starts + 0.75 * ends], 1).reshape(-1, 2)
    return vertices


def mirror(right_half: Points) -> np.ndarray:
    """Return a closed outline (2 * points, 2) that is symmetric about x = 0.

    right_half: the points of its right half, from top to bottom.
    """
    right = np.asarray(right_half, np.float64)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def mix(first: Colour, second: Colour, weight: float) -> Colour:
    """Return a mixture of two colours. weight: of the second one, 0..1."""
    return tuple(a + (b - a) * weight for a, b in zip(first, second, strict=True))
