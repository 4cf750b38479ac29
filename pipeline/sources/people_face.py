"""The embedded people's faces: heads drawn with light and shade, whose features move.

A head is drawn once a clip, twice as large as it is seen, with light that falls from one side; eyes, brows
and mouth are drawn on it for each frame, and the whole is turned, moved and made smaller into the picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

WIDTH, HEIGHT = 360, 288
FPS = 20
W, H = 340, 440  # of the head's own canvas
CX, CY = 170, 215  # its middle
FINE = 3  # bits of a pixel that lines are drawn to
Colour = tuple[float, ...]  # red, green, blue

SKINS: tuple[Colour, ...] = ((244, 208, 180), (228, 180, 146), (200, 146, 108), (156, 106, 76))
HAIRS: tuple[Colour, ...] = ((40, 32, 30), (92, 60, 38), (176, 132, 72), (150, 74, 40), (150, 148, 148))
IRISES: tuple[Colour, ...] = ((70, 50, 36), (84, 112, 70), (70, 110, 150))
STYLES = ("short", "long", "bald", "bun", "fringe", "curls")


@dataclass(frozen=True)
class Look:
    """What is a person's own. Lengths in pixels of the head's canvas."""

    skin: Colour
    hair: Colour
    iris: Colour
    style: str
    wide: float  # half the head's width and height
    high: float
    jaw: float  # 0 pointed to 1 square
    eyes: float  # distance of each from the middle
    eye: float  # its size
    brow: float  # thickness
    nose: float  # width
    mouth: float  # half its width
    lips: float  # thickness
    beard: str  # none, stubble, beard, moustache
    glasses: str  # none, round, square


@dataclass(frozen=True)
class Mien:
    """How a face is drawn, 0: at rest. raise and slant of the brows (slant: inner ends down), opening of the
    eyes, corners of the mouth up, its width, how far it is open, the upper lip's lift, nose wrinkled; then
    the head's turn (radians), its drop and its size."""

    raised: float = 0.0
    slant: float = 0.0
    eyes: float = 0.0
    corners: float = 0.0
    width: float = 0.0
    open: float = 0.0
    lift: float = 0.0
    wrinkle: float = 0.0
    turn: float = 0.0
    drop: float = 0.0


MIENS = {
    "ANG": Mien(raised=-0.6, slant=1.0, eyes=-0.2, corners=-0.45, width=0.1, lift=0.15),
    "DIS": Mien(raised=-0.35, slant=0.45, eyes=-0.45, corners=-0.5, width=-0.1, lift=0.8, wrinkle=1.0),
    "FEA": Mien(raised=1.0, slant=-0.7, eyes=0.42, corners=-0.25, width=0.25, open=0.22),
    "HAP": Mien(raised=0.3, slant=-0.1, eyes=-0.25, corners=1.0, width=0.3, lift=0.25),
    "NEU": Mien(),
    "SAD": Mien(raised=0.1, slant=-1.0, eyes=-0.4, corners=-0.95, width=-0.12, drop=0.5),
}


def mixed(emotion: str, strength: float, rng: np.random.Generator) -> Mien:
    """An emotion's mien, each of its parts shown more or less by chance."""
    values = {name: v * strength * rng.uniform(0.7, 1.2) for name, v in vars(MIENS[emotion]).items()}
    around = {name: v + rng.normal(0, 0.1) for name, v in values.items() if name not in ("open", "turn")}
    return Mien(**values | around)


