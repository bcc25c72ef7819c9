"""A compressed DICOM frame -> its samples, decoded by `codecs` in a process of its own.

PS3.5 A.4: which plugin decodes which transfer syntax. The process is started once, kept, and
started again where a damaged frame ended it, took too long or too much memory. Refuses syntaxes
without an installed decoder. Where one decoder of a JPEG or JPEG-LS refuses, the next is asked.
"""

from __future__ import annotations

import atexit
import functools
import os
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
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from cxr_audit.errors import CaseError, UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest.codecs import JPEG_2000, LISTEN, OPENCV, receive, send
from cxr_audit.ingest.codestream import announced, with_end_checks, without_padding
from cxr_audit.vocabulary import Message, message

CODECS = Path(__file__).with_name("codecs.py")
# For a damaged frame that makes a codec turn in circles; a sound one needs a tenth. Of CPU time,
# because a busy machine must not fail a sound file; the wall clock is only for a process that
# sleeps for ever. Two seconds are for a small frame, and for libraries that are loaded with it.
CPU_SECONDS_A_FRAME, CPU_SECONDS_A_MEGAPIXEL = 2, 3
WALL_SECONDS = 300.0
BYTES_A_SAMPLE = 48  # OpenJPEG's peak is about 20

OPENJPEG = ("pylibjpeg", "pylibjpeg-openjpeg")
GDCM = ("gdcm", "python-gdcm")
PILLOW = ("pillow", "pillow")
CHARLS = ("pyjpegls", "pyjpegls")
OPENCV_CODEC = (OPENCV, "opencv-python-headless")
# (plugin of pydicom, distribution), in this order; never pylibjpeg-libjpeg (GPL). GDCM's OpenJPEG
# takes 1.03 to 1.2 times the CPU time, of a thread for each CPU: a file alone is decoded sooner, a
# run with as many workers is not.
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
# Where every decoder either refuses damaged data or says so. GDCM's JPEG 2000 fills with grey.
ASK_A_SECOND = frozenset(
    {
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
        uid.JPEGLSLossless,
        uid.JPEGLSNearLossless,
    }
)
# The process of the codecs ended, or was ended because it took too long.
ENDED = ("TimeoutError", "EndOfDecoder")
JPEG_LS = frozenset({uid.JPEGLSLossless, uid.JPEGLSNearLossless})

DICOM_ROOT = "1.2.840.10008."
# Of the standard, but newer than pydicom's dictionary (PS3.6 A, 2024d).
NEWER_SYNTAXES = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """One frame.

    Parameters
    ----------
    samples : (rows, columns) or (rows, columns, samples).
    photometric_interpretation : after decoding; a decoder may have undone a colour transform.
    decoder : distribution and version.
    is_damaged : the codec has called the data damaged; the samples are not those of the writer.
    is_second_opinion : the first decoder refused.
    """

    samples: npt.NDArray[Any]
    photometric_interpretation: str
    decoder: str
    is_damaged: bool = False
    is_second_opinion: bool = False


def syntax_name(syntax: UID) -> str | Message:
    """The standard's name of a transfer syntax; a private UID is not echoed."""
    if syntax in NEWER_SYNTAXES:
        return NEWER_SYNTAXES[syntax]
    if not syntax.startswith(DICOM_ROOT):
        return message("ingest.private_syntax")
    return str(syntax.name)  # the UID itself where pydicom knows no name


def choose_plugins(syntax: UID, bits_stored: int) -> list[tuple[str, str]]:
    """The installed plugins and the distributions that they come from, in the order to ask.

    Raises
    ------
    UnsupportedRadiograph
        None is installed.
    """
    choices = PLUGINS[syntax]
    if syntax == uid.JPEGExtended12Bit and bits_stored > 8:
        choices = (GDCM,)
    available = get_decoder(syntax).available_plugins
    usable = [
        (plugin, distribution)
        for plugin, distribution in choices
        if plugin in available and installed_version(distribution) is not None
    ]
    if usable:
        return usable if syntax in ASK_A_SECOND else usable[:1]
    raise UnsupportedRadiograph(
        message("ingest.no_decoder", syntax=syntax_name(syntax)),
        message("ingest.install", distribution=choices[0][1]),
    )


