from __future__ import annotations

import base64
import hashlib
import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
from cxr_audit import quality
from cxr_audit.errors import CaseError, NotARadiograph, UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest import Display, decoding, discover, probe, read
from cxr_audit.records import CaseSource, to_json
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.sequence import Sequence

from benchmarks.ingest_speed import to_jpeg_lossless
from tests.ingest.codestreams import CODESTREAMS, waves

PROJECT_TEXT = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
GREY = (np.arange(64, dtype=np.uint16) * 60).reshape(8, 8)
LARGE = np.kron(GREY, np.ones((8, 8), np.uint16))  # JPEG 2000 needs some room
PLAIN_SYNTAXES = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


def example(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom-data has no {name}")
    return Path(path)


def refused(path, kind, match=None, **options):
    (case,) = discover(path)
    with pytest.raises(kind, match=match) as error:
        read(case, **options)
    assert path.name not in str(error.value) + str(error.value.hint)
    return error.value


def warned(radiograph, code):
    return any(warning.code == f"ingest.{code}" for warning in radiograph.facts.warnings)


def hows(radiograph, what):
    code = f"ingest.{what}"
    return [decision.how for decision in radiograph.facts.decisions if decision.what.code == code]


@pytest.mark.trap("syntaxes")
@pytest.mark.parametrize("syntax", PLAIN_SYNTAXES)
def test_uncompressed_syntaxes(dicom, save, read_path, syntax):
    dataset = dicom(GREY, BitsStored=12)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == uid.ExplicitVRBigEndian:
        dataset.PixelData = GREY.astype(">u2").tobytes()
    radiograph = read_path(save(dataset))
    # own range 0 to 3780
    assert radiograph.pixels == pytest.approx(GREY / 3780, abs=1e-7)
    source = radiograph.facts.source
    assert source.pixel_sha256 == hashlib.sha256(GREY.astype("<u2").tobytes()).hexdigest()
    assert source.transfer_syntax == syntax.name
    assert source.decoder == f"pydicom {pydicom.__version__} (uncompressed)"
    assert radiograph.facts.warnings == ()


@pytest.mark.trap("syntaxes")
@pytest.mark.parametrize(
    ("syntax", "decoder"),
    [
        (uid.RLELossless, "pydicom"),
        (uid.JPEGLSLossless, "pyjpegls"),
        (uid.JPEG2000Lossless, {False: "opencv-python-headless", True: "pylibjpeg-openjpeg"}),
    ],
)
@pytest.mark.parametrize("is_signed", [False, True])
def test_lossless_syntaxes(dicom, save, read_path, syntax, decoder, is_signed):
    stored = LARGE.astype(np.int16) - 2000 if is_signed else LARGE
    dataset = dicom(stored, BitsStored=12)
    dataset.compress(syntax, generate_instance_uid=False)
    radiograph = read_path(save(dataset))
    assert radiograph.pixels == pytest.approx(LARGE / 3780, abs=1e-7)
    assert radiograph.facts.source.pixel_sha256 == hashlib.sha256(stored.tobytes()).hexdigest()
    expected = decoder if isinstance(decoder, str) else decoder[is_signed]
    assert radiograph.facts.source.decoder.startswith(expected)


@pytest.mark.trap("syntaxes")
@pytest.mark.parametrize(
    ("syntax", "name", "bits", "error", "decoder"),
    [
        (uid.JPEGBaseline8Bit, "baseline-8", 8, 4, "pillow"),
        (uid.JPEGExtended12Bit, "baseline-8", 8, 4, "pillow"),
        (uid.JPEGExtended12Bit, "extended-12", 12, 40, "python-gdcm"),
        (uid.JPEGLossless, "lossless-p6-12", 12, 0, "python-gdcm"),
        (uid.JPEGLosslessSV1, "lossless-sv1-8", 8, 0, "python-gdcm"),
        (uid.JPEGLosslessSV1, "lossless-sv1-12", 12, 0, "python-gdcm"),
        (uid.JPEGLosslessSV1, "lossless-sv1-16", 16, 0, "python-gdcm"),
        (uid.HTJ2KLossless, "htj2k-lossless-16", 16, 0, "pylibjpeg-openjpeg"),
        (uid.HTJ2KLosslessRPCL, "htj2k-lossless-16", 16, 0, "pylibjpeg-openjpeg"),
        (uid.HTJ2K, "htj2k-16", 16, 200, "pylibjpeg-openjpeg"),
    ],
)
def test_codestreams_of_other_encoders(dicom, save, read_path, syntax, name, bits, error, decoder):
    stored, white = waves(bits), (1 << bits) - 1
    dataset = dicom(
        stored, transfer_syntax=syntax, BitsStored=bits, PixelData=encapsulate([CODESTREAMS[name]])
    )
    dataset["PixelData"].is_undefined_length = True
    # c, w so that (x - (c - 0.5)) / (w - 1) + 0.5 = x / white
    dataset.WindowCenter, dataset.WindowWidth = (white + 1) / 2, white + 1
    radiograph = read_path(save(dataset))
    difference = np.abs(radiograph.pixels * np.float64(white) - stored).max()
    assert difference <= error + 0.01
    assert (difference > 0.5) == (error > 0)
    assert radiograph.facts.source.decoder.startswith(decoder)
    assert radiograph.facts.source.transfer_syntax == syntax.name


@pytest.mark.trap("syntaxes")
def test_lossless_jpeg_of_signed_values(dicom, save, read_path):
    path = save(dicom(np.arange(-20, 15, dtype="i2").reshape(5, 7)))
    plain = read_path(path)
    to_jpeg_lossless(path)
    compressed = read_path(path)
    assert compressed.facts.source.transfer_syntax == uid.JPEGLosslessSV1.name
    assert compressed.facts.source.pixel_sha256 == plain.facts.source.pixel_sha256
    assert (compressed.pixels == plain.pixels).all()


# np.arange(165) as 11 rows x 15 columns, by DCMTK's dcmcjpeg +e1.
ODD = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALCAALAA8BAREA/8QAFgABAQEAAAAAAAAAAAAAAAAAAQQI/9oACAEB"
    "AAEAAM/qqqqreqqqqt6qqqq3"
    "qqqqreqqqqt6qqqq3qqqqreqqqqt6qqqq3qqqqreqqqqv///2Q=="
)


