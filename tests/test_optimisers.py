"""The optimisers chapter: every step equals Keras's own, and what theory promises of the rules holds of the classes."""
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from deeplearn.core.training import keras
from deeplearn.foundations.optimisers import (SGD, AdaGrad, Adam, AdamW, AMSGrad, Momentum, Nesterov, RMSprop, RootDecay, descend,
                                              online_game)

tensorflow = pytest.importorskip("tensorflow")
ops, theirs = keras.ops, keras.optimizers
PAIRS = {  # ours, Keras's, settings that the two must share, and what Keras's needs to be the same rule
    "SGD": (SGD, theirs.SGD, {}, {}),
    "SGD with momentum": (SGD, theirs.SGD, dict(momentum=0.8), {}),
    "Momentum": (Momentum, theirs.SGD, {}, dict(momentum=0.9)),
    "Nesterov": (Nesterov, theirs.SGD, {}, dict(momentum=0.9, nesterov=True)),
    "AdaGrad": (AdaGrad, theirs.Adagrad, dict(initial_accumulator_value=0.3), {}),
    "RMSprop": (RMSprop, theirs.RMSprop, {}, {}),
    "RMSprop, centred, with momentum": (RMSprop, theirs.RMSprop, dict(rho=0.8, momentum=0.7, centered=True, epsilon=1e-4), {}),
    "Adam": (Adam, theirs.Adam, dict(beta_1=0.7, beta_2=0.95, epsilon=1e-5), {}),
    "AMSGrad": (AMSGrad, theirs.Adam, {}, dict(amsgrad=True)),
    "AdamW": (AdamW, theirs.AdamW, {}, {}),
}


def extras(random) -> list[dict]:
    "Settings of the base class, drawn anew for each problem; the last ones together."
    rate, schedules = float(10 ** random.uniform(-3, -1)), keras.optimizers.schedules
    schedule = [schedules.CosineDecay(0.0, 60, warmup_target=rate, warmup_steps=20), schedules.ExponentialDecay(rate, 30, 0.5), RootDecay(rate)]
    return [dict(learning_rate=rate), dict(learning_rate=schedule[random.integers(3)], clipnorm=0.5),
            dict(learning_rate=rate, global_clipnorm=1.0, weight_decay=0.1),
            dict(learning_rate=schedule[0], clipvalue=0.3, weight_decay=0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=7,
                 gradient_accumulation_steps=2)]


def run(optimizer, seed: int, steps: int = 100, dtype: str = "float32") -> list[np.ndarray]:
    "Descend a random noisy bowl with three weight arrays; where they end."
    random = np.random.default_rng(seed)
    shapes = [(3, 4), (4,), ()]
    bowls = [(10 ** random.uniform(-2, 1, s), random.normal(size=s)) for s in shapes]
    weights = [keras.Variable(random.normal(size=s), dtype=dtype) for s in shapes]
    optimizer.build(weights)
    apply = tensorflow.function(lambda *gradients: optimizer.apply(list(gradients), weights))
    for _ in range(steps):
        gradients = [h * (ops.convert_to_numpy(w) - c) + random.normal(size=w.shape) for (h, c), w in zip(bowls, weights)]
        apply(*(ops.convert_to_tensor(g, dtype) for g in gradients))
    return [np.array(ops.convert_to_numpy(w)) for w in weights]


