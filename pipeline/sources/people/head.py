"""Draw the heads of the synthetic people: skin, hair, beard and shoulders, lit from one side."""

from dataclasses import dataclass

import cv2
import numpy as np

W, H = 340, 440  # of the head's canvas, in pixels
CX, CY = 170, 215  # centre of the head on the canvas
SHIFT = 3  # fractional bits of the coordinates that OpenCV is given: they are integers, in 1/8 of a pixel
Colour = tuple[float, ...]  # red, green, blue in 0..255

SKINS: tuple[Colour, ...] = ((244, 208, 180), (228, 180, 146), (200, 146, 108), (156, 106, 76))
HAIRS: tuple[Colour, ...] = ((40, 32, 30), (92, 60, 38), (176, 132, 72), (150, 74, 40), (150, 148, 148))
IRISES: tuple[Colour, ...] = ((70, 50, 36), (84, 112, 70), (70, 110, 150))
STYLES = ("short", "long", "bald", "bun", "fringe", "curls")


@dataclass(frozen=True)
class Appearance:
    """A person's face. Lengths are in pixels of the canvas on which the head is drawn."""

    skin: Colour
    hair: Colour
    iris: Colour
    style: str  # of the hair, one of STYLES
    half_width: float  # of the head
    half_height: float  # of the head
    jaw: float  # 0: pointed, 1: square
    eye_distance: float  # of each eye from the middle
    eye_size: float  # half the width
    brow: float  # thickness
    nose: float  # width
    mouth: float  # half its width
    lips: float  # thickness
    beard: str  # none, stubble, beard, moustache
    glasses: str  # none, round, square


