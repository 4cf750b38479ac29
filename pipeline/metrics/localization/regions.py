"""Regions of a map or a box as masks, and their overlap."""

from collections.abc import Sequence

import cv2
import numpy as np

GRID = 64  # regions are compared on a grid of GRID x GRID cells


def find_peak(values: np.ndarray) -> tuple[float, float]:
    """Return the centre (x, y), 0 to 1, of the cell in which a map (h, w) is largest."""
    y, x = np.unravel_index(values.argmax(), values.shape)
    return (x + 0.5) / values.shape[1], (y + 0.5) / values.shape[0]


def resize_to_grid(values: np.ndarray) -> np.ndarray:
    """Resize a map (h, w) to (GRID, GRID) float32, bilinearly; a cell stays the same part of the picture."""
    return cv2.resize(values.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_LINEAR)


def largest_values(values: np.ndarray, n: int) -> np.ndarray:
    """Return the mask of the `n` largest values of a map, of any shape; of equal ones the first ones."""
    mask = np.zeros(values.size, bool)
    mask[np.argsort(-values, axis=None, kind="stable")[:n]] = True
    return mask.reshape(values.shape)


def peak_region(values: np.ndarray, area: float) -> np.ndarray:
    """Return the mask (GRID, GRID) of the region in which a map (h, w) has its largest values.

    area: of the region, as a fraction of the picture, 0 to 1.
    """
    resized = resize_to_grid(values)
    return largest_values(resized, round(area * resized.size))


def box_mask(box: np.ndarray | Sequence[float]) -> np.ndarray:
    """Return the mask (GRID, GRID) of the cells whose centre is in a box (left, top, right, bottom)."""
    centres = (np.arange(GRID) + 0.5) / GRID
    x_min, y_min, x_max, y_max = box
    return ((centres >= y_min) & (centres <= y_max))[:, None] & ((centres >= x_min) & (centres <= x_max))


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union of two masks; 0 if both are empty."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def centre_map(size: int = GRID) -> np.ndarray:
    """Return a map (size, size) that is the larger, the nearer to the middle of the picture.

    The region of its largest values is a disc: the blind guess that is a baseline of localization.
    """
    distance = np.arange(size) - (size - 1) / 2
    return -np.hypot(distance[:, None], distance).astype(np.float32)
