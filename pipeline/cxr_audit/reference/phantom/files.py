"""Pixels -> PNG, JPEG or DICOM files that show exactly these pixels; cases -> a folder with its
ground truth.

`write_dicom` goes through the grayscale chain of PS3.3 C.7.6.3, C.11.1, C.11.2 backwards: display
value, inversion, VOI LUT or window, modality LUT or rescale, stored value. So every flavour of
header shows the same picture, which makes the phantom the generator of ingestion tests. The same
pixels and options give the same bytes. Refuses (`ConfigError`) combinations that the standard or a
codec does not know. HTJ2K is missing: no installed library writes it.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.sequence import Sequence as Items
from pydicom.uid import generate_uid

from cxr_audit.errors import ConfigError
from cxr_audit.reference.phantom.phantom import Phantom, Spec, draw
from cxr_audit.reference.phantom.projection import Floats, Mask

Doubles = npt.NDArray[np.float64]
SUFFIXES = {"png": ".png", "png8": ".png", "jpeg": ".jpg", "dicom": ".dcm"}

SOP_CLASSES = {
    "CR": uid.ComputedRadiographyImageStorage,
    "DX": uid.DigitalXRayImageStorageForPresentation,
}
NATIVE = {
    "implicit": uid.ImplicitVRLittleEndian,
    "explicit": uid.ExplicitVRLittleEndian,
    "big endian": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
}
# name: UID, most bits stored, whether signed values can be stored, whether bits are lost
COMPRESSED: dict[str, tuple[uid.UID, int, bool, bool]] = {
    "rle": (uid.RLELossless, 16, True, False),
    "jpeg baseline": (uid.JPEGBaseline8Bit, 8, False, True),
    "jpeg extended": (uid.JPEGExtended12Bit, 12, False, True),
    "jpeg lossless": (uid.JPEGLossless, 16, False, False),
    "jpeg lossless sv1": (uid.JPEGLosslessSV1, 16, False, False),
    "jpeg-ls": (uid.JPEGLSLossless, 16, True, False),
    "jpeg-ls near": (uid.JPEGLSNearLossless, 16, False, True),
    "jpeg 2000": (uid.JPEG2000Lossless, 16, True, False),
    "jpeg 2000 lossy": (uid.JPEG2000, 16, True, True),
}
BY_GDCM = ("jpeg extended", "jpeg lossless", "jpeg lossless sv1")
# Their encoders do not write 8 bits stored in 16.
BYTES_ONLY = ("rle", "jpeg baseline", "jpeg extended")
LOSS: dict[str, dict[str, Any]] = {
    "jpeg-ls near": {"jls_error": 2},
    "jpeg 2000 lossy": {"j2k_psnr": [70]},
}
LOSSY_METHODS = {
    "jpeg baseline": "ISO_10918_1",
    "jpeg extended": "ISO_10918_1",
    "jpeg-ls near": "ISO_14495_1",
    "jpeg 2000 lossy": "ISO_15444_1",
}
LUT_BULGE = 0.4  # a table's curve in [0, 1]: t + LUT_BULGE * t * (1 - t)
# Range over width of the sigmoid: its ends are shown within 1 / (1 + e^12) of black and white.
SIGMOID_REACH = 6.0


@dataclass(frozen=True, slots=True)
class DicomOptions:
    """How the same picture is stored.

    rescale: slope and intercept, or None
    modality_lut: a table from stored values instead of a rescale
    window: LINEAR, LINEAR_EXACT, SIGMOID over all values, or None: the reader then takes the
        image's own range
    voi_lut: a table of this many bits instead of a window, or None
    padding: how many stored values, from the lowest on, mean "no image"; 0 = none, 2 and more = a
        range
    """

    sop_class: Literal["CR", "DX"] = "DX"
    bits_stored: int = 12
    bits_allocated: int | None = None
    is_signed: bool = False
    photometric_interpretation: Literal["MONOCHROME1", "MONOCHROME2"] = "MONOCHROME2"
    rescale: tuple[float, float] | None = (1.0, 0.0)
    modality_lut: bool = False
    window: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] | None = "LINEAR"
    voi_lut: int | None = None
    padding: int = 0
    transfer_syntax: str = "explicit"
    view_position: str = "PA"
    pixel_spacing_mm: tuple[float, float] | None = None
    patient_id: str = "PHANTOM"

    def __post_init__(self) -> None:
        for is_right, what, hint in (*self._bit_checks(), *self._grayscale_checks()):
            if not is_right:
                raise ConfigError(f"phantom file: {what} cannot be written", hint)
        self._check_transfer_syntax()

    def _bit_checks(self) -> tuple[tuple[bool, str, str], ...]:
        """(is it right, what was given, hint) for the numbers of bits and values."""
        bits, allocated = self.bits_stored, self.allocated
        lut_bits = self.voi_lut
        return (
            (8 <= bits <= 16, f"bits stored {bits}", "Give 8 .. 16."),
            (
                allocated in (8, 16) and allocated >= bits,
                f"bits allocated {allocated}",
                "Give 8 or 16.",
            ),
            (
                0 <= self.padding < 1 << (bits - 1),
                f"padding {self.padding}",
                "Give 0 .. half the values.",
            ),
            (
                lut_bits is None or 8 <= lut_bits <= 16,
                f"VOI LUT of {lut_bits} bits",
                "Give 8 .. 16.",
            ),
        )

    def _grayscale_checks(self) -> tuple[tuple[bool, str, str], ...]:
        """(is it right, what was given, hint) for the grayscale chain and the transfer syntax."""
        rescale = self.rescale
        has_integers = rescale is None or all(value == int(value) for value in rescale)
        syntaxes = [*NATIVE, *COMPRESSED]
        return (
            (rescale is None or rescale[0] != 0, "a rescale slope of 0", "Give another slope."),
            (
                not (rescale and self.modality_lut),
                "rescale and modality LUT together",
                "Give one of them.",
            ),
            (
                self.voi_lut is None or has_integers,
                "a VOI LUT on values that are no integers",
                "Give an integer slope and intercept.",
            ),
            (
                self.transfer_syntax in syntaxes,
                f"transfer syntax {self.transfer_syntax!r}",
                f"Give one of: {', '.join(syntaxes)}.",
            ),
        )

    def _check_transfer_syntax(self) -> None:
        """Refuse bits that the codec cannot hold."""
        if self.transfer_syntax in BYTES_ONLY and self.bits_stored == 8 < self.allocated:
            raise ConfigError(
                f"phantom file: {self.transfer_syntax} holds 8 bits as bytes",
                "Give bits allocated 8.",
            )
        _, bits, signed, _ = COMPRESSED.get(self.transfer_syntax, (uid.UID(""), 16, True, False))
        if self.bits_stored > bits or (self.is_signed and not signed):
            kind = "values" if signed else "unsigned values"
            raise ConfigError(
                f"phantom file: {self.transfer_syntax} holds {kind} of at most {bits} bits",
                "Give other bits or another transfer syntax.",
            )

    @property
    def allocated(self) -> int:
        return self.bits_allocated or (8 if self.bits_stored == 8 else 16)

    @property
    def stored_range(self) -> tuple[int, int]:
        """Lowest and highest stored value that an image pixel takes; padding lies below."""
        low = -(1 << (self.bits_stored - 1)) if self.is_signed else 0
        return low + self.padding, low + (1 << self.bits_stored) - 1


def write_image(path: Path, pixels: Floats, bits: Literal[8, 16] = 16) -> None:
    """Write a PNG of 8 or 16 bits, or a JPEG of 8 bits and quality 95, by the path's suffix.

    Parameters
    ----------
    path : with the suffix .png or .jpg
    pixels : float32 (rows, columns) in [0, 1], 0 = black as displayed
    bits : 8 or 16, of a PNG

    Raises
    ------
    ConfigError
        Another suffix.
    """
    if path.suffix == ".png":
        kind = np.uint8 if bits == 8 else np.uint16
        data = cv2.imencode(".png", np.round(pixels * np.iinfo(kind).max).astype(kind))[1]
    elif path.suffix == ".jpg":
        grey = np.round(pixels * 255).astype(np.uint8)
        data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    else:
        raise ConfigError(
            f"phantom file: the suffix {path.suffix!r} is unknown", "Give .png or .jpg."
        )
    path.write_bytes(data.tobytes())


def write_dicom(
    path: Path, pixels: Floats, options: DicomOptions, padding: Mask | None = None
) -> None:
    """Write a CR or DX object that shows `pixels`.

    Parameters
    ----------
    path : Path
    pixels : float32 (rows, columns) in [0, 1], 0 = black as displayed
    options : DicomOptions
    padding : bool (rows, columns), optional
        Where the padding value is stored; shown black.
    """
    dataset = _header(pixels, options)
    value_range = _modality(dataset, options)
    values = _voi(dataset, options, value_range)(
        1 - pixels if options.photometric_interpretation == "MONOCHROME1" else pixels
    )
    low, high = options.stored_range
    if options.modality_lut:
        stored = low + (high - low) * _curve_inverse(np.clip(values / 65535, 0, 1))
    else:
        slope, intercept = options.rescale or (1.0, 0.0)
        stored = (values - intercept) / slope
    integers = np.clip(np.rint(stored), low, high).astype(np.int64)
    if options.padding:
        first = low - options.padding
        dataset.PixelPaddingValue = first
        if options.padding > 1:
            dataset.PixelPaddingRangeLimit = low - 1
        if padding is not None:
            integers = np.where(padding, first, integers)
    _pixel_data(dataset, integers, options)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    path.write_bytes(buffer.getvalue())


def _modality(dataset: Dataset, options: DicomOptions) -> tuple[float, float]:
    """Write rescale or modality LUT into the header; return the range of values that it gives."""
    low, high = options.stored_range
    if options.modality_lut:
        table = np.rint(65535 * _curve(np.linspace(0, 1, high - low + 1)))
        item = _lut(low, table, 16, options.is_signed, options.transfer_syntax)
        item.ModalityLUTType = "US"
        dataset.ModalityLUTSequence = Items([item])
        return 0.0, 65535.0
    if options.rescale is None:
        return float(low), float(high)
    slope, intercept = options.rescale
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, intercept, "US"
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return ends[0], ends[1]


def _voi(
    dataset: Dataset, options: DicomOptions, ends: tuple[float, float]
) -> Callable[[Floats], Doubles]:
    """Write VOI LUT or window into the header; return its inverse, display to modality values."""
    low, high = ends
    span = high - low
    if options.voi_lut is not None:
        number = round(span) + 1
        if number > 65536:
            raise ConfigError(
                "phantom file: a VOI LUT of more than 65536 entries", "Give fewer bits or slope 1."
            )
        white = (1 << options.voi_lut) - 1
        table = np.rint(white * _curve(np.linspace(0, 1, number)))
        item = _lut(round(low), table, options.voi_lut, low < 0, options.transfer_syntax)
        item.LUTExplanation = "PHANTOM"
        dataset.VOILUTSequence = Items([item])
        return lambda y: low + span * _curve_inverse(np.asarray(y, np.float64))
    if options.window is None:
        return lambda y: low + span * np.asarray(y, np.float64)
    center, width = {
        "LINEAR": ((low + high + 1) / 2, span + 1),
        "LINEAR_EXACT": ((low + high) / 2, span),
        "SIGMOID": ((low + high) / 2, span / SIGMOID_REACH),
    }[options.window]
    dataset.WindowCenter, dataset.WindowWidth = f"{center:.10g}", f"{width:.10g}"
    dataset.VOILUTFunction = options.window
    center, width = float(f"{center:.10g}"), float(f"{width:.10g}")

    def invert(y: Floats) -> Doubles:
        shown = np.asarray(y, np.float64)
        if options.window == "LINEAR":
            return np.asarray((shown - 0.5) * (width - 1) + center - 0.5)
        if options.window == "LINEAR_EXACT":
            return np.asarray((shown - 0.5) * width + center)
        shown = np.clip(shown, 1e-9, 1 - 1e-9)
        return np.asarray(center + width / 4 * np.log(shown / (1 - shown)))

    return invert


def _lut(first: int, table: Doubles, bits: int, is_signed: bool, transfer_syntax: str) -> Dataset:
    """An item of a Modality or VOI LUT sequence (PS3.3 C.11.1.1.1); 65,536 entries are written as
    0.
    """
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if is_signed else "US", [table.size & 0xFFFF, first, bits])
    item.add_new(
        "LUTData", "OW", table.astype(">u2" if transfer_syntax == "big endian" else "<u2").tobytes()
    )
    return item


def _curve(t: Doubles) -> Doubles:
    return t + LUT_BULGE * t * (1 - t)


def _curve_inverse(y: Doubles) -> Doubles:
    """The root of LUT_BULGE t^2 - (1 + LUT_BULGE) t + y in [0, 1]."""
    b = 1 + LUT_BULGE
    return np.asarray((b - np.sqrt(b * b - 4 * LUT_BULGE * y)) / (2 * LUT_BULGE))


EMPTY = (
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def _header(pixels: Floats, options: DicomOptions) -> Dataset:
    """The header without the grayscale chain and the pixels; it names no date and no person."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.SOPClassUID = SOP_CLASSES[options.sop_class]
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        entropy = ["cxr-audit", options.patient_id, keyword, repr(options), str(pixels.shape)]
        setattr(ds, keyword, generate_uid(entropy_srcs=entropy))
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.DerivationDescription = "Synthetic: drawn by cxr-audit, shows no person"
    ds.Modality = options.sop_class
    ds.PatientName, ds.PatientID = "Synthetic^Radiograph", options.patient_id
    for keyword in EMPTY:
        setattr(ds, keyword, "")
    ds.Manufacturer = "cxr-audit"
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.BodyPartExamined, ds.ViewPosition = "CHEST", options.view_position
    ds.PatientOrientation = ["L", "F"]
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    if options.sop_class == "DX":
        ds.PresentationIntentType, ds.ImageLaterality = "FOR PRESENTATION", "U"
        inverse = options.photometric_interpretation == "MONOCHROME1"
        ds.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    if options.pixel_spacing_mm is not None:
        ds.ImagerPixelSpacing = ds.PixelSpacing = [f"{mm:.6g}" for mm in options.pixel_spacing_mm]
    _describe_pixels(ds, pixels, options)
    return ds


