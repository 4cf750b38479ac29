"""The moving picture of one clip of the embedded ensemble: a lit background, an instrument or two.

Colours, sizes, places and light are drawn from the same distributions whatever instrument is shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.sources.ensemble_pen import Palette, Pen, Pose
from pipeline.sources.ensemble_shapes import DRAW, TURN, reach
from pipeline.sources.ensemble_sound import HIGH, LOW, Note

WIDTH, HEIGHT, FPS = 256, 192, 12
FINE = 2  # drawn this much larger, then averaged

Box = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """An instrument in the frame: its name, the matrix (2, 3) from its coordinates to pixels, and its box in
    fractions of the frame (left, top, right, bottom), which holds all that it covers while it plays."""

    name: str
    matrix: np.ndarray
    box: Box


def place(names: list[str], rng: np.random.Generator) -> list[Placed]:
    """Put instruments into the frame at random sizes and places, where there are two with little overlap.

    Drawn at random is the area of the box, not the length of the instrument: it tells nothing of which it is.
    """
    area = (0.36, 0.56) if len(names) == 1 else (0.2, 0.3)
    best: tuple[float, list[Placed]] = (np.inf, [])
    for _ in range(12):
        placed = [_place(name, *area, rng) for name in names]
        overlap = _overlap(placed[0].box, placed[1].box) if len(placed) > 1 else 0.0
        if overlap < best[0]:
            best = overlap, placed
        if overlap < 0.05:
            break
    return best[1]


def _place(name: str, least: float, most: float, rng: np.random.Generator) -> Placed:
    low, high = TURN[name]
    angle = np.radians(rng.uniform(low, high) * rng.choice([-1, 1]))
    flip = rng.choice([-1, 1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([flip, 1])
    hull = reach(name) @ turn.T
    wide, high = np.ptp(hull, 0)
    scale = np.sqrt(rng.uniform(least, most) * WIDTH * HEIGHT / (wide * high))
    scale = min(scale, 0.94 * WIDTH / wide, 0.94 * HEIGHT / high)
    room = np.array([WIDTH - scale * wide, HEIGHT - scale * high])
    corner = rng.uniform(0.02, 0.98, 2) * room
    shift = corner - scale * hull.min(0)
    end = corner + scale * np.array([wide, high])
    box = (corner[0] / WIDTH, corner[1] / HEIGHT, end[0] / WIDTH, end[1] / HEIGHT)
    return Placed(name, np.hstack([scale * turn, shift[:, None]]), tuple(float(v) for v in box))


def _overlap(a: Box, b: Box) -> float:
    """The share of the smaller box that the other one covers."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    least = min((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    return max(wide, 0) * max(high, 0) / least


def pose(notes: list[Note], t: float) -> Pose:
    """Where an instrument that plays `notes` is at `t` seconds."""
    count = sum(note.start <= t for note in notes)
    until = notes[count].start - t if count < len(notes) else 99.0
    if not count:
        return Pose(until=until)
    note = notes[count - 1]
    pitch = float(np.clip((note.pitch - LOW) / (HIGH - LOW), 0, 1))
    return Pose(count, t - note.start, until, note.strength, pitch, note.length)


def frames(
    shown: list[tuple[Placed, list[Note]]], rng: np.random.Generator, seconds: float, still: bool = False
) -> Iterator[np.ndarray]:
    """The frames, FPS a second: uint8 RGB (HEIGHT, WIDTH, 3).

    `shown` are instruments with the notes that they play, none for one that is silent; the first is in front.
    A `still` picture shows the same moment all along.
    """
    back = _background(rng)
    palettes = [_palette(back, rng) for _ in shown]
    for placed, _ in shown:
        back = _shadow(back, placed, rng)
    back = back + rng.normal(0, rng.uniform(1, 4), back.shape)
    base = np.clip(back, 0, 255).astype(np.uint8)
    fine = cv2.resize(base, None, fx=FINE, fy=FINE, interpolation=cv2.INTER_LINEAR)
    light = _light(rng)
    regions = [_region(placed.box) for placed, _ in shown]

    def frame(t: float) -> np.ndarray:
        canvas, image = fine.copy(), base.copy()
        for (placed, notes), palette in reversed(list(zip(shown, palettes, strict=True))):
            DRAW[placed.name](Pen(canvas, placed.matrix * FINE), palette, pose(notes, t))
        for x0, y0, x1, y1 in regions:
            part = canvas[FINE * y0 : FINE * y1, FINE * x0 : FINE * x1]
            image[y0:y1, x0:x1] = cv2.resize(part, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        return cv2.multiply(image, light, scale=1 / 160)

    count = max(round(seconds * FPS), 1)
    if still:
        yield from [frame(0.5)] * count
    else:
        yield from (frame(k / FPS) for k in range(count))


def _region(box: Box) -> tuple[int, int, int, int]:
    """The pixels of a box and of the outline around it."""
    x0, y0 = max(int(box[0] * WIDTH) - 3, 0), max(int(box[1] * HEIGHT) - 3, 0)
    return x0, y0, min(int(box[2] * WIDTH) + 4, WIDTH), min(int(box[3] * HEIGHT) + 4, HEIGHT)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """A colour (3,) in 0..255; all three arguments in 0..1."""
    share = np.clip(np.abs((6 * hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return 255 * value * (1 - saturation + saturation * share)


def _palette(back: np.ndarray, rng: np.random.Generator) -> Palette:
    """Random colours whose body stands out from the background's mean."""
    mean = back.mean((0, 1))
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
    """Light from one side, of a random tint: uint8 (HEIGHT, WIDTH, 3); 160 changes nothing."""
    x, y = _GRID
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    edge = rng.uniform(0, 0.5) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    strength = rng.uniform(0.75, 1.1) * (1 + rng.uniform(0, 0.5) * slope - edge)
    tint = 1 + rng.uniform(-0.08, 0.08, 3)
    return np.clip(160 * strength[..., None] * tint, 0, 255).astype(np.uint8)


def _shadow(back: np.ndarray, placed: Placed, rng: np.random.Generator) -> np.ndarray:
    """The background, darker where the instrument throws a soft shadow."""
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    matrix = placed.matrix.copy()
    matrix[:, 2] += rng.uniform(-7, 7), rng.uniform(2, 9)
    DRAW[placed.name](Pen(mask, matrix), Palette(*[(255.0, 255.0, 255.0)] * 6), Pose())
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(2, 5)).astype(np.float64) / 255
    return back * (1 - rng.uniform(0.25, 0.55) * soft)


_GRID = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))


def _background(rng: np.random.Generator) -> np.ndarray:
    """A wall, a room, a curtain, tiles, lights out of focus or clouds: float (HEIGHT, WIDTH, 3) in 0..255."""
    x, y = _GRID
    hue = rng.random()
    first = _rgb(hue, rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.9))
    second = _rgb(hue + rng.uniform(-0.2, 0.2), rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.9))
    kind = rng.integers(6)
    if kind == 0:  # a wall whose colour runs
        angle = rng.uniform(0, 2 * np.pi)
        share = 0.5 + 0.7 * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
    elif kind == 1:  # a room: wall, skirting, boards that run towards us
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
        left, top, wide, high = rng.uniform((0, 0, 0.1, 0.1), (0.85, 0.7, 0.3, 0.35))
        inside = (np.abs(x - left - wide / 2) < wide / 2) & (np.abs(y - top - high / 2) < high / 2)
        colour = _rgb(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.9))
        image[inside] = 0.6 * image[inside] + 0.4 * colour
    return image
