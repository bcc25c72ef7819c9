"""Compressed frames in, samples out, over a socket: the process in which codecs run (`decoding` starts it).

Codecs are C and C++ that read a stranger's bytes: GDCM ends its process at a damaged lossless JPEG. Here that
costs one case. Run by path, so that it loads pydicom and nothing of this project. CPU time is limited for
each frame, and memory (Linux).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGTransferSyntaxes

Samples = npt.NDArray[Any]

# What the codecs are seen to raise on damaged frames.
CODEC_ERRORS = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
BYTES_ASIDE = 2**28


def by_pydicom(frame: bytes, options: dict[str, Any]) -> tuple[Samples, str]:
    """Samples as the plugin of pydicom that `options` names gives them, and their photometric interpretation."""
    decoder = get_decoder(options.pop("transfer_syntax_uid"))
    samples, properties = decoder.as_array(encapsulate([frame], has_bot=False), **options)
    return samples, str(properties["photometric_interpretation"])


def by_gdcm(frame: bytes, options: dict[str, Any]) -> tuple[Samples, str]:
    """One grey JPEG through GDCM itself: pydicom's plugin for it refuses 12 bits, and takes the samples as a str, which
    costs as much again as the decoding."""
    import gdcm

    rows, columns, photometric_interpretation = (
        options[key] for key in ("rows", "columns", "photometric_interpretation")
    )
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(photometric_interpretation)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(
        gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(options["transfer_syntax_uid"]))
    )
    stored = options["bits_stored"]
    image.SetPixelFormat(
        gdcm.PixelFormat(
            1, options["bits_allocated"], stored, stored - 1, options["pixel_representation"]
        )
    )
    change = gdcm.ImageChangeTransferSyntax()
    change.SetInput(image)
    image.thisown = False  # `change` counts its references and frees it
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    if not change.Change():
        raise ValueError("GDCM cannot decode this")
    decoded = change.GetOutput()
    data = decoded.GetDataElement().GetByteValue()
    dtype = np.dtype(
        f"<{'i' if options['pixel_representation'] else 'u'}{options['bits_allocated'] // 8}"
    )
    samples = np.empty((rows, columns), dtype)
    if int(str(data.GetLength())) - samples.nbytes not in (
        0,
        samples.nbytes % 2,
    ):  # a VL has no number but its text
        raise ValueError("GDCM gives another number of bytes")
    ctypes.memmove(samples.ctypes.data, int(data.GetVoidPointer()), samples.nbytes)
    return samples, photometric_interpretation


def send(connection: Connection, data: bytes | Samples) -> None:
    """Bytes as they lie in memory; `Connection` itself would copy them twice more."""
    view = memoryview(
        np.ascontiguousarray(data).data if isinstance(data, np.ndarray) else data
    ).cast("B")
    while view:
        view = view[os.write(connection.fileno(), view) :]


def receive(connection: Connection, samples: Samples) -> Samples:
    """`samples` filled by what the other end sends."""
    view = samples.data.cast("B")
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
    connection, used = Connection(handle), _address_space()
    while True:
        try:
            options, max_bytes, max_seconds, size = connection.recv()
            frame = bytes(receive(connection, np.empty(size, np.uint8)))
        except EOFError:
            return
        if used:
            _limit(resource.RLIMIT_AS, used + BYTES_ASIDE + max_bytes)
        _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + max_seconds)
        is_grey_jpeg = (
            options["samples_per_pixel"] == 1
            and options["transfer_syntax_uid"] in JPEGTransferSyntaxes
        )
        decode = by_gdcm if is_grey_jpeg and options["decoding_plugin"] == "gdcm" else by_pydicom
        try:
            samples, photometric_interpretation = decode(frame, options)
        except CODEC_ERRORS as error:
            connection.send(type(error).__name__)
            continue
        connection.send((samples.shape, samples.dtype.str, photometric_interpretation))
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