@pytest.mark.trap("syntaxes")
def test_lossless_jpeg_of_an_odd_number_of_bytes(dicom, save, read_path):
    stored = np.arange(165, dtype=np.uint8).reshape(11, 15)
    dataset = dicom(stored, uid.JPEGLosslessSV1, PixelData=encapsulate([base64.b64decode(ODD)]))
    dataset["PixelData"].is_undefined_length = True
    assert (read_path(save(dataset)).pixels == np.float32(stored / 164)).all()


@pytest.mark.trap("syntaxes")
@pytest.mark.parametrize(
    ("syntax", "options", "error"),
    [(uid.JPEGLSNearLossless, {"jls_error": 3}, 3), (uid.JPEG2000, {"j2k_psnr": [80]}, 16)],
)
def test_lossy_syntaxes(dicom, save, read_path, syntax, options, error):
    # PSNR 80 dB of 4095: a root mean square error of 4095 / 10^4 = 0.4
    dataset = dicom(LARGE, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    dataset.compress(syntax, generate_instance_uid=False, **options)
    pixels = read_path(save(dataset)).pixels * 4095
    assert 0 < np.abs(pixels - LARGE).max() <= error + 0.01


def test_every_syntax_that_pydicom_decodes_has_a_decoder():
    encapsulated = {syntax for syntax in uid.AllTransferSyntaxes if syntax.is_encapsulated}
    decodable = set()
    for syntax in encapsulated:
        with suppress(NotImplementedError):
            get_decoder(syntax)
            decodable.add(syntax)
    assert len(decodable) == 12
    assert set(decoding.PLUGINS) == decodable
    for syntax in decodable:
        for plugin, distribution in decoding.choose_plugins(syntax, 12):
            assert plugin in get_decoder(syntax).available_plugins
            assert distribution in PROJECT_TEXT


def as_radiograph(name, save, **elements):
    """A test file of another modality, called a CR for its codec's sake."""
    dataset = pydicom.dcmread(example(name))
    dataset.Modality = "CR"
    for keyword, element in elements.items():
        setattr(dataset, keyword, element)
    return save(dataset, conform=False)


@pytest.mark.trap("syntaxes")
@pytest.mark.parametrize(
    ("name", "decoder"),
    [
        ("JPEG-LL.dcm", "python-gdcm"),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", "python-gdcm"),
        ("JPGExtended.dcm", "python-gdcm"),  # 12 bits
        ("JPEGLSNearLossless_16.dcm", "pyjpegls"),
        ("emri_small_jpeg_ls_lossless.dcm", None),  # several frames
    ],
)
def test_other_codecs(save, read_path, name, decoder):
    path = as_radiograph(name, save)
    if decoder is None:
        refused(path, UnsupportedRadiograph)
        return
    radiograph = read_path(path)
    assert radiograph.facts.source.decoder.startswith(decoder)
    assert 0 < radiograph.pixels.mean() < 1


def test_gpl_plugin_is_never_chosen():
    assert all(
        distribution != "pylibjpeg-libjpeg"
        for choices in decoding.PLUGINS.values()
        for _, distribution in choices
    )
    jpeg = [
        syntax
        for syntax in decoding.PLUGINS
        if syntax.startswith(("1.2.840.10008.1.2.4.5", "1.2.840.10008.1.2.4.7"))
    ]
    assert len(jpeg) == 4
    assert all(plugin != "pylibjpeg" for syntax in jpeg for plugin, _ in decoding.PLUGINS[syntax])


@pytest.mark.trap("syntaxes")
@pytest.mark.parametrize(
    "pair", [("RG1_J2KI.dcm", "RG1_UNCI.dcm"), ("RG1_J2KR.dcm", "RG1_UNCR.dcm")]
)
def test_jpeg_2000_equals_its_uncompressed_twin(read_path, pair):
    compressed, plain = (read_path(example(name)) for name in pair)
    assert compressed.facts.source.pixel_sha256 == plain.facts.source.pixel_sha256
    assert np.array_equal(compressed.pixels, plain.pixels)
    # MONOCHROME1, window 15000 / 30000, by an independent NumPy formula on pydicom's raw array
    stored = pydicom.dcmread(example(pair[1])).pixel_array.astype(float)
    expected = 1 - np.clip((stored - 14999.5) / 29999 + 0.5, 0, 1)
    assert abs(plain.pixels - expected).max() < 1e-6
    assert plain.facts.pixel_spacing_mm is None
    assert warned(plain, "spacing_invalid")


@pytest.mark.trap("syntaxes")
def test_missing_codec_says_what_to_install(dicom, save, monkeypatch):
    dataset = dicom(LARGE, BitsStored=12)
    dataset.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    path = save(dataset)
    monkeypatch.setattr(decoding, "installed_version", lambda distribution: None)
    assert refused(path, UnsupportedRadiograph, "JPEG 2000").hint.values == {
        "distribution": "pylibjpeg-openjpeg"
    }
    with pytest.raises(UnsupportedRadiograph):
        probe(discover(path)[0])


@pytest.mark.trap("syntaxes")
def test_unknown_transfer_syntax(dicom, save):
    dataset = dicom(GREY, BitsStored=12)
    path = save(dataset)
    data = path.read_bytes().replace(b"1.2.840.10008.1.2.1\x00", b"1.2.826.0.1.3680.99\x00", 1)
    path.write_bytes(data)
    error = refused(path, UnsupportedRadiograph, "private transfer syntax")
    assert "3680" not in str(error)


@pytest.mark.trap("damage")
@pytest.mark.parametrize(
    ("elements", "kind", "match"),
    [
        ({"Modality": "CT"}, NotARadiograph, "computed tomography"),
        ({"Modality": "MG"}, NotARadiograph, "mammography"),
        ({"Modality": "CANARY", "SOPClassUID": uid.CTImageStorage}, NotARadiograph, "unknown"),
        ({"NumberOfFrames": 2}, UnsupportedRadiograph, "2 frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, UnsupportedRadiograph, "palette"),
        ({"PhotometricInterpretation": "CANARY"}, UnsupportedRadiograph, "0028,0004"),
        ({"PhotometricInterpretation": None}, UnsupportedRadiograph, "lacks .0028,0004"),
        ({"BitsStored": 17}, UnreadableFile, "'Bits Stored' is 17; expected 2 to 16"),
        ({"BitsAllocated": 32}, UnsupportedRadiograph, "'Bits Allocated' is 32"),
        ({"Rows": None}, UnreadableFile, "Rows"),
        ({"Rows": 0}, UnreadableFile, "0 x 8"),
        ({"Rows": 60000, "Columns": 60000}, UnsupportedRadiograph, "60000 x 60000"),
        ({"Rows": 9}, UnreadableFile, "128 bytes of 144"),
        ({"PixelData": b""}, UnreadableFile, "the pixels of the DICOM file are empty"),
    ],
)
def test_refusals(dicom, save, elements, kind, match):
    path = save(dicom(GREY, **elements))
    assert "CANARY" not in str(refused(path, kind, match))
    with pytest.raises(kind, match=match):
        probe(discover(path)[0])


@pytest.mark.trap("damage")
@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("test-SR.dcm", "Basic Text SR|Comprehensive SR|SR Storage"),
        ("rtplan.dcm", "RT Plan Storage"),
        ("rtdose.dcm", "radiotherapy dose"),
        ("CT_small.dcm", "computed tomography"),
        ("waveform_ecg.dcm", "ECG Waveform Storage"),
        ("DICOMDIR", "Media Storage Directory Storage"),
    ],
)
def test_other_objects(name, match, tmp_path):
    path = tmp_path / "object.dcm"  # a file named DICOMDIR is a source of its own
    path.write_bytes(example(name).read_bytes())
    refused(path, NotARadiograph, match)
    with pytest.raises(NotARadiograph):
        probe(discover(path)[0])