def frames(
    look: Look, mien: Mien, emotion: str, opening: np.ndarray, width: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Pictures (HEIGHT, WIDTH, 3) uint8. opening, width: of the mouth, as of people_voice, a frame."""
    light = rng.uniform(-1, 1), rng.uniform(-0.6, 0.2)
    head, alpha = _head(look, light, rng)
    back = _background(rng)
    tint = np.clip(rng.uniform(0.8, 1.15) * rng.uniform(0.92, 1.08, 3), 0, 1.2)
    table = (np.arange(256)[:, None] * tint).clip(0, 255).astype(np.uint8)[:, None]  # of each channel
    scale = rng.uniform(0.5, 0.62)
    place = WIDTH / 2 + rng.uniform(-38, 38), HEIGHT / 2 + rng.uniform(-8, 18)
    sway, rate = rng.uniform(0.01, 0.04), rng.uniform(0.25, 0.6)
    shake = {"ANG": 0.6, "FEA": 0.5, "HAP": 0.4}.get(emotion, 0.0)
    blinks = rng.uniform(0.3, 6, 2)
    gaze = rng.uniform(-0.5, 0.5, 2)
    phase = rng.uniform(0, 6, 3)
    for k in range(len(opening)):
        t = k / FPS
        blink = max(float(np.exp(-(((t - b) / 0.07) ** 2))) for b in blinks)
        nod = np.sin(2 * np.pi * (rate * t) + phase[0])
        quick = shake * np.sin(2 * np.pi * 3.2 * t + phase[1])
        now = replace(
            mien,
            eyes=(1 + mien.eyes) * (1 - blink) - 1,
            open=mien.open + float(opening[k]),
            width=mien.width + 0.35 * float(width[k]) * (opening[k] > 0.05),
        )
        drawn = _features(head.copy(), look, now, gaze)
        turn = mien.turn * 0.05 + sway * nod + 0.012 * quick
        x = place[0] + 3 * np.sin(2 * np.pi * rate * 0.7 * t + phase[2]) + 1.5 * quick
        y = place[1] + 6 * mien.drop + 2 * nod + (1.5 * quick if emotion == "HAP" else 0)
        c, s = scale * np.cos(turn), scale * np.sin(turn)
        where = np.array([[c, -s, x - c * CX + s * CY], [s, c, y - s * CX - c * CY]])
        size, how = (WIDTH, HEIGHT), cv2.INTER_LINEAR
        seen = cv2.warpAffine(drawn, where, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
        part = cv2.warpAffine(alpha, where, size, flags=how)[..., None]
        picture = (seen.astype(np.uint16) * part + back.astype(np.uint16) * (255 - part)) // 255
        yield cv2.LUT(picture.astype(np.uint8), table.reshape(1, 256, 3))


# --- what stays the same through a clip -----------------------------------------------------------------


def _head(look: Look, light: tuple[float, float], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The head without its features, (H, W, 3) uint8, and what of the canvas it covers, (H, W) uint8."""
    y, x = np.mgrid[0:H, 0:W].astype(np.float32)
    nx, ny = (x - CX) / look.wide, (y - CY) / look.high
    picture = np.zeros((H, W, 3), np.float32)
    alpha = np.zeros((H, W), np.float32)

    def paint(mask: np.ndarray, colour: np.ndarray | Colour) -> None:
        share = mask[..., None]
        picture[:] = picture * (1 - share) + np.asarray(colour, np.float32) * share
        np.maximum(alpha, mask, out=alpha)

    side = 1 - 0.14 * (light[0] * nx + light[1] * ny)
    hair_light = (side * (1 - 0.25 * nx**2))[..., None] * (0.94 + 0.06 * np.sin(x * 0.7))[..., None]
    hair = np.array(look.hair, np.float32) * hair_light
    skin = np.array(look.skin, np.float32)

    if look.style in ("long", "curls"):
        low = 0.95 if look.style == "long" else 0.25
        paint(_ellipse(CX, CY - 20, look.wide * 1.22, look.high * 1.02), hair)
        paint(_box(CX - look.wide * 1.2, CY - 20, CX + look.wide * 1.2, CY + look.high * low), hair * 0.92)
    if look.style == "bun":
        paint(_ellipse(CX, CY - look.high * 1.12, look.wide * 0.42, look.high * 0.24), hair * 0.9)
    # Shoulders in some colour, which says nothing of who it is.
    cloth = _colour(rng) * rng.uniform(0.6, 1.0)
    paint(_ellipse(CX, CY + look.high * 2.02, look.wide * 1.9, look.high * 0.78), cloth * side[..., None])
    paint(_box(CX - look.wide * 0.42, CY + 20, CX + look.wide * 0.42, CY + look.high * 1.32), skin * 0.74)
    for way in (-1, 1):
        paint(_ellipse(CX + way * look.wide * 0.99, CY + 6, look.wide * 0.13, look.high * 0.17), skin * 0.86)

    # The face: rounder light in the middle, sockets and the sides of the nose in shadow.
    shade = (
        1.05 - 0.30 * nx**2 - 0.10 * np.maximum(ny, -0.5) ** 2 - 0.16 * light[0] * nx - 0.1 * light[1] * ny
    )
    shade += 0.10 * np.exp(-(((ny + 0.5) / 0.22) ** 2) - (nx / 0.6) ** 2)
    ex = look.eyes / look.wide
    for way in (-1, 1):
        shade -= 0.26 * np.exp(-(((nx - way * ex) / 0.30) ** 2) - ((ny + 0.10) / 0.14) ** 2)
        shade += 0.07 * np.exp(-(((nx - way * 0.5) / 0.25) ** 2) - ((ny - 0.22) / 0.16) ** 2)
        shade -= 0.10 * np.exp(
            -(((nx - way * look.nose / look.wide) / 0.09) ** 2) - ((ny - 0.22) / 0.16) ** 2
        )
    shade += 0.13 * np.exp(-((nx / 0.10) ** 2)) * ((ny > -0.25) & (ny < 0.3))
    under = (nx / (1.2 * look.nose / look.wide)) ** 2
    shade -= 0.22 * np.exp(-under - ((ny - 0.335) / 0.035) ** 2)
    shade -= 0.10 * np.exp(-((nx / 0.3) ** 2) - ((ny - 0.72) / 0.05) ** 2)
    tone = skin * np.clip(shade, 0.25, 1.25)[..., None]
    tone[..., 0] += 10 * np.exp(-(((np.abs(nx) - 0.55) / 0.2) ** 2) - ((ny - 0.25) / 0.2) ** 2)
    face = _outline(look)
    paint(face, tone)
    if look.beard != "none":
        below = np.clip((ny - 0.36 - 0.10 * (1 - nx**2)) * 5, 0, 1) * face
        if look.beard == "moustache":
            below = face * np.exp(-((nx / 0.34) ** 4) - ((ny - 0.43) / 0.06) ** 4)
        else:
            below *= 1 - np.exp(-((nx / 0.26) ** 2) - ((ny - 0.56) / 0.13) ** 2)  # around the mouth
            below = np.maximum(below, face * np.exp(-((nx / 0.36) ** 4) - ((ny - 0.43) / 0.055) ** 4))
        thick = 0.35 if look.beard == "stubble" else 0.72
        paint(below * thick, hair * 0.9)
    if look.style != "bald":
        line = {"short": -0.62, "long": -0.60, "bun": -0.66, "fringe": -0.52, "curls": -0.56}[look.style]
        edge = line + (0.10 * np.abs(nx) ** 2 if look.style == "fringe" else 0.42 * np.abs(nx) ** 3)
        if look.style == "curls":
            edge = edge + 0.05 * np.sin(nx * 16)
        cap = _ellipse(CX, CY - 8, look.wide * 1.07, look.high * 1.06)
        paint(cap * np.clip((edge - ny) * 14 + 0.5, 0, 1) * (np.abs(nx) < 1.2), hair)
    return picture.clip(0, 255).astype(np.uint8), (alpha * 255).round().astype(np.uint8)


def _outline(look: Look) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 120)
    x, y = np.sin(t), -np.cos(t)
    jaw = np.where(y > 0, 1 - (0.34 - 0.30 * look.jaw) * y**2, 1.0)
    points = np.stack([CX + look.wide * x * jaw, CY + look.high * y], axis=1)
    return _filled(points)


