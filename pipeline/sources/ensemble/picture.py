"""Render the pictures of a clip of the synthetic ensemble: a lit background with one or two instruments.

The distributions of colours, sizes, positions and light are the same for all instruments.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.sources.ensemble.pen import Palette, Pen, Pose
from pipeline.sources.ensemble.shapes import ANGLES, DRAW, extent
from pipeline.sources.ensemble.sound import HIGH, LOW, Note

WIDTH, HEIGHT, FPS = 256, 192, 12
OVERSAMPLING = 2  # instruments are drawn this much larger, then averaged

Box = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PlacedInstrument:
    """An instrument's name, the matrix (2, 3) from its coordinates to pixels, and its bounding box.

    The box is in fractions of the frame (left, top, right, bottom), and contains all movements.
    """

    name: str
    matrix: np.ndarray
    box: Box


def place(names: list[str], rng: np.random.Generator) -> list[PlacedInstrument]:
    """Place one or two instruments in the frame, with random sizes and positions. Two overlap little.

    The area of the box is random, not the length: so the size does not reveal the instrument.
    """
    area = (0.36, 0.56) if len(names) == 1 else (0.2, 0.3)
    best: tuple[float, list[PlacedInstrument]] = (np.inf, [])
    for _ in range(12):
        placed = [_place(name, *area, rng) for name in names]
        overlap = _overlap(placed[0].box, placed[1].box) if len(placed) > 1 else 0.0
        if overlap < best[0]:
            best = overlap, placed
        if overlap < 0.05:
            break
    return best[1]


def _place(name: str, min_area: float, max_area: float, rng: np.random.Generator) -> PlacedInstrument:
    """Place one instrument. min_area, max_area: of its box, as shares of the frame."""
    low, high = ANGLES[name]
    angle = np.radians(rng.uniform(low, high) * rng.choice([-1, 1]))
    flip = rng.choice([-1, 1])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = rotation @ np.diag([flip, 1])
    hull = extent(name) @ turn.T
    width, height = np.ptp(hull, 0)
    scale = np.sqrt(rng.uniform(min_area, max_area) * WIDTH * HEIGHT / (width * height))
    scale = min(scale, 0.94 * WIDTH / width, 0.94 * HEIGHT / height)
    free_space = np.array([WIDTH - scale * width, HEIGHT - scale * height])
    corner = rng.uniform(0.02, 0.98, 2) * free_space
    shift = corner - scale * hull.min(0)
    end = corner + scale * np.array([width, height])
    box = (corner[0] / WIDTH, corner[1] / HEIGHT, end[0] / WIDTH, end[1] / HEIGHT)
    return PlacedInstrument(name, np.hstack([scale * turn, shift[:, None]]), tuple(float(v) for v in box))


def _overlap(a: Box, b: Box) -> float:
    """Return the share of the smaller box that the other one covers."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    return max(width, 0) * max(height, 0) / smaller


def pose(notes: list[Note], t: float) -> Pose:
    """Return the pose, at `t` seconds, of an instrument that plays `notes`."""
    count = sum(note.start <= t for note in notes)
    until = notes[count].start - t if count < len(notes) else 99.0
    if not count:
        return Pose(until=until)
    note = notes[count - 1]
    pitch = float(np.clip((note.pitch - LOW) / (HIGH - LOW), 0, 1))
    return Pose(count, t - note.start, until, note.strength, pitch, note.length)