def sequence(**elements):
    item = pydicom.Dataset()
    for keyword, element in elements.items():
        setattr(item, keyword, element)
    return Sequence([item])


PROCESSED = sequence(
    PurposeOfReferenceCodeSequence=sequence(CodeValue="109102", CodingSchemeDesignator="DCM")
)
FLAGS = [
    ("kind", {"Modality": "OT"}, "almost_ot"),
    ("kind", {"Modality": "DR"}, "almost_dr"),
    ("kind", {"Modality": ""}, "modality_by_class"),
    ("kind", {"SOPClassUID": uid.SecondaryCaptureImageStorage}, "capture"),
    ("kind", {"ImageType": ["DERIVED", "SECONDARY"]}, "derived"),
    ("kind", {"ImageType": ["DERIVED", "SECONDARY"]}, "secondary"),
    ("kind", {"BurnedInAnnotation": "YES"}, "burned_in"),
    ("kind", {"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
    ("kind", {"QualityControlImage": "YES"}, "quality_control"),
    ("kind", {"ContributingEquipmentSequence": PROCESSED}, "processed"),
    ("population", {"BodyPartExamined": "HAND"}, "not_the_chest"),
    ("view", {"ViewPosition": "LL"}, "not_frontal"),
    (
        "view",
        {"ViewCodeSequence": sequence(CodeValue="399173006", CodingSchemeDesignator="SCT")},
        "not_frontal",
    ),
    ("view", {"ViewPosition": "PA", "ImageLaterality": "L"}, "one_side"),
    ("view", {"ViewPosition": "PA", "Laterality": "R"}, "one_side"),
    ("view", {"PatientOrientation": ["R", "F"]}, "mirrored"),
    ("view", {"PatientOrientation": ["L", "H"]}, "upside_down"),
    ("view", {"PatientOrientation": ["F", "L"]}, "on_its_side"),
    ("spacing", {"PixelSpacing": [0.1, 0.2]}, "not_square"),
    ("spacing", {"PixelAspectRatio": [1, 2]}, "not_square"),
    ("lossy", {"LossyImageCompression": "01"}, "lossy"),
]


@pytest.mark.parametrize(
    ("elements", "code"), [pytest.param(*rest, marks=pytest.mark.trap(row)) for row, *rest in FLAGS]
)
def test_flags(show, elements, code):
    assert warned(show(GREY, **elements), code)


@pytest.mark.trap("view")
@pytest.mark.parametrize(
    ("code", "view"), [("272479007", "PA"), ("R-10206", "AP"), ("CANARY", None)]
)
def test_view_from_its_code(show, code, view):
    assert show(GREY, ViewCodeSequence=sequence(CodeValue=code)).facts.view_position == view


@pytest.mark.trap("frames")
def test_overlays_are_flagged_and_not_drawn(dicom, save, read_path):
    dataset = dicom(GREY)
    for group in (0x6000, 0x6002):
        dataset.add_new((group, 0x0010), "US", 8)
        dataset.add_new((group, 0x3000), "OW", b"\xff" * 8)
    radiograph = read_path(save(dataset))
    assert warned(radiograph, "overlays")
    assert radiograph.facts.warnings[-1].values == {"num": 2}
    assert np.array_equal(radiograph.pixels, read_path(save(dicom(GREY), "plain.dcm")).pixels)


@pytest.mark.trap("frames")
@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless]
)
def test_a_frame_is_chosen_or_refused(dicom, save, syntax):
    dataset = dicom(
        LARGE, BitsStored=12, NumberOfFrames=2, PixelData=LARGE.tobytes() + LARGE[::-1].tobytes()
    )
    dataset["PixelData"].VR = "OW"
    if syntax.is_compressed:
        dataset.compress(syntax, generate_instance_uid=False)
    path = save(dataset)
    refused(path, UnsupportedRadiograph, "2 frames")
    refused(path, UnsupportedRadiograph, "frame 3 was requested", display=Display(frame=3))
    (case,) = discover(path)
    for frame, expected in ((1, LARGE), (2, LARGE[::-1])):
        radiograph = read(case, display=Display(frame=frame))
        assert (
            radiograph.facts.source.pixel_sha256 == hashlib.sha256(expected.tobytes()).hexdigest()
        )
        (how,) = hows(radiograph, "frame")
        assert how.values == {"frame": frame, "num": 2}


