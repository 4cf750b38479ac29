"""Perceptual hashes of pictures: of the whole picture, and of the parts that a cropped copy could show.

A hash has a bit for each low frequency of the discrete cosine transform of a small grey picture: whether it
is above the median. Brightness, size and encoders change few bits. A copy that was cropped has, as a whole,
the hash of a part of the original: so the whole picture of each clip is compared with parts of the others.

Hashes make candidates. Whether a candidate shows the same is decided by the correlation of small pictures
without their slow changes of brightness: the copy's is moved over the original's in several sizes. Then the
colours of both must be alike.

Source: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010).
"""

import functools
from typing import NamedTuple

import cv2
import numpy as np

HASH_BYTES = 16
MAX_DISTANCE = 40  # bits of a hash (of 128) that differ between a picture and a copy
FREQUENCIES = 12  # in each direction, the lowest ones; the mean of the picture (0, 0) has no bit
SIDE = 32  # of the small picture, pixels
SCALES = (0.9, 0.8)  # sides of the parts, as shares of the picture's
MIN_DEVIATION = 4.0  # of grey levels: a picture with less shows nothing, and has no hash


def _regions() -> np.ndarray:
    """Return left, top and side of the whole picture and its parts, (regions, 3), as shares of it."""
    regions = [(0.0, 0.0, 1.0)]
    for scale in SCALES:
        places = (0.0, (1 - scale) / 2, 1 - scale)
        regions += [(x, y, scale) for y in places for x in places]
    return np.array(regions)


REGIONS = _regions()
THUMBNAIL = 48  # side of the small grey picture that is stored beside the hashes, pixels
COLOURS = 16  # side of the small pictures of its two colour channels
THUMBNAIL_BYTES, COLOUR_BYTES = THUMBNAIL**2, 2 * COLOURS**2
HASHES_BYTES = len(REGIONS) * HASH_BYTES
BYTES = HASHES_BYTES + THUMBNAIL_BYTES + COLOUR_BYTES  # of what `describe` returns
SLOW_CHANGES = 4.0  # deviation of the blur that is subtracted from a small picture, pixels
MIN_SIDE = 0.7  # of the part of a picture that a copy may show, as a share of the picture's
MIN_CORRELATION = 0.8  # of a picture and a copy, grey
BORDER = 2  # pixels that a copy may show beyond the stored picture, whose sides were cropped
COARSE_STEP = 3  # pixels between the sides of a copy that are tried first
REFINED = 0.6  # correlation from which the sides between them are tried
MAX_COLOUR_DIFFERENCE = 7.0  # root mean square, between the colour channels of a picture and a copy, of 255