def frames(
    instruments: list[tuple[PlacedInstrument, list[Note]]],
    rng: np.random.Generator,
    seconds: float,
    still: bool = False,
) -> Iterator[np.ndarray]:
    """Yield frames, FPS a second: uint8 RGB (HEIGHT, WIDTH, 3).

    instruments: each with its notes (none for a silent one); the first is in front. still: all frames are the
    same.
    """
    background = _background(rng)
    palettes = [_palette(background, rng) for _ in instruments]
    for placed, _ in instruments:
        background = _add_shadow(background, placed, rng)
    background = background + rng.normal(0, rng.uniform(1, 4), background.shape)
    base = np.clip(background, 0, 255).astype(np.uint8)
    large_base = cv2.resize(base, None, fx=OVERSAMPLING, fy=OVERSAMPLING, interpolation=cv2.INTER_LINEAR)
    light = _light(rng)
    regions = [_region(placed.box) for placed, _ in instruments]

    def frame(t: float) -> np.ndarray:
        canvas, image = large_base.copy(), base.copy()
        for (placed, notes), palette in reversed(list(zip(instruments, palettes, strict=True))):
            DRAW[placed.name](Pen(canvas, placed.matrix * OVERSAMPLING), palette, pose(notes, t))
        # Only where the instruments are: scaling the whole frame would cost more.
        for x0, y0, x1, y1 in regions:
            k = OVERSAMPLING
            part = canvas[k * y0 : k * y1, k * x0 : k * x1]
            image[y0:y1, x0:x1] = cv2.resize(part, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        return cv2.multiply(image, light, scale=1 / 160)

    count = max(round(seconds * FPS), 1)
    if still:
        yield from [frame(0.5)] * count
    else:
        yield from (frame(k / FPS) for k in range(count))


def _region(box: Box) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom in pixels of a box and the outline around it."""
    x0, y0 = max(int(box[0] * WIDTH) - 3, 0), max(int(box[1] * HEIGHT) - 3, 0)
    return x0, y0, min(int(box[2] * WIDTH) + 4, WIDTH), min(int(box[3] * HEIGHT) + 4, HEIGHT)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return a colour (3,) in 0..255. All arguments are in 0..1."""
    share = np.clip(np.abs((6 * hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return 255 * value * (1 - saturation + saturation * share)


def _palette(background: np.ndarray, rng: np.random.Generator) -> Palette:
    """Return random colours. That of the body differs from the background's mean."""
    mean = background.mean((0, 1))
    for _ in range(20):
        body = _rgb(rng.random(), rng.uniform(0.35, 0.9), rng.uniform(0.45, 0.95))
        if np.abs(body - mean).sum() > 180:
            break
    trim = _rgb(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.5, 0.95))
    light = _rgb(rng.random(), rng.uniform(0, 0.2), rng.uniform(0.88, 1))
    dark = _rgb(rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.28))
    hand = _rgb(rng.uniform(0.03, 0.09), rng.uniform(0.3, 0.6), rng.uniform(0.45, 0.98))
    colours = (body, trim, light, dark, hand, 0.18 * body)
    return Palette(*(tuple(float(v) for v in colour) for colour in colours))


def _light(rng: np.random.Generator) -> np.ndarray:
    """Return factors uint8 (HEIGHT, WIDTH, 3), in 1/160, of a tinted light from one side."""
    x, y = _GRID
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    edge = rng.uniform(0, 0.5) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    strength = rng.uniform(0.75, 1.1) * (1 + rng.uniform(0, 0.5) * slope - edge)
    tint = 1 + rng.uniform(-0.08, 0.08, 3)
    return np.clip(160 * strength[..., None] * tint, 0, 255).astype(np.uint8)


def _add_shadow(background: np.ndarray, placed: PlacedInstrument, rng: np.random.Generator) -> np.ndarray:
    """Return the background with a soft shadow of the instrument."""
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    matrix = placed.matrix.copy()
    matrix[:, 2] += rng.uniform(-7, 7), rng.uniform(2, 9)
    DRAW[placed.name](Pen(mask, matrix), Palette(*[(255.0, 255.0, 255.0)] * 6), Pose())
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(2, 5)).astype(np.float64) / 255
    return background * (1 - rng.uniform(0.25, 0.55) * soft)


_GRID = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))


def _background(rng: np.random.Generator) -> np.ndarray:
    """Return a random background, float (HEIGHT, WIDTH, 3) in 0..255.

    It is a mixture of two colours in one of the patterns below, with up to two rectangles on it.
    """
    x, y = _GRID
    hue = rng.random()
    first = _rgb(hue, rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.9))
    second = _rgb(hue + rng.uniform(-0.2, 0.2), rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.9))
    kind = rng.integers(6)
    if kind == 0:  # a wall with a gradient
        angle = rng.uniform(0, 2 * np.pi)
        share = 0.5 + 0.7 * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
    elif kind == 1:  # a room: wall, skirting board, floorboards in perspective
        horizon = rng.uniform(0.5, 0.85)
        boards = ((x - 0.5) / (y - horizon + 0.25) * rng.uniform(2, 5)) % 1 > 0.93
        share = np.where(y > horizon, 1 - 0.25 * boards, 0.15 * y) + 0.4 * (np.abs(y - horizon) < 0.012)
    elif kind == 2:  # a curtain
        waves = rng.uniform(5, 14)
        share = (
            0.5 + 0.3 * np.sin(2 * np.pi * waves * (x + 0.02 * np.sin(5 * y + rng.uniform(0, 6)))) + 0.2 * y
        )
    elif kind == 3:  # tiles or bricks
        size = rng.uniform(0.1, 0.25)
        odd = np.floor(y / size) % 2 * rng.choice([0, 0.5])
        joint = ((x * WIDTH / HEIGHT / size + odd) % 1 < 0.06) | (y / size % 1 < 0.06)
        share = 0.2 + 0.5 * joint
    elif kind == 4:  # lights out of focus
        share = np.full((HEIGHT, WIDTH), 0.1)
        for _ in range(rng.integers(5, 14)):
            spot = ((x - rng.random()) * WIDTH / HEIGHT) ** 2 + (y - rng.random()) ** 2
            share += rng.uniform(0.15, 0.6) * np.clip((rng.uniform(0.03, 0.14) - np.sqrt(spot)) * 40, 0, 1)
    else:  # clouds
        coarse = rng.random((int(rng.integers(3, 8)), int(rng.integers(3, 9))))
        share = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    image = first + 0.6 * np.clip(share, 0, 1)[..., None] * (second - first)
    for _ in range(rng.integers(0, 3)):  # a picture or a window on the wall
        x0, y0, width, height = rng.uniform((0, 0, 0.1, 0.1), (0.85, 0.7, 0.3, 0.35))
        inside = (np.abs(x - x0 - width / 2) < width / 2) & (np.abs(y - y0 - height / 2) < height / 2)
        colour = _rgb(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.9))
        image[inside] = 0.6 * image[inside] + 0.4 * colour
    return image
