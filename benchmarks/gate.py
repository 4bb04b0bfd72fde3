"""How often the gate refuses a candidate that is as good as the champion, and one that is worse.

    python -m benchmarks.gate [--pairs 20] [--json benchmarks/gate.json]

Simulated scores: on every film the champion and the candidate see the same evidence, and each adds noise of its own, so
that their scores correlate by 0.7. The champion separates abnormal films by an AUROC of about 0.8, a candidate by as
much or by that much less. Labels and probabilities are drawn so that both are calibrated.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from cxr import gate
from cxr.evaluation.neither import PairedFilms
from cxr.findings import CATEGORIES, FINDING_INDICES, NO_FINDING_INDEX
from cxr.model.bundle import bundle_path, load_bundle

FILMS = (283, 1000, 3000)
WORSE = (0.0, 0.05)
AUROC = 0.8
CORRELATION = 0.7
SHARE = 0.5
"""Of films that are abnormal; each of them has one finding in three."""


def simulated(films: int, worse: float, rng: np.random.Generator) -> PairedFilms:
    """Films, one of each patient, that two models have scored."""
    labels = np.zeros((films, len(CATEGORIES)), np.uint8)
    abnormal = rng.random(films) < SHARE
    labels[:, FINDING_INDICES] = abnormal[:, None] & (rng.random((films, len(FINDING_INDICES))) < 1 / 3)
    labels[:, NO_FINDING_INDEX] = ~abnormal
    shared = rng.standard_normal(labels.shape)

    def scores(auroc: float) -> np.ndarray:
        own = rng.standard_normal(labels.shape)
        noise = np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * own
        # Two normal distributions of variance 1 that lie this far apart have this AUROC.
        apart = np.sqrt(2) * norm.ppf(auroc)
        evidence = apart * labels + noise
        prior = np.log(labels.mean(0) / (1 - labels.mean(0)))
        return expit(apart * (evidence - apart / 2) + prior)

    return PairedFilms(
        labels=labels,
        champion=scores(AUROC),
        candidate=scores(AUROC - worse),
        patients=np.arange(films),
        sources=np.full(films, "simulated"),
        basis="simulated films",
    )


def refused(films: int, worse: float, pairs: int) -> dict[str, object]:
    """The share of candidates that the gate refuses, and by which checks."""
    card = load_bundle(bundle_path("default")).card
    rng = np.random.default_rng(0)
    failed = [
        [c.name for c in gate.metric_checks(simulated(films, worse, rng), card, card) if not c.passed]
        for _ in range(pairs)
    ]
    names = sorted({name for names in failed for name in names})
    return {
        "films": films,
        "worse_by": worse,
        "pairs": pairs,
        "refused": sum(map(bool, failed)) / pairs,
        "by": {name: sum(name in names for names in failed) / pairs for name in names},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = [refused(films, worse, args.pairs) for films in FILMS for worse in WORSE]
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
