"""A compressed DICOM frame -> its samples, decoded by `codecs` in a process of its own.

PS3.5 A.4: which plugin decodes which transfer syntax. The process is started once, kept, and started again where
a damaged frame ended it, took too long or too much memory. Refuses syntaxes without an installed decoder,
and a codestream whose own size differs from the header's.
"""

from __future__ import annotations

import atexit
import functools
import os
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom._uid_dict import UID_dictionary
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from cxr_audit.errors import UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest.codecs import receive, send
from cxr_audit.ingest.image import MAX_SCANS

CODECS = Path(__file__).with_name("codecs.py")
# For a damaged frame that makes a codec turn in circles; a sound one needs a tenth. Of CPU time, because a busy
# machine must not fail a sound file; the clock on the wall is only for a process that sleeps for ever.
CPU_SECONDS_A_FRAME, CPU_SECONDS_A_MEGAPIXEL = 5, 3
WALL_SECONDS = 300.0
BYTES_A_SAMPLE = 48  # OpenJPEG's peak is about 20

OPENJPEG = ("pylibjpeg", "pylibjpeg-openjpeg")
GDCM = ("gdcm", "python-gdcm")
PILLOW = ("pillow", "pillow")
CHARLS = ("pyjpegls", "pyjpegls")
# (plugin of pydicom, distribution), in this order; never pylibjpeg-libjpeg (GPL). GDCM's OpenJPEG takes 1.03 to 1.2
# times the CPU time, of a thread for each CPU: a file alone is decoded sooner, a run with as many workers is not.
PLUGINS: dict[str, tuple[tuple[str, str], ...]] = {
    uid.JPEGBaseline8Bit: (PILLOW, GDCM),
    uid.JPEGExtended12Bit: (PILLOW, GDCM),
    uid.JPEGLossless: (GDCM,),
    uid.JPEGLosslessSV1: (GDCM,),
    uid.JPEGLSLossless: (CHARLS, GDCM),
    uid.JPEGLSNearLossless: (CHARLS, GDCM),
    uid.JPEG2000Lossless: (OPENJPEG, GDCM),
    uid.JPEG2000: (OPENJPEG, GDCM),
    uid.HTJ2KLossless: (OPENJPEG,),
    uid.HTJ2KLosslessRPCL: (OPENJPEG,),
    uid.HTJ2K: (OPENJPEG,),
    uid.RLELossless: (("pydicom", "pydicom"),),
}

END_MARKER = b"\xff\xd9"  # the last bytes of a JPEG, JPEG-LS, JPEG 2000 and HTJ2K codestream alike
COPY_AGAIN = "Copy it again from its origin."
EXPORT_PLAIN = "Export it from the PACS uncompressed (Explicit VR Little Endian)."


def syntax_name(syntax: UID) -> str:
    """The standard's name; an UID that the standard does not know is not echoed."""
    return syntax.name if syntax in UID_dictionary else "a private transfer syntax"


def choose_plugin(syntax: UID, bits_stored: int) -> tuple[str, str]:
    """The first installed plugin and the distribution that it comes from."""
    choices = PLUGINS[syntax]
    if syntax == uid.JPEGExtended12Bit and bits_stored > 8:
        choices = (GDCM,)
    available = get_decoder(syntax).available_plugins
    for plugin, distribution in choices:
        if plugin in available and installed_version(distribution) is not None:
            return plugin, distribution
    raise UnsupportedRadiograph(
        f"no decoder for {syntax_name(syntax)} is installed", f"Install {choices[0][1]}."
    )


