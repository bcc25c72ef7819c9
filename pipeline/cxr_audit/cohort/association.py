"""Values of one factor, logits -> how much of the logit it explains within a label.

The logit is taken around the mean of its label, and the factor as its rank within the label and the
square of that, so that a logit that rises on both sides of a value is seen too. The share is
adjusted for the number of terms. The permutation test exchanges patients, not images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control, rankdata

from cxr_audit.cohort.intervals import Doubles, Integers

PERMUTATIONS = 999
FEWEST_A_WORD = 5  # cases with one value of a factor in words
TERMS = 2


def within_label(values: Doubles, labels: Integers) -> Doubles:
    """Values around the mean of their label; (N,) or (N, k)."""
    centred = values.astype(np.float64).copy()
    for label in np.unique(labels):
        of_label = labels == label
        centred[of_label] -= centred[of_label].mean(0)
    return centred


def rank_terms(values: Doubles, labels: Integers) -> Doubles:
    """Rank within the label, from -0.5 to 0.5, and its square, both around their means: (N, 2)."""
    ranks = np.zeros(values.size)
    for label in np.unique(labels):
        of_label = labels == label
        num = int(of_label.sum())
        ranks[of_label] = (rankdata(values[of_label]) - 0.5) / num - 0.5
    return within_label(np.stack([ranks, ranks**2], 1), labels)


def word_terms(words: Sequence[str | None], labels: Integers) -> Doubles | None:
    """One column for each value but the most frequent; None where there is but one value."""
    names, counts = np.unique([word or "" for word in words], return_counts=True)
    kept = names[counts >= FEWEST_A_WORD]
    if kept.size < 2:
        return None
    frequent = names[np.argmax(counts)]
    columns = [[float(word == name) for word in words] for name in kept if name != frequent]
    return within_label(np.array(columns).T, labels)


def explained(terms: Doubles, residual: Doubles) -> float:
    """Adjusted share of the variance that terms (N, k) explain, at least 0."""
    num, num_terms = terms.shape
    total = float(residual @ residual)
    if num <= num_terms + 2 or total == 0:
        return 0.0
    fitted, *_ = np.linalg.lstsq(terms, residual, rcond=None)
    rest = residual - terms @ fitted
    share = 1 - (float(rest @ rest) / (num - num_terms - 1)) / (total / (num - 1))
    return float(max(0.0, share))


def p_value(terms: Doubles, residual: Doubles, patients: Integers, seed: int) -> float:
    """Of the permutation test: the share of permutations that explain as much.

    Patients are exchanged: terms and residuals are averaged over the images of each.
    """
    _, numbers = np.unique(patients, return_inverse=True)
    counts = np.bincount(numbers)
    columns = [np.bincount(numbers, column) / counts for column in terms.T]
    means = np.stack(columns, 1)
    means -= means.mean(0)
    logits = np.bincount(numbers, residual) / counts
    logits -= logits.mean()
    basis, *_ = np.linalg.svd(means, full_matrices=False)
    found = float(((basis.T @ logits) ** 2).sum())
    rng = np.random.default_rng(seed)
    num_as_much = 1
    for _ in range(PERMUTATIONS):
        shuffled = basis.T @ rng.permutation(logits)
        num_as_much += float((shuffled**2).sum()) >= found * (1 - 1e-9)
    return num_as_much / (PERMUTATIONS + 1)


def discoveries(p_values: Sequence[float]) -> Doubles:
    """The p-values adjusted for the false-discovery rate (Benjamini and Hochberg, 1995)."""
    if not p_values:
        return np.zeros(0)
    return np.asarray(false_discovery_control(p_values), np.float64)


def predicted_out_of_fold(
    statistics: Doubles, residual: Doubles, patients: Integers, seed: int
) -> Doubles:
    """The residual as predicted for patients left out: kernel ridge regression in five folds.

    The kernel is the sum of a linear and a Gaussian one, both scaled by the number of statistics;
    the penalty is fixed, so that nothing is chosen on the data.

    Parameters
    ----------
    statistics : (N, k), around the mean of the label.
    residual : (N,), around the mean of the label.
    """
    scaled = statistics / np.maximum(statistics.std(0), 1e-9)
    squares = (scaled**2).sum(1)
    products = scaled @ scaled.T
    width = scaled.shape[1]
    distance = np.maximum(squares[:, None] + squares[None] - 2 * products, 0)
    kernel = products / width + np.exp(-distance / width)
    names, numbers = np.unique(patients, return_inverse=True)
    fold_of = np.random.default_rng(seed).permutation(names.size)[numbers] % FOLDS
    predicted = np.zeros(residual.size)
    for fold in range(FOLDS):
        left_out = fold_of == fold
        kept = ~left_out
        if not left_out.any() or not kept.any():
            continue
        among_kept = kernel[np.ix_(kept, kept)] + PENALTY * np.eye(int(kept.sum()))
        weights = np.linalg.solve(among_kept, residual[kept])
        predicted[left_out] = kernel[np.ix_(left_out, kept)] @ weights
    return predicted


FOLDS = 5
PENALTY = 0.3
