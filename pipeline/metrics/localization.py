"""Where in the picture is the sound: how well maps find the box of what sounds.

- `pointing`: the share of clips whose map is largest inside the box of what sounds.
- `iou`: intersection over union of that box with the region in which the map is largest, which is as large
  as the mean of all boxes; the mean over clips.
- Baselines, the same for both: `centre` points at the middle of the frame, with a box of the mean size of all
  boxes; `silent` points at the instrument that is seen but not heard, with its box.
- `two_in_view` is over the clips in which there is such a silent one, `all` over all clips with a box.
- `ci` is a 95% percentile bootstrap over clips.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from pipeline.metrics.bootstrap import interval, number, resamples

FINE = 64  # places to a side at which regions are compared


Box = list[float]  # left, top, right, bottom, 0 to 1


def boxes(rows: Iterable[dict], height: int, width: int) -> dict[str, tuple[Box, Box | None]]:
    """clip_id -> the box of what sounds and of what is silent, in a stored frame of this size.

    rows: of a clip table; clips without `box`, with two that sound, or whose box is cut off are left out.
    Boxes in the table are of the whole picture, `aspect` wide to high; frames are cut out of its middle.
    """
    found = {}
    for row in rows:
        if not row.get("box") or row.get("second_box"):
            continue
        inside = [_inside(row[name], row["aspect"], width / height) for name in ("box", "silent_box")]
        if inside[0]:
            found[row["clip_id"]] = (inside[0], inside[1])
    return found


def _inside(box: Box | None, aspect: float, wanted: float) -> Box | None:
    """`box` of a picture in the part of it that is kept, its middle; None where nothing is left."""
    if not box:
        return None
    kept = min(1, wanted / aspect), min(1, aspect / wanted)
    part = [min(max((x - 0.5) / kept[i % 2] + 0.5, 0.0), 1.0) for i, x in enumerate(box)]
    return part if part[0] < part[2] and part[1] < part[3] else None


def evaluate(maps: np.ndarray, found: list[tuple[Box, Box | None]], bootstrap: int, seed: int) -> dict:
    """What stands at the top of this module. maps: (n, h, w); found: n pairs of boxes, as `boxes` gives them.

    Returns {"all": part, "two_in_view": part}, a part {"pointing", "iou", "n", "ci": {name: [low, high]},
    "centre": {"pointing", "iou", "n", "ci"}} and in `two_in_view` "silent" too; None where there is no such
    clip.
    """
    two = np.array([silent is not None for _, silent in found], bool)
    return {
        "all": _part(maps, found, bootstrap, seed, silent=False),
        "two_in_view": _part(maps[two], [f for f in found if f[1]], bootstrap, seed, silent=True),
    }


def _part(maps: np.ndarray, found: list, bootstrap: int, seed: int, silent: bool) -> dict | None:
    if not len(found):
        return None
    truth = np.array([box for box, _ in found])
    size = np.mean(truth[:, 2:] - truth[:, :2], axis=0)
    middle = np.concatenate([0.5 - size / 2, 0.5 + size / 2])
    points = np.array([peak(m) for m in maps])
    area = float(np.mean((truth[:, 2:] - truth[:, :2]).prod(1)))
    ways = {
        "": (points, [region(m, area) for m in maps]),
        "centre": (np.full((len(found), 2), 0.5), [mask(middle)] * len(found)),
    }
    if silent:
        others = np.array([box for _, box in found])
        ways["silent"] = ((others[:, :2] + others[:, 2:]) / 2, [mask(box) for box in others])
    drawn = list(resamples(len(found), bootstrap, seed))
    part: dict = {}
    for name, (where, regions) in ways.items():
        values = {
            "pointing": ((where >= truth[:, :2]) & (where <= truth[:, 2:])).all(1).astype(float),
            "iou": np.array([overlap(r, mask(b)) for r, b in zip(regions, truth, strict=True)]),
        }
        told: dict = {key: number(value.mean()) for key, value in values.items()} | {"n": len(found)}
        told["ci"] = {k: interval([d @ v / d.sum(1) for d in drawn]) for k, v in values.items()}
        part |= {name: told} if name else told
    return part


def peak(values: np.ndarray) -> tuple[float, float]:
    """Where a map (h, w) is largest: (x, y) of that place's middle, 0 to 1."""
    y, x = np.unravel_index(values.argmax(), values.shape)
    return (x + 0.5) / values.shape[1], (y + 0.5) / values.shape[0]


def region(values: np.ndarray, area: float) -> np.ndarray:
    """(FINE, FINE) bool: where a map (h, w) is largest, that part (0 to 1) of all places."""
    fine = cv2.resize(values.astype(np.float32), (FINE, FINE), interpolation=cv2.INTER_LINEAR)
    chosen = np.zeros(fine.size, bool)
    chosen[np.argsort(-fine, axis=None, kind="stable")[: round(area * fine.size)]] = True
    return chosen.reshape(fine.shape)


def mask(box: np.ndarray | Box) -> np.ndarray:
    """(FINE, FINE) bool: the places whose middle lies in a box."""
    at = (np.arange(FINE) + 0.5) / FINE
    left, top, right, bottom = box
    return ((at >= top) & (at <= bottom))[:, None] & ((at >= left) & (at <= right))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks; 0 where both are empty."""
    return float((a & b).sum() / max((a | b).sum(), 1))
