"""How a radiograph became a model input: the decisions that a record carries."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    "preprocess.resize": "resize",
    "preprocess.resize.stretch": (
        "stretched from {rows} x {columns} to {input_rows} x {input_columns} pixels"
        " (rows x columns)"
    ),
    "preprocess.resize.letterbox": (
        "resized from {rows} x {columns} pixels to fit {input_rows} x {input_columns}, then padded"
        " (rows x columns)"
    ),
    "preprocess.resize.center_crop": (
        "resized from {rows} x {columns} pixels to cover {input_rows} x {input_columns}, then"
        " cropped to the centre (rows x columns)"
    ),
    "preprocess.resize.short_side": (
        "resized from {rows} x {columns} pixels to a shorter side of {short_side}, then cropped to"
        " the centre {input_rows} x {input_columns} (rows x columns)"
    ),
    "preprocess.resize.crop_resize": (
        "cropped from {rows} x {columns} pixels to the aspect of the model input, then resized to"
        " {input_rows} x {input_columns} (rows x columns)"
    ),
    "preprocess.resize.pad_resize": (
        "padded from {rows} x {columns} pixels to the aspect of the model input, then resized to"
        " {input_rows} x {input_columns} (rows x columns)"
    ),
    "preprocess.padding": "grey value of the padding",
    "preprocess.padding.value": "{value:g} of 255",
    "preprocess.interpolation": "interpolation",
    "preprocess.interpolation.area": (
        "area average where the radiograph shrinks, bilinear where it grows"
    ),
    "preprocess.interpolation.aliased": "{interpolation}, not antialiased",
    "preprocess.interpolation.antialiased": "{interpolation}, antialiased",
    "preprocess.rounding": "rounding to 8 bits",
    "preprocess.rounding.none": "none",
    "preprocess.rounding.before": "before resizing",
    "preprocess.rounding.after": "after resizing",
    "preprocess.rounding.both": "before and after resizing",
    "preprocess.contrast": "contrast",
    "preprocess.contrast.percentiles": (
        "percentiles {low:g} and {high:g} of the image become black and white"
    ),
    "preprocess.contrast.min_max": "the darkest pixel becomes black, the brightest white",
    "preprocess.contrast.equalise": "histogram equalisation as {library} computes it",
    "preprocess.contrast.clahe": (
        "CLAHE, clip limit {clip_limit:g}, {tiles} x {tiles} tiles, 8-bit grey values"
    ),
    "preprocess.contrast.gamma": "grey values in [0, 1] to the power of {gamma:g}",
    "preprocess.contrast.before": "{step}; before resizing",
    "preprocess.contrast.after": "{step}; after resizing",
    "preprocess.standardise": "per-image standardisation",
    "preprocess.standardise.tensorflow": (
        "(pixel - mean) / max(standard deviation, 1 / sqrt(number of values)), as"
        " tf.image.per_image_standardization"
    ),
    "preprocess.standardise.keras": (
        "(pixel - mean) / (standard deviation + 1e-6), as samplewise_center and"
        " samplewise_std_normalization of Keras"
    ),
    "preprocess.standardise.plain": "(pixel - mean) / standard deviation",
    "preprocess.scaling": "value range",
    "preprocess.scaling.named": "{scaling}, channels {channels}",
    "preprocess.scaling.explicit": "pixel * {scale:g} + {offset:g}, channels {channels}",
    "preprocess.model": "preprocessing model",
    "preprocess.model.named": "{name}, after scaling; it runs in front of the classifier",
    "preprocess.why.config": "config",
    "preprocess.why.preset": "preset {preset}: {library}",
    "preprocess.why.default": "default; no preset is configured",
}
