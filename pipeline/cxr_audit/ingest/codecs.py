"""Compressed frames in, samples out, over a socket: the process in which codecs run.

Codecs are C and C++ that read a stranger's bytes: GDCM ends its process at a damaged lossless JPEG.
Here that costs one case. `decoding` starts this file by its path, so that it loads pydicom and
nothing of this project. CPU time is limited for each frame, and memory (Linux). What libjpeg and
OpenJPEG write to the standard error stream is heard: they give a picture for damaged data, and say
so only there.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGTransferSyntaxes,
)

Samples = npt.NDArray[Any]

# What the codecs raise on damaged frames.
CODEC_ERRORS = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError,
    OSError, RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
BYTES_ASIDE = 2**28
MAX_HEARD = 2**24  # bytes
# libjpeg's warnings (jerror.h) that mean lost pixels; it writes the first of each image.
DAMAGE = (b"Corrupt JPEG data", b"Premature end of JPEG")
SKIPPED_AT_END = re.compile(rb"(\d+) extraneous bytes before marker 0xd9")
# The last byte of the pixels may look like padding, with the zero that is stuffed after FF.
PADDING_TOLERANCE = 2
# OpenJPEG's warning at the end of a code-block (`codestream.with_end_checks`): bytes that the
# decoder has not read, or that it had to invent. Of sound files of four writers: at most 4.
CODE_BLOCK_END = re.compile(rb"PTERM check failure: (\d+) (?:remaining|synthesized)")
MOST_BYTES_AT_END = 6
JPEG_2000 = (JPEG2000Lossless, JPEG2000)
JPEG_OF_8_BITS = (JPEGBaseline8Bit, JPEGExtended12Bit)
LISTEN = "listen"  # instead of a plugin: decode a JPEG only to hear what libjpeg says of it
OPENCV = "opencv"  # instead of a plugin of pydicom: OpenCV's OpenJPEG, which is heard


class Ear:
    """Collects what codecs write to the standard error stream of this process."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process lives
        os.dup2(self._file.fileno(), 2)

    def clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def is_damaged(self, frame: bytes) -> bool:
        """Whether a codec has called the pixels of a frame damaged since the last `clear`."""
        self._file.seek(0)
        heard = self._file.read(MAX_HEARD)
        ends = (int(end[1]) for end in CODE_BLOCK_END.finditer(heard))
        if any(num_bytes > MOST_BYTES_AT_END for num_bytes in ends):
            return True
        if not any(words in heard for words in DAMAGE):
            return False
        skipped = SKIPPED_AT_END.search(heard)
        if skipped is None:
            return True
        # Padding is skipped as a whole; of zeros in place of pixels, a decoder takes some as codes.
        return abs(int(skipped[1]) - _num_padding(frame)) > PADDING_TOLERANCE


def _num_padding(frame: bytes) -> int:
    """Zeros and fill bytes before the end marker, which a writer may add."""
    body = frame[: max(frame.rfind(b"\xff\xd9"), 0)]
    return len(body) - len(body.rstrip(b"\x00\xff"))


def by_pydicom(frame: bytes, options: dict[str, Any]) -> tuple[Samples, str]:
    """Samples by the plugin of pydicom in `options`, and their photometric interpretation."""
    decoder = get_decoder(options["transfer_syntax_uid"])
    others = {key: option for key, option in options.items() if key != "transfer_syntax_uid"}
    samples, properties = decoder.as_array(encapsulate([frame], has_bot=False), **others)
    return samples, str(properties["photometric_interpretation"])


def by_gdcm(frame: bytes, options: dict[str, Any]) -> tuple[Samples, str]:
    """One grey JPEG through GDCM itself.

    pydicom's plugin for it refuses 12 bits, and takes the samples as a str, which costs as much
    again as the decoding.
    """
    import gdcm

    change = gdcm.ImageChangeTransferSyntax()
    image = _gdcm_image(frame, options)
    change.SetInput(image)
    image.thisown = False  # `change` counts its references and frees it
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    if not change.Change():
        raise ValueError("GDCM cannot decode this")
    decoded = change.GetOutput()
    data = decoded.GetDataElement().GetByteValue()
    kind = "i" if options["pixel_representation"] else "u"
    dtype = np.dtype(f"<{kind}{options['bits_allocated'] // 8}")
    samples = np.empty((options["rows"], options["columns"]), dtype)
    # a VL has no number but its text
    num_excess = int(str(data.GetLength())) - samples.nbytes
    if num_excess not in (0, samples.nbytes % 2):
        raise ValueError("GDCM gives another number of bytes")
    ctypes.memmove(samples.ctypes.data, int(data.GetVoidPointer()), samples.nbytes)
    return samples, options["photometric_interpretation"]


