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
SHAKE_STRENGTH = {"ANG": 0.6, "FEA": 0.5, "HAP": 0.4}  # of the head's fast vibration; 0 in other emotions
SHAKE_RATE = 3.2  # Hz
BLINK_SECONDS = 0.07  # time constant of a blink
# Colours, RGB in 0..255.
TEETH, MOUTH_INSIDE = (236, 232, 224), (70, 22, 26)
EYE_WHITE, PUPIL, EYE_LIGHT = 236, (15, 12, 12), (255, 255, 255)
GLASSES = (70, 62, 58)
PIXEL = 1 << SHIFT  # OpenCV is given lengths as integers, in 1 / PIXEL of a pixel


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
    """Return the expression of an emotion, each of its values varied at random.

    emotion: a key of EXPRESSIONS. strength: 0..1.
    """
    expression = vars(EXPRESSIONS[emotion])
    values = {name: value * strength * rng.uniform(0.7, 1.2) for name, value in expression.items()}
    varied_values = {}
    for name, value in values.items():
        if name not in ("mouth_opening", "head_turn"):  # a closed mouth and a straight head stay so
            varied_values[name] = value + rng.normal(0, 0.1)
    return Expression(**values | varied_values)


@dataclass(frozen=True)
class _Movement:
    """How a head moves during a clip. Positions are in pixels of the picture."""

    scale: float  # pixels of the picture per pixel of the canvas
    centre: tuple[float, float]  # x and y of the head at rest
    sway: float  # amplitude of the slow rotation, radians
    sway_rate: float  # Hz
    blink_times: np.ndarray  # (blinks,) s
    gaze: np.ndarray  # (2,) right and down, -0.5..0.5
    phases: np.ndarray  # (3,) of the nod, the shake and the drift, radians
    emotion: str  # a key of EXPRESSIONS

    def head_matrix(self, expression: Expression, t: float) -> np.ndarray:
        """Return the matrix (2, 3) from the canvas to the picture at `t` s."""
        nod = np.sin(2 * np.pi * (self.sway_rate * t) + self.phases[0])
        shake = SHAKE_STRENGTH.get(self.emotion, 0.0) * np.sin(2 * np.pi * SHAKE_RATE * t + self.phases[1])
        drift = np.sin(2 * np.pi * self.sway_rate * 0.7 * t + self.phases[2])
        angle = expression.head_turn * 0.05 + self.sway * nod + 0.012 * shake
        x = self.centre[0] + 3 * drift + 1.5 * shake
        laughter = 1.5 * shake if self.emotion == "HAP" else 0
        y = self.centre[1] + 6 * expression.head_drop + 2 * nod + laughter
        cos, sin = self.scale * np.cos(angle), self.scale * np.sin(angle)
        return np.array([[cos, -sin, x - cos * CX + sin * CY], [sin, cos, y - sin * CX - cos * CY]])

    def blink(self, t: float) -> float:
        """Return how far the eyes are closed by a blink at `t` s: 0..1."""
        return max(float(np.exp(-(((t - time) / BLINK_SECONDS) ** 2))) for time in self.blink_times)


def _random_movement(emotion: str, rng: np.random.Generator) -> _Movement:
    """Return how the head moves in one clip. emotion: a key of EXPRESSIONS."""
    return _Movement(
        scale=rng.uniform(0.5, 0.62),
        centre=(WIDTH / 2 + rng.uniform(-38, 38), HEIGHT / 2 + rng.uniform(-8, 18)),
        sway=rng.uniform(0.01, 0.04),
        sway_rate=rng.uniform(0.25, 0.6),
        blink_times=rng.uniform(0.3, 6, 2),
        gaze=rng.uniform(-0.5, 0.5, 2),
        phases=rng.uniform(0, 6, 3),
        emotion=emotion,
    )


