"""Is the explanation, and the answer that it explains, to be trusted? Checks that ask the classifier again."""