@pytest.mark.trap("lossy")
@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        (
            {
                "LossyImageCompressionRatio": [10, 2.5],
                "LossyImageCompressionMethod": ["ISO_10918_1", "CANARY"],
            },
            {"ratio": "10, 2.5", "method": "ISO_10918_1"},
        ),
        (
            {},
            {"ratio": "ingest.not_stated", "method": "ingest.not_stated"},
        ),
    ],
)
def test_lossy_history(show, elements, expected):
    radiograph = show(GREY, LossyImageCompression="01", **elements)
    (how,) = hows(radiograph, "lossy_compression")
    values = how.values.items()
    plain = {name: text if isinstance(text, str) else text["code"] for name, text in values}
    assert plain == expected


@pytest.mark.trap("exposure")
def test_exposure(show):
    kept = show(
        GREY, ExposureIndex="512.5", TargetExposureIndex="400", DeviationIndex="1.1"
    ).facts.attributes
    assert (kept["ExposureIndex"], kept["TargetExposureIndex"]) == ("512.5", "400")
    assert kept["DeviationIndex"] == "1.1"


@pytest.mark.trap("charset")
@pytest.mark.parametrize("name", ["chrJapMulti.dcm", "chrKoreanMulti.dcm", "chrGerm.dcm"])
def test_character_sets_are_read_and_never_printed(dicom, save, read_path, name):
    source = Path(pydicom.__file__).parent / "data" / "charset_files" / name
    other = pydicom.dcmread(source)
    dataset = dicom(GREY, BitsStored=12, SpecificCharacterSet=other.SpecificCharacterSet)
    dataset.PatientName = other.PatientName
    dataset.StudyDescription = str(other.PatientName)
    radiograph = read_path(save(dataset))
    assert radiograph.facts.warnings == ()
    assert str(other.PatientName.alphabetic) not in repr(radiograph.facts)