def _describe_pixels(ds: Dataset, pixels: Floats, options: DicomOptions) -> None:
    """Write the attributes of the Image Pixel module, without the pixels."""
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, int(options.is_signed)
    ds.BitsAllocated, ds.BitsStored = options.allocated, options.bits_stored
    ds.HighBit = options.bits_stored - 1
    ds.PhotometricInterpretation = options.photometric_interpretation


def _pixel_data(dataset: Dataset, stored: npt.NDArray[np.int64], options: DicomOptions) -> None:
    """Write PixelData in the transfer syntax of `options`; for big endian in its order of bytes."""
    name = options.transfer_syntax
    kind = f"{'i' if options.is_signed else 'u'}{options.allocated // 8}"
    order = ">" if name == "big endian" else "<"
    array = stored.astype(order + kind)
    if name in NATIVE:
        dataset.file_meta.TransferSyntaxUID = NATIVE[name]
        raw = array.tobytes()
        vr = "OW" if options.allocated == 16 or name == "implicit" else "OB"
        dataset.add_new("PixelData", vr, raw + b"\0" * (len(raw) % 2))
        return
    syntax, _, _, is_lossy = COMPRESSED[name]
    plain = len(array.tobytes())
    if name == "jpeg baseline":
        codestream = cv2.imencode(".jpg", array, [cv2.IMWRITE_JPEG_QUALITY, 97])[1].tobytes()
        _encapsulate(dataset, codestream, syntax)
    elif name in BY_GDCM:
        _encapsulate(dataset, _by_gdcm(dataset, array, syntax), syntax)
    else:
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        dataset.compress(syntax, array, generate_instance_uid=False, **LOSS.get(name, {}))
    if is_lossy:
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionMethod = LOSSY_METHODS[name]
        dataset.LossyImageCompressionRatio = f"{plain / len(dataset.PixelData):.3f}"


