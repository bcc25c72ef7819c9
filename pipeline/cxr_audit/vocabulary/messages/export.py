"""Why a case or an object is not exported, and what a server answered."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    # the source
    "export.no_dicom": "The source is no DICOM file: nothing says which examination it belongs to",
    "export.no_dicom_hint": "Convert the image to DICOM before the audit.",
    "export.no_uid": "The attribute {attribute} of the source file is absent or no valid UID",
    "export.no_source": "The source file is not where it was at the time of the audit",
    "export.other_source": "The source file holds other pixels than those that were audited",
    # the objects
    "export.no_pdf": "the run has no PDF of this case",
    "export.stopped": "the case was not audited, so there is no result",
    "export.no_picture": "the case has no map, so no picture is marked",
    "export.no_spacing": "the source file states no Pixel Spacing above 0",
    "export.no_segments": "neither lungs nor a contour were found",
    # what a destination answers
    "export.no_answer": "the server said nothing of this object",
    "export.http_refused": "the server refused the object (HTTP status {status})",
    "export.http_full": "the server has no room (HTTP status {status})",
    "export.full_hint": "Make room on the server, then give the same command again.",
    "export.class_refused": "the server does not accept this kind of object ({kind})",
    "export.connection_lost": "the connection was lost",
    "export.no_association": "the server does not answer, or closes the connection",
    "export.rejected": "the server rejected the association",
    "export.rejected_hint": "Enter our title {aet} in the server's configuration, and check its own "
    "title {called}.",
    "export.status_warning": "stored, with a warning (status {status})",
    # reports of readers
    "export.report_of_other": "The report refers to no object of this run",
    "export.report_of_several": "The report refers to objects of {num} cases, expected one",
    "export.report_without_answer": "The report has no answer to a question of the audit",
    "export.report_without_reader": "The report names no reader",
    "export.report_unknown_answer": "The answer to the question {question} is none of the choices",
    # statuses of DICOM: PS3.4 B.2.3, PS3.7 C, PS3.18 I.2.2
    "export.status_processing": "the server failed to process the object (status {status})",
    "export.status_duplicate": "the server has another object of this UID (status {status})",
    "export.status_no_such_instance": "the server knows no such object (status {status})",
    "export.status_invalid_instance": "the server finds the UID invalid (status {status})",
    "export.status_no_such_class": "the server does not know this kind of object (status {status})",
    "export.status_class_conflict": "the kind of object does not fit what the server has of it "
    "(status {status})",
    "export.status_class_not_supported": "the server does not store this kind of object "
    "(status {status})",
    "export.status_not_authorised": "the server does not permit us to store (status {status})",
    "export.status_transfer_syntax": "the server does not read the encoding of the object "
    "(status {status})",
    "export.status_full": "the server has no room (status {status})",
    "export.status_other_class": "the content does not fit the kind of object (status {status})",
    "export.status_not_understood": "the server cannot understand the object (status {status})",
    "export.status_unknown": "the server refused the object (status {status})",
}
