"""docs/identification.md: who it is, by face and voice, after a study on VoxCeleb."""

from typing import Any

from pipeline.metrics.over_seeds import cell

ROWS = {
    "image CNN": {"modality": "video", "video_encoder": "shallow"},
    "audio CNN": {"modality": "audio", "audio_encoder": "shallow"},
    "audio CRNN": {"modality": "audio", "audio_encoder": "crnn"},
    "CNN ∥ CNN": {"modality": "both", "video_encoder": "shallow", "audio_encoder": "shallow"},
    "CNN ∥ CRNN": {"modality": "both", "video_encoder": "shallow", "audio_encoder": "crnn"},
}
PUBLISHED = {  # train, validation
    "image CNN": ("100%", "84.5%"),
    "audio CNN": ("100%", "79.0%"),
    "audio CRNN": ("79.8%", "71.5%"),
    "CNN ∥ CNN": ("99.9%", "73.3%"),
    "CNN ∥ CRNN": ("99.9%", "80.0%"),
}
SIDES = {"audio": "voice", "video": "face", "both": "both"}


def markdown(found: dict[str, Any], params: Any) -> str:
    """found: row -> train, val, test (as of `over_seeds.accuracy`) and verification by side."""
    people, seeds = params.data.people, params.identification.seeds
    first = next(iter(found.values()))
    lines = [
        "# Who is it?",
        "",
        f"Written by `make identification`: {people.clips} clips of {people.people} embedded people, split by"
        f" recording. Faces are {params.faces.size} × {params.faces.size} bytes, sounds"
        " log-frequency spectrograms"
        f" of {params.audio.window_seconds:g} s stored as bytes; both are scaled in the model."
        f" {params.train.epochs} epochs. The mean over {len(seeds)} seeds, with its 95% interval"
        " (bootstrap over"
        f" recordings) and each seed's value. Chance is about {1 / people.people:.3f}. Sizes stand in"
        " `params.yaml`, sections `people_tables` and `identification`.",
        "",
        f"| | train ({first['train']['n']}) | validation ({first['val']['n']}) | test ({first['test']['n']})"
        " | published: train | validation |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row, cells in found.items():
        values = " | ".join(cell(cells[split]) for split in ("train", "val", "test"))
        lines.append(f"| {row} | {values} | " + " | ".join(PUBLISHED[row]) + " |")
    lines += [
        "",
        "## Is it one person?",
        "",
        "Verification with the same networks: all pairs of test recordings, scored by the cosine of what the"
        " encoders give, of both by the mean of both cosines. EER, and minDCF with P = 0.05;"
        " intervals (the mean"
        " of the seeds') are over people. Everybody here is in training too: for strangers,"
        " `split.by: subject`.",
        "",
        "| | EER by voice | by face | by both | minDCF by voice | by face | by both |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, cells in found.items():
        told = cells["verification"]
        judged = [cell((told.get(s) or {}).get(key), key) for key in ("eer", "min_dcf") for s in SIDES]
        lines.append(f"| {row} | " + " | ".join(judged) + " |")
    best = max(found, key=lambda row: found[row]["test"]["accuracy"])
    most = found[best]["test"]["accuracy"]
    near = [row for row in found if row != best and found[row]["test"]["ci"]["accuracy"][1] >= most]
    beside = f"it lies within the interval of {', '.join(near)}" if near else "it lies in no other's interval"
    lines += [
        "",
        "## What it says",
        "",
        f"- Best on the test recordings: {best}, {most:.3f}; {beside}.",
        *(
            f"- {row}: training {cells['train']['accuracy']:.3f}, test {cells['test']['accuracy']:.3f};"
            f" published, training {PUBLISHED[row][0]} and validation {PUBLISHED[row][1]}."
            for row, cells in found.items()
        ),
        "",
        "The published figures are of 40 people of VoxCeleb, 100 faces and 100 voices each, put together by"
        " person and split by file, so that frames of one recording may lie on both sides. They are not to be"
        " compared with these one to one: drawn faces differ more plainly than photographs do, and synthetic"
        " voices have no microphones and rooms of their own.",
    ]
    return "\n".join(lines) + "\n"