def _encapsulate(dataset: Dataset, codestream: bytes, syntax: uid.UID) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.add_new("PixelData", "OB", encapsulate([codestream]))
    dataset["PixelData"].is_undefined_length = True


PIXEL_KEYWORDS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PixelRepresentation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
)


def _by_gdcm(dataset: Dataset, array: npt.NDArray[Any], syntax: uid.UID) -> bytes:
    """A codestream by GDCM, which reads and writes files only."""
    import gdcm

    with tempfile.TemporaryDirectory() as folder:
        before, after = str(Path(folder, "before.dcm")), str(Path(folder, "after.dcm"))
        plain = Dataset()
        plain.file_meta = FileMetaDataset()
        plain.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        plain.SOPClassUID = uid.SecondaryCaptureImageStorage
        plain.SOPInstanceUID = dataset.SOPInstanceUID
        for keyword in PIXEL_KEYWORDS:
            setattr(plain, keyword, dataset[keyword].value)
        plain.PhotometricInterpretation = "MONOCHROME2"
        raw = array.tobytes()
        plain.add_new("PixelData", "OW", raw + b"\0" * (len(raw) % 2))
        plain.save_as(before, enforce_file_format=True)
        reader = gdcm.ImageReader()
        change = gdcm.ImageChangeTransferSyntax()
        writer = gdcm.ImageWriter()
        reader.SetFileName(before)
        reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
        change.SetInput(reader.GetImage())
        if not change.Change():
            raise ConfigError(
                "phantom file: GDCM cannot write this combination", "Give another transfer syntax."
            )
        writer.SetFileName(after)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.Write()
        return get_frame(pydicom.dcmread(after).PixelData, 0)


