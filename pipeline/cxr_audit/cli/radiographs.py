"""Commands on radiographs without a classifier: view, lungs, phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.markup import escape

from cxr_audit.cli.screen import err, out, progress_bar
from cxr_audit.errors import CaseError, ConfigError
from cxr_audit.records import CaseSource, Radiograph, VoiTransform, to_json


def view(
    file: Annotated[Path, typer.Argument(help="a DICOM, PNG, JPEG or TIFF file")],
    output: Annotated[
        Path | None, typer.Option(help="write the radiograph there as a PNG of full size")
    ] = None,
    bits: Annotated[int, typer.Option(help="8 or 16 bits a pixel of the PNG")] = 8,
    voi_transform: Annotated[
        str, typer.Option(help="as ingest.voi_transform in a config")
    ] = "if_present",
    window: Annotated[str, typer.Option(help="number or explanation, as ingest.window")] = "1",
    frame: Annotated[int | None, typer.Option(min=1, help="as ingest.frame")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show one file as the audit reads it, with every decision about its pixels."""
    from cxr_audit.ingest import Display, read
    from cxr_audit.report import encode_png

    if bits not in (8, 16):
        raise ConfigError(f"--bits {bits}: expected 8 or 16")
    if voi_transform not in get_args(VoiTransform):
        raise ConfigError(
            f"--voi-transform {voi_transform}: expected one of {', '.join(get_args(VoiTransform))}"
        )
    display = Display(
        cast(VoiTransform, voi_transform), int(window) if window.isdigit() else window, frame
    )
    radiograph = read(CaseSource("view", file, file.name, None), display=display)
    if output is not None:
        output.write_bytes(encode_png(radiograph.pixels, bits))
    if as_json:
        print(to_json(radiograph.facts).decode(), end="")
        return
    _print_radiograph(radiograph)


def _print_radiograph(radiograph: Radiograph) -> None:
    """The size, every decision about the pixels, the attributes and the warnings."""
    facts, pixels = radiograph.facts, radiograph.pixels
    source = facts.source
    syntax = source.transfer_syntax or "as the file holds them"
    black, white = float((pixels == 0).mean()), float((pixels == 1).mean())
    mean = f"mean {pixels.mean():.4f} (0 = black, 1 = white)"
    lines = [
        (
            "size",
            f"{facts.rows} rows x {facts.columns} columns, {source.format}",
            f"SHA-256 {source.file_sha256}",
        ),
        (
            "pixels",
            f"{syntax}, decoded by {source.decoder}",
            f"SHA-256 of the stored values {source.pixel_sha256}",
        ),
        *((decision.what, decision.how, decision.why) for decision in facts.decisions),
        (
            "shown",
            f"{pixels.min():.4f} to {pixels.max():.4f}, {mean}",
            f"{black:.1%} of the pixels are black, {white:.1%} white",
        ),
    ]
    for what, how, why in lines:
        out.print(
            f"{what!s:20} {escape(str(how))}\n{'':20} [dim]{escape(str(why))}[/]",
            highlight=False,
            emoji=False,
        )
    for name, text in facts.attributes.items():
        out.print(f"{name:28} {text}", highlight=False, markup=False, emoji=False)
    for warning in facts.warnings:
        out.print(f"warning: {warning}", highlight=False, markup=False)


def lungs(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="radiographs, or folders of them")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="folder for the masks and lungs.jsonl")
    ],
) -> None:
    """Find the lungs: a PNG mask of each radiograph (1 right, 2 left lung), and lungs.jsonl."""
    from cxr_audit.lung_masks import write_lung_masks

    with progress_bar() as progress:
        lines = write_lung_masks(paths, output, progress)
    statuses = [line.status for line in lines]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    err.print(f"{len(lines)} files: lungs {counts}", highlight=False)
    for line in lines:
        if line.reason is not None:
            err.print(f"  {escape(line.file)}: {escape(line.reason)}", highlight=False)
    out.print(str(output / "lungs.jsonl"), highlight=False)
    if "failed" in statuses:
        raise typer.Exit(CaseError.exit_code)


def phantom(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="folder for the radiographs, masks and manifest.csv"),
    ],
    cases: Annotated[int, typer.Option(min=1, max=1_000_000, help="how many")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="same seed, same bytes")] = 1,
    size: Annotated[int, typer.Option(help="rows and columns, 64 to 3000")] = 1024,
    file_format: Annotated[
        str, typer.Option("--format", help="png (16 bits), png8, jpeg or dicom")
    ] = "png",
    shortcut: Annotated[
        list[str] | None,
        typer.Option(
            help="plant this in every case with pneumonia and in no other: marker_r, marker_l, "
            "text, tube, leads, border or bias; may be given again"
        ),
    ] = None,
) -> None:
    """Draw chest phantoms with known truth: half with pneumonia, every mask and box exact."""
    from cxr_audit.reference.phantom.files import write_cases
    from cxr_audit.reference.phantom.phantom import cohort

    with progress_bar() as progress:
        manifest = write_cases(
            folder, cohort(cases, seed, shortcut or ()), size, size, file_format, progress=progress
        )
    out.print(str(manifest), highlight=False)