@pytest.mark.trap("charset")
@pytest.mark.filterwarnings("ignore:Unknown encoding")  # pydicom's, as it writes the file
def test_an_unknown_character_set_costs_nothing(show):
    assert show(GREY, SpecificCharacterSet="CANARY", PatientName="A^B").pixels[7, 7] == 1


def test_nothing_to_flag(show):
    radiograph = show(
        GREY,
        BitsStored=12,
        ImageType=["ORIGINAL", "PRIMARY"],
        ViewPosition="PA",
        PatientOrientation=["L", "F"],
        BodyPartExamined="CHEST",
        PixelSpacing=[0.15, 0.15],
        PatientAge="045Y",
        PatientSex="F",
        ExposureIndex="412.5",
    )
    assert radiograph.facts.warnings == ()
    assert radiograph.facts.view_position == "PA"
    assert radiograph.facts.patient_orientation == ("L", "F")
    assert radiograph.facts.attributes == {
        "BitsAllocated": "16",
        "BitsStored": "12",
        "BodyPartExamined": "CHEST",
        "ExposureIndex": "412.5",
        "ImageType": "ORIGINAL\\PRIMARY",
        "Modality": "CR",
        "PatientAge": "40-49",
        "PatientSex": "F",
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelRepresentation": "0",
        "ViewPosition": "PA",
    }


