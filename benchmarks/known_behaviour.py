"""Classifiers of known behaviour -> does the audit flag the cues that they use, and only these?

    .venv/bin/python -m benchmarks.known_behaviour --out build/known-behaviour [--part development]

Radiographs are phantoms that carry a letter, a bright frame and a brighter exposure, each at
random. The audited ones have 512 px, the grid of the marker search. For a trained classifier (96
px, a few convolutions, global average pooling) its own cue occurred in a share (the strength) of
the ill training phantoms and as rarely in the well; other cues occurred equally often in both.

The truth about a trained classifier is measured without the audit, on twins of the phantoms. Run:
the AUC that it loses where its cue occurs at random instead of in the ill only. From `STRONG` on
the run has to be flagged; up to `NONE` it must not be. Case: the change of the logit when only the
cue is removed. From `MOVES` on the case has to be flagged; up to `STAYS` it must not be. What lies
between is not counted. Hand-built classifiers see one place only, so their truth is exact. The one
that sees ink is balanced on phantoms without frame and exposure, so that it answers to a letter and
not to the corner of a frame.

Rules are chosen and limits set on the development and validation parts. Each part has trained
classifiers and audited phantoms of its own. The last part is held out.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from cxr_audit import run_audit
from cxr_audit.cohort.cases import case_values
from cxr_audit.cohort.columns import Cases
from cxr_audit.cohort.dependence import dependence
from cxr_audit.cohort.intervals import Resampling
from cxr_audit.config import Acceptance, AuditConfig, config_of
from cxr_audit.evidence import RunFolder, read_crosswalk
from cxr_audit.records import AuditedCase
from cxr_audit.reference.phantom.phantom import LABELS, case_spec, draw
from cxr_audit.reference.phantom.shortcuts import on_picture
from sklearn.metrics import roc_auc_score

PHANTOM_PX, AUDITED_PX, INPUT_PX, MARKER_PX = 256, 512, 96, 70.0
CUES = {"marker": "marker_r", "border": "border", "exposure": "bias"}
TRAINING, TWINS, AUDITED, BATCH = 1200, 300, 60, 20
INK = 0.85  # grey value from which a pixel can be ink
STRONG, NONE = 0.10, 0.05  # loss of AUC
MOVES, STAYS = 1.0, 0.25  # log-odds
RUN_SHARE = (
    0.1  # of the cases, from which a run counts as flagged for what no check of a run judges
)
JUDGED = ("outside_lungs", "marker", "border", "exposure", "diffuse")
PARTS = ("development", "validation", "second validation", "held-out")
EPOCHS, EPOCHS_MARKER = 6, 16  # a letter is small: it is learnt late
# name -> strength of each of its own cues
KINDS: dict[str, dict[str, float]] = {
    "marker 1.00": {"marker": 1.0},
    "border 1.00": {"border": 1.0},
    "exposure 1.00": {"exposure": 1.0},
    "clean a": {},
    "clean b": {},
    "marker 0.90": {"marker": 0.9},
    "border 0.85": {"border": 0.85},
    "exposure 0.85": {"exposure": 0.85},
    "marker and exposure 0.95": {"marker": 0.95, "exposure": 0.95},
    "clean c": {},
    "border and exposure 0.90": {"border": 0.9, "exposure": 0.9},
    "marker and border 0.95": {"marker": 0.95, "border": 0.95},
}

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


def phantoms(
    out: Path, name: str, num: int, seed: int, side: int = PHANTOM_PX
) -> tuple[Floats, Bools]:
    """Pixels (N, side, side) in [0, 1] without any cue, and who is ill; drawn once and kept."""
    path = out / f"{name}.npz"
    if not path.is_file():
        pixels = []
        for n in range(num):
            spec = case_spec(1_000_003 * seed + n, LABELS[n % 2], shortcuts=())
            pixels.append(np.round(255 * draw(spec, side, side).pixels).astype(np.uint8))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, pixels=np.stack(pixels))
    kept = np.load(path)["pixels"]
    return kept.astype(np.float32) / 255, np.arange(len(kept)) % 2 == 1


def plant(pixels: Floats, cues: dict[str, Bools], seed: int) -> Floats:
    """Each picture with its cues on it; the place of a letter and the width of a frame are the picture's own."""
    planted = []
    for n, shown in enumerate(pixels):
        for number, (cue, shortcut) in enumerate(CUES.items()):
            if cues[cue][n]:
                shown, _ = on_picture(
                    np.random.default_rng([seed, n, number]), shortcut, shown, MARKER_PX
                )
        planted.append(shown)
    return np.stack(planted)


