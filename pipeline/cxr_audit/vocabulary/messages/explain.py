"""How a map was made, where a reader has to know it, and what shows that maps or outputs hardly
vary.
"""

from cxr_audit.vocabulary.message import Plural, Template

MESSAGES: dict[str, Template] = {
    "explain.twin": (
        "the numbers of {method}: for this head both methods give the same map, so their agreement "
        "is no evidence"
    ),
    "explain.branches": "sum of {num} branches of the model ({branches})",
    "explain.branch": "{layer}: {share:percent} of the evidence",
    "explain.branches_without_evidence": "sum of the branches {layers}; none has any evidence",
    "explain.other_paths": (
        "paths beside the layer {layer} also reach the output; their evidence is not in this map"
    ),
    "explain.two_facts": "{first}; {second}",
    "explain.fused": "fused from {layers}",
    "explain.score_cam": "{num} of {total} channels used, background {background}",
    "explain.occlusion": "{num} cells, each replaced in turn, background {background}",
    "explain.rise": "{num} random masks, background {background}, seed {seed}",
    "explain.smoothgrad": Plural(
        "{num} noisy copy, noise {noise:percent} of the input's range, seed {seed}",
        "{num} noisy copies, noise {noise:percent} of the input's range, seed {seed}",
    ),
    "explain.integrated_gradients": Plural(
        "baseline {baseline}, {num} step; the bias is the logit of the baseline",
        "baseline {baseline}, {num} steps; the bias is the logit of the baseline",
    ),
    "explain.token_integrated_gradients": Plural(
        "path from the cells of the baseline {baseline}, {num} step; the bias is the logit there",
        "path from the cells of the baseline {baseline}, {num} steps; the bias is the logit there",
    ),
    "explain.limit_output_varies": "at least {limit:g}",
    "explain.limit_maps_vary": "at most {limit:g}",
    "explain.output_hardly_varies": (
        "the probability lies between {low:.4f} and {high:.4f} for nearly every case: the output "
        "hardly depends on the radiograph"
    ),
    "explain.map_hardly_varies": (
        "the map is nearly the same for every radiograph: it shows little of the single case"
    ),
    "explain.too_few_cases": "only {num} cases can be compared; at least {needed} are needed",
}
