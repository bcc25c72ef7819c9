"""Records of a finished run -> DICOM objects, at a folder or a server.

    subject       the source file -> whom and which examination the objects are about
    results       the run folder -> what they say (the one module that knows the records)
    codes, uids   coded concepts, and UIDs that follow from the evidence
    modules       what all objects share
    document, report, picture, segments
                  one object each: Encapsulated PDF, structured report, Secondary Capture,
                  Segmentation
    objects       a case -> its objects
    destination, target, folder, stow, dimse, failures
                  where they go, and what servers answer
    ledger        what was delivered where
    run           the composer of this room
    readback      structured reports of readers -> their answers

The objects carry the patient's real identifiers. They are made on the way out, and are never
stored in the part of the run folder that is handed on. Refused: a run without its `private/`, a
source file that is no longer the one that was audited, a source that is no DICOM image.
"""

import logging

from cxr_audit.export.destination import NotDelivered
from cxr_audit.export.readback import ReadBack, read_back
from cxr_audit.export.run import Exported, export_run

__all__ = ["Exported", "NotDelivered", "ReadBack", "export_run", "read_back"]

# These libraries log names, UIDs and addresses.
for library in ("highdicom", "dicomweb_client", "pynetdicom"):
    logging.getLogger(library).addHandler(logging.NullHandler())
    logging.getLogger(library).propagate = False