def describe(picture: np.ndarray) -> np.ndarray:
    """Return the hashes of a picture (of each of REGIONS) and small pictures, uint8 (BYTES,).

    All are zero for a picture that shows nothing. picture: RGB (height, width, 3) uint8.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    hashes = _hash_regions(grey)
    if not np.any(hashes):
        return np.zeros(BYTES, np.uint8)
    thumbnail = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    small = cv2.resize(picture, (COLOURS, COLOURS), interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)[..., 1:]
    return np.concatenate([hashes.ravel(), thumbnail.ravel(), colours.ravel()])


def get_hashes(descriptions: np.ndarray) -> np.ndarray:
    """Return the hashes in descriptions (..., BYTES): (..., regions, bytes), that of the whole first."""
    hashes = descriptions[..., :HASHES_BYTES]
    return hashes.reshape(*hashes.shape[:-1], len(REGIONS), HASH_BYTES)


def is_part(original: np.ndarray, copy: np.ndarray) -> bool:
    """Return whether a picture is another one, or a part of it. original, copy: descriptions (BYTES,)."""
    colours, copy_colours = _colours(original), _colours(copy)
    if np.abs(colours.mean((0, 1)) - copy_colours.mean((0, 1))).max() > 2 * MAX_COLOUR_DIFFERENCE:
        return False  # most candidates end here, where it costs little
    whole, part = _subtract_slow_changes(original), _subtract_slow_changes(copy)
    whole = cv2.copyMakeBorder(whole, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
    sides = range(THUMBNAIL, round(MIN_SIDE * THUMBNAIL), -COARSE_STEP)
    best = max(_match(whole, part, side) for side in sides)
    if best.correlation >= REFINED:
        near = range(best.side - COARSE_STEP + 1, min(best.side + COARSE_STEP, THUMBNAIL + 1))
        best = max(_match(whole, part, side) for side in near)
    if best.correlation < MIN_CORRELATION:
        return False
    colours = cv2.resize(colours, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_LINEAR)
    colours = cv2.copyMakeBorder(colours, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
    colours = colours[best.top : best.top + best.side, best.left : best.left + best.side]
    colours = cv2.resize(colours, (COLOURS, COLOURS), interpolation=cv2.INTER_AREA)
    differences = cv2.absdiff(colours, copy_colours).astype(np.float32)
    return bool(np.sqrt(np.mean(differences**2)) <= MAX_COLOUR_DIFFERENCE)


class _Match(NamedTuple):
    """Where a copy fits best into a picture, if it has this side: pixels of the small picture."""

    correlation: float
    side: int
    left: int
    top: int


def _match(whole: np.ndarray, part: np.ndarray, side: int) -> _Match:
    """Return where `part`, scaled to `side` pixels, fits best into `whole`."""
    small = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)
    _, correlation, _, (left, top) = cv2.minMaxLoc(cv2.matchTemplate(whole, small, cv2.TM_CCOEFF_NORMED))
    return _Match(correlation, side, left, top)


def _subtract_slow_changes(description: np.ndarray) -> np.ndarray:
    """Return the small grey picture of a description without slow changes of brightness, float32."""
    thumbnail = description[HASHES_BYTES : HASHES_BYTES + THUMBNAIL_BYTES]
    picture = thumbnail.reshape(THUMBNAIL, THUMBNAIL).astype(np.float32)
    return picture - cv2.GaussianBlur(picture, (0, 0), SLOW_CHANGES)


def _colours(description: np.ndarray) -> np.ndarray:
    """Return the small pictures of the colour channels of a description, uint8 (COLOURS, COLOURS, 2)."""
    return description[-COLOUR_BYTES:].reshape(COLOURS, COLOURS, 2)


def _hash_regions(grey: np.ndarray) -> np.ndarray:
    """Return the hash of each of REGIONS, uint8 (regions, bytes); zeros for a picture that shows nothing."""
    height, width = grey.shape
    small = np.empty((len(REGIONS), SIDE, SIDE), np.float32)
    for i, (x, y, scale) in enumerate(REGIONS):
        left, top = round(x * width), round(y * height)
        part = grey[top : top + max(1, round(scale * height)), left : left + max(1, round(scale * width))]
        small[i] = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if small[0].std() < MIN_DEVIATION:
        return np.zeros((len(REGIONS), HASH_BYTES), np.uint8)
    basis = _cosines()
    coefficients = (basis @ small @ basis.T)[:, _selected()]  # (regions, bits)
    return np.packbits(coefficients > np.median(coefficients, axis=1, keepdims=True), axis=1)


@functools.cache
def _cosines() -> np.ndarray:
    """Return the lowest rows of the matrix of the discrete cosine transform, (FREQUENCIES, SIDE)."""
    places = (np.arange(SIDE) + 0.5) * np.pi / SIDE
    return np.cos(np.arange(FREQUENCIES)[:, None] * places).astype(np.float32)


@functools.cache
def _selected() -> np.ndarray:
    """Return a mask (FREQUENCIES, FREQUENCIES) of the frequencies that have a bit: the lowest ones."""
    down, across = np.mgrid[:FREQUENCIES, :FREQUENCIES]
    order = np.argsort((down + across + np.maximum(down, across) / 100)[down + across > 0], kind="stable")
    rows, columns = down[down + across > 0][order], across[down + across > 0][order]
    mask = np.zeros((FREQUENCIES, FREQUENCIES), bool)
    mask[rows[: 8 * HASH_BYTES], columns[: 8 * HASH_BYTES]] = True
    return mask