@pytest.mark.trap("spacing")
@pytest.mark.parametrize(
    ("elements", "spacing", "how"),
    [
        ({"PixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "spacing_calibrated"),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, (0.2, 0.2), "spacing_detector"),
        (
            {"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.2, 0.2]},
            (0.1, 0.1),
            "spacing_calibrated",
        ),
        (
            {"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]},
            (0.2, 0.2),
            "spacing_detector",
        ),
        (
            {"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.2]},
            (0.2, 0.2),
            "spacing_detector",
        ),
        ({"PixelSpacing": [0, 0]}, None, "spacing_none"),
        ({}, None, "spacing_none"),
    ],
)
def test_pixel_spacing(show, elements, spacing, how):
    radiograph = show(GREY, **elements)
    assert radiograph.facts.pixel_spacing_mm == spacing
    assert hows(radiograph, "spacing")[0].code == f"ingest.{how}"


@pytest.mark.trap("population")
@pytest.mark.parametrize(
    ("age", "band"),
    [("000Y", "0-9"), ("039Y", "30-39"), ("089Y", "80-89"), ("090Y", "90+"), ("107Y", "90+"),
     ("018M", "0-9"), ("200M", "10-19"), ("010D", "0-9"), ("", None)],
)  # fmt: skip
def test_age_is_a_band(show, age, band):
    assert show(GREY, PatientAge=age).facts.attributes.get("PatientAge") == band


@pytest.mark.trap("frames")
def test_colour(show):
    # 0.299 x 255 / 255 = 0.299
    stored = np.zeros((2, 2, 3), np.uint8)
    stored[0] = (255, 0, 0)
    radiograph = show(stored)
    assert radiograph.pixels[0, 0] == pytest.approx(0.299, abs=1e-6)
    assert radiograph.pixels[1, 1] == 0
    assert warned(radiograph, "real_colour")


@pytest.mark.trap("frames")
def test_brightness_channel(show):
    stored = np.full((2, 2, 3), 128, np.uint8)
    stored[0, 0, 0] = 51
    radiograph = show(stored, PhotometricInterpretation="YBR_FULL")
    assert radiograph.pixels[0, 0] == pytest.approx(0.2)
    assert not radiograph.facts.warnings


@pytest.mark.trap("damage")
@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
@pytest.mark.parametrize("kept", ["meta", "dataset"])
def test_missing_preamble(dicom, tmp_path, save, read_path, syntax, kept):
    dataset = dicom(GREY, BitsStored=12)
    dataset.file_meta.TransferSyntaxUID = syntax
    data = save(dataset).read_bytes()
    start = {"meta": 132, "dataset": 144 + int.from_bytes(data[140:144], "little")}[kept]
    data = data[start:]
    path = tmp_path / "bare"
    path.write_bytes(data)
    assert read_path(path).pixels == pytest.approx(GREY / 3780, abs=1e-7)
    assert warned(read_path(path), "syntax_guessed") == (kept == "dataset")


@pytest.mark.trap("damage")
def test_bytes_that_only_start_like_dicom(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100" + b"\x00" * 40)
    refused(path, NotARadiograph)


@pytest.mark.trap("damage")
@pytest.mark.parametrize(
    "syntax", [*PLAIN_SYNTAXES, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.RLELossless]
)
def test_truncated_never_loads(dicom, save, tmp_path, syntax):
    stored = np.random.default_rng(3).integers(0, 4096, (32, 32)).astype(np.uint16)
    dataset = dicom(stored, BitsStored=12)
    if syntax in PLAIN_SYNTAXES:
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        dataset.compress(syntax, generate_instance_uid=False)
    data = save(dataset).read_bytes()
    path = tmp_path / "cut.dcm"
    end = len(data) - (
        0 if syntax in PLAIN_SYNTAXES else 8
    )  # the sequence delimiter carries no pixels
    for length in [*range(0, end - 4, 37), end - 4]:
        path.write_bytes(data[:length])
        with pytest.raises(CaseError):
            read(discover(path)[0])


@pytest.mark.trap("bombs")
def test_size_inside_the_codestream_must_agree(dicom, save):
    dataset = dicom(GREY, BitsStored=12)
    dataset.compress(uid.JPEGLSLossless, generate_instance_uid=False)
    dataset.Rows = 4
    refused(save(dataset), UnreadableFile, "the size of the compressed pixels")


@pytest.mark.trap("damage")
def test_garbage_as_compressed_pixels(dicom, save):
    dataset = dicom(GREY, BitsStored=12)
    for syntax in (
        uid.JPEG2000Lossless,
        uid.JPEGLSLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGBaseline8Bit,
    ):
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([b"\xff\xd8garbage garbage\xff\xd9"])
        dataset["PixelData"].is_undefined_length = True
        refused(save(dataset), UnreadableFile)


def plant(dataset, canary):
    """The canary as every text that the standard has for such an object."""
    texts = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR"}
    for tag, (vr, vm, _, is_retired, keyword) in pydicom.datadict.DicomDictionary.items():
        if vr in texts and keyword and not is_retired and tag >> 16 > 2 and keyword not in dataset:
            dataset.add_new(tag, vr, canary if vm == "1" else [canary, canary])
    for keyword in (
        "BodyPartExamined",
        "ViewPosition",
        "PatientSex",
        "VOILUTFunction",
        "PresentationLUTShape",
    ):
        setattr(dataset, keyword, canary)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", canary]


def outcome(case):
    """All that a case leaves behind: its facts, or the words of its error."""
    try:
        return repr(read(case, max_pixels=10_000).facts)
    except CaseError as error:
        return f"{error} {error.hint} {error.__cause__} {error.__context__}"


@pytest.mark.filterwarnings("ignore")
def test_canary(dicom, save, tmp_path, read_path, capfd, caplog):
    canary = "CANARY"
    dataset = dicom(GREY, BitsStored=12)
    plant(dataset, canary)
    dataset.VOILUTSequence = Sequence([pydicom.Dataset()])
    caplog.set_level(logging.DEBUG)
    path = save(dataset, "CANARY.dcm")
    caplog.clear()
    radiograph = read_path(path)
    assert canary not in repr(radiograph.facts)
    assert radiograph.facts.attributes["ImageType"] == "ORIGINAL\\PRIMARY"
    data = path.read_bytes()
    random = np.random.default_rng(5)
    for _ in range(150):
        damaged = bytearray(data)
        for position in random.integers(132, len(data), 6):
            damaged[position] = random.integers(256)
        path.write_bytes(bytes(damaged))
        case = CaseSource("x", path, path.name, None)
        assert canary not in outcome(case)
    out, err = capfd.readouterr()
    assert canary not in out + err + caplog.text


def test_parser_warnings_are_counted_not_shown(dicom, save, read_path):
    path = save(dicom(GREY, PixelData=GREY.tobytes() + b"\x00" * 256))
    meta, mark, rest = path.read_bytes().rpartition(b"1.2.840.10008.5.1.4.1.1.1")
    path.write_bytes(meta + mark[:-6] + b"XYZY.1" + rest)  # no UID: pydicom's warning quotes it
    radiograph = read_path(path)
    assert warned(radiograph, "pixels_long")
    assert warned(radiograph, "parser_warnings")
    assert "XYZY" not in repr(radiograph.facts)


@pytest.mark.trap("damage")
@pytest.mark.parametrize("code", ["import os; os.abort()", "import time; time.sleep(60)"])
def test_a_decoder_that_ends_its_process_or_hangs_does_not_end_the_run(
    save, read_path, tmp_path, monkeypatch, code
):
    path = as_radiograph("JPEG-LL.dcm", save)
    (tmp_path / "codecs.py").write_text(code)
    with monkeypatch.context() as patch:
        decoding.end()
        patch.setattr(decoding, "CODECS", tmp_path / "codecs.py")
        patch.setattr(decoding, "WALL_SECONDS", 0.5)
        refused(path, UnreadableFile, "cannot be decoded")
    assert read_path(path).facts.source.decoder.startswith("python-gdcm")  # by a new process


@pytest.mark.trap("damage")
def test_a_decoder_that_turns_in_circles_is_ended(save, tmp_path, monkeypatch):
    path = as_radiograph("JPEG-LL.dcm", save)
    circles = "def by_gdcm(frame, options):\n    while True:\n        pass\n\n\ndef main("
    (tmp_path / "codecs.py").write_text(
        decoding.CODECS.read_text("utf-8").replace("def main(", circles)
    )
    decoding.end()
    monkeypatch.setattr(decoding, "CODECS", tmp_path / "codecs.py")
    monkeypatch.setattr(decoding, "CPU_SECONDS_A_FRAME", 0)
    refused(path, UnreadableFile, "EndOfDecoder")
    decoding.end()


def test_a_warning_that_a_check_repeats_has_the_same_words(dicom, save):
    """A page prints a check's reason and leaves out the warning that it holds."""
    told = {
        "ImageType": ["DERIVED", "SECONDARY"],
        "BurnedInAnnotation": "YES",
        "QualityControlImage": "YES",
    }
    path = save(
        dicom(
            np.arange(64, dtype=np.uint16).reshape(8, 8),
            **told,
            PresentationIntentType="FOR PROCESSING",
        )
    )
    (case,) = discover(path)
    facts = read(case).facts
    reasons = [
        check.reason
        for check in quality.check_header(facts, (), None, 0)
        if check.state == "failed"
    ]
    num_repeated = sum(
        any(str(warning) in str(reason) for reason in reasons) for warning in facts.warnings
    )
    assert num_repeated == 5


def test_the_uid_stays_out_of_the_facts(dicom, save):
    dataset = dicom(np.arange(64, dtype=np.uint16).reshape(8, 8))
    (case,) = discover(save(dataset))
    radiograph = read(case)
    assert radiograph.sop_instance_uid == dataset.SOPInstanceUID
    assert dataset.SOPInstanceUID not in repr(radiograph) + to_json(radiograph.facts).decode()
