"""What is minimised, what trains when, and when it stops."""

import keras
import numpy as np
import pytest
from handmade_batches import HandmadeBatches, handmade_films
from handmade_run import OPTIONS, Heard, initial, train
from scipy.special import expit

from cxr.model.bundle import MAPS
from cxr.model.classifier import NORMALISATION
from cxr.training import fit as fitting
from cxr.training.config import TrainingConfig
from cxr.training.fit import class_weights, fit, freeze, loss_of, schedule_of, start_from_prior
from cxr.training.run import RunDirectory
from cxr.training.watch import TrainingDiverged


def config_of(**options: object) -> TrainingConfig:
    return TrainingConfig.model_validate(OPTIONS | options)


def labels(count: int = 40) -> np.ndarray:
    found = (np.random.default_rng(0).random((count, 15)) < 0.2).astype(np.uint8)
    found[:, 3] = np.arange(count) < 1
    return found


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_weighted_cross_entropy_or_focal(gamma, smoothing):
    config = config_of(loss="focal", focal_gamma=gamma, label_smoothing=smoothing)
    y, z = labels(), np.random.default_rng(1).normal(0, 2, (40, 15)).astype(np.float32)
    target, p = y * (1 - 2 * smoothing) + smoothing, expit(z.astype(float))
    weight = class_weights(y, config)
    expected = -target * weight * (1 - p) ** gamma * np.log(p) - (1 - target) * p**gamma * np.log(1 - p)
    got = keras.ops.convert_to_numpy(loss_of(y, config)(y.astype(np.float32), z))
    np.testing.assert_allclose(got, expected.mean(axis=1), rtol=1e-4)
    if gamma == 0:
        plain = loss_of(y, config_of(label_smoothing=smoothing))(y.astype(np.float32), z)
        np.testing.assert_allclose(got, keras.ops.convert_to_numpy(plain), rtol=1e-6)


def test_rare_categories_count_more_up_to_the_most_that_is_allowed():
    y = np.zeros((100, 15), np.uint8)
    y[:10, 0], y[:50, 1], y[:80, 2] = 1, 1, 1
    weights = class_weights(y, config_of(max_class_weight=5))
    np.testing.assert_allclose(weights[:4], [3, 1, 1, 5])


def test_the_rate_rises_after_the_warm_up_of_the_head_and_falls_to_zero():
    schedule = schedule_of(config_of(epochs=5, head_warmup=1, warmup=0.25, learning_rate=1.0), 10)
    rates = [float(schedule(step)) for step in range(41)]
    assert rates[0] == pytest.approx(1 / 25)
    assert int(np.argmax(rates)) == 10
    assert rates[10] == pytest.approx(1)
    assert rates[25] == pytest.approx(0.5, abs=1e-5)
    assert rates[40] == pytest.approx(0, abs=1e-6)


def test_the_head_starts_from_the_prior():
    config, y = config_of(), labels()
    model = initial(config)
    start_from_prior(model, y, config)
    _, bias = model.get_layer(MAPS).get_weights()
    positives = y.sum(0)
    expected = np.log(class_weights(y, config) * (positives + 0.5) / (len(y) - positives + 0.5))
    np.testing.assert_allclose(bias, expected, atol=1e-5)


def changed(before: keras.Model, after: keras.Model) -> set[str]:
    """Names of the layers whose weights differ, in the order of the model."""
    pairs = zip([x for x in before.layers if x.weights], [x for x in after.layers if x.weights], strict=True)
    return {
        str(place)
        for place, (a, b) in enumerate(pairs)
        if any(not np.array_equal(u, v) for u, v in zip(a.get_weights(), b.get_weights(), strict=True))
    }


def test_the_warm_up_changes_the_head_and_nothing_else(tmp_path, monkeypatch):
    seen = []
    score = fitting.score
    monkeypatch.setattr(fitting, "score", lambda model, films: seen.append(model.get_weights()) or score(model, films))
    train(tmp_path / "run", {"epochs": 2, "head_warmup": 1})
    start = initial(config_of()).get_weights()
    same = [[np.array_equal(a, b) for a, b in zip(start, weights, strict=True)] for weights in seen]
    assert same[0] == [True] * (len(start) - 2) + [False] * 2
    # The normalisation never trains; after the warm-up all else does, the statistics of the batch norm too.
    assert same[1] == [True] * 2 + [False] * (len(start) - 2)


def test_frozen_layers_keep_their_weights_and_statistics(tmp_path):
    model, _ = train(tmp_path / "run", {"epochs": 1, "frozen": 0.5})
    # Weighted layers: normalisation, three times convolution and batch norm, head. Half of the six stay.
    assert changed(initial(config_of()), model) == {"4", "5", "6", "7"}