def _ellipse(x: float, y: float, a: float, b: float) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 72)
    return _filled(np.stack([x + a * np.cos(t), y + b * np.sin(t)], axis=1))


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return _filled(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))


def _filled(points: np.ndarray) -> np.ndarray:
    mask = np.zeros((H, W), np.uint8)
    cv2.fillPoly(mask, [_fine(points)], 255, cv2.LINE_AA, FINE)
    return mask.astype(np.float32) / 255


def _fine(points: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(points) * (1 << FINE)).astype(np.int32)


def _background(rng: np.random.Generator) -> np.ndarray:
    """A wall with a gradient and a few soft shapes, in colours by chance."""
    a, b = _colour(rng), _colour(rng)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    share = ((x / WIDTH - 0.5) * np.cos(angle) + (y / HEIGHT - 0.5) * np.sin(angle) + 0.7) / 1.4
    wall = a * (1 - share[..., None]) + b * share[..., None]
    small = np.ascontiguousarray(wall.astype(np.float32))
    for _ in range(rng.integers(1, 4)):
        corner = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
        size = rng.uniform(30, 140, 2)
        first, last = (int(corner[0]), int(corner[1])), (int(corner[0] + size[0]), int(corner[1] + size[1]))
        cv2.rectangle(small, first, last, _colour(rng).tolist(), -1)
    return cv2.GaussianBlur(small, (0, 0), 5).clip(0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Any, but none that shouts."""
    grey = rng.uniform(50, 205)
    return grey + (rng.uniform(30, 225, 3) - grey) * 0.45


# --- what moves -----------------------------------------------------------------------------------------


def _features(picture: np.ndarray, look: Look, mien: Mien, gaze: np.ndarray) -> np.ndarray:
    """Eyes, brows, nose and mouth on a head, as `mien` says."""
    dark = tuple(c * 0.35 for c in look.skin)
    hair = tuple(c * 0.75 for c in look.hair)
    eye_y = CY - 0.08 * look.high
    for way in (-1, 1):
        x = CX + way * look.eyes
        _eye(picture, look, x, eye_y, max(1 + mien.eyes, 0.06), gaze, dark)
        # Brows: inner and outer end, and a bow between.
        top = eye_y - look.eye * 1.25 - 9 * mien.raised
        inner = np.array([x - way * look.eye * 1.15, top + 9 * mien.slant])
        outer = np.array([x + way * look.eye * 1.35, top + 3 - 4 * mien.slant])
        bow = (inner + outer) / 2 - (0, 6 - 2 * abs(mien.slant))
        _stroke(picture, _bent(inner, bow, outer), hair, look.brow)
    for way in (-1, 1):
        at = np.array([CX + way * look.nose * 0.55, CY + 0.325 * look.high - 4 * mien.wrinkle])
        cv2.ellipse(picture, _point(at), (int(5 * 8), int(3 * 8)), 0, 0, 360, dark, -1, cv2.LINE_AA, FINE)
        if mien.wrinkle > 0.2:
            a = np.array([CX + way * 6, CY - 4.0])
            _stroke(picture, _bent(a, a + (way * 5, 7), a + (way * 14, 10)), dark, 2 * mien.wrinkle)
            fold = np.array([CX + way * look.nose * 1.3, CY + 0.28 * look.high])
            _stroke(
                picture, _bent(fold, fold + (way * 9, 9), fold + (way * 11, 24)), dark, 1.6 * mien.wrinkle
            )
    _mouth(picture, look, mien)
    if look.glasses != "none":
        for way in (-1, 1):
            x, r = CX + way * look.eyes, look.eye * 1.55
            if look.glasses == "round":
                cv2.circle(picture, _point((x, eye_y)), int(r * 8), (70, 62, 58), 2, cv2.LINE_AA, FINE)
            else:
                corners = _point((x - r, eye_y - r * 0.75)), _point((x + r, eye_y + r * 0.75))
                cv2.rectangle(picture, *corners, (70, 62, 58), 2, cv2.LINE_AA, FINE)
            rim = x + way * r
            ends = _point((rim, eye_y - 4)), _point((CX + way * look.wide * 0.99, eye_y - 6))
            cv2.line(picture, *ends, (70, 62, 58), 2, cv2.LINE_AA, FINE)
        gap = look.eyes - look.eye * 1.55
        cv2.line(
            picture, _point((CX - gap, eye_y)), _point((CX + gap, eye_y)), (70, 62, 58), 2, cv2.LINE_AA, FINE
        )
    return picture


def _eye(
    picture: np.ndarray, look: Look, x: float, y: float, opened: float, gaze: np.ndarray, dark: Colour
) -> None:
    a, b = look.eye, look.eye * 0.52 * min(opened, 1.7)
    t = np.linspace(0, np.pi, 20)
    upper = np.stack([x - a * np.cos(t), y - b * np.sin(t)], 1)
    lower = np.stack([x + a * np.cos(t), y + 0.8 * b * np.sin(t)], 1)
    if opened > 0.25:
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(mask, [_fine(np.concatenate([upper, lower]))], 255, cv2.LINE_AA, FINE)
        box = slice(int(y - 26), int(y + 26)), slice(int(x - 34), int(x + 34))
        ball = np.full_like(picture[box], 236)
        centre = np.array([x + 4 * gaze[0], y + 2 * gaze[1]]) - (box[1].start, box[0].start)
        r = look.eye * 0.5
        cv2.circle(ball, _point(centre), int(r * 8), look.iris, -1, cv2.LINE_AA, FINE)
        cv2.circle(ball, _point(centre), int(r * 4), (15, 12, 12), -1, cv2.LINE_AA, FINE)
        cv2.circle(ball, _point(centre - (3, 3)), 16, (255, 255, 255), -1, cv2.LINE_AA, FINE)
        share = (mask[box].astype(np.float32) / 255)[..., None]
        picture[box] = (picture[box] * (1 - share) + ball * share).astype(np.uint8)
    _stroke(picture, upper, tuple(c * 0.6 for c in dark), 4)
    _stroke(picture, lower, dark, 1.5)


def _mouth(picture: np.ndarray, look: Look, mien: Mien) -> None:
    y = CY + 0.56 * look.high
    half = look.mouth * (1 + 0.30 * mien.width)
    lip = tuple(c * f for c, f in zip(look.skin, (0.80, 0.50, 0.48), strict=True))
    corner = y - 13 * mien.corners
    gap = 24 * max(mien.open, 0.0)
    s = np.linspace(-1, 1, 25)
    bend = (1 - s**2)[:, None]
    ends = np.stack([CX + half * s, np.full(25, corner)], 1)
    middle = y - 5 * mien.lift

    def curve(height: float) -> np.ndarray:
        """From corner to corner by way of `height` in the middle."""
        return ends + bend * (0, height - corner)

    upper, lower = curve(middle - gap * 0.35), curve(y + gap * 0.75 + 3 * max(mien.corners, 0))
    top = curve(middle - gap * 0.35 - look.lips * 0.8)
    bow = np.exp(-((s / 0.16) ** 2))[:, None] * (0, look.lips * 0.25)
    bottom = curve(y + gap * 0.75 + look.lips * 1.1 + 3 * max(mien.corners, 0))
    outer = np.concatenate([top + bow, bottom[::-1]])
    cv2.fillPoly(picture, [_fine(outer)], lip, cv2.LINE_AA, FINE)
    inner = np.concatenate([upper, lower[::-1]])
    if np.ptp(lower[:, 1] - upper[:, 1]) > 2.5:
        cv2.fillPoly(picture, [_fine(inner)], (70, 22, 26), cv2.LINE_AA, FINE)
        teeth = upper + bend * (0, min(6.0 + 4 * mien.lift, gap * 0.5 + 5 * mien.lift + 3 * mien.corners))
        if (teeth[:, 1] > upper[:, 1] + 0.5).any():
            row = np.concatenate([upper, np.minimum(teeth, lower)[::-1]])
            cv2.fillPoly(picture, [_fine(row)], (236, 232, 224), cv2.LINE_AA, FINE)
    else:
        _stroke(picture, (upper + lower) / 2, tuple(c * 0.45 for c in lip), 2.5)


def _bent(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """A quadratic curve from a to c that b pulls at."""
    t = np.linspace(0, 1, 14)[:, None]
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c


def _stroke(picture: np.ndarray, points: np.ndarray, colour: Colour, thickness: float) -> None:
    cv2.polylines(picture, [_fine(points)], False, colour, max(round(thickness), 1), cv2.LINE_AA, FINE)


def _point(at) -> tuple[int, int]:
    x, y = _fine(np.asarray(at))
    return int(x), int(y)
