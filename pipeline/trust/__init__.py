"""(Classifier, Explainer, cases) -> checks of the explanation itself, and a state by rule."""
