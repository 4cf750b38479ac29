"""Render the pictures of a clip of the synthetic ensemble: a lit background with one or two instruments.

The distributions of colours, sizes, positions and light are the same for all instruments.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.sources.ensemble.pen import NEVER, Palette, Pen, Pose
from pipeline.sources.ensemble.shapes import ANGLES, DRAWINGS, Draw, covered_hull
from pipeline.sources.ensemble.sound import HIGH, LOW, Note

WIDTH, HEIGHT, FPS = 256, 192, 12
OVERSAMPLING = 2  # instruments are drawn this much larger, then averaged
LIGHT_UNIT = 160  # this value of a light map leaves a pixel as bright as it is
STILL_TIME = 0.5  # s: the moment that a still picture shows

Box = tuple[float, ...]  # left, top, right, bottom as fractions of the frame
# The x and the y of each pixel, both (HEIGHT, WIDTH) in 0..1.
_GRID = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))


@dataclass(frozen=True, slots=True)
class PlacedInstrument:
    """An instrument at its place in the frame.

    name: AudioSet's. matrix: (2, 3), maps the instrument's coordinates to pixels. box: contains all its
    movements; left, top, right, bottom as fractions of the frame.
    """

    name: str
    matrix: np.ndarray
    box: Box


def place_instruments(names: list[str], rng: np.random.Generator) -> list[PlacedInstrument]:
    """Place one or two instruments in the frame, with random sizes and positions. Two overlap little.

    The area of a box is random, not the length of the instrument: so the size does not reveal which it is.
    """
    min_area, max_area = (0.36, 0.56) if len(names) == 1 else (0.2, 0.3)  # of a box; the frame has 1
    best: list[PlacedInstrument] = []
    least_overlap = np.inf
    for _ in range(12):  # tries; most often the first one will do
        placed = [_place_instrument(name, min_area, max_area, rng) for name in names]
        overlap = _overlap(placed[0].box, placed[1].box) if len(placed) > 1 else 0.0
        if overlap < least_overlap:
            best, least_overlap = placed, overlap
        if overlap < 0.05:
            break
    return best


def _place_instrument(
    name: str, min_area: float, max_area: float, rng: np.random.Generator
) -> PlacedInstrument:
    """Place one instrument at random: rotated, perhaps mirrored, scaled and moved.

    min_area, max_area: of its bounding box, as fractions of the frame's area.
    """
    min_degrees, max_degrees = ANGLES[name]
    angle = np.radians(rng.uniform(min_degrees, max_degrees) * rng.choice([-1, 1]))
    flip = rng.choice([-1, 1])  # -1: mirrored left to right
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = rotation @ np.diag([flip, 1])
    hull = covered_hull(name) @ turn.T  # (points, 2), in the instrument's units
    width, height = np.ptp(hull, 0)
    scale = np.sqrt(rng.uniform(min_area, max_area) * WIDTH * HEIGHT / (width * height))  # pixels per unit
    scale = min(scale, 0.94 * WIDTH / width, 0.94 * HEIGHT / height)
    free_space = np.array([WIDTH - scale * width, HEIGHT - scale * height])
    top_left = rng.uniform(0.02, 0.98, 2) * free_space  # of the bounding box, pixels
    bottom_right = top_left + scale * np.array([width, height])
    shift = top_left - scale * hull.min(0)
    matrix = np.hstack([scale * turn, shift[:, None]])
    box = (*(top_left / (WIDTH, HEIGHT)), *(bottom_right / (WIDTH, HEIGHT)))
    return PlacedInstrument(name, matrix, tuple(float(v) for v in box))


def _overlap(first: Box, second: Box) -> float:
    """Return the fraction of the smaller box that the other box covers, 0..1."""
    left0, top0, right0, bottom0 = first
    left1, top1, right1, bottom1 = second
    width = min(right0, right1) - max(left0, left1)  # of the intersection; negative: there is none
    height = min(bottom0, bottom1) - max(top0, top1)
    smaller_area = min((right0 - left0) * (bottom0 - top0), (right1 - left1) * (bottom1 - top1))
    return max(width, 0) * max(height, 0) / smaller_area


def pose_at(t: float, notes: list[Note]) -> Pose:
    """Return the pose, at `t` seconds, of an instrument that plays `notes` (sorted by their starts)."""
    count = sum(note.start <= t for note in notes)  # notes that have begun
    until = notes[count].start - t if count < len(notes) else NEVER
    if not count:
        return Pose(until=until)
    note = notes[count - 1]
    pitch = float(np.clip((note.pitch - LOW) / (HIGH - LOW), 0, 1))
    return Pose(count, t - note.start, until, note.strength, pitch, note.length)


def frames(
    instruments: list[tuple[PlacedInstrument, list[Note]]],
    rng: np.random.Generator,
    seconds: float,
    is_still: bool = False,
) -> Iterator[np.ndarray]:
    """Yield frames, FPS a second: uint8 RGB (HEIGHT, WIDTH, 3).

    instruments: each with its notes (an empty list for a silent one); the first is in front. is_still: all
    frames are the same.
    """
    background = _random_background(rng)
    palettes = [_random_palette(background, rng) for _ in instruments]
    for placed, _ in instruments:
        background = _add_shadow(background, placed, rng)
    background = background + rng.normal(0, rng.uniform(1, 4), background.shape)  # a camera's noise
    base = np.clip(background, 0, 255).astype(np.uint8)
    large_base = cv2.resize(base, None, fx=OVERSAMPLING, fy=OVERSAMPLING, interpolation=cv2.INTER_LINEAR)
    light = _random_light(rng)
    regions = [_pixel_region(placed.box) for placed, _ in instruments]

    # What each frame draws: a function, a pen's matrix, a palette and notes.
    moving: list[tuple[Draw, np.ndarray, Palette, list[Note]]] = []
    for (placed, notes), palette in reversed(list(zip(instruments, palettes, strict=True))):
        drawing, matrix = DRAWINGS[placed.name], placed.matrix * OVERSAMPLING
        if moving:  # in front of what moves
            moving.append((drawing.draw, matrix, palette, notes))
            continue
        drawing.draw_still(Pen(large_base, matrix), palette)
        if notes:
            moving.append((drawing.draw_moving, matrix, palette, notes))
        else:
            drawing.draw_moving(Pen(large_base, matrix), palette, Pose())

    def draw_frame(t: float) -> np.ndarray:
        """Return the frame at `t` seconds."""
        canvas, image = large_base.copy(), base.copy()
        for draw, matrix, palette, notes in moving:
            draw(Pen(canvas, matrix), palette, pose_at(t, notes))
        # Only where the instruments are: scaling the whole frame would cost more.
        for left, top, right, bottom in regions:
            k = OVERSAMPLING
            part = canvas[k * top : k * bottom, k * left : k * right]
            small_part = cv2.resize(part, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
            image[top:bottom, left:right] = small_part
        return cv2.multiply(image, light, scale=1 / LIGHT_UNIT)

    count = max(round(seconds * FPS), 1)
    if is_still:
        yield from [draw_frame(STILL_TIME)] * count
    else:
        yield from (draw_frame(k / FPS) for k in range(count))


def _pixel_region(box: Box) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a box in pixels, with a margin for the outline of the instrument."""
    left, top, right, bottom = box
    return (
        max(int(left * WIDTH) - 3, 0),
        max(int(top * HEIGHT) - 3, 0),
        min(int(right * WIDTH) + 4, WIDTH),
        min(int(bottom * HEIGHT) + 4, HEIGHT),
    )