@functools.cache
def installed_version(distribution: str) -> str | None:
    """None where it is not installed. Kept: looking it up takes a millisecond."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def decode_frame(frame: bytes, options: dict[str, Any]) -> Decoded:
    """Decode one frame by the first decoder that does not refuse it.

    Parameters
    ----------
    frame : bytes
        The codestream, already checked.
    options : dict
        Of pydicom's decoders (`rows`, `columns`, `bits_stored`, ...), with the transfer syntax.

    Raises
    ------
    UnreadableFile, UnsupportedRadiograph
        As the first decoder says.
    """
    syntax = UID(options["transfer_syntax_uid"])
    frames = [frame]
    unpadded = without_padding(frame) if syntax in JPEG_LS else None
    if unpadded is not None:  # a scan may end in zeros of its own, so as it is first
        frames.append(unpadded)
    failure: CaseError | None = None
    plugins = choose_plugins(syntax, options["bits_stored"])
    if syntax in JPEG_2000:
        frames = [with_end_checks(frame)]
        if _is_for_opencv(frame, options):
            plugins = [OPENCV_CODEC, *plugins]
    for number, (plugin, distribution) in enumerate(plugins):
        for codestream in frames:
            answer = _ask(codestream, options | {"decoding_plugin": plugin})
            if isinstance(answer, str):
                failure = failure or _refused(answer)
                if answer in ENDED:  # the others would take as long again
                    raise failure
                continue
            decoder = f"{distribution} {installed_version(distribution)}"
            return Decoded(*answer[:2], decoder, answer[2], number > 0)
    raise failure or _refused("ValueError")


def _is_for_opencv(frame: bytes, options: dict[str, Any]) -> bool:
    """Whether OpenCV decodes a JPEG 2000 to the same samples as pydicom, and is heard meanwhile."""
    stated = announced(frame)
    is_grey = options["samples_per_pixel"] == 1
    is_unsigned = stated is not None and stated.is_twos_complement
    return is_grey and is_unsigned and options["pixel_representation"] == 0


def is_damaged_jpeg(data: bytes, rows: int, columns: int) -> bool:
    """Whether libjpeg calls the pixels of a JPEG of 8 bits damaged; Pillow does not say so.

    Parameters
    ----------
    data : the file's bytes.
    rows, columns : of the image.
    """
    options = {
        "decoding_plugin": LISTEN,
        "rows": rows,
        "columns": columns,
        "samples_per_pixel": 4,
    }
    answer = _ask(data, options)
    # no answer: the libjpeg that listens ended or ran out of its limits
    return True if isinstance(answer, str) else answer[2]


def _refused(error: str) -> CaseError:
    """The error of a decoder that gave no samples: unsupported is not damaged."""
    if error == "NotImplementedError":
        problem = message("ingest.not_implemented")
        return UnsupportedRadiograph(problem, message("ingest.export_plain"))
    problem = message("ingest.undecodable", error=error)
    return UnreadableFile(problem, message("ingest.copy_again"))


def _ask(frame: bytes, options: dict[str, Any]) -> tuple[npt.NDArray[Any], str, bool] | str:
    """Samples, photometric interpretation and damage by one decoder, or the name of its error."""
    global _process
    pixels = options["rows"] * options["columns"]
    seconds = CPU_SECONDS_A_FRAME + CPU_SECONDS_A_MEGAPIXEL * pixels // 1_000_000
    limits = (BYTES_A_SAMPLE * pixels * options["samples_per_pixel"], seconds)
    with _lock:
        if _process is None or not _process.is_ours():
            _process = _CodecProcess()
        try:
            return _process.ask(options, limits, frame)
        except TimeoutError:
            end()
            return "TimeoutError"
        except (EOFError, OSError):
            end()
            return "EndOfDecoder"


class _CodecProcess:
    """The process and our end of the socket to it. It ends when the socket closes."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._connection, theirs = Pipe()
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", str(CODECS), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # until the child hears itself
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_ours(self) -> bool:
        """False in a process that was forked with this object in it."""
        return self._owner == os.getpid()

    def ask(
        self, options: dict[str, Any], limits: tuple[int, int], frame: bytes
    ) -> tuple[npt.NDArray[Any], str, bool] | str:
        """Decode one frame.

        Parameters
        ----------
        options : of the decoder.
        limits : of memory (bytes) and of time (seconds).
        frame : its codestream.

        Returns
        -------
        Samples, photometric interpretation, damage; or the name of the decoder's error.
        """
        self._connection.send((options, *limits, len(frame)))
        send(self._connection, frame)
        if not self._connection.poll(WALL_SECONDS):
            raise TimeoutError
        answer = self._connection.recv()
        if isinstance(answer, str):
            return answer
        shape, dtype, photometric_interpretation, is_damaged = answer
        samples = receive(self._connection, np.empty(shape, dtype))
        return samples, photometric_interpretation, is_damaged

    def end(self) -> None:
        self._connection.close()
        self._child.kill()
        self._child.wait()


_process: _CodecProcess | None = None
_lock = threading.Lock()


def process_id() -> int | None:
    """Of the process of the codecs, None where none runs."""
    return _process.pid if _process is not None and _process.is_ours() else None


@atexit.register
def end() -> None:
    """End the process of the codecs; the next frame starts another."""
    global _process
    if _process is not None and _process.is_ours():
        _process.end()
    _process = None
