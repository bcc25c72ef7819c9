"""Methods that make a class activation map. The functions are bound by key in `cxr_audit.explain`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cxr_audit.vocabulary.registry import Registry, Row

Needs = Literal["gradients", "path", "several_layers", "inputs", "answers", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Row):
    """A method.

    Parameters
    ----------
    needs : gradients = activations and gradients at one layer; path = the same along a path from
        the activations of a baseline; several_layers = of several;
        inputs = asks the classifier again with changed inputs, and needs a layer or a gradient;
        answers = only asks it, so that any classifier will do; nothing = a control that does not
        know the classifier.
    is_class_blind : the map is the same for every class.
    unit : of a cell.
    function : (activations, gradients), float32 (N, h, w, channels) each -> maps (N, h, w); only
        in rows of other packages, which need gradients.
    """

    needs: Needs
    is_class_blind: bool = False
    unit: str = "logit"
    function: Callable[..., Any] | None = None


NO_UNIT = "none: a control that does not use the classifier"
METHODS = Registry(
    "method",
    (
        Method(
            key="grad-cam",
            label="Grad-CAM",
            definition="Activations weighted by their mean gradient.",
            source="Selvaraju et al., arXiv 1610.02391",
            needs="gradients",
        ),
        Method(
            key="hirescam",
            label="HiResCAM",
            definition="Activations times gradients, cell by cell.",
            source="Draelos and Carin, arXiv 2011.08891",
            needs="gradients",
        ),
        Method(
            key="grad-cam++",
            label="Grad-CAM++",
            definition="Activations weighted by their positive gradients, pixel by pixel.",
            source="Chattopadhyay et al., arXiv 1710.11063",
            needs="gradients",
            unit="activation times positive gradient weights",
        ),
        Method(
            key="layercam",
            label="LayerCAM",
            definition="Activations times positive gradients, cell by cell.",
            source="Jiang et al., IEEE TIP 2021",
            needs="gradients",
            unit="logit, positive gradients only",
        ),
        Method(
            key="layercam-fused",
            label="LayerCAM, fused",
            definition="LayerCAM of the target layer and the further layers, put together.",
            source="Jiang et al., IEEE TIP 2021",
            needs="several_layers",
            unit="share of each layer's maximum",
        ),
        Method(
            key="xgrad-cam",
            label="XGrad-CAM",
            definition="Activations weighted by gradients in proportion to the activation.",
            source="Fu et al., arXiv 2008.02312",
            needs="gradients",
        ),
        Method(
            key="score-cam",
            label="Score-CAM",
            definition="Activations weighted by the output for the input that they mask.",
            source="Wang et al., arXiv 1910.01279",
            needs="inputs",
            unit="activation, channel weights of sum 1",
        ),
        Method(
            key="eigen-cam",
            label="Eigen-CAM",
            definition="First principal component of the activations.",
            source="Muhammad and Yeasin, arXiv 2008.00299",
            needs="gradients",
            is_class_blind=True,
            unit="activation",
        ),
        Method(
            key="integrated-gradients",
            label="integrated gradients",
            definition="Gradients along the path from a baseline to the input, times the change.",
            source="Sundararajan et al., arXiv 1703.01365",
            needs="inputs",
        ),
        Method(
            key="token-integrated-gradients",
            label="token-wise integrated gradients",
            definition="Gradients along the path from a baseline's cells or tokens to the case's.",
            source="Sundararajan et al., arXiv 1703.01365, at a layer as in arXiv 2009.07896",
            needs="path",
        ),
        Method(
            key="smoothgrad",
            label="SmoothGrad",
            definition="Mean gradient over noisy copies of the input.",
            source="Smilkov et al., arXiv 1706.03825",
            needs="inputs",
            unit="logit per unit of model input",
        ),
        Method(
            key="occlusion",
            label="occlusion",
            definition="What the logit loses when a cell of the input is replaced.",
            source="Zeiler and Fergus, arXiv 1311.2901",
            needs="answers",
            unit="change of the logit",
        ),
        Method(
            key="rise",
            label="RISE",
            definition="The logit under random masks, averaged where the masks keep a place.",
            source="Petsiuk et al., arXiv 1806.07421",
            needs="answers",
            unit="logit above the mean of the masks",
        ),
        Method(
            key="edges",
            label="edges (control)",
            definition="Edges of the input; the classifier is not used.",
            source="Adebayo et al., NeurIPS 2018",
            needs="nothing",
            is_class_blind=True,
            unit=NO_UNIT,
        ),
        Method(
            key="random",
            label="random (control)",
            definition="Smooth random values; the classifier is not used.",
            needs="nothing",
            is_class_blind=True,
            unit=NO_UNIT,
        ),
        Method(
            key="centre",
            label="centre (control)",
            definition="A Gaussian at the image centre; the classifier is not used.",
            needs="nothing",
            is_class_blind=True,
            unit=NO_UNIT,
        ),
    ),
)