def tossed(num: int, seed: int) -> dict[str, Bools]:
    rng = np.random.default_rng([seed, 1])
    return {cue: rng.random(num) < 0.5 for cue in CUES}


def standing(is_ill: Bools, strengths: dict[str, float], seed: int) -> dict[str, Bools]:
    """Where the cues stand for a classifier's training: its own by strength, the others by the toss of a coin."""
    rng = np.random.default_rng([seed, 2])
    return {
        cue: rng.random(is_ill.size) < np.where(is_ill, s := strengths.get(cue, 0.5), 1 - s)
        for cue in CUES
    }


def reduced(pixels: Floats) -> Floats:
    """As the audit stretches it: (N, 96, 96, 1)."""
    return np.stack(
        [cv2.resize(p, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA) for p in pixels]
    )[..., None]


def train(
    path: Path, pixels: Floats, is_ill: Bools, strengths: dict[str, float], seed: int
) -> None:
    epochs = EPOCHS_MARKER if "marker" in strengths else EPOCHS
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(seed)
    image = keras.Input((INPUT_PX, INPUT_PX, 1))
    x = image
    for filters, size, stride in ((12, 5, 2), (24, 3, 2), (32, 3, 2), (48, 3, 1)):
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(1, activation="sigmoid")(x))
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(4e-3, epochs * len(pixels) // 64), 1e-3
        ),
        "binary_crossentropy",
    )
    cues = standing(is_ill, strengths, seed)
    both = [reduced(plant(side, cues, seed)) for side in (pixels, pixels[:, :, ::-1])]
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        turned = np.where((rng.random(is_ill.size) < 0.5)[:, None, None, None], *both)
        model.fit(turned, is_ill.astype(np.float32), batch_size=64, epochs=1, verbose=0)
    model.save(path)


def hand_built(path: Path, cells: Bools, pixels: Floats, is_bright_only: bool) -> None:
    """A classifier that sees nothing but some cells of a 12 x 12 grid: the more grey there, the more ill, or the more
    almost white (`is_bright_only`). Half of some pictures (N, rows, columns) are called ill."""
    import keras

    side = INPUT_PX // len(cells)
    inputs = reduced(pixels)
    ink = np.maximum(inputs - INK, 0) if is_bright_only else inputs
    seen = ink.reshape(len(ink), len(cells), side, len(cells), side).mean((2, 4))[:, cells].mean(1)
    slope = 2 / max(float(seen.std()), 1e-3)
    image = keras.Input((INPUT_PX, INPUT_PX, 1))
    ink_layer = keras.layers.Conv2D(1, 1, activation="relu")
    cell_layer = keras.layers.Conv2D(1, side, side, use_bias=False)
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(image, head(keras.layers.Flatten()(cell_layer(ink_layer(image)))))
    ink_layer.set_weights([np.ones((1, 1, 1, 1)), np.full(1, -INK if is_bright_only else 0.0)])
    cell_layer.set_weights([np.full((side, side, 1, 1), 1 / side**2)])
    head.set_weights(
        [slope * cells.reshape(-1, 1) / cells.sum(), np.full(1, -slope * float(seen.mean()))]
    )
    model.save(path)


def places() -> dict[str, Bools]:
    """What the hand-built classifiers see of the 12 x 12 grid."""
    rows, columns = np.mgrid[:12, :12]
    edge = np.minimum(np.minimum(rows, columns), 11 - np.maximum(rows, columns))
    return {
        "sees the upper right corner": (rows < 2) & (columns > 9),
        "sees the outer ring": edge == 0,
        "sees the whole picture": edge >= 0,
        "sees the middle of both lungs": (rows > 3)
        & (rows < 8)
        & (((columns > 1) & (columns < 5)) | ((columns > 6) & (columns < 10))),
        "sees ink at the upper left": (rows < 3) & (columns < 3),
    }


