"""How often the 95 % intervals of a run's metrics contain the true value, by simulation.

    .venv/bin/python -m benchmarks.coverage [--samples 1000] [--rounds 500]

Each sample draws patients with one or more images. Images of one patient share a part `alike` of
the variance of their score and, unless mixed, one label. Scores are normal with variance 1 and
means that lie `distance` apart, so AUC, sensitivity, specificity and predictive values are known
in closed form, Brier score and ECE by integration. `sharpen` multiplies the calibrated log-odds;
1 = calibrated. Three columns: ours; the percentile bootstrap of patients; ours with images taken
as patients. A sample in which a metric has no interval (see MIN_PATIENTS) is left out and counted.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from cxr_audit.cohort.intervals import Resampling, auc_of
from cxr_audit.cohort.performance import NUM_BINS, Outputs, performance
from scipy.special import expit, logit, ndtr

PERCENTILE = ("auc", "sensitivity", "specificity", "ppv", "npv")


@dataclass(frozen=True, slots=True)
class World:
    """Where samples come from. `prevalence` is that of the samples, `stated` the one of the predictive values."""

    name: str
    num_patients: int
    distance: float
    prevalence: float = 0.4
    images: tuple[int, ...] = (1, 2, 4)
    alike: float = 0.5
    sharpen: float = 1.0
    is_mixed: bool = False
    stated: float | None = None

    def sample(self, rng: np.random.Generator) -> Outputs:
        """The outputs of one run; called from a probability of 0.5."""
        patients = np.repeat(
            np.arange(self.num_patients), rng.choice(self.images, self.num_patients)
        )
        size = patients.size
        positive = rng.random(size if self.is_mixed else self.num_patients) < self.prevalence
        positive = positive if self.is_mixed else positive[patients]
        noise = np.sqrt(self.alike) * rng.normal(size=self.num_patients)[patients]
        score = noise + np.sqrt(1 - self.alike) * rng.normal(size=size) + self.distance * positive
        probability = self.probability(score)
        return Outputs(positive, probability, probability >= 0.5, patients)

    def probability(self, score: np.ndarray) -> np.ndarray:
        return expit(
            self.sharpen * (self.distance * score - self.distance**2 / 2 + logit(self.prevalence))
        )

    def truth(self) -> dict[str, float]:
        cut = (self.distance**2 / 2 - logit(self.prevalence)) / self.distance
        sensitivity, specificity = ndtr(self.distance - cut), ndtr(cut)
        p = self.stated or self.prevalence
        step = 1e-4
        score = np.arange(-10, 10 + self.distance, step)
        density = (
            np.exp(-((score - np.array([[0], [self.distance]])) ** 2) / 2)
            / np.sqrt(2 * np.pi)
            * step
        )
        negative, positive = density * [[1 - self.prevalence], [self.prevalence]]
        said = self.probability(score)
        excess = said * (negative + positive) - positive
        bins = np.bincount(
            np.minimum((said * NUM_BINS).astype(int), NUM_BINS - 1), excess, NUM_BINS
        )
        return {
            "auc": float(ndtr(self.distance / np.sqrt(2))),
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": sensitivity * p / (sensitivity * p + (1 - specificity) * (1 - p)),
            "npv": specificity * (1 - p) / (specificity * (1 - p) + (1 - sensitivity) * p),
            "brier": float((positive * (1 - said) ** 2 + negative * said**2).sum()),
            "ece": 0.0 if self.sharpen == 1 else float(np.abs(bins).sum()),
        }


WORLDS = (
    World("one image a patient", 100, 2, images=(1,)),
    World("several images a patient", 100, 2, sharpen=2),
    World("images of a patient nearly alike", 100, 2, alike=0.95, sharpen=2),
    World("patients with both labels", 100, 2, alike=0.3, is_mixed=True, sharpen=0.5),
    World("few patients, several images", 40, 2, sharpen=2),
    World("few patients, near 1", 40, 3, prevalence=0.5, images=(1,)),
    World(
        "near 1, one patient in four with six images", 100, 3, prevalence=0.3, images=(1, 1, 1, 6)
    ),
    World("as the paediatric test split", 400, 2.9, prevalence=0.6, images=(1, 2, 3)),
    World("stated prevalence 0.1", 150, 2, stated=0.1, sharpen=2),
    World(
        "stated prevalence 0.1, few patients, near 1",
        60,
        3,
        prevalence=0.5,
        images=(1, 2),
        stated=0.1,
    ),
    World("stated prevalence 0.1, both labels", 100, 2, alike=0.3, is_mixed=True, stated=0.1),
)


def percentile(
    outputs: Outputs, stated: float | None, rounds: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the bootstrap of patients, the usual way, written out here."""
    draws = Resampling(outputs.patients, rounds, seed)
    weights = draws.times[:, draws.patients].astype(float)
    weight = {name: (weights * inside).sum(1) for name, inside in outputs.outcomes.items()}
    tp, fp, tn, fn = (weight[name] for name in outputs.outcomes)
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
        p = stated or (tp + fn) / (tp + fp + tn + fn)
        found = {
            "auc": auc_of(outputs.positive, outputs.probability, weights),
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": sensitivity * p / (sensitivity * p + (1 - specificity) * (1 - p)),
            "npv": specificity * (1 - p) / (specificity * (1 - p) + (1 - sensitivity) * p),
        }
    return {name: tuple(np.nanpercentile(values, [2.5, 97.5])) for name, values in found.items()}


def coverage(
    world: World, samples: int, rounds: int, seed: int = 1
) -> dict[tuple[str, str], tuple[float, float]]:
    """(metric, method) -> share of the samples whose interval holds the truth, and share without an interval."""
    rng, truth = np.random.default_rng(seed), world.truth()
    held, without = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for number in range(samples):
        outputs = world.sample(rng)
        alone = replace(outputs, patients=np.arange(outputs.patients.size))
        intervals = {
            (metric, method): estimate.interval_95
            for method, one in (("ours", outputs), ("images", alone))
            for metric, estimate in performance(one, world.stated, rounds, number).metrics.items()
        }
        usual = percentile(outputs, world.stated, rounds, number)
        intervals |= {
            (metric, "percentile"): usual[metric]
            for metric in PERCENTILE
            if intervals[metric, "ours"]
        }
        for (metric, method), interval in intervals.items():
            without[metric, method] += interval is None
            held[metric, method] += (
                interval is not None and interval[0] <= truth[metric] <= interval[1]
            )
    return {
        key: (held[key] / max(1, samples - without[key]), without[key] / samples) for key in without
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=500)
    arguments = parser.parse_args()
    print(f"coverage in % of 95 % intervals, {arguments.samples} samples of each kind")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = [
            pool.submit(coverage, world, arguments.samples, arguments.rounds) for world in WORLDS
        ]
        for world, future in zip(WORLDS, found, strict=True):
            shares = future.result()
            print(f"\n{world.name} ({world.num_patients} patients)")
            print(
                f"  {'':12} {'truth':>7} {'ours':>7} {'percentile':>11} {'by image':>9}  without an interval"
            )
            for metric, truth in world.truth().items():
                usual = (
                    f"{100 * shares[metric, 'percentile'][0]:.1f}" if metric in PERCENTILE else "-"
                )
                ours, by_image = shares[metric, "ours"], shares[metric, "images"]
                print(
                    f"  {metric:12} {truth:7.3f} {100 * ours[0]:7.1f} {usual:>11} {100 * by_image[0]:9.1f}"
                    f"  {100 * ours[1]:.1f} %",
                    flush=True,
                )


if __name__ == "__main__":
    main()