def assert_close(first, second, tolerance=1e-6):
    for a, b in zip(first, second, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_less(np.abs(a - b), tolerance * np.maximum(1, np.abs(b)) + 1e-12)


# Equal to Keras's own

@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("name", PAIRS)
def test_every_step_equals_keras(name, case):
    ours, peer, shared, needed = PAIRS[name]
    settings = shared | extras(np.random.default_rng([case, len(name)]))[case]
    if name == "AdamW": settings = dict(weight_decay=0.02) | settings
    assert_close(run(ours(**settings), seed=case), run(peer(**settings, **needed), seed=case))


@pytest.mark.parametrize("name", PAIRS)
def test_defaults_are_those_of_keras(name):
    ours, peer, _, needed = PAIRS[name]
    mine, other = ours().get_config(), peer(**needed).get_config()
    if name == "SGD with momentum": return
    assert {k: v for k, v in mine.items() if k != "name"} == {k: v for k, v in other.items() if k != "name"}


@pytest.mark.parametrize("name", ["Nesterov", "RMSprop, centred, with momentum", "AMSGrad"])
def test_double_precision_equals_keras(name):
    ours, peer, shared, needed = PAIRS[name]
    assert_close(*(run(made(0.01, **shared, **more), 0, dtype="float64") for made, more in ((ours, {}), (peer, needed))), tolerance=1e-12)


# Equal to the formulas of the papers, written down once more

def formulas(name: str, gradients, rate=0.05, mu=0.9, beta=0.999, rho=0.9, epsilon=1e-7):
    "The path from 0 along given gradients."
    w, v, s, top, path = 0.0, 0.0, 0.0, 0.0, []
    for t, g in enumerate(gradients, 1):
        if name in ("Momentum", "Nesterov"):
            before, v = v, mu * v - rate * g
            w += v if name == "Momentum" else -mu * before + (1 + mu) * v  # the form of Bengio and others (2013)
        if name == "AdaGrad": s += g * g; w -= rate * g / (0.1 + s + epsilon) ** 0.5
        if name == "RMSprop": s = rho * s + (1 - rho) * g * g; w -= rate * g / (s + epsilon) ** 0.5
        if name in ("Adam", "AMSGrad"):
            v, s = mu * v + (1 - mu) * g, beta * s + (1 - beta) * g * g
            top = max(top, s) if name == "AMSGrad" else s
            w -= rate * (v / (1 - mu**t)) / ((top / (1 - beta**t)) ** 0.5 + epsilon / (1 - beta**t) ** 0.5)
        path.append(w)
    return np.array(path)


@pytest.mark.parametrize("made", [Momentum, Nesterov, AdaGrad, RMSprop, Adam, AMSGrad])
def test_steps_equal_the_formulas(made):
    gradients = np.random.default_rng(3).normal(size=60) * np.geomspace(0.01, 10, 60)[::-1]
    stream = iter(gradients)
    path = descend(made(0.05), lambda w: np.array([next(stream)]), [0.0], steps=60)[1:, 0]
    np.testing.assert_allclose(path, formulas(made.__name__, gradients), rtol=2e-5, atol=2e-6)


# In a model

def network(optimizer, seed: int = 0):
    keras.utils.set_random_seed(seed)
    net = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    net.compile(optimizer, "mse", steps_per_execution=4)
    return net


def task():
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 5)).astype("float32")
    return x, np.sin(x.sum(1, keepdims=True))


def test_fit_save_and_go_on(tmp_path):
    "Under `fit` as Keras's; a saved model goes on as if it had not stopped, with its optimiser's class, settings and state."
    x, y = task()
    schedule = keras.optimizers.schedules.CosineDecay(0.02, 40)
    settings = dict(learning_rate=schedule, weight_decay=0.05, clipnorm=1.0)
    nets = network(AdamW(**settings)), network(theirs.AdamW(**settings))
    for net in nets: net.fit(x, y, batch_size=16, epochs=4, shuffle=False, verbose=0)
    assert_close(nets[0].get_weights(), nets[1].get_weights(), 1e-5)
    nets[0].save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    assert type(again.optimizer) is AdamW and again.optimizer.get_config() == nets[0].optimizer.get_config()
    assert_close([np.array(v) for v in again.optimizer.variables], [np.array(v) for v in nets[0].optimizer.variables], 1e-12)
    for net in (nets[0], again): net.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert_close(again.get_weights(), nets[0].get_weights(), 1e-7)


@pytest.mark.parametrize("name", PAIRS)
def test_config_and_state_travel(name):
    "A configuration makes the same optimiser again; Keras's state, put into ours, goes on as Keras's does."
    ours, peer, shared, needed = PAIRS[name]
    made = ours(**shared, learning_rate=RootDecay(0.1), clipvalue=0.5, name="me")
    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
    assert type(again) is ours and again.get_config() == made.get_config()
    weights = [[keras.Variable(np.ones((2, 3), "float32")), keras.Variable(np.ones(4, "float32"))] for _ in range(2)]
    gradients = [[ops.convert_to_tensor(np.full(np.shape(w), k + 1.0), "float32") for k, w in enumerate(weights[0])] for _ in range(6)]
    first, second = peer(0.05, **shared, **needed), ours(0.05, **shared)
    for g in gradients[:3]: first.apply(g, weights[0])
    for a, b in zip(*weights): b.assign(a)
    second.build(weights[1])
    assert [v.shape for v in second.variables] == [v.shape for v in first.variables]
    second.set_weights([np.array(v) for v in first.variables])
    for g in gradients[3:]: first.apply(g, weights[0]), second.apply(g, weights[1])
    assert_close([np.array(w) for w in weights[1]], [np.array(w) for w in weights[0]])


def test_weights_can_be_left_out_of_decay():
    weights, optimizer = [keras.Variable([1.0], name="kernel"), keras.Variable([1.0], name="bias")], AdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.apply([ops.zeros(1), ops.zeros(1)], weights)
    np.testing.assert_allclose([np.array(w)[0] for w in weights], [0.95, 1.0], rtol=1e-6)


def test_half_precision_with_loss_scaling():
    x, y = task()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        net = network(Adam(0.02))
        losses = net.fit(x, y, batch_size=16, epochs=12, verbose=0).history["loss"]
    finally: keras.config.set_dtype_policy("float32")
    assert isinstance(net.optimizer, keras.optimizers.LossScaleOptimizer) and losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("made", [SGD, Momentum, AdaGrad, RMSprop, Adam])
