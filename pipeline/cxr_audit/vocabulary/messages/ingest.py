"""What reading a source can say, one row each.

A hint begins with a capital and ends with a full stop; everything else is part of a sentence.
"""

from cxr_audit.vocabulary.message import Plural, Template

MESSAGES: dict[str, Template] = {
    # ---- What to do
    "ingest.copy_again": "Copy it again from its origin.",
    "ingest.export_plain": "Export it from the PACS uncompressed (Explicit VR Little Endian).",
    "ingest.export_png": "Save it as PNG, without loss.",
    "ingest.convert": "Convert it to PNG. Audits read DICOM, JPEG, PNG and TIFF.",
    "ingest.convert_16": "Convert it to 16-bit PNG.",
    "ingest.formats": "Audits read DICOM, JPEG, PNG and TIFF.",
    "ingest.leave_out": "Leave it out.",
    "ingest.install": "Install {distribution}.",
    "ingest.raise_max_pixels": "Raise ingest.max_pixels if this is a radiograph.",
    "ingest.choose_frame": "Choose one by ingest.frame, from 1 on.",
    "ingest.one_image": "Save each image in a file of its own.",
    "ingest.save_baseline": "Save it again as a baseline JPEG.",
    "ingest.split_it": "Split it.",
    "ingest.check_path": "Check the path in the manifest.",
    "ingest.shorten_path": "Shorten the path.",
    "ingest.give_permission": "Give this user the permission to read it.",
    "ingest.name_the_file": "Name the image file itself.",
    "ingest.resume_later": "Once the server answers, --resume asks for it again.",
    # ---- Files
    "ingest.empty_file": "the file is empty (0 bytes)",
    "ingest.changed": "the file has changed since the cases were listed",
    "ingest.changed_hint": "Stop writing to the source during a run.",
    "ingest.extension": (
        "the file's extension says {stated}, its content is {format}; read by its content"
    ),
    "ingest.a_folder": "the path is a folder, not a file",
    "ingest.no_regular_file": "the path is a pipe, a socket or a device, not a file",
    "ingest.file_too_large": "the file has {num} bytes; the pixel limit allows {limit}",
    "ingest.no_file": "the file does not exist",
    "ingest.no_permission": "this user has no permission to read the file",
    "ingest.link_loop": "the path is a link that leads back to itself",
    "ingest.link_loop_hint": "Point the link at the file.",
    "ingest.through_a_file": "the path leads through something that is not a folder",
    "ingest.long_path": "the path is too long",
    "ingest.invalid_path": "the file cannot be read: its path is invalid",
    "ingest.file_error": "the file cannot be read ({error})",
    "ingest.other_image": "the file is {kind}, which is not read",
    "ingest.no_image": "the file is {kind}, not an image",
    "ingest.text_file": "the file is text, not an image",
    "ingest.unknown_format": "the file is no image of a known format",
    "ingest.kind_gif": "a GIF image",
    "ingest.kind_bmp": "a BMP image",
    "ingest.kind_riff": "a WebP image or a RIFF file",
    "ingest.kind_jpeg_2000": "a JPEG 2000 image outside DICOM",
    "ingest.kind_jpeg_xl": "a JPEG XL image",
    "ingest.kind_big_tiff": "a BigTIFF image",
    "ingest.kind_pdf": "a PDF document",
    "ingest.kind_zip": "a ZIP archive or an office document",
    "ingest.kind_gzip": "a gzip archive",
    "ingest.kind_hdf5": "an HDF5 file",
    # ---- Values that are present but not understood
    "ingest.not_understood": "the header's {keyword} is present but cannot be read: {problem}",
    "ingest.unreadable_element": "its bytes are not what the standard asks for",
    "ingest.not_numbers": Plural(
        "{num} of {total} values is no number",
        "{num} of {total} values are no numbers",
    ),
    "ingest.no_integer": "the value is no integer",
    "ingest.unknown_term": "the term or code is not known",
    "ingest.age_without_unit": "the age has no unit (expected: three digits and Y, M, W or D)",
    "ingest.no_age": "the value is no age (expected: three digits and Y, M, W or D)",
    "ingest.age_too_high": "the age is above {limit} years",
    "ingest.view_contradiction": "View Position and View Code Sequence contradict each other",
    "ingest.frontal_unspecified": "the view is frontal, AP or PA is not stated",
    "ingest.unreadable_values": "header values are present but cannot be read: {keywords}",
    "ingest.unreadable_values_hint": "Correct the header, or set ingest.unreadable_values: warn.",
    "ingest.blank_values": "{keyword} has a blank value at its end; it was left out",
    "ingest.decimal_comma": "{keyword} has a decimal comma; it was read as a decimal point",
    "ingest.number_with_unit": "{keyword} has text after its number; the number was used",
    "ingest.several_values": "{keyword} has {num} values where one is expected; the first was used",
    "ingest.age_short": "PatientAge has fewer than three digits; it was read by its unit",
    "ingest.element_too_long": "the header's element {keyword} has {num} bytes",
    # ---- DICOM: the file
    "ingest.neither": "the file is neither an image of a known format nor DICOM",
    "ingest.dicom_damaged": "the DICOM file is damaged or cut short ({error})",
    "ingest.many_elements": "the DICOM file has too many elements for a radiograph",
    "ingest.deflated_no_length": (
        "the deflated DICOM file lacks the length of its file meta information"
    ),
    "ingest.deflated_bomb": "the deflated DICOM file inflates beyond the pixel limit",
    "ingest.deflated_short": "the deflated DICOM file is cut short",
    "ingest.parser_warnings": Plural(
        "{num} warning from the DICOM parser",
        "{num} warnings from the DICOM parser",
    ),
    # ---- DICOM: the kind of object
    "ingest.float_pixels": "a DICOM object with float pixels, a computed map ({kind})",
    "ingest.no_class": "the DICOM file does not say what it holds: it is damaged or cut short",
    "ingest.no_pixel_object": "a DICOM object without pixels ({kind})",
    "ingest.unknown_class": "of a kind that the standard does not know",
    "ingest.other_modality": "the modality is {modality}, {meaning}; expected CR or DX",
    "ingest.no_pixels": "the DICOM file has no pixels",
    "ingest.empty_pixels": "the pixels of the DICOM file are empty",
    "ingest.ends_in_pixels": "the DICOM file ends inside its pixels",
    "ingest.ends_before_pixels": "the DICOM file ends inside its header, before its pixels",
    "ingest.modality_missing": "the modality is missing; expected CR or DX",
    "ingest.modality_unknown": "the modality is unknown; expected CR or DX",
    "ingest.modality_by_class": "the modality is missing; taken from the kind of DICOM object",
    "ingest.capture": (
        "a Secondary Capture, not the detector's own image: its grey scale may have been changed"
    ),
    "ingest.other_class": "the kind of DICOM object is not a radiograph's, the modality is",
    "ingest.almost_dr": (
        "the modality is DR, which the standard does not know; read as digital radiography"
    ),
    "ingest.almost_rg": "the modality is RG: a conventional film, digitised",
    "ingest.almost_ot": (
        "the modality is OT (other): the header does not say whether this is a radiograph"
    ),
    "ingest.almost_sc": (
        "the modality is SC (secondary capture): the header does not say whether this is a "
        "radiograph"
    ),
    "ingest.modality_au": "audio",
    "ingest.modality_bi": "biomagnetic imaging",
    "ingest.modality_ct": "computed tomography",
    "ingest.modality_doc": "a document",
    "ingest.modality_ecg": "an ECG",
    "ingest.modality_es": "endoscopy",
    "ingest.modality_gm": "general microscopy",
    "ingest.modality_io": "intra-oral radiography",
    "ingest.modality_ko": "a key object selection",
    "ingest.modality_mg": "mammography",
    "ingest.modality_mr": "magnetic resonance",
    "ingest.modality_nm": "nuclear medicine",
    "ingest.modality_op": "ophthalmic photography",
    "ingest.modality_opt": "ophthalmic tomography",
    "ingest.modality_pr": "a presentation state",
    "ingest.modality_pt": "positron emission tomography",
    "ingest.modality_px": "panoramic radiography",
    "ingest.modality_rf": "fluoroscopy",
    "ingest.modality_rtdose": "a radiotherapy dose",
    "ingest.modality_rtimage": "a radiotherapy image",
    "ingest.modality_rtplan": "a radiotherapy plan",
    "ingest.modality_rtstruct": "a radiotherapy structure set",
    "ingest.modality_seg": "a segmentation",
    "ingest.modality_sm": "slide microscopy",
    "ingest.modality_sr": "a structured report",
    "ingest.modality_us": "ultrasound",
    "ingest.modality_xa": "angiography",
    "ingest.modality_xc": "photography",
    # ---- DICOM: the header of the pixels
    "ingest.lacks": "the DICOM header lacks {tag} '{keyword}'",
    "ingest.unreadable_attribute": (
        "{tag} '{keyword}' in the DICOM header is present but cannot be read"
    ),
    "ingest.several_frames": "the DICOM object has {num} frames, a radiograph has one",
    "ingest.frame_absent": "frame {frame} was requested, but the DICOM object has {num}",
    "ingest.frame": "frame",
    "ingest.frame_how": "{frame} of {num}",
    "ingest.frame_why": "the config chose it (PS3.3 C.7.6.6)",
    "ingest.palette": "a palette image: its values are colours, not brightness",
    "ingest.photometric": (
        "(0028,0004) 'Photometric Interpretation' with {samples} samples a pixel does not tell what"
        " is black; expected MONOCHROME1, MONOCHROME2, RGB or YBR"
    ),
    "ingest.bits_allocated": "(0028,0100) 'Bits Allocated' is {num}; expected 8 or 16",
    "ingest.no_bits_stored": "Bits Stored is missing; Bits Allocated was used",
    "ingest.bits_stored": "(0028,0101) 'Bits Stored' is {num}; expected 2 to {limit}",
    "ingest.high_bit_ignored": (
        "High Bit {high_bit} does not fit Bits Stored {stored} and was ignored"
    ),
    "ingest.high_bit": (
        "High Bit is {high_bit}, the standard asks for {expected}; the values were shifted down"
    ),
    "ingest.no_representation": "Pixel Representation is missing; the values were read as unsigned",
    "ingest.pixel_representation": "(0028,0103) 'Pixel Representation' is {num}; expected 0 or 1",
    "ingest.odd_colour": "colour pixels that are signed or do not fill their bytes are not read",
    "ingest.syntax_unsupported": "the pixels are stored as {syntax}, which is not decoded here",
    "ingest.private_syntax": "a private transfer syntax",
    "ingest.encapsulated_native": "the pixels are compressed, and the header calls them {syntax}",
    "ingest.no_syntax": "the pixels are compressed and the header does not say how",
    "ingest.syntax_guessed": (
        "the header does not name its transfer syntax; it was guessed from the bytes"
    ),
    # ---- DICOM: the pixels
    "ingest.pixels_short": "the pixels are cut short: {num} bytes of {expected}",
    "ingest.pixels_long": "the pixel data is longer than the image; the rest was left out",
    "ingest.fragments_damaged": "the compressed pixels are damaged ({error})",
    "ingest.no_end_marker": "the compressed pixels end before their end marker",
    "ingest.bytes_after_end": Plural(
        "{num} byte after the end of the compressed pixels was left out",
        "{num} bytes after the end of the compressed pixels were left out",
    ),
    "ingest.codestream_size": "the size of the compressed pixels differs from the header",
    "ingest.codestream_samples": (
        "the samples or bits of the compressed pixels differ from the header"
    ),
    "ingest.many_scans": "the JPEG has more than {limit} scans",
    "ingest.no_decoder": "no decoder for {syntax} is installed",
    "ingest.not_implemented": "the decoder does not support this kind of compressed pixels",
    "ingest.undecodable": "the pixels cannot be decoded ({error})",
    "ingest.decoded_shape": "the shape of the decoded pixels differs from the header",
    "ingest.damaged_pixels": "the pixels are damaged: the decoder filled in what it could not read",
    "ingest.damaged_pixels_hint": (
        "Copy the file again from its origin; ingest.damaged_pixels: warn reads it all the same."
    ),
    "ingest.second_decoder": "the first decoder refused the pixels; a second one read them",
    "ingest.saturated": (
        "lossy compression left values beyond Bits Stored; they were set to the largest or smallest"
        " value"
    ),
    "ingest.bits_masked": (
        "bits outside Bits Stored were in use and were masked; an old overlay, or a wrong Bits "
        "Stored"
    ),
    # ---- Grey values
    "ingest.no_voi_transform": (
        "the config asks for voi_transform: {voi_transform}, and the header has none that is usable"
    ),
    "ingest.no_voi_transform_hint": "Set ingest.voi_transform: if_present.",
    "ingest.no_contrast": (
        "the display settings leave no contrast: every pixel has the same brightness"
    ),
    "ingest.padding": "padding",
    "ingest.padding_how": (
        "stored values {low} to {high} are shown black and left out; {share:percent} of the pixels"
    ),
    "ingest.padding_why": (
        "PS3.3 C.7.5.1.1.2: pixels added to fill the rectangle are no part of the image"
    ),
    "ingest.padding_limit_alone": "a padding range limit without a padding value was ignored",
    "ingest.padding_outside": "the padding value does not fit into Bits Stored and was ignored",
    "ingest.modality_lut": "modality LUT",
    "ingest.modality_lut_how": "{num} entries from stored value {first} on",
    "ingest.modality_lut_why": (
        "PS3.3 C.11.1.1: the maker's table from stored values to its units; used instead of rescale"
    ),
    "ingest.rescale": "rescale",
    "ingest.rescale_how": "value = {slope:g} x stored value + {intercept:g}",
    "ingest.rescale_why": "PS3.3 C.11.1.1.2: the maker's units",
    "ingest.rescale_invalid": (
        "rescale slope and intercept are incomplete or invalid and were ignored"
    ),
    "ingest.rescale_unreadable": (
        "the rescale cannot be read, so the header's curves and windows cannot be used"
    ),
    "ingest.lut_unusable": "the {table} is empty or damaged and was ignored",
    "ingest.lut_short": "the {table} announces {stated} entries and holds {num}",
    "ingest.lut_bits": (
        "the VOI LUT announces {declared} bits, its values fill {used}; white was taken there"
    ),
    "ingest.display_curve": "display curve",
    "ingest.curve": (
        "VOI LUT {number} of {total}: {num} entries from value {first} on, white at {white}"
    ),
    "ingest.curve_beside_window": (
        "VOI LUT {number} of {total}: {num} entries from value {first} on, white at {white}, "
        "preferred to the window that the header has as well"
    ),
    "ingest.curve_why": (
        "PS3.3 C.11.2.1.1: the display curve that the maker stored; a window is an alternative to "
        "it"
    ),
    "ingest.display_window": "display window",
    "ingest.window": "center {center:g}, width {width:g}, {function}; window {number} of {total}",
    "ingest.window_beside_curve": (
        "center {center:g}, width {width:g}, {function}; window {number} of {total}; the VOI LUT "
        "that the header has as well was not used"
    ),
    "ingest.window_why": (
        "PS3.3 {section}: the contrast and brightness that the maker or the radiographer chose"
    ),
    "ingest.window_invalid": "window {number} of {total} is invalid and was ignored",
    "ingest.window_counts": "window centers and widths differ in number",
    "ingest.window_absent": (
        "the header does not have the window that the config asks for; the first usable one was "
        "taken"
    ),
    "ingest.voi_function_unknown": (
        "the VOI LUT function is unknown and was read as LINEAR, the default"
    ),
    "ingest.range_none": "none in the header",
    "ingest.range_unusable": "the header's cannot be used",
    "ingest.range_asked": "not the header's",
    "ingest.range_full": (
        "{reason}: the image's own values, {low:g} to {high:g}, fill black to white"
    ),
    "ingest.range_percentile": "{reason}: percentiles {first:g} and {last:g}, {low:g} to {high:g}",
    "ingest.range_why": "our choice: PS3.3 C.11.2 leaves it to the viewer",
    "ingest.range_asked_why": "the config sets voi_transform: {voi_transform}",
    "ingest.only_padding": "every pixel is padding: the image is empty",
    "ingest.blank": "every pixel has the same value: the image is blank",
    "ingest.nearly_blank": "nearly every pixel has the same value: the image is blank",
    "ingest.inversion": "inversion",
    "ingest.inverted": "inverted once, last",
    "ingest.inverted_same": (
        "inverted once, last; the Presentation LUT Shape INVERSE says the same, so not twice"
    ),
    "ingest.inversion_why": (
        "PS3.3 C.7.6.3.1.2: MONOCHROME1 means that the smallest value is shown white"
    ),
    "ingest.mono1_identity": (
        "the header contradicts itself (MONOCHROME1 with Presentation LUT Shape IDENTITY); inverted"
        " as MONOCHROME1 asks"
    ),
    "ingest.mono2_inverse": (
        "the header contradicts itself (MONOCHROME2 with Presentation LUT Shape INVERSE); not "
        "inverted"
    ),
    # ---- Colour
    "ingest.colour_channels": "colour channels",
    "ingest.one_channel": "the three are equal, one was taken",
    "ingest.one_channel_why": "a grey image stored as colour",
    "ingest.luma": "brightness = 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601)",
    "ingest.luma_colour_why": "a radiograph has no colour: what is coloured was added",
    "ingest.luma_noise_why": "the channels differ only by compression noise",
    "ingest.luma_channel": "the brightness channel Y was taken",
    "ingest.luma_channel_why": "PS3.3 C.7.6.3.1.2, YBR_FULL",
    "ingest.real_colour": (
        "the image holds real colour (annotations, or not a plain radiograph); shown as brightness"
    ),
    # ---- Spacing
    "ingest.spacing": "pixel spacing",
    "ingest.spacing_calibrated": "calibrated, {row:g} x {column:g} mm (row x column)",
    "ingest.spacing_calibrated_why": (
        "PS3.3 10.7.1.3: (0028,0030) Pixel Spacing; how it was calibrated is not checked"
    ),
    "ingest.spacing_detector": "detector plane, {row:g} x {column:g} mm (row x column)",
    "ingest.spacing_detector_why": (
        "PS3.3 10.7.1.3: (0018,1164) Imager Pixel Spacing; true lengths are smaller (magnification)"
    ),
    "ingest.spacing_none": "none: lengths are given in pixels only",
    "ingest.spacing_none_why": "no usable spacing in the header",
    "ingest.spacing_invalid": "the pixel size in the file ({keyword}) is zero or invalid and is not used",
    "ingest.not_square": "the pixels are not square; the image was not stretched",
    # ---- Cautions
    "ingest.lossy": "the image has been compressed with loss",
    "ingest.lossy_unstated": "the image has been compressed with loss; its header does not say so",
    "ingest.lossy_compression": "lossy compression",
    "ingest.lossy_how": "ratio {ratio}, method {method}",
    "ingest.lossy_why": (
        "PS3.3 C.7.6.1.1.5: (0028,2110), (0028,2112), (0028,2114); what was lost cannot be undone"
    ),
    "ingest.not_stated": "not stated",
    "ingest.derived": "The image type is DERIVED: computed from another image",
    "ingest.secondary": "The image type is SECONDARY: made after the examination",
    "ingest.burned_in": (
        "The file states that text is burned into the pixels. Text may name the patient or "
        "influence the classifier"
    ),
    "ingest.for_processing": (
        "The image is FOR PROCESSING: raw detector values, not the image for readers"
    ),
    "ingest.quality_control": "A quality-control image: a phantom, not a patient",
    "ingest.processed": (
        "processing equipment has worked on the image; it may be the output of another model"
    ),
    "ingest.overlays": Plural(
        "the header holds {num} overlay; it was not drawn",
        "the header holds {num} overlays; they were not drawn",
    ),
    "ingest.not_the_chest": "the body part examined is not the chest",
    "ingest.not_frontal": "not a frontal view",
    "ingest.one_side": "the laterality names one side; a frontal view of the chest has both",
    "ingest.on_its_side": "the image lies on its side by its orientation; it was not turned",
    "ingest.mirrored": "the image is mirrored by its orientation; it was not flipped",
    "ingest.upside_down": "the image is upside down by its orientation; it was not turned",
    # ---- Plain images
    "ingest.no_size": "the header states {rows} x {columns} pixels",
    "ingest.too_large": "the header states {rows} x {columns} pixels, the limit is {limit} in all",
    "ingest.too_much_memory": (
        "decoding the image needs about {needed} MiB, the pixel limit allows {allowed} MiB"
    ),
    "ingest.image_header": "the image's header is damaged or cut short",
    "ingest.image_damaged": "the image is damaged or cut short ({error})",
    "ingest.image_short": "the image is cut short",
    "ingest.several_images": "the file holds several images",
    "ingest.one_bit": "the image has one bit a pixel: a mask, not a radiograph",
    "ingest.bits_32": "the image has 32 bits a pixel, and no rule says which value is white",
    "ingest.signed": "the image has signed values, and no rule says which value is black",
    "ingest.jpeg_bits": "the JPEG has {bits} bits a channel; 8 are read outside DICOM",
    "ingest.tiff_kind": (
        "this kind of TIFF is not read ({bits} bits a channel, {samples} channels, compression "
        "{compression})"
    ),
    "ingest.tiff_packed": "a TIFF of {bits} bits is not read with this compression",
    "ingest.orientation": "orientation",
    "ingest.orientation_2": "mirrored left to right",
    "ingest.orientation_3": "turned by 180 degrees",
    "ingest.orientation_4": "mirrored top to bottom",
    "ingest.orientation_5": "mirrored and turned by 270 degrees clockwise",
    "ingest.orientation_6": "turned by 90 degrees clockwise",
    "ingest.orientation_7": "mirrored and turned by 90 degrees clockwise",
    "ingest.orientation_8": "turned by 270 degrees clockwise",
    "ingest.orientation_why": "the EXIF tag Orientation asks for it",
    "ingest.white_is_zero": "the TIFF tag states that white is zero",
    "ingest.palette_what": "palette",
    "ingest.palette_how": "colours looked up",
    "ingest.palette_why": "the image stores indices into a palette",
    "ingest.cmyk": "CMYK",
    "ingest.cmyk_how": "converted to red, green, blue",
    "ingest.cmyk_why": "the image was prepared for printing",
    "ingest.transparency": "transparency",
    "ingest.opaque_how": "left out",
    "ingest.opaque_why": "the image is opaque everywhere",
    "ingest.transparent_how": "laid on black",
    "ingest.transparent_why": "a viewer shows black where nothing is",
    "ingest.transparent": "parts of the image are transparent",
    "ingest.unused_bits": (
        "the brightest value uses {used} of {bits} bits: the image may have been made of fewer "
        "bits, and is shown too dark"
    ),
    "ingest.grey_scale": "grey scale",
    "ingest.grey_scale_how": "black is 0, white is {white}, all of {bits} bits",
    "ingest.grey_scale_why": (
        "a plain image carries no display window; it is taken as already prepared for display"
    ),
    # ---- Annotations
    "ingest.boxes": Plural("a box of the manifest", "{num} boxes of the manifest"),
    "ingest.mask": "the manifest's mask, SHA-256 {sha256}",
    "ingest.boxes_and_mask": "{boxes} and {mask}",
    "ingest.box_outside": (
        "box {number} reaches beyond the radiograph of {rows} x {columns} pixels (rows x columns)"
    ),
    "ingest.box_outside_hint": "Give x,y,width,height in pixels of this radiograph, upright.",
    "ingest.mask_size": (
        "the mask has {mask_rows} x {mask_columns} pixels (rows x columns), the radiograph {rows} x"
        " {columns}"
    ),
    "ingest.mask_size_hint": "Draw the mask on this radiograph.",
    "ingest.mask_empty": "the mask is black everywhere",
    "ingest.mask_empty_hint": "Empty the cell if nothing is annotated.",
    "ingest.mask_full": "the mask covers the whole radiograph",
    "ingest.mask_full_hint": (
        "Draw what is annotated in white on black; use a box if the whole radiograph is meant."
    ),
    "ingest.mask_format": "the mask is no PNG or TIFF image",
    "ingest.mask_as_png": "Save the mask as PNG, without loss.",
    "ingest.mask_damaged": "the mask is damaged or cut short",
    # ---- Archives
    "ingest.zip_long": "the zip lists more than {limit} files",
    "ingest.zip_damaged": "the zip is damaged or cannot be read ({error})",
    "ingest.zip_entries": "the zip lists {num} files; at most {limit} are read",
    "ingest.zip_overlap": "entries of the zip overlap: it is damaged or a bomb",
    "ingest.zip_anew": "Make the zip anew from the files.",
    "ingest.zip_bomb": "the zip would inflate to more than {limit} times its size",
    "ingest.unpack_with_care": "Unpack the zip with care.",
    "ingest.zip_entry_damaged": "the file cannot be read from its zip ({error})",
    "ingest.zip_leads_out": "the name of the file in the zip leads out of the zip",
    "ingest.zip_link": "the file in the zip is a link",
    "ingest.zip_link_hint": "Put the file itself into the zip.",
    "ingest.zip_encrypted": "the file in the zip is encrypted",
    "ingest.zip_encrypted_hint": "Make a zip without a password.",
    "ingest.zip_method": "the file in the zip is compressed by a rare method",
    "ingest.zip_method_hint": "Make the zip with deflate.",
    "ingest.zip_entry_bomb": (
        "the file would inflate to more than {limit} times its size in the zip"
    ),
    # ---- DICOMweb
    "ingest.no_uids": "the server lists the instance without its UIDs",
    "ingest.other_instance": (
        "the server answered with something other than the requested instance"
    ),
    "ingest.server_no_json": "its answer is not JSON",
    "ingest.server_no_list": "its answer is not a list of instances",
    "ingest.server_path_hint": "Check the path: Orthanc's is /dicom-web.",
    "ingest.server_tried": "{problem}, {num} times",
    "ingest.server_certificate": "the server's certificate is not trusted",
    "ingest.server_certificate_hint": "Set REQUESTS_CA_BUNDLE to the file of your own authority.",
    "ingest.server_silent": "the server does not answer ({error})",
    "ingest.server_request": "the request to the server failed ({error})",
    "ingest.server_address_hint": "Check the address.",
    "ingest.server_busy": "the server is busy ({status})",
    "ingest.server_credentials": "the server refuses the credentials ({status})",
    "ingest.server_credentials_hint": "Set {token}, or {user} and {password}.",
    "ingest.server_redirect": "the server redirects ({status})",
    "ingest.server_redirect_hint": "Give the address that it leads to.",
    "ingest.server_status": "the server answers with the status {status}",
    "ingest.answer_too_large": "the server's answer has more than the {limit} bytes that are read",
    "ingest.answer_too_slow": "the server's answer took more than {limit_s:.0f} s",
    "ingest.answer_no_dicom": "the server's answer holds no DICOM file",
    "ingest.answer_short": "the server's answer is cut short",
}