@functools.cache
def installed_version(distribution: str) -> str | None:
    """None where it is not installed. Kept: looking it up takes a millisecond."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def check_codestream(
    frame: bytes, rows: int, columns: int, samples: int, bits_allocated: int
) -> None:
    """Refuse a JPEG of any kind that is cut short or that announces another image than the header: decoders take
    memory by the codestream, not by the header."""
    if END_MARKER not in frame[-1024:].rstrip(b"\x00")[-3:]:  # some writers pad with FF
        raise UnreadableFile("the compressed pixels end before their end marker", COPY_AGAIN)
    announced = _announced(frame)
    if announced is None:
        return  # no codestream at all; the decoder says so
    if announced.size != (rows, columns):
        raise UnreadableFile(
            "the compressed pixels have another size than the header says", COPY_AGAIN
        )
    if announced.samples != samples or announced.precision > bits_allocated:
        raise UnreadableFile(
            "the compressed pixels have other samples or bits than the header says", COPY_AGAIN
        )
    if announced.is_progressive and frame.count(b"\xff\xda") > MAX_SCANS:
        raise UnsupportedRadiograph(f"the JPEG has more than {MAX_SCANS} scans", EXPORT_PLAIN)


@dataclass(frozen=True, slots=True)
class _Announced:
    size: tuple[int, int]
    samples: int
    precision: int
    is_progressive: bool


def _announced(frame: bytes) -> _Announced | None:
    """What the codestream says of itself."""
    start = frame[:4096].find(b"\xff\x4f\xff\x51")
    if start >= 0 and len(frame) >= start + 43:  # ISO/IEC 15444-1 A.5.1, SIZ
        width, height, x, y = struct.unpack(">4I", frame[start + 8 : start + 24])
        samples = int.from_bytes(frame[start + 40 : start + 42], "big")
        return _Announced((height - y, width - x), samples, (frame[start + 42] & 0x7F) + 1, False)
    position = 2
    while position + 10 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif (
            0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        ) or marker == 0xF7:  # SOF; F7: JPEG-LS
            precision, height, width, samples = struct.unpack(
                ">BHHB", frame[position + 4 : position + 10]
            )
            return _Announced(
                (height, width), samples, precision, marker in (0xC2, 0xC6, 0xCA, 0xCE)
            )
        else:
            position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return None


def decode_apart(frame: bytes, options: dict[str, Any]) -> tuple[npt.NDArray[Any], str]:
    """Decode one frame in the process of the codecs.

    Parameters
    ----------
    frame : bytes
        The codestream, already checked.
    options : dict
        Of pydicom's decoders (`rows`, `columns`, `bits_stored`, ...), the transfer syntax and the plugin too.

    Returns
    -------
    samples : (rows, columns) or (rows, columns, samples)
    photometric_interpretation : str
        After decoding: a decoder may have undone a colour transform.

    Raises
    ------
    UnreadableFile
    """
    global _process
    pixels = options["rows"] * options["columns"]
    seconds = CPU_SECONDS_A_FRAME + CPU_SECONDS_A_MEGAPIXEL * pixels // 1_000_000
    limits = (BYTES_A_SAMPLE * pixels * options["samples_per_pixel"], seconds)
    with _lock:
        if _process is None or not _process.is_ours():
            _process = _CodecProcess()
        try:
            answer = _process.ask(options, limits, frame)
        except (EOFError, OSError) as error:
            answer = (
                "no answer in time" if isinstance(error, TimeoutError) else "the decoder gave up"
            )
            end()
    if isinstance(answer, str):
        raise UnreadableFile(f"the pixels cannot be decoded ({answer})", COPY_AGAIN)
    return answer


class _CodecProcess:
    """The process and our end of the socket to it. It ends when the socket closes, however that came."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._connection, theirs = Pipe()
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", str(CODECS), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # codecs write there what they think of a file
            )

    def is_ours(self) -> bool:
        """False in a process that was forked with this object in it."""
        return self._owner == os.getpid()

    def ask(
        self, options: dict[str, Any], limits: tuple[int, int], frame: bytes
    ) -> tuple[npt.NDArray[Any], str] | str:
        """Samples and photometric interpretation, or the name of the decoder's error."""
        self._connection.send((options, *limits, len(frame)))
        send(self._connection, frame)
        if not self._connection.poll(WALL_SECONDS):
            raise TimeoutError
        answer = self._connection.recv()
        if isinstance(answer, str):
            return answer
        shape, dtype, photometric_interpretation = answer
        return receive(self._connection, np.empty(shape, dtype)), photometric_interpretation

    def end(self) -> None:
        self._connection.close()
        self._child.kill()
        self._child.wait()


_process: _CodecProcess | None = None
_lock = threading.Lock()


@atexit.register
def end() -> None:
    """End the process of the codecs; the next frame starts another."""
    global _process
    if _process is not None and _process.is_ours():
        _process.end()
    _process = None