MANIFEST_COLUMNS = (
    "path", "label", "patient_id", "sex", "age_band", "finding", "shortcut", "seed",
    "rows", "columns", "boxes", "masks", "mask_boxes",
)  # fmt: skip


def write_cases(
    folder: Path,
    specs: Sequence[Spec],
    rows: int = 1024,
    columns: int = 1024,
    file_format: str = "png",
    options: DicomOptions | None = None,
    progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> Path:
    """Write radiographs, masks and `manifest.csv` into `folder`.

    The same specifications give the same bytes. The manifest has these columns: path; label
    (NORMAL, PNEUMONIA); patient_id; sex (F, M); age_band (child, adult, elderly); finding and
    shortcut (names joined by +); seed; rows, columns (px); boxes of the findings (x,y,width,height
    in px, joined by ;); masks (folder with one 1-bit PNG for each mask, 255 = inside); mask_boxes
    (JSON: the box of each mask).

    Parameters
    ----------
    folder : it is made where it does not exist
    specs : one for each radiograph
    rows, columns : in 64 .. 3000
    file_format : "png", "png8", "jpeg" or "dicom"
    options : of DICOM files, optional
    progress : called with phase, number done, total

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    ConfigError
        An unknown format, or a size out of range.
    """
    if file_format not in SUFFIXES:
        raise ConfigError(
            f"phantom format {file_format!r} is unknown", f"Give one of: {', '.join(SUFFIXES)}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, spec in enumerate(specs, start=1):
        phantom = draw(spec, rows, columns)
        name = f"phantom-{number:05}"
        write_case(folder / (name + SUFFIXES[file_format]), phantom, file_format, options)
        lines.append(manifest_row(folder, name + SUFFIXES[file_format], phantom))
        progress("phantoms", number, len(specs))
    return write_manifest(folder / "manifest.csv", MANIFEST_COLUMNS, lines)


def write_case(
    path: Path, phantom: Phantom, file_format: str, options: DicomOptions | None = None
) -> None:
    """Write one radiograph in one format.

    Parameters
    ----------
    path : the file
    phantom : its pixels, spacing and seed
    file_format : "png", "png8", "jpeg" or "dicom"
    options : of a DICOM file, optional
    """
    if file_format == "dicom":
        options = replace(
            options or DicomOptions(),
            patient_id=f"PHANTOM-{phantom.spec.seed}",
            pixel_spacing_mm=phantom.pixel_spacing_mm,
        )
        write_dicom(path, phantom.pixels, options)
    else:
        write_image(path, phantom.pixels, 8 if file_format == "png8" else 16)


def manifest_row(folder: Path, name: str, phantom: Phantom) -> tuple[object, ...]:
    """Write the masks beside the radiograph; return its line in the manifest.

    Parameters
    ----------
    folder : of the manifest
    name : of the radiograph's file
    phantom : its masks, boxes and specification

    Returns
    -------
    tuple
        One value for each of `MANIFEST_COLUMNS`.
    """
    masks = Path("masks") / Path(name).stem
    (folder / masks).mkdir(parents=True, exist_ok=True)
    for which, mask in phantom.masks.items():
        data = cv2.imencode(".png", mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])[1]
        (folder / masks / f"{which}.png").write_bytes(data.tobytes())
    spec, boxes = phantom.spec, phantom.boxes
    finding_boxes = [boxes[finding] for finding in spec.findings if finding in boxes]
    return (
        name,
        spec.label,
        f"PHANTOM-{spec.seed}",
        spec.sex,
        spec.age_band,
        "+".join(spec.findings),
        "+".join(spec.shortcuts),
        spec.seed,
        *phantom.pixels.shape,
        ";".join(map(_box_text, finding_boxes)),
        masks.as_posix(),
        json.dumps(boxes),
    )


def _box_text(box: Sequence[int]) -> str:
    return ",".join(map(str, box))


def write_manifest(path: Path, columns: Sequence[str], lines: Iterable[Sequence[object]]) -> Path:
    """Write a CSV file.

    Parameters
    ----------
    path : the file
    columns : its head
    lines : one sequence for each row, as long as `columns`

    Returns
    -------
    Path
        The file.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *lines])
    return path
