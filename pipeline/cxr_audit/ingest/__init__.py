"""A folder, a manifest, an archive or a server -> `CaseSource`; a `CaseSource` -> `Radiograph`.

The only room that knows pydicom. Formats: DICOM (PS3.3, PS3.5), JPEG, PNG, TIFF. Each assumption is
a `Decision`; what cannot be read rightly is refused by name (`UnreadableFile`, `NotARadiograph`,
`UnsupportedRadiograph`), in messages that never carry a path, a name or the text of an attribute.
"""

from cxr_audit.ingest.annotations import read_annotation
from cxr_audit.ingest.attributes import KEYWORDS
from cxr_audit.ingest.litter import Skipped
from cxr_audit.ingest.notes import Display
from cxr_audit.ingest.reading import fetch, probe, read
from cxr_audit.ingest.sources import discover

__all__ = [
    "KEYWORDS",
    "Display",
    "Skipped",
    "discover",
    "fetch",
    "probe",
    "read",
    "read_annotation",
]
