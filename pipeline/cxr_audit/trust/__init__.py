"""(Classifier, Explainer, cases) -> can the explanation be trusted? By rule."""
