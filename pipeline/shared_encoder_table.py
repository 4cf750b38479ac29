"""docs/shared_encoder.md: one image network for sounds and faces, after a study on CREMA-D."""

from typing import Any

from pipeline.metrics.over_seeds import cell

SPLITS = {"video": "at random", "subject": "by actor"}
NOTHING = "nothing (pretrained weights, new head)"
ROWS = {"spectrograms": "audio", "faces": "video", "both stacked": "both"}
# By what it was tuned on: column -> how it is asked.
TESTED: dict[str, dict[str, dict[str, Any]]] = {
    "audio": {"spectrograms": {}, "faces": {"swapped": True}},
    "video": {"faces": {}, "spectrograms": {"swapped": True}},
    "both": {
        "both stacked": {},
        "faces alone": {"blank": "audio"},
        "spectrograms alone": {"blank": "video"},
    },
}
COLUMNS = ("spectrograms", "faces", "both stacked", "spectrograms alone", "faces alone")
CHANCE = 1 / 6
MISSING = """
**Not run: the row of nothing tuned** (ImageNet's weights, a new head). It needs published weights of these
networks, and there are none: `shared_encoder.pretrained: PATH` in `params.yaml` adds the row for a network
that has some (`shared_encoder.networks`), and has the other rows begin with them. For the same reason the
published networks (VGG-16, ResNet-18, GoogLeNet, ViT, I3D) are not in the table: without their weights, and
on so few clips, they would not show what was published."""
PUBLISHED = """The published table (CREMA-D, VGG-16 with ImageNet weights, three emotions, 191 and 82 clips):
nothing tuned .354 spectrograms, .390 faces, .268 both; tuned on spectrograms .768, tested on faces .305;
tuned on faces .707, tested on spectrograms .342; both stacked .622. With six emotions, sound / picture /
both: ResNet-18 .618 / .682 / .733, VGG-16 .596 / .677 / .661, a small 3-D CNN .514 / .462 / .573, I3D .605 /
.831 / .806.

These are not to be compared one to one: drawn faces and synthetic voices are neither as varied nor as
ambiguous as actors are, the networks here are smaller and begin without ImageNet's weights, and the published
split puts the same actors on both sides. What can be compared is the shape of the table."""


def markdown(found: dict[str, Any], params: Any) -> str:
    """found: network -> split -> row -> column -> as of pipeline.metrics.over_seeds.accuracy."""
    people = params.data.people
    begin = "begun with pretrained weights" if params.shared_encoder.pretrained else "no pretrained weights"
    lines = [
        "# One encoder for sounds and faces",
        "",
        f"Written by `make shared-encoder`: {people.clips} clips of {people.people} embedded people, six"
        " emotions. One network (`classification.fusion: stack`) reads spectrograms as pictures, faces, or"
        f" both on top of each other, {params.video.height} × {params.video.width}; {begin};"
        f" {params.train.epochs} epochs. Test accuracy, the mean over {len(params.shared_encoder.seeds)}"
        " seeds, with its 95% interval (bootstrap over clips, or over actors where those were split) and"
        " each seed's value. Chance is about .167. Sizes stand in `params.yaml`, sections `people_tables`"
        " and `shared_encoder`.",
    ]
    for network, splits in found.items():
        for by, rows in splits.items():
            n = next(iter(next(iter(rows.values())).values()))["n"]
            lines += ["", f"## `{network}`, split {SPLITS[by]} ({n} test clips)", ""]
            lines += [
                "| tuned on ↓ tested on → | " + " | ".join(COLUMNS) + " |",
                "| --- |" + " --- |" * len(COLUMNS),
            ]
            for row, cells in rows.items():
                lines.append(f"| {row} | " + " | ".join(cell(cells.get(c)) for c in COLUMNS) + " |")
    lines += ["", "## What it says", "", *_conclusions(found)]
    lines += [
        "",
        "Faces alone and spectrograms alone: the network of both, with silence, or a black picture, for"
        " the other.",
        *([] if params.shared_encoder.pretrained else [MISSING]),
        "",
        PUBLISHED,
    ]
    return "\n".join(lines) + "\n"


def _conclusions(found: dict[str, Any]) -> list[str]:
    """Say in one line for each network and split what the numbers show. found: as of `markdown`."""

    def value(cell: dict[str, Any]) -> str:
        return f"{cell['accuracy']:.3f}"

    def beside_chance(cell: dict[str, Any]) -> str:
        low, high = cell["ci"]["accuracy"]
        how = "above" if low > CHANCE else "below" if high < CHANCE else "no better than"
        return f"{value(cell)}, {how} chance"

    lines = []
    for network, splits in found.items():
        for by, rows in splits.items():
            sound, face, both = (rows[name] for name in ROWS)
            heard, seen, stacked = sound["spectrograms"], face["faces"], both["both stacked"]
            best = max(heard["accuracy"], seen["accuracy"])
            low, high = stacked["ci"]["accuracy"]
            how = "less than" if high < best else "more than" if low > best else "within its interval of"
            lines.append(
                f"- `{network}`, split {SPLITS[by]}: spectrograms {value(heard)}, faces {value(seen)}, both"
                f" stacked {value(stacked)} ({how} the better of the two). Carried over: tuned on"
                f" spectrograms, faces {beside_chance(sound['faces'])}; tuned on faces, spectrograms"
                f" {beside_chance(face['spectrograms'])}. Of both, with one blank: spectrograms"
                f" {value(both['spectrograms alone'])}, faces {value(both['faces alone'])}."
            )
    return lines