def _gdcm_image(frame: bytes, options: dict[str, Any]) -> Any:
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((options["columns"], options["rows"], 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(options["photometric_interpretation"])
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    syntax = gdcm.TransferSyntax.GetTSType(options["transfer_syntax_uid"])
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    allocated, stored = options["bits_allocated"], options["bits_stored"]
    signed = options["pixel_representation"]
    image.SetPixelFormat(gdcm.PixelFormat(1, allocated, stored, stored - 1, signed))
    return image


def listen(frame: bytes) -> Any:
    """Let OpenCV decode a JPEG of 8 bits or a JPEG 2000: its libjpeg and its OpenJPEG are heard.

    Pillow and pylibjpeg silence their own.

    Returns
    -------
    OpenCV's samples, None where it cannot decode the frame.
    """
    import cv2

    return cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_UNCHANGED)


def is_heard_by_opencv(options: dict[str, Any]) -> bool:
    """Whether OpenCV decodes a frame, alone or for the sake of what its codecs say."""
    plugin = options["decoding_plugin"]
    if plugin in (LISTEN, OPENCV):
        return True
    syntax = options["transfer_syntax_uid"]
    if syntax in JPEG_2000:
        return True
    return syntax in JPEG_OF_8_BITS and plugin == "pillow"


def by_opencv(frame: bytes, options: dict[str, Any]) -> tuple[Samples, str]:
    """One grey JPEG 2000 of unsigned samples."""
    samples = listen(frame)
    size = (options["rows"], options["columns"])
    if samples is None or samples.shape != size:
        raise ValueError("OpenCV cannot decode this")
    dtype = np.dtype(f"<u{options['bits_allocated'] // 8}")
    return samples.astype(dtype, copy=False), options["photometric_interpretation"]


def without_sign(frame: bytes) -> bytes:
    """A JPEG 2000 whose samples are called unsigned (ISO/IEC 15444-1 A.5.1): OpenCV knows no sign."""
    start = frame[:4096].find(b"\xff\x4f\xff\x51")
    if start < 0:
        return frame
    unsigned = bytearray(frame)
    num_samples = int.from_bytes(frame[start + 40 : start + 42], "big")
    for sample in range(num_samples):
        unsigned[start + 42 + 3 * sample] &= 0x7F
    return bytes(unsigned)


def decode(frame: bytes, options: dict[str, Any]) -> tuple[Samples, str]:
    """Samples and photometric interpretation; no samples where only damage is asked for."""
    if options["decoding_plugin"] == LISTEN:
        listen(frame)
        return np.empty(0, np.uint8), ""
    if options["decoding_plugin"] == OPENCV:
        return by_opencv(frame, options)
    syntax = options["transfer_syntax_uid"]
    is_grey_jpeg = options["samples_per_pixel"] == 1 and syntax in JPEGTransferSyntaxes
    if is_grey_jpeg and options["decoding_plugin"] == "gdcm":
        return by_gdcm(frame, options)
    if is_heard_by_opencv(options):
        listen(without_sign(frame) if syntax in JPEG_2000 else frame)
    return by_pydicom(frame, options)


def send(connection: Connection, data: bytes | Samples) -> None:
    """Bytes as they lie in memory; `Connection` itself would copy them twice more."""
    view = memoryview(b"")
    if isinstance(data, bytes):
        view = memoryview(data)
    elif data.size:
        view = np.ascontiguousarray(data).data.cast("B")
    while view:
        view = view[os.write(connection.fileno(), view) :]


def receive(connection: Connection, samples: Samples) -> Samples:
    """`samples` filled by what the other end sends."""
    view = samples.data.cast("B") if samples.size else memoryview(b"")
    while view:
        count = os.readv(connection.fileno(), [view])
        if count == 0:
            raise EOFError
        view = view[count:]
    return samples


def main(handle: int) -> None:
    """Serve frames until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    Image.MAX_IMAGE_PIXELS = None  # the size was checked
    os.environ["OPENCV_LOG_LEVEL"] = "WARNING"  # whatever the user has set for other programs
    connection, ear = Connection(handle), Ear()
    while True:
        try:
            options, max_bytes, max_seconds, size = connection.recv()
            frame = bytes(receive(connection, np.empty(size, np.uint8)))
        except EOFError:
            return
        if is_heard_by_opencv(options):
            import cv2  # its own size is not the frame's

            cv2.setNumThreads(1)  # a run has a worker for each core
        used = _address_space()
        if used:
            _limit(resource.RLIMIT_AS, used + BYTES_ASIDE + max_bytes)
        # Of this frame alone. RLIMIT_CPU counts from the start of the process, by a clock of its own
        # that gains on `time.process_time` (ticks; 11 % on a virtual machine): after a minute of
        # decoding it would end a sound frame.
        signal.setitimer(signal.ITIMER_PROF, 1 + max_seconds)
        ear.clear()
        try:
            samples, photometric_interpretation = decode(frame, options)
        except CODEC_ERRORS as error:
            connection.send(type(error).__name__)
            continue
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        is_damaged = ear.is_damaged(frame)
        answer = (samples.shape, samples.dtype.str, photometric_interpretation, is_damaged)
        connection.send(answer)
        send(connection, samples)


def _limit(what: int, most: int) -> None:
    """The soft limit, below a hard one that somebody else may have set."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _address_space() -> int:
    """Bytes of address space in use, 0 where the system does not say so."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0


if __name__ == "__main__":
    main(int(sys.argv[1]))
