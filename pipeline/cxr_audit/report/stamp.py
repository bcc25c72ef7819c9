"""What is seen of a signature: who signed, when, for what."""

from __future__ import annotations

from datetime import datetime

from cxr_audit.report.language import _
from cxr_audit.report.words import View, utc

SIZE_MM = 87.0, 9.2


def stamp_view(name: str, meaning: str, certified: str, moment: datetime) -> View:
    """What `stamp.html.j2` prints.

    Parameters
    ----------
    name, meaning : as the signer states them.
    certified : the name in the certificate; shown where it is another.
    moment : of the clock of the machine that signs.
    """
    width, height = SIZE_MM
    return {
        "width_mm": f"{width}",
        "height_mm": f"{height}",
        "signed": _("Signed: {name}", name=name),
        "facts": _(
            "{time} (clock of the signer), meaning: {meaning}",
            time=utc(moment.isoformat()),
            meaning=meaning,
        ),
        "certified": None if certified == name else _("Certificate: {name}", name=certified),
    }
