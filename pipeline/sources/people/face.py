"""Draw the moving faces of the synthetic people.

The head is drawn once for each clip, on a canvas about twice as large as it appears in the picture. Eyes,
brows and mouth are drawn on it for each frame; then it is rotated, moved and scaled into the picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from pipeline.sources.people.head import (
    CX,
    CY,
    SHIFT,
    Appearance,
    Colour,
    draw_head,
    fixed_point,
    random_colour,
)

WIDTH, HEIGHT = 360, 288  # of the picture
FPS = 20


@dataclass(frozen=True)
class Expression:
    """The state of a face. All values are 0 at rest and about -1..1."""

    brow_height: float = 0.0
    brow_slant: float = 0.0  # positive: inner ends down
    eye_opening: float = 0.0  # -1: closed
    mouth_corners: float = 0.0  # positive: up
    mouth_width: float = 0.0
    mouth_opening: float = 0.0
    lip_lift: float = 0.0  # of the upper lip
    nose_wrinkle: float = 0.0
    head_turn: float = 0.0
    head_drop: float = 0.0


EXPRESSIONS = {
    "ANG": Expression(
        brow_height=-0.6,
        brow_slant=1.0,
        eye_opening=-0.2,
        mouth_corners=-0.45,
        mouth_width=0.1,
        lip_lift=0.15,
    ),
    "DIS": Expression(
        brow_height=-0.35,
        brow_slant=0.45,
        eye_opening=-0.45,
        mouth_corners=-0.5,
        mouth_width=-0.1,
        lip_lift=0.8,
        nose_wrinkle=1.0,
    ),
    "FEA": Expression(
        brow_height=1.0,
        brow_slant=-0.7,
        eye_opening=0.42,
        mouth_corners=-0.25,
        mouth_width=0.25,
        mouth_opening=0.22,
    ),
    "HAP": Expression(
        brow_height=0.3, brow_slant=-0.1, eye_opening=-0.25, mouth_corners=1.0, mouth_width=0.3, lip_lift=0.25
    ),
    "NEU": Expression(),
    "SAD": Expression(
        brow_height=0.1,
        brow_slant=-1.0,
        eye_opening=-0.4,
        mouth_corners=-0.95,
        mouth_width=-0.12,
        head_drop=0.5,
    ),
}


def random_expression(emotion: str, strength: float, rng: np.random.Generator) -> Expression:
    """Return the expression of an emotion, each of its values varied at random. strength: 0..1."""
    values = {name: v * strength * rng.uniform(0.7, 1.2) for name, v in vars(EXPRESSIONS[emotion]).items()}
    exact = ("mouth_opening", "head_turn")
    varied = {name: v + rng.normal(0, 0.1) for name, v in values.items() if name not in exact}
    return Expression(**values | varied)


def frames(
    face: Appearance,
    expression: Expression,
    emotion: str,
    opening: np.ndarray,
    width: np.ndarray,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Yield pictures (HEIGHT, WIDTH, 3) uint8. opening, width: (frames,) of the mouth, as in people_voice."""
    light = rng.uniform(-1, 1), rng.uniform(-0.6, 0.2)
    head, opacity = draw_head(face, light, rng)
    background = _background(rng)
    tint = np.clip(rng.uniform(0.8, 1.15) * rng.uniform(0.92, 1.08, 3), 0, 1.2)
    levels = (np.arange(256)[:, None] * tint).clip(0, 255).astype(np.uint8)  # (256, 3) lookup table
    scale = rng.uniform(0.5, 0.62)
    centre = WIDTH / 2 + rng.uniform(-38, 38), HEIGHT / 2 + rng.uniform(-8, 18)
    sway, sway_rate = rng.uniform(0.01, 0.04), rng.uniform(0.25, 0.6)
    shake_strength = {"ANG": 0.6, "FEA": 0.5, "HAP": 0.4}.get(emotion, 0.0)
    blink_times = rng.uniform(0.3, 6, 2)
    gaze = rng.uniform(-0.5, 0.5, 2)
    phase = rng.uniform(0, 6, 3)
    for k in range(len(opening)):
        t = k / FPS
        blink = max(float(np.exp(-(((t - time) / 0.07) ** 2))) for time in blink_times)
        nod = np.sin(2 * np.pi * (sway_rate * t) + phase[0])
        shake = shake_strength * np.sin(2 * np.pi * 3.2 * t + phase[1])
        current = replace(
            expression,
            eye_opening=(1 + expression.eye_opening) * (1 - blink) - 1,
            mouth_opening=expression.mouth_opening + float(opening[k]),
            mouth_width=expression.mouth_width + 0.35 * float(width[k]) * (opening[k] > 0.05),
        )
        canvas = _draw_features(head.copy(), face, current, gaze)
        angle = expression.head_turn * 0.05 + sway * nod + 0.012 * shake
        x = centre[0] + 3 * np.sin(2 * np.pi * sway_rate * 0.7 * t + phase[2]) + 1.5 * shake
        y = centre[1] + 6 * expression.head_drop + 2 * nod + (1.5 * shake if emotion == "HAP" else 0)
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        matrix = np.array([[c, -s, x - c * CX + s * CY], [s, c, y - s * CX - c * CY]])
        size, method = (WIDTH, HEIGHT), cv2.INTER_LINEAR
        foreground = cv2.warpAffine(canvas, matrix, size, flags=method, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.warpAffine(opacity, matrix, size, flags=method)[..., None]
        weighted_sum = foreground.astype(np.uint16) * alpha + background.astype(np.uint16) * (255 - alpha)
        yield cv2.LUT((weighted_sum // 255).astype(np.uint8), levels.reshape(1, 256, 3))


def _background(rng: np.random.Generator) -> np.ndarray:
    """Return (HEIGHT, WIDTH, 3) uint8, a wall: a gradient and blurred boxes, in random colours."""
    a, b = random_colour(rng), random_colour(rng)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    share = ((x / WIDTH - 0.5) * np.cos(angle) + (y / HEIGHT - 0.5) * np.sin(angle) + 0.7) / 1.4
    wall = a * (1 - share[..., None]) + b * share[..., None]
    picture = np.ascontiguousarray(wall.astype(np.float32))
    for _ in range(rng.integers(1, 4)):
        x0, y0 = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
        size = rng.uniform(30, 140, 2)
        first, last = (int(x0), int(y0)), (int(x0 + size[0]), int(y0 + size[1]))
        cv2.rectangle(picture, first, last, random_colour(rng).tolist(), -1)
    return cv2.GaussianBlur(picture, (0, 0), 5).clip(0, 255).astype(np.uint8)


def _draw_features(
    picture: np.ndarray, face: Appearance, expression: Expression, gaze: np.ndarray
) -> np.ndarray:
    """Draw eyes, brows, nose, mouth and glasses onto a head; return the picture."""
    dark = tuple(c * 0.35 for c in face.skin)
    hair = tuple(c * 0.75 for c in face.hair)
    eye_y = CY - 0.08 * face.half_height
    for sign in (-1, 1):
        x = CX + sign * face.eye_distance
        _draw_eye(picture, face, x, eye_y, max(1 + expression.eye_opening, 0.06), gaze, dark)
        top = eye_y - face.eye_size * 1.25 - 9 * expression.brow_height
        inner_end = np.array([x - sign * face.eye_size * 1.15, top + 9 * expression.brow_slant])
        outer_end = np.array([x + sign * face.eye_size * 1.35, top + 3 - 4 * expression.brow_slant])
        bend = (inner_end + outer_end) / 2 - (0, 6 - 2 * abs(expression.brow_slant))
        _draw_line(picture, _curve(inner_end, bend, outer_end), hair, face.brow)
    _draw_nose(picture, face, expression.nose_wrinkle, dark)
    _draw_mouth(picture, face, expression)
    if face.glasses != "none":
        _draw_glasses(picture, face, eye_y)
    return picture


def _draw_nose(picture: np.ndarray, face: Appearance, wrinkle: float, colour: Colour) -> None:
    """Draw the nostrils, and the folds of a wrinkled nose."""
    for sign in (-1, 1):
        nostril = np.array([CX + sign * face.nose * 0.55, CY + 0.325 * face.half_height - 4 * wrinkle])
        cv2.ellipse(picture, _point(nostril), (5 * 8, 3 * 8), 0, 0, 360, colour, -1, cv2.LINE_AA, SHIFT)
        if wrinkle > 0.2:
            bridge = np.array([CX + sign * 6, CY - 4.0])
            fold = _curve(bridge, bridge + (sign * 5, 7), bridge + (sign * 14, 10))
            _draw_line(picture, fold, colour, 2 * wrinkle)
            wing = np.array([CX + sign * face.nose * 1.3, CY + 0.28 * face.half_height])
            fold = _curve(wing, wing + (sign * 9, 9), wing + (sign * 11, 24))
            _draw_line(picture, fold, colour, 1.6 * wrinkle)


def _draw_glasses(picture: np.ndarray, face: Appearance, eye_y: float) -> None:
    colour, radius = (70, 62, 58), face.eye_size * 1.55
    for sign in (-1, 1):
        x = CX + sign * face.eye_distance
        if face.glasses == "round":
            cv2.circle(picture, _point((x, eye_y)), int(radius * 8), colour, 2, cv2.LINE_AA, SHIFT)
        else:
            corners = (
                _point((x - radius, eye_y - radius * 0.75)),
                _point((x + radius, eye_y + radius * 0.75)),
            )
            cv2.rectangle(picture, *corners, colour, 2, cv2.LINE_AA, SHIFT)
        rim = _point((x + sign * radius, eye_y - 4))
        ear = _point((CX + sign * face.half_width * 0.99, eye_y - 6))
        cv2.line(picture, rim, ear, colour, 2, cv2.LINE_AA, SHIFT)
    gap = face.eye_distance - face.eye_size * 1.55
    ends = _point((CX - gap, eye_y)), _point((CX + gap, eye_y))
    cv2.line(picture, *ends, colour, 2, cv2.LINE_AA, SHIFT)


def _draw_eye(
    picture: np.ndarray, face: Appearance, x: float, y: float, opening: float, gaze: np.ndarray, lid: Colour
) -> None:
    """Draw one eye. x, y: its centre. opening: 1 at rest. gaze: (2,), right and down. lid: its colour."""
    half_width, half_height = face.eye_size, face.eye_size * 0.52 * min(opening, 1.7)
    t = np.linspace(0, np.pi, 20)
    upper = np.stack([x - half_width * np.cos(t), y - half_height * np.sin(t)], 1)
    lower = np.stack([x + half_width * np.cos(t), y + 0.8 * half_height * np.sin(t)], 1)
    if opening > 0.25:
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(mask, [fixed_point(np.concatenate([upper, lower]))], 255, cv2.LINE_AA, SHIFT)
        box = slice(int(y - 26), int(y + 26)), slice(int(x - 34), int(x + 34))
        ball = np.full_like(picture[box], 236)
        centre = np.array([x + 4 * gaze[0], y + 2 * gaze[1]]) - (box[1].start, box[0].start)
        radius = face.eye_size * 0.5
        cv2.circle(ball, _point(centre), int(radius * 8), face.iris, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(ball, _point(centre), int(radius * 4), (15, 12, 12), -1, cv2.LINE_AA, SHIFT)
        cv2.circle(ball, _point(centre - (3, 3)), 16, (255, 255, 255), -1, cv2.LINE_AA, SHIFT)
        share = (mask[box].astype(np.float32) / 255)[..., None]
        picture[box] = (picture[box] * (1 - share) + ball * share).astype(np.uint8)
    _draw_line(picture, upper, tuple(c * 0.6 for c in lid), 4)
    _draw_line(picture, lower, lid, 1.5)


def _draw_mouth(picture: np.ndarray, face: Appearance, expression: Expression) -> None:
    """Draw the lips; between them, if the mouth is open, its inside and the upper teeth."""
    y = CY + 0.56 * face.half_height
    half_width = face.mouth * (1 + 0.30 * expression.mouth_width)
    lip_colour = tuple(c * f for c, f in zip(face.skin, (0.80, 0.50, 0.48), strict=True))
    corners, lift = expression.mouth_corners, expression.lip_lift
    corner_y = y - 13 * corners
    gap = 24 * max(expression.mouth_opening, 0.0)
    s = np.linspace(-1, 1, 25)
    bend = (1 - s**2)[:, None]
    base_line = np.stack([CX + half_width * s, np.full(25, corner_y)], 1)
    middle = y - 5 * lift

    def curve(height: float) -> np.ndarray:
        """Return points (25, 2) from corner to corner, at y = `height` in the middle."""
        return base_line + bend * (0, height - corner_y)

    upper, lower = curve(middle - gap * 0.35), curve(y + gap * 0.75 + 3 * max(corners, 0))
    top = curve(middle - gap * 0.35 - face.lips * 0.8)
    bow = np.exp(-((s / 0.16) ** 2))[:, None] * (0, face.lips * 0.25)
    bottom = curve(y + gap * 0.75 + face.lips * 1.1 + 3 * max(corners, 0))
    outer = np.concatenate([top + bow, bottom[::-1]])
    cv2.fillPoly(picture, [fixed_point(outer)], lip_colour, cv2.LINE_AA, SHIFT)
    inner = np.concatenate([upper, lower[::-1]])
    if np.ptp(lower[:, 1] - upper[:, 1]) > 2.5:
        cv2.fillPoly(picture, [fixed_point(inner)], (70, 22, 26), cv2.LINE_AA, SHIFT)
        teeth = upper + bend * (0, min(6.0 + 4 * lift, gap * 0.5 + 5 * lift + 3 * corners))
        if (teeth[:, 1] > upper[:, 1] + 0.5).any():
            outline = np.concatenate([upper, np.minimum(teeth, lower)[::-1]])
            cv2.fillPoly(picture, [fixed_point(outline)], (236, 232, 224), cv2.LINE_AA, SHIFT)
    else:
        _draw_line(picture, (upper + lower) / 2, tuple(c * 0.45 for c in lip_colour), 2.5)


def _curve(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the points (14, 2) of the quadratic Bézier curve from a to c with the control point b."""
    t = np.linspace(0, 1, 14)[:, None]
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c


def _draw_line(picture: np.ndarray, points: np.ndarray, colour: Colour, thickness: float) -> None:
    cv2.polylines(picture, [fixed_point(points)], False, colour, max(round(thickness), 1), cv2.LINE_AA, SHIFT)


def _point(xy: np.ndarray | tuple[float, float]) -> tuple[int, int]:
    x, y = fixed_point(np.asarray(xy))
    return int(x), int(y)