# What is right by construction; a flag that is not named could be either.
EXACT: dict[str, dict[str, bool]] = {
    "sees the upper right corner": {"outside_lungs": True, "marker": False},
    "sees the outer ring": {"outside_lungs": True, "border": True, "marker": False},
    "sees the whole picture": {
        "outside_lungs": True,
        "exposure": True,
        "diffuse": True,
        "marker": False,
    },
    "sees the middle of both lungs": {"outside_lungs": False, "border": False, "marker": False},
    "sees ink at the upper left": {"outside_lungs": True, "marker": True, "diffuse": False},
}


@functools.lru_cache(maxsize=1)
def opened(path: Path) -> Any:
    import keras

    return keras.models.load_model(path, compile=False)


def answers(path: Path, pixels: Floats) -> npt.NDArray[np.float64]:
    """Log-odds of some pictures (N, rows, columns)."""
    inputs = reduced(pixels)
    probability = np.concatenate(
        [np.asarray(opened(path)(inputs[n : n + 60])) for n in range(0, len(inputs), 60)]
    )[:, 0]
    probability = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(probability / (1 - probability))


def loss_of_auc(path: Path, cue: str, pixels: Floats, is_ill: Bools, seed: int) -> float:
    """AUC where a cue stands in the ill only, minus AUC where it stands by the toss of a coin, as the others do."""
    cues = tossed(len(pixels), seed)
    aligned = answers(path, plant(pixels, {**cues, cue: is_ill}, seed))
    return float(
        roc_auc_score(is_ill, aligned)
        - roc_auc_score(is_ill, answers(path, plant(pixels, cues, seed)))
    )


def config_for(out: Path, name: str, pictures: Path) -> AuditConfig:
    return config_of(
        {
            "run": {"name": name.replace(" ", "-"), "output": str(out / "runs")},
            "ingest": {"source": str(pictures), "labels": "folder"},
            "preprocess": {"rows": INPUT_PX, "columns": INPUT_PX, "channels": 1, "scaling": "unit"},
            "quality": {"exclude": []},
            "classifier": {"path": str(out / f"{name}.keras"), "class_names": list(LABELS)},
            # All pictures are the sample, of which the mean input and the logits' spread are.
            "trust": {
                "sample": AUDITED,
                "randomisation": False,
                "faithfulness": "none",
                "stability": "none",
            },
            "masking": {"cases": "none"},
            "report": {"documents": False, "scale": "case"},
            "engine": {"batch_size": BATCH},
        }
    )


def audited(config: AuditConfig) -> list[AuditedCase]:
    """The records of a run, made if need be, in the order of the pictures' numbers."""
    folder = RunFolder(config.run.output / config.run.name)
    if not folder.is_sealed:
        run_audit(config, resume=True)
    numbers = {
        source.case_id: int(Path(source.relative_path).stem) for source in read_crosswalk(folder)
    }
    records = []
    for case_id in sorted(numbers, key=numbers.__getitem__):
        record = folder.read_case(case_id)
        assert isinstance(record, AuditedCase)
        records.append(record)
    return records


@dataclass(frozen=True)
class Row:
    """One flag of one case of one classifier: whether it has to be raised (None = could be either) and whether it was
    (None = not judged)."""

    part: str
    classifier: str
    case: int
    flag: str
    truth: bool | None
    raised: bool | None


# classifier -> flag -> is its run flagged; None = undecided, or not run: neither flagged nor cleared
Verdicts = dict[str, dict[str, bool | None]]
STATES: dict[str, bool | None] = {"failed": True, "passed": False}


def verdicts(records: Sequence[AuditedCase], limits: Acceptance) -> dict[str, bool | None]:
    """Is a run flagged, None where it is undecided: by its checks of dependence, and for what has none by the share of its cases."""
    patients = {case.case_id: n for n, case in enumerate(records)}  # a phantom is a patient
    checks = dependence(Cases(records), limits, patients)
    depends = {check.name.removesuffix("_dependence"): STATES.get(check.state) for check in checks}
    raised = {name: np.mean([name in case.flags.names for case in records]) for name in JUDGED}
    return {name: depends.get(name, bool(raised[name] > RUN_SHARE)) for name in JUDGED}