def test_freeze_counts_from_the_film_and_spares_the_head():
    model = initial(config_of())
    for share, count in ((0.0, 6), (0.34, 4), (1.0, 0)):
        freeze(model, share)
        trains = [x.trainable for x in model.layers if x.weights and x.name not in (NORMALISATION, MAPS)]
        assert trains == [False] * (6 - count) + [True] * count
        assert model.get_layer(MAPS).trainable
        assert not model.get_layer(NORMALISATION).trainable


def scripted(scores: list[float], monkeypatch: pytest.MonkeyPatch) -> list[list[np.ndarray]]:
    """Replace the validation by given scores; returns the weights of each epoch as they come."""
    weights: list[list[np.ndarray]] = []

    def score(model: keras.Model, films: object) -> tuple[float, float]:
        weights.append(model.get_weights())
        return scores[len(weights) - 1], 0.5

    monkeypatch.setattr(fitting, "score", score)
    return weights


def test_it_stops_when_patience_is_over_and_keeps_the_best_epoch(tmp_path, monkeypatch):
    weights = scripted([0.6, 0.8, 0.7, 0.8, 0.9], monkeypatch)
    heard = Heard()
    model, progress = train(tmp_path / "run", {"epochs": 5, "patience": 2}, heard)
    assert heard.trained_after == [4]
    assert [e.macro_auroc for e in progress.epochs] == [0.6, 0.8, 0.7, 0.8]
    assert progress.best_epoch == 2
    for got, wanted in zip(model.get_weights(), weights[1], strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_without_patience_it_never_stops(tmp_path, monkeypatch):
    scripted([0.9, 0.8, 0.7], monkeypatch)
    _, progress = train(tmp_path / "run", {"epochs": 3})
    assert (len(progress.epochs), progress.best_epoch) == (3, 1)


def test_what_is_scored_is_the_average_of_the_weights(tmp_path, monkeypatch):
    weights = scripted([0.5, 0.6], monkeypatch)
    train(tmp_path / "averaged", {"epochs": 1, "ema": 0.99})
    train(tmp_path / "plain", {"epochs": 1, "ema": 0})
    start = initial(config_of()).get_weights()[-2]
    averaged, plain = (np.abs(w[-2] - start).mean() for w in weights)
    assert 0 < averaged < 0.7 * plain


def test_the_last_epoch_is_kept_where_that_is_asked_for(tmp_path, monkeypatch):
    weights = scripted([0.6, 0.8, 0.7], monkeypatch)
    model, progress = train(tmp_path / "run", {"epochs": 3, "keep": "last"})
    assert progress.best_epoch == 3
    for got, wanted in zip(model.get_weights(), weights[2], strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_diverged_run_says_where_and_keeps_what_was_learnt(tmp_path):
    config = config_of(epochs=2)
    films = handmade_films(40)
    films = type(films)(films.pixels.astype(np.float32), films.labels, films.metadata)
    run = RunDirectory(tmp_path / "run", config, "handmade")

    class Spoilt(HandmadeBatches):
        def _batches(self, number, first_step):
            for step, (pixels, y) in enumerate(super()._batches(number, first_step)):
                yield pixels * (np.nan if (number, step) == (1, 3) else 1), y

    with pytest.raises(TrainingDiverged, match=r"epoch 2, step 4: the loss became nan; try a lower learning_rate"):
        fit(initial(config), Spoilt(films, 8), handmade_films(24, seed=1), config, run)
    left = run.load()
    assert left.progress.epoch == 1
    assert all(np.isfinite(values).all() for values in (*left.model, *left.best))


def test_a_rate_that_is_far_too_high_is_noticed(tmp_path):
    with pytest.raises(TrainingDiverged, match="try a lower learning_rate"):
        train(tmp_path / "run", {"epochs": 3, "learning_rate": 1e30, "warmup": 0, "ema": 0})


def test_batches_that_end_early_are_an_error(tmp_path):
    class Short(HandmadeBatches):
        def _batches(self, number, first_step):
            yield from list(super()._batches(number, first_step))[:-2]

    config = config_of(epochs=1)
    run = RunDirectory(tmp_path / "run", config, "handmade")
    with pytest.raises(RuntimeError, match="after 3 of 5 steps"), pytest.warns(UserWarning, match="ran out of data"):
        fit(initial(config), Short(handmade_films(40), 8), handmade_films(24, seed=1), config, run)


def test_metrics_have_a_row_for_each_epoch(tmp_path):
    _, progress = train(tmp_path / "run", {"epochs": 2})
    header, *rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    columns = "number,loss,macro_auroc,abnormal_auroc,seconds,learning_rate,films_per_second,waiting"
    assert header == columns
    for row, epoch in zip(rows, progress.epochs, strict=True):
        assert [float(v) for v in row.split(",")] == pytest.approx(list(epoch.model_dump().values()))
        assert 0 <= epoch.waiting <= 1
        assert epoch.films_per_second == pytest.approx(40 / epoch.seconds)