def test_repeated_rows_of_an_embedding_are_added_first(made):
    "A sparse gradient with a row that occurs twice moves the table as the dense gradient does."
    def table_after(one_hot: bool):
        words = keras.layers.Embedding(4, 2, embeddings_initializer="ones")
        layer = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones") if one_hot else words
        net = keras.Sequential([keras.Input((3, 4) if one_hot else (3,), dtype="float32" if one_hot else "int32"), layer])
        net.compile(made(0.1), lambda _, output: ops.sum(output * ops.convert_to_tensor([1.0, 2.0])))
        used = np.array([[0, 0, 2]])
        for _ in range(2): net.train_on_batch(np.eye(4)[used] if one_hot else used, np.zeros(1))
        return layer.get_weights()
    assert_close(table_after(False), table_after(True))


# What theory promises

@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("made", [Adam, AMSGrad])
def test_first_step_is_the_learning_rate(made, scale):
    places = descend(made(0.02, epsilon=1e-14), lambda w: scale * np.array([1.0, -3.0, 0.5]), np.zeros(3), steps=1)
    np.testing.assert_allclose(places[1], [-0.02, 0.02, -0.02], rtol=1e-4)


def test_descent_diverges_exactly_beyond_two_over_the_curvature():
    ends = [abs(descend(SGD(rate), lambda w: 4.0 * w, [1.0], steps=60)[-1, 0]) for rate in (0.49, 0.51)]
    assert ends[0] < 0.5 and ends[1] > 2


def test_adam_loses_the_game_that_amsgrad_wins():
    players = [made(RootDecay(0.5), beta_1=0.0, beta_2=1 / 17) for made in (Adam, AMSGrad)]
    adam, amsgrad = (online_game(player, epochs=10).mean() for player in players)
    assert adam > 0.9 and amsgrad < -0.9


def test_the_game_reports_the_mean_weight():
    "Every step goes right by a tenth until the wall at 1 is reached: 0, .1, ..., .9, 1, 1."
    means = online_game(SGD(0.1), slopes=(-1.0,), rounds=4, epochs=3)
    np.testing.assert_allclose(means, [0.15, 0.55, (0.8 + 0.9 + 1 + 1) / 4], rtol=1e-5)


def test_projection_keeps_places_in_range():
    assert descend(SGD(1.0), lambda w: np.ones(1), [0.0], 5, project=lambda w: np.clip(w, -2, 2))[-1, 0] == -2


# Errors

@pytest.mark.parametrize("make, message", [
    (lambda: SGD(momentum=1.1), "`momentum` must be a number of at least 0 and at most 1. Received: momentum=1.1"),
    (lambda: Momentum(-0.1), "`learning_rate` must be a number of at least 0 and finite. Received: learning_rate=-0.1"),
    (lambda: RMSprop(rho=2), "`rho`"), (lambda: Adam(beta_1=1), "`beta_1`.*below 1"), (lambda: Adam(epsilon=float("nan")), "`epsilon`"),
    (lambda: AdaGrad(initial_accumulator_value=-1), "`initial_accumulator_value`"), (lambda: AdamW(weight_decay=None), "`weight_decay`.*None"),
    (lambda: RootDecay("fast"), "`initial_learning_rate`"), (lambda: SGD(clipnorm=1.0, clipvalue=1.0), "clipnorm")])
def test_errors_say_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message): make()


def test_whole_numbers_will_do():
    assert Adam(1).get_config()["learning_rate"] == 1.0 and SGD(1, momentum=0).momentum == 0.0


# Another backend

@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_equal_to_keras_on_jax():
    script = """
import numpy as np
from deeplearn.core.training import keras
from deeplearn.foundations import optimisers as ours
assert keras.config.backend() == "jax"
x = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
for mine, theirs in ((ours.Nesterov(0.05), keras.optimizers.SGD(0.05, 0.9, True)), (ours.RMSprop(momentum=0.5), keras.optimizers.RMSprop(momentum=0.5)),
                     (ours.AdaGrad(0.1), keras.optimizers.Adagrad(0.1)), (ours.AMSGrad(ours.RootDecay(0.1)), keras.optimizers.Adam(ours.RootDecay(0.1), amsgrad=True)),
                     (ours.AdamW(weight_decay=0.1, clipnorm=1.0), keras.optimizers.AdamW(weight_decay=0.1, clipnorm=1.0))):
    ends = []
    for optimizer in (mine, theirs):
        keras.utils.set_random_seed(0)
        net = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
        net.compile(optimizer, "mse")
        net.fit(x, np.sin(x.sum(1)), batch_size=8, epochs=3, shuffle=False, verbose=0)
        ends.append(net.get_weights())
    assert all(np.abs(a - b).max() < 1e-6 for a, b in zip(*ends)), type(mine)
assert ours.descend(ours.Adam(0.1), lambda w: w, [1.0], 3).shape == (4, 1)
assert ours.online_game(ours.Adam(ours.RootDecay(0.5), beta_1=0, beta_2=1 / 17), epochs=5)[-1] > 0.9
"""
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | dict(KERAS_BACKEND="jax"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