def measure(out: Path, part: str) -> tuple[list[Row], Verdicts]:
    """Every classifier of a part, made if need be, audited and compared with what is known of it."""
    number = PARTS.index(part)
    pixels, _ = phantoms(out, f"{part}-audited", AUDITED, 100 * (number + 1), AUDITED_PX)
    cues, folder = tossed(AUDITED, number), out / part
    shown = plant(pixels, cues, number)
    lettered = plant(pixels, {cue: cues[cue] & (cue == "marker") for cue in CUES}, number)
    for n, picture in enumerate(shown):
        path = folder / "pictures" / LABELS[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.round(255 * picture).astype(np.uint8))
    for name, cells in places().items():
        hand_built(
            folder / f"{name}.keras", cells, lettered if "ink" in name else shown, "ink" in name
        )
    training = phantoms(out, "training", TRAINING, 7)
    for n, (name, strengths) in enumerate(KINDS.items()):
        if not (path := folder / f"{name}.keras").is_file():
            train(path, *training, strengths, 1000 * (number + 1) + n)
    known = truth_of(out, part)
    rows, found = [], {}
    for name in (*places(), *KINDS):
        config = config_for(folder, name, folder / "pictures")
        records = audited(config)
        found[name] = verdicts(records, config.acceptance)
        exact, moves = EXACT.get(name), known["moves"].get(name, {})
        for flag in JUDGED:
            for n, record in enumerate(records):
                is_there = flag not in ("marker", "border") or bool(cues[flag][n])
                truth = None
                if exact:
                    truth = exact.get(flag) and (is_there or flag == "border")
                elif flag in moves and is_there:
                    size = abs(moves[flag][n])
                    truth = True if size >= MOVES else False if size <= STAYS else None
                values, _ = case_values(record)
                rows.append(Row(part, name, n, flag, truth, values[f"flag_{flag}"]))
        print(part, name, flush=True)
    return rows, found


def truth_of(out: Path, part: str) -> dict[str, Any]:
    """What is known of the trained classifiers, measured once and kept: the AUC that each loses by cue, and the
    log-odds that a cue adds to each audited picture, everything else as it is."""
    path, number = out / f"{part}-truth.json", PARTS.index(part)
    if not path.is_file():
        twins, is_ill = phantoms(out, f"{part}-twins", TWINS, 100 * (number + 1) + 1)
        pixels, _ = phantoms(out, f"{part}-audited", AUDITED, 100 * (number + 1), AUDITED_PX)
        cues, there = tossed(AUDITED, number), np.ones(AUDITED, bool)
        known: dict[str, Any] = {"loss": {}, "moves": {}}
        for name in KINDS:
            model = out / part / f"{name}.keras"
            known["loss"][name] = {
                cue: loss_of_auc(model, cue, twins, is_ill, number) for cue in CUES
            }
            known["moves"][name] = {}
            for cue in CUES:
                with_it, without = (
                    answers(model, plant(pixels, {**cues, cue: a}, number)) for a in (there, ~there)
                )
                known["moves"][name][cue] = (with_it - without).tolist()
        path.write_text(json.dumps(known))
    return dict(json.loads(path.read_text()))


def expected(known: Mapping[str, Mapping[str, float]], name: str, flag: str) -> bool | None:
    """Has a run with this classifier to show this flag? None where it could be either."""
    if name in EXACT:
        return EXACT[name].get(flag)
    loss = abs(known[name].get(flag, (STRONG + NONE) / 2))
    return True if loss >= STRONG else False if loss <= NONE else None


def shares(rows: Sequence[Row], name: str, flag: str) -> float:
    """The share of one classifier's cases that have one flag."""
    return float(
        np.mean([bool(row.raised) for row in rows if (row.classifier, row.flag) == (name, flag)])
    )