def frames(
    face: Appearance,
    expression: Expression,
    emotion: str,
    opening: np.ndarray,
    width: np.ndarray,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Yield the pictures of a person who speaks, FPS a second: (HEIGHT, WIDTH, 3) uint8 RGB.

    emotion: a key of EXPRESSIONS. opening: (frames,) of the mouth, 0 closed, 1 wide open. width: (frames,) of
    the mouth, -1 narrow, 0 at rest, 1 wide. Light, background and movements are random.
    """
    light = rng.uniform(-1, 1), rng.uniform(-0.6, 0.2)
    head, opacity = draw_head(face, light, rng)
    background = _random_background(rng)
    tint = np.clip(rng.uniform(0.8, 1.15) * rng.uniform(0.92, 1.08, 3), 0, 1.2)
    tinted_levels = (np.arange(256)[:, None] * tint).clip(0, 255).astype(np.uint8)  # (256, 3) lookup table
    movement = _random_movement(emotion, rng)
    for k in range(len(opening)):
        t = k / FPS
        is_open = opening[k] > 0.05
        current_expression = replace(
            expression,
            eye_opening=(1 + expression.eye_opening) * (1 - movement.blink(t)) - 1,
            mouth_opening=expression.mouth_opening + float(opening[k]),
            mouth_width=expression.mouth_width + 0.35 * float(width[k]) * is_open,
        )
        canvas = _draw_features(head.copy(), face, current_expression, movement.gaze)
        picture = _paste(canvas, opacity, movement.head_matrix(expression, t), background)
        yield cv2.LUT(picture, tinted_levels.reshape(1, 256, 3))


def _paste(canvas: np.ndarray, opacity: np.ndarray, matrix: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return the background (HEIGHT, WIDTH, 3) uint8 with a head on it.

    canvas, opacity: the head, (H, W, 3) and (H, W) uint8. matrix: (2, 3), from the canvas to the picture.
    """
    size, method = (WIDTH, HEIGHT), cv2.INTER_LINEAR
    foreground = cv2.warpAffine(canvas, matrix, size, flags=method, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(opacity, matrix, size, flags=method)[..., None]
    weighted_sum = foreground.astype(np.uint16) * alpha + background.astype(np.uint16) * (255 - alpha)
    return (weighted_sum // 255).astype(np.uint8)


def _random_background(rng: np.random.Generator) -> np.ndarray:
    """Return (HEIGHT, WIDTH, 3) uint8, a wall: a gradient and blurred boxes, in random colours."""
    first, second = random_colour(rng), random_colour(rng)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    weight = ((x / WIDTH - 0.5) * np.cos(angle) + (y / HEIGHT - 0.5) * np.sin(angle) + 0.7) / 1.4
    wall = first * (1 - weight[..., None]) + second * weight[..., None]
    picture = np.ascontiguousarray(wall.astype(np.float32))
    for _ in range(rng.integers(1, 4)):
        x0, y0 = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
        box_width, box_height = rng.uniform(30, 140, 2)
        corners = (int(x0), int(y0)), (int(x0 + box_width), int(y0 + box_height))
        cv2.rectangle(picture, *corners, random_colour(rng).tolist(), -1)  # -1: filled
    return cv2.GaussianBlur(picture, (0, 0), 5).clip(0, 255).astype(np.uint8)


def _draw_features(
    picture: np.ndarray, face: Appearance, expression: Expression, gaze: np.ndarray
) -> np.ndarray:
    """Draw eyes, brows, nose, mouth and glasses onto a head; return the picture.

    picture: (H, W, 3) uint8 RGB, changed in place. gaze: (2,), right and down, -0.5..0.5.
    """
    dark_skin = tuple(c * 0.35 for c in face.skin)
    hair = tuple(c * 0.75 for c in face.hair)
    eye_y = CY - 0.08 * face.half_height
    for sign in (-1, 1):
        x = CX + sign * face.eye_distance
        _draw_eye(picture, face, x, eye_y, max(1 + expression.eye_opening, 0.06), gaze, dark_skin)
        brow_y = eye_y - face.eye_size * 1.25 - 9 * expression.brow_height
        inner_end = np.array([x - sign * face.eye_size * 1.15, brow_y + 9 * expression.brow_slant])
        outer_end = np.array([x + sign * face.eye_size * 1.35, brow_y + 3 - 4 * expression.brow_slant])
        control = (inner_end + outer_end) / 2 - (0, 6 - 2 * abs(expression.brow_slant))
        _draw_line(picture, _curve(inner_end, control, outer_end), hair, face.brow)
    _draw_nose(picture, face, expression.nose_wrinkle, dark_skin)
    _draw_mouth(picture, face, expression)
    if face.glasses != "none":
        _draw_glasses(picture, face, eye_y)
    return picture


def _draw_nose(picture: np.ndarray, face: Appearance, wrinkle: float, colour: Colour) -> None:
    """Draw the nostrils, and the folds of a wrinkled nose. wrinkle: 0: none, 1: deep folds."""
    for sign in (-1, 1):
        nostril = np.array([CX + sign * face.nose * 0.55, CY + 0.325 * face.half_height - 4 * wrinkle])
        radii = 5 * PIXEL, 3 * PIXEL
        cv2.ellipse(picture, _point(nostril), radii, 0, 0, 360, colour, -1, cv2.LINE_AA, SHIFT)
        if wrinkle > 0.2:
            bridge = np.array([CX + sign * 6, CY - 4.0])
            fold = _curve(bridge, bridge + (sign * 5, 7), bridge + (sign * 14, 10))
            _draw_line(picture, fold, colour, 2 * wrinkle)
            wing = np.array([CX + sign * face.nose * 1.3, CY + 0.28 * face.half_height])
            fold = _curve(wing, wing + (sign * 9, 9), wing + (sign * 11, 24))
            _draw_line(picture, fold, colour, 1.6 * wrinkle)


def _draw_glasses(picture: np.ndarray, face: Appearance, eye_y: float) -> None:
    """Draw round or square glasses. eye_y: y of the eyes, pixels."""
    radius = face.eye_size * 1.55
    for sign in (-1, 1):
        x = CX + sign * face.eye_distance
        if face.glasses == "round":
            cv2.circle(picture, _point((x, eye_y)), int(radius * PIXEL), GLASSES, 2, cv2.LINE_AA, SHIFT)
        else:
            top_left = _point((x - radius, eye_y - radius * 0.75))
            bottom_right = _point((x + radius, eye_y + radius * 0.75))
            cv2.rectangle(picture, top_left, bottom_right, GLASSES, 2, cv2.LINE_AA, SHIFT)
        rim = _point((x + sign * radius, eye_y - 4))
        ear = _point((CX + sign * face.half_width * 0.99, eye_y - 6))
        cv2.line(picture, rim, ear, GLASSES, 2, cv2.LINE_AA, SHIFT)
    bridge_half_width = face.eye_distance - radius
    ends = _point((CX - bridge_half_width, eye_y)), _point((CX + bridge_half_width, eye_y))
    cv2.line(picture, *ends, GLASSES, 2, cv2.LINE_AA, SHIFT)


def _draw_eye(
    picture: np.ndarray, face: Appearance, x: float, y: float, opening: float, gaze: np.ndarray, lid: Colour
) -> None:
    """Draw one eye. x, y: its centre. opening: 1 at rest. gaze: (2,), right and down. lid: its colour."""
    half_width, half_height = face.eye_size, face.eye_size * 0.52 * min(opening, 1.7)
    angles = np.linspace(0, np.pi, 20)
    upper_lid = np.stack([x - half_width * np.cos(angles), y - half_height * np.sin(angles)], 1)
    lower_lid = np.stack([x + half_width * np.cos(angles), y + 0.8 * half_height * np.sin(angles)], 1)
    if opening > 0.25:  # what is between the lids is visible
        mask = np.zeros(picture.shape[:2], np.uint8)
        outline = np.concatenate([upper_lid, lower_lid])
        cv2.fillPoly(mask, [fixed_point(outline)], 255, cv2.LINE_AA, SHIFT)
        box = slice(int(y - 26), int(y + 26)), slice(int(x - 34), int(x + 34))  # around the eye
        eyeball = np.full_like(picture[box], EYE_WHITE)
        centre = np.array([x + 4 * gaze[0], y + 2 * gaze[1]]) - (box[1].start, box[0].start)
        radius = face.eye_size * 0.5  # of the iris; that of the pupil is half of it
        cv2.circle(eyeball, _point(centre), int(radius * PIXEL), face.iris, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(eyeball, _point(centre), int(radius * PIXEL / 2), PUPIL, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(eyeball, _point(centre - (3, 3)), 2 * PIXEL, EYE_LIGHT, -1, cv2.LINE_AA, SHIFT)
        weight = (mask[box].astype(np.float32) / 255)[..., None]
        picture[box] = (picture[box] * (1 - weight) + eyeball * weight).astype(np.uint8)
    _draw_line(picture, upper_lid, tuple(c * 0.6 for c in lid), 4)
    _draw_line(picture, lower_lid, lid, 1.5)


def _draw_mouth(picture: np.ndarray, face: Appearance, expression: Expression) -> None:
    """Draw the lips; between them, if the mouth is open, its inside and the upper teeth."""
    y = CY + 0.56 * face.half_height
    half_width = face.mouth * (1 + 0.30 * expression.mouth_width)
    lip_colour = tuple(c * factor for c, factor in zip(face.skin, (0.80, 0.50, 0.48), strict=True))
    corners, lift = expression.mouth_corners, expression.lip_lift
    corner_y = y - 13 * corners
    gap = 24 * max(expression.mouth_opening, 0.0)  # between the lips
    position = np.linspace(-1, 1, 25)  # from the left to the right corner
    bend = (1 - position**2)[:, None]
    base_line = np.stack([CX + half_width * position, np.full(25, corner_y)], 1)

    def curve(middle_y: float) -> np.ndarray:
        """Return points (25, 2) from corner to corner that are at `middle_y` in the middle."""
        return base_line + bend * (0, middle_y - corner_y)

    # y in the middle of the mouth: where the upper lip ends and the lower lip begins.
    upper_y = y - 5 * lift - gap * 0.35
    upper, lower = curve(upper_y), curve(y + gap * 0.75 + 3 * max(corners, 0))
    top = curve(upper_y - face.lips * 0.8)
    cupids_bow = np.exp(-((position / 0.16) ** 2))[:, None] * (0, face.lips * 0.25)
    bottom = curve(y + gap * 0.75 + face.lips * 1.1 + 3 * max(corners, 0))
    lips = np.concatenate([top + cupids_bow, bottom[::-1]])
    cv2.fillPoly(picture, [fixed_point(lips)], lip_colour, cv2.LINE_AA, SHIFT)
    if np.ptp(lower[:, 1] - upper[:, 1]) > 2.5:  # the mouth is open
        inside = np.concatenate([upper, lower[::-1]])
        cv2.fillPoly(picture, [fixed_point(inside)], MOUTH_INSIDE, cv2.LINE_AA, SHIFT)
        teeth_end = upper + bend * (0, min(6.0 + 4 * lift, gap * 0.5 + 5 * lift + 3 * corners))
        if (teeth_end[:, 1] > upper[:, 1] + 0.5).any():
            teeth = np.concatenate([upper, np.minimum(teeth_end, lower)[::-1]])
            cv2.fillPoly(picture, [fixed_point(teeth)], TEETH, cv2.LINE_AA, SHIFT)
    else:
        _draw_line(picture, (upper + lower) / 2, tuple(c * 0.45 for c in lip_colour), 2.5)


def _curve(start: np.ndarray, control: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return points (14, 2) of the quadratic Bézier curve between two points (x, y) with a control point."""
    t = np.linspace(0, 1, 14)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end


def _draw_line(picture: np.ndarray, points: np.ndarray, colour: Colour, thickness: float) -> None:
    """Draw a line through points (points, 2), at least 1 pixel wide. thickness: pixels."""
    cv2.polylines(picture, [fixed_point(points)], False, colour, max(round(thickness), 1), cv2.LINE_AA, SHIFT)


def _point(xy: np.ndarray | tuple[float, float]) -> tuple[int, int]:
    """Return a point (x, y) in pixels as OpenCV's fixed-point numbers."""
    x, y = fixed_point(np.asarray(xy))
    return int(x), int(y)
