"""How long intervals take: 2,000 bootstrap resamples over patients, all at once against one by one with scikit-learn.

    python -m benchmarks.evaluation [--films 10000] [--json benchmarks/evaluation.json]

Films, patients and scores are drawn at random. The way one by one is measured on some of the resamples and scaled up;
on those, both ways must give the same values.
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr.evaluation.compare import paired_auroc
from cxr.evaluation.metrics import RESAMPLES, auroc, resample_patients
from cxr.evaluation.precision import average_precision
from cxr.evaluation.rates import rates
from cxr.evaluation.workload import workload_curve

FILMS_PER_PATIENT = 3
ONE_BY_ONE = 40


def timed(run: Callable[[], object]) -> tuple[float, object]:
    """Seconds of a call, and what it returned."""
    start = perf_counter()
    result = run()
    return perf_counter() - start, result


def measure(films: int) -> dict[str, object]:
    """Seconds by what was estimated, at so many films."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, films)
    scores, other = rng.random(films) + 0.3 * labels, rng.random(films) + 0.2 * labels
    drawing, resamples = timed(lambda: resample_patients(rng.integers(0, films // FILMS_PER_PATIENT, films)))
    weights = resamples.weights
    found: dict[str, object] = {"films": films, "resamples": RESAMPLES, "draw": drawing}
    for name, ours, theirs in (
        ("AUROC", auroc, roc_auc_score),
        ("average precision", average_precision, average_precision_score),
    ):
        seconds, values = timed(lambda ours=ours: ours(labels, scores, weights))
        slow, some = timed(
            lambda theirs=theirs: [theirs(labels, scores, sample_weight=w) for w in weights[:ONE_BY_ONE]]
        )
        np.testing.assert_allclose(values[:ONE_BY_ONE], some, atol=1e-6)
        one_by_one = slow * RESAMPLES / ONE_BY_ONE
        found[name] = {"seconds": seconds, "one_by_one": one_by_one, "ratio": one_by_one / seconds}
    for name, run in (
        ("sensitivity, specificity, PPV, NPV, accuracy, F1", lambda: rates(labels, scores > 0.6, resamples)),
        ("paired difference of AUROC", lambda: paired_auroc(labels, scores, other, resamples)),
        ("workload curve", lambda: workload_curve(labels, scores, resamples)),
    ):
        found[name] = {"seconds": timed(run)[0]}
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    text = json.dumps({"machine": {"cores": os.cpu_count()}} | measure(args.films), indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