def draw_head(
    face: Appearance, light: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a head without eyes, brows, mouth and glasses.

    light: its direction, -1..1 in x and y; negative values make the left and the upper side brighter.
    Returns the picture (H, W, 3) uint8 and the opacity (H, W) uint8: 0 where the canvas is empty.
    """
    y, x = np.mgrid[0:H, 0:W].astype(np.float32)
    half_width, half_height = face.half_width, face.half_height
    nx, ny = (x - CX) / half_width, (y - CY) / half_height  # -1..1 on the head
    picture = np.zeros((H, W, 3), np.float32)
    opacity = np.zeros((H, W), np.float32)

    def paint(mask: np.ndarray, colour: np.ndarray | Colour) -> None:
        """Draw over `picture` and `opacity` where the mask (H, W) is above 0. colour: one, or (H, W, 3)."""
        weight = mask[..., None]
        picture[:] = picture * (1 - weight) + np.asarray(colour, np.float32) * weight
        np.maximum(opacity, mask, out=opacity)

    brightness = 1 - 0.14 * (light[0] * nx + light[1] * ny)
    strands = 0.94 + 0.06 * np.sin(x * 0.7)
    hair_light = (brightness * (1 - 0.25 * nx**2))[..., None] * strands[..., None]
    hair = np.array(face.hair, np.float32) * hair_light
    skin = np.array(face.skin, np.float32)

    # Hair behind the head.
    if face.style in ("long", "curls"):
        lower_end = 0.95 if face.style == "long" else 0.25
        x0, x1 = CX - half_width * 1.2, CX + half_width * 1.2
        paint(_ellipse_mask(CX, CY - 20, half_width * 1.22, half_height * 1.02), hair)
        paint(_box_mask(x0, CY - 20, x1, CY + half_height * lower_end), hair * 0.92)
    if face.style == "bun":
        bun = _ellipse_mask(CX, CY - half_height * 1.12, half_width * 0.42, half_height * 0.24)
        paint(bun, hair * 0.9)
    # Shoulders in a random colour, which does not depend on the person.
    cloth = random_colour(rng) * rng.uniform(0.6, 1.0)
    shoulders = _ellipse_mask(CX, CY + half_height * 2.02, half_width * 1.9, half_height * 0.78)
    paint(shoulders, cloth * brightness[..., None])
    x0, x1 = CX - half_width * 0.42, CX + half_width * 0.42
    paint(_box_mask(x0, CY + 20, x1, CY + half_height * 1.32), skin * 0.74)  # the neck
    for sign in (-1, 1):
        ear = _ellipse_mask(CX + sign * half_width * 0.99, CY + 6, half_width * 0.13, half_height * 0.17)
        paint(ear, skin * 0.86)

    tone = skin * np.clip(_skin_brightness(face, light, nx, ny), 0.25, 1.25)[..., None]
    cheeks = np.exp(-(((np.abs(nx) - 0.55) / 0.2) ** 2) - ((ny - 0.25) / 0.2) ** 2)
    tone[..., 0] += 10 * cheeks  # red
    face_mask = _face_mask(face)
    paint(face_mask, tone)
    if face.beard != "none":
        paint(_beard_mask(face.beard, face_mask, nx, ny), hair * 0.9)
    if face.style != "bald":
        paint(_front_hair_mask(face, nx, ny), hair)
    return picture.clip(0, 255).astype(np.uint8), (opacity * 255).round().astype(np.uint8)


def _skin_brightness(
    face: Appearance, light: tuple[float, float], nx: np.ndarray, ny: np.ndarray
) -> np.ndarray:
    """Return the brightness of the skin at each pixel, (H, W), about 1.

    light: its direction, -1..1 in x and y. nx, ny: (H, W), coordinates of the pixels, -1..1 on the head.
    """
    brightness = (
        1.05 - 0.30 * nx**2 - 0.10 * np.maximum(ny, -0.5) ** 2 - 0.16 * light[0] * nx - 0.1 * light[1] * ny
    )
    brightness += 0.10 * np.exp(-(((ny + 0.5) / 0.22) ** 2) - (nx / 0.6) ** 2)  # the forehead
    eye_x = face.eye_distance / face.half_width
    nose_x = face.nose / face.half_width
    for sign in (-1, 1):
        # Eye sockets, cheeks, and the sides of the nose.
        brightness -= 0.26 * np.exp(-(((nx - sign * eye_x) / 0.30) ** 2) - ((ny + 0.10) / 0.14) ** 2)
        brightness += 0.07 * np.exp(-(((nx - sign * 0.5) / 0.25) ** 2) - ((ny - 0.22) / 0.16) ** 2)
        brightness -= 0.10 * np.exp(-(((nx - sign * nose_x) / 0.09) ** 2) - ((ny - 0.22) / 0.16) ** 2)
    brightness += 0.13 * np.exp(-((nx / 0.10) ** 2)) * ((ny > -0.25) & (ny < 0.3))  # the ridge of the nose
    under_nose = (nx / (1.2 * face.nose / face.half_width)) ** 2
    brightness -= 0.22 * np.exp(-under_nose - ((ny - 0.335) / 0.035) ** 2)
    brightness -= 0.10 * np.exp(-((nx / 0.3) ** 2) - ((ny - 0.72) / 0.05) ** 2)  # below the lips
    return brightness


def _beard_mask(beard: str, face_mask: np.ndarray, nx: np.ndarray, ny: np.ndarray) -> np.ndarray:
    """Return the mask (H, W) in 0..1 of a beard, a moustache or stubble.

    face_mask: (H, W). nx, ny: (H, W), coordinates of the pixels, -1..1 on the head.
    """
    if beard == "moustache":
        mask = face_mask * np.exp(-((nx / 0.34) ** 4) - ((ny - 0.43) / 0.06) ** 4)
    else:
        mask = np.clip((ny - 0.36 - 0.10 * (1 - nx**2)) * 5, 0, 1) * face_mask
        mask *= 1 - np.exp(-((nx / 0.26) ** 2) - ((ny - 0.56) / 0.13) ** 2)  # free around the mouth
        mask = np.maximum(mask, face_mask * np.exp(-((nx / 0.36) ** 4) - ((ny - 0.43) / 0.055) ** 4))
    return mask * (0.35 if beard == "stubble" else 0.72)


def _front_hair_mask(face: Appearance, nx: np.ndarray, ny: np.ndarray) -> np.ndarray:
    """Return the mask (H, W) in 0..1 of the hair in front of the head, which is above a hairline.

    nx, ny: (H, W), coordinates of the pixels, -1..1 on the head.
    """
    hairline = {"short": -0.62, "long": -0.60, "bun": -0.66, "fringe": -0.52, "curls": -0.56}[face.style]
    hairline = hairline + (0.10 * np.abs(nx) ** 2 if face.style == "fringe" else 0.42 * np.abs(nx) ** 3)
    if face.style == "curls":
        hairline = hairline + 0.05 * np.sin(nx * 16)
    cap = _ellipse_mask(CX, CY - 8, face.half_width * 1.07, face.half_height * 1.06)
    return cap * np.clip((hairline - ny) * 14 + 0.5, 0, 1) * (np.abs(nx) < 1.2)


def _face_mask(face: Appearance) -> np.ndarray:
    """Return the mask (H, W) in 0..1 of a face: an ellipse whose lower half narrows to the jaw."""
    angles = np.linspace(0, 2 * np.pi, 120)
    x, y = np.sin(angles), -np.cos(angles)
    jaw = np.where(y > 0, 1 - (0.34 - 0.30 * face.jaw) * y**2, 1.0)
    points = np.stack([CX + face.half_width * x * jaw, CY + face.half_height * y], axis=1)
    return _polygon_mask(points)


def _ellipse_mask(x: float, y: float, radius_x: float, radius_y: float) -> np.ndarray:
    """Return the mask (H, W) in 0..1 of an ellipse around (x, y)."""
    angles = np.linspace(0, 2 * np.pi, 72)
    return _polygon_mask(np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1))


def _box_mask(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Return the mask (H, W) in 0..1 of a rectangle."""
    return _polygon_mask(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))


def _polygon_mask(points: np.ndarray) -> np.ndarray:
    """Return the antialiased mask of a polygon: (H, W) float32 in 0..1. points: (points, 2), pixels."""
    mask = np.zeros((H, W), np.uint8)
    cv2.fillPoly(mask, [fixed_point(points)], 255, cv2.LINE_AA, SHIFT)
    return mask.astype(np.float32) / 255


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Return coordinates in pixels as OpenCV's fixed-point numbers: integers, in 1/8 of a pixel."""
    return np.round(np.asarray(points) * (1 << SHIFT)).astype(np.int32)


def random_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random colour (3,) in 0..255 of low saturation."""
    grey = rng.uniform(50, 205)
    return grey + (rng.uniform(30, 225, 3) - grey) * 0.45