def _hsv_to_rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return a colour (3,) in 0..255. saturation, value: in 0..1. hue: in turns of the colour wheel."""
    pure_hue = np.clip(np.abs((6 * hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return 255 * value * (1 - saturation + saturation * pure_hue)


def _random_palette(background: np.ndarray, rng: np.random.Generator) -> Palette:
    """Return random colours for an instrument. The body's colour differs from the background's mean.

    background: (HEIGHT, WIDTH, 3) in 0..255.
    """
    mean = background.mean((0, 1))
    for _ in range(20):
        body = _hsv_to_rgb(rng.random(), rng.uniform(0.35, 0.9), rng.uniform(0.45, 0.95))
        if np.abs(body - mean).sum() > 180:
            break
    trim = _hsv_to_rgb(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.5, 0.95))
    light = _hsv_to_rgb(rng.random(), rng.uniform(0, 0.2), rng.uniform(0.88, 1))
    dark = _hsv_to_rgb(rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.28))
    hand = _hsv_to_rgb(rng.uniform(0.03, 0.09), rng.uniform(0.3, 0.6), rng.uniform(0.45, 0.98))
    colours = (body, trim, light, dark, hand, 0.18 * body)
    return Palette(*(tuple(float(v) for v in colour) for colour in colours))


def _random_light(rng: np.random.Generator) -> np.ndarray:
    """Return a tinted light from one side: uint8 (HEIGHT, WIDTH, 3).

    A pixel is multiplied by light / LIGHT_UNIT.
    """
    x, y = _GRID
    angle = rng.uniform(0, 2 * np.pi)  # where the light comes from
    slope = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    vignette = rng.uniform(0, 0.5) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)  # darker corners
    strength = rng.uniform(0.75, 1.1) * (1 + rng.uniform(0, 0.5) * slope - vignette)
    tint = 1 + rng.uniform(-0.08, 0.08, 3)
    return np.clip(LIGHT_UNIT * strength[..., None] * tint, 0, 255).astype(np.uint8)


def _add_shadow(background: np.ndarray, placed: PlacedInstrument, rng: np.random.Generator) -> np.ndarray:
    """Return the background (HEIGHT, WIDTH, 3) with a soft shadow of an instrument at rest."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    matrix = placed.matrix.copy()
    matrix[:, 2] += rng.uniform(-7, 7), rng.uniform(2, 9)  # pixels right and down
    white = Palette(*[(255.0, 255.0, 255.0)] * 6)
    DRAWINGS[placed.name].draw(Pen(mask, matrix), white, Pose())
    shadow = cv2.GaussianBlur(mask, (0, 0), rng.uniform(2, 5)).astype(np.float64) / 255
    return background * (1 - rng.uniform(0.25, 0.55) * shadow[..., None])