def report(
    rows: Sequence[Row], found: Verdicts, known: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Markdown: sensitivity and specificity of the flags of cases and of runs, then every classifier."""
    lines = [
        "| flag | cases that have to be flagged | sensitivity (95 %) | cases that must not be | specificity (95 %) | "
        "runs with it | flagged | undecided | runs without it | cleared | undecided |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    names = list(dict.fromkeys(row.classifier for row in rows))
    for flag in ("all of these", *JUDGED):
        judged = [
            row for row in rows if row.raised is not None and flag in (row.flag, "all of these")
        ]
        cells = []
        for truth in (True, False):
            some = [row for row in judged if row.truth is truth]
            cells += [
                str(len(some)),
                _share([row.raised is truth for row in some], [row.case for row in some]),
            ]
        for truth in (True, False):
            runs = [
                found[name][one]
                for one in JUDGED
                for name in names
                if flag in (one, "all of these") and expected(known, name, one) is truth
            ]
            hits = [said is truth for said in runs]
            cells += [str(len(runs)), _share(hits, list(range(len(runs))))]
            cells.append(str(sum(said is None for said in runs)))
        lines.append(f"| {flag} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| classifier | " + " | ".join((*JUDGED, *(f"AUC lost: {cue}" for cue in CUES))) + " |",
    ]
    lines.append("|---" * (1 + len(JUDGED) + len(CUES)) + "|")
    for name in names:
        shown = []
        for flag in JUDGED:
            share = f"{shares(rows, name, flag):.2f}"
            said = {True: f"**{share}**", False: share, None: f"{share}?"}[found[name][flag]]
            shown.append(said + MARKS[expected(known, name, flag)])
        lost = [f"{known[name][cue]:+.3f}" if name in known else "" for cue in CUES]
        lines.append(f"| {name} | " + " | ".join(shown + lost) + " |")
    return [
        *lines,
        "",
        "Share of the cases with the flag, bold where the run is flagged, ? where it is undecided; + it has to be, - it must not be.",
    ]


MARKS = {True: " +", False: " -", None: ""}


def _share(hits: Sequence[bool], clusters: Sequence[int]) -> str:
    """A share with its interval from resampled phantoms."""
    found = Resampling(np.array(clusters, np.intp), 2000, 0).share(
        np.array(hits, bool), np.ones(len(hits), bool), "none"
    )
    if found.value is None or found.interval_95 is None:
        return "" if found.value is None else f"{found.value:.2f}"
    return f"{found.value:.3f} ({found.interval_95[0]:.3f} to {found.interval_95[1]:.3f})"


def figure(rows: Sequence[Row], known: Mapping[str, Mapping[str, float]]) -> str:
    """SVG: the share of flagged cases of each classifier by flag; framed in red where the flag has to be there, in
    green where it must not be."""
    names = list(dict.fromkeys(row.classifier for row in rows))
    left, top, wide, tall = 210, 46, 96, 24
    size = left + wide * len(JUDGED) + 12, top + tall * len(names) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for column, flag in enumerate(JUDGED):
        middle = left + wide * (column + 0.5)
        parts.append(f'<text x="{middle}" y="{top - 12}" text-anchor="middle">{flag}</text>')
        for row, name in enumerate(names):
            share, truth, y = (
                shares(rows, name, flag),
                expected(known, name, flag),
                top + tall * row,
            )
            frame = {True: "#b3261e", False: "#1b6e3c", None: "none"}[truth]
            parts.append(
                f'<rect x="{left + wide * column + 3}" y="{y + 2}" width="{wide - 6}" height="{tall - 4}" '
                f'fill="#00224e" fill-opacity="{share:.2f}" stroke="{frame}" stroke-width="2"/>'
                f'<text x="{middle}" y="{y + 16}" text-anchor="middle" fill="{"#fff" if share > 0.5 else "#15202b"}">'
                f"{100 * share:.0f} %</text>"
            )
    for row, name in enumerate(names):
        parts.append(
            f'<text x="{left - 8}" y="{top + tall * row + 16}" text-anchor="end">{name}</text>'
        )
    parts.append(
        f'<text x="12" y="{size[1] - 10}">share of cases flagged; red frame: has to be flagged, green: must not be, '
        "none: could be either</text></svg>"
    )
    return "\n".join(parts)


def main() -> None:
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/known-behaviour"))
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    asked = parser.parse_args()
    for part in asked.part or PARTS:
        rows, found = measure(asked.out, part)
        known = truth_of(asked.out, part)["loss"]
        text = "\n".join([f"## {part}", "", *report(rows, found, known)])
        print(text)
        (asked.out / f"{part}.md").write_text(text + "\n")
        (asked.out / f"{part}.svg").write_text(figure(rows, known))
        (asked.out / f"{part}.json").write_text(
            json.dumps({"rows": [asdict(row) for row in rows], "runs": found, "losses": known})
        )


if __name__ == "__main__":
    main()
