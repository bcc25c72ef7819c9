"""(Classifier, Explainer, cases) -> is the explanation, and the answer that it explains, to be trusted? By rule."""