def _random_wall_colour(hue: float, rng: np.random.Generator) -> np.ndarray:
    """Return a colour (3,) in 0..255 of this hue, not very saturated and neither dark nor white."""
    return _hsv_to_rgb(hue, rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.9))


def _random_background(rng: np.random.Generator) -> np.ndarray:
    """Return a random background, float (HEIGHT, WIDTH, 3) in 0..255.

    It is a mixture of two colours in a random pattern, with up to two rectangles on it.
    """
    x, y = _GRID
    hue = rng.random()
    first = _random_wall_colour(hue, rng)
    second = _random_wall_colour(hue + rng.uniform(-0.2, 0.2), rng)
    weight = 0.6 * np.clip(_random_pattern(rng), 0, 1)[..., None]
    image = first + weight * (second - first)
    for _ in range(rng.integers(0, 3)):  # a picture or a window on the wall
        left, top, width, height = rng.uniform((0, 0, 0.1, 0.1), (0.85, 0.7, 0.3, 0.35))
        is_inside_x = np.abs(x - left - width / 2) < width / 2
        is_inside_y = np.abs(y - top - height / 2) < height / 2
        colour = _random_wall_colour(rng.random(), rng)
        is_inside = is_inside_x & is_inside_y
        image[is_inside] = 0.6 * image[is_inside] + 0.4 * colour
    return image


def _random_pattern(rng: np.random.Generator) -> np.ndarray:
    """Return the weight of the background's second colour at each pixel, (HEIGHT, WIDTH), about 0..1.

    It is one of six patterns: gradient, room, curtain, tiles, lights, clouds.
    """
    x, y = _GRID
    pattern = rng.integers(6)
    if pattern == 0:  # a wall with a gradient
        angle = rng.uniform(0, 2 * np.pi)
        return 0.5 + 0.7 * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
    if pattern == 1:  # a room: wall, skirting board, floorboards in perspective
        horizon = rng.uniform(0.5, 0.85)
        has_gap = ((x - 0.5) / (y - horizon + 0.25) * rng.uniform(2, 5)) % 1 > 0.93  # between floorboards
        skirting_board = 0.4 * (np.abs(y - horizon) < 0.012)
        return np.where(y > horizon, 1 - 0.25 * has_gap, 0.15 * y) + skirting_board
    if pattern == 2:  # a curtain
        folds = rng.uniform(5, 14)  # their number
        wavy_x = x + 0.02 * np.sin(5 * y + rng.uniform(0, 6))
        return 0.5 + 0.3 * np.sin(2 * np.pi * folds * wavy_x) + 0.2 * y
    if pattern == 3:  # tiles, or bricks, of which every other row is shifted by half a brick
        size = rng.uniform(0.1, 0.25)
        row_shift = np.floor(y / size) % 2 * rng.choice([0, 0.5])
        is_joint = ((x * WIDTH / HEIGHT / size + row_shift) % 1 < 0.06) | (y / size % 1 < 0.06)
        return 0.2 + 0.5 * is_joint
    if pattern == 4:  # lights out of focus
        weight = np.full((HEIGHT, WIDTH), 0.1)
        for _ in range(rng.integers(5, 14)):
            distance = np.sqrt(((x - rng.random()) * WIDTH / HEIGHT) ** 2 + (y - rng.random()) ** 2)
            brightness = rng.uniform(0.15, 0.6)
            radius = rng.uniform(0.03, 0.14)
            weight += brightness * np.clip((radius - distance) * 40, 0, 1)
        return weight
    coarse = rng.random((int(rng.integers(3, 8)), int(rng.integers(3, 9))))  # clouds
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
