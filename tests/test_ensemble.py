"""Networks trained side by side are the networks that Keras trains alone: same weights, batches, masks and statistics, whoever trains beside them."""
import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from deeplearn.core import ensemble
from deeplearn.core.data import load
from deeplearn.core.ensemble import grid, steps_to, train_many
from deeplearn.core.training import fit, keras, seed_everything

layers = keras.layers
DIGITS = load("digits")
X, Y = DIGITS.x_train[:110], DIGITS.y_train[:110]  # 110 images: three full batches of 32 and one of 14
TEST = DIGITS.x_test[:70], DIGITS.y_test[:70]


def dense(): return [layers.Flatten(), layers.Dense(16, "tanh"), layers.Dense(10)]


def initialised():
    return [layers.Flatten(), layers.Dense(16, "relu", kernel_initializer="he_normal", bias_initializer=keras.initializers.RandomUniform(-0.1, 0.1)),
            layers.Dense(16, "gelu", kernel_initializer="lecun_normal"), layers.Dense(10, kernel_initializer="zeros")]


def penalised(): return [layers.Flatten(), layers.Dense(16, "relu", kernel_regularizer=keras.regularizers.L2(0.01)), layers.Dense(10, bias_regularizer="l1")]


def dropped(): return [layers.Flatten(), layers.Dense(16, "relu"), layers.Dropout(0.3), layers.Dense(16, "relu"), layers.Dropout(0.5), layers.Dense(10)]


def normalised():
    return [layers.Flatten(), layers.Dense(16, use_bias=False), layers.BatchNormalization(momentum=0.8), layers.Activation("sigmoid"),
            layers.Dense(16, use_bias=False), layers.LayerNormalization(), layers.ReLU(), layers.Dense(10)]


def convolved():
    return [layers.Reshape((8, 8, 1)), layers.Conv2D(4, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(5, (2, 3), strides=2, use_bias=False), layers.Flatten(), layers.Dense(10)]


def branched():
    inputs = keras.Input((8, 8))
    flat = layers.Flatten()(inputs)
    return [keras.Model(inputs, layers.Add()([layers.Dense(10)(flat), layers.Dense(10)(layers.Dense(8, "relu")(flat))]))]


SGD = keras.optimizers.SGD
RULES = {
    "sgd": SGD(0.1), "momentum": SGD(0.05, momentum=0.9), "nesterov": SGD(0.05, momentum=0.9, nesterov=True), "adam": keras.optimizers.Adam(0.003),
    "adamw": keras.optimizers.AdamW(0.003, weight_decay=0.1), "rmsprop": keras.optimizers.RMSprop(0.001), "adagrad": keras.optimizers.Adagrad(0.02),
    "schedule": SGD(keras.optimizers.schedules.ExponentialDecay(0.2, 10, 0.7), momentum=0.5), "clipped": SGD(0.2, clipvalue=0.01),
    "averaged": SGD(0.1, use_ema=True, ema_momentum=0.9),
}


def alone(make, seed, rule, x=X, y=Y, epochs=13, loss=None):
    "The same network by Keras's own `fit`."
    seed_everything(seed)
    network = keras.Sequential([keras.Input(x.shape[1:]), *make()])
    network.compile(type(rule).from_config(rule.get_config()), loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return network, fit(network, x, y, epochs=epochs, seed=seed, validation=TEST if loss is None else None)


def assert_same(many, member, network, tolerance=1e-5):
    for ours, theirs in zip(many.weights, network.get_weights(), strict=True): np.testing.assert_allclose(ours[member], theirs, atol=tolerance)


# Equal to Keras alone, over 52 steps, last batches of an epoch shorter than the others

@pytest.mark.parametrize("make", [dense, initialised, penalised, dropped, normalised, convolved, branched], ids=lambda make: make.__name__)
def test_architectures_against_keras(make):
    many = train_many(make, X, Y, seeds=[4, 9], epochs=13, optimizer=RULES["momentum"], test=TEST)
    network, history = alone(make, 9, RULES["momentum"])
    assert_same(many, 1, network)
    np.testing.assert_allclose(many["loss"][1], history["loss"], atol=1e-5)
    np.testing.assert_allclose(many["accuracy"][1], history["accuracy"], atol=1e-6)
    np.testing.assert_allclose(many["test_loss"][1], history["val_loss"], atol=2e-5)
    np.testing.assert_allclose(many["test_accuracy"][1], history["val_accuracy"], atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_rules_against_keras(rule):
    many = train_many(dense, X, Y, seeds=[4, 9], epochs=13, optimizer=RULES[rule])
    assert_same(many, 1, alone(dense, 9, RULES[rule])[0])


def test_learning_rate_of_each_member():
    seeds, rates = grid([4, 9], [0.02, 0.2])
    assert seeds.tolist() == [4, 9, 4, 9] and np.allclose(rates, [0.02, 0.02, 0.2, 0.2])
    many = train_many(dense, X, Y, seeds=seeds, learning_rate=rates, epochs=13, optimizer=keras.optimizers.Adam())
    for member in (1, 2): assert_same(many, member, alone(dense, int(seeds[member]), keras.optimizers.Adam(float(rates[member])))[0])


@pytest.mark.parametrize("make", [dropped, convolved], ids=lambda make: make.__name__)
def test_layers_with_a_form_of_their_own_agree_with_the_general_one(make, monkeypatch):
    special = train_many(make, X, Y, seeds=[1, 2], steps=6, learning_rate=0.1)
    monkeypatch.setattr(ensemble, "_SPECIAL", {})
    general = train_many(make, X, Y, seeds=[1, 2], steps=6, learning_rate=0.1)
    for ours, theirs in zip(special.weights, general.weights): np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_squared_error_and_binary_cross_entropy_against_keras():
    one_hot, parity = np.eye(10, dtype="float32")[Y], (Y % 2).astype("float32")
    many = train_many(dense, X, one_hot, seeds=[3], epochs=5, learning_rate=0.1, loss="squared_error")
    network, history = alone(dense, 3, SGD(0.1), y=one_hot, epochs=5, loss=keras.losses.MeanSquaredError())
    assert_same(many, 0, network)
    np.testing.assert_allclose(many["accuracy"][0], (history["accuracy"]), atol=1e-6)
    def single(): return [layers.Flatten(), layers.Dense(1)]
    many = train_many(single, X, parity, seeds=[3], epochs=5, learning_rate=0.1, loss="binary_cross_entropy")
    network, history = alone(single, 3, SGD(0.1), y=parity, epochs=5, loss=keras.losses.BinaryCrossentropy(from_logits=True))
    assert_same(many, 0, network)
    hits = (np.ravel(network(X)) > 0) == (parity > 0.5)
    assert np.isclose(train_many(single, X, parity, seeds=[3], epochs=5, learning_rate=0.1, loss="binary_cross_entropy",
                                 measure_train=True)["train_accuracy"][0, -1], hits.mean())


# Whoever trains beside

def test_a_member_does_not_depend_on_its_neighbours():
    company = train_many(dropped, X, Y, seeds=[7, 8, 9], steps=20, learning_rate=[0.1, 0.2, 0.3])
    others = train_many(dropped, X, Y, seeds=[1, 2, 9, 3], steps=20, learning_rate=[1.0, 0.5, 0.3, 0.01])
    for ours, theirs in zip(company.weights, others.weights): np.testing.assert_allclose(ours[2], theirs[2], atol=1e-6)


def test_equal_seeds_are_equal_networks_and_other_seeds_are_not():
    many = train_many(dropped, X, Y, seeds=[5, 5, 6], steps=8, learning_rate=0.1)
    for values in many.weights: np.testing.assert_allclose(values[0], values[1], atol=1e-7)
    assert np.abs(many.weights[0][0] - many.weights[0][2]).max() > 0.01


def test_a_lost_member_is_marked_and_harms_nobody():
    one_hot = np.eye(10, dtype="float32")[Y]
    def relu(): return [layers.Flatten(), layers.Dense(16, "relu"), layers.Dense(10)]
    settings = dict(steps=40, loss="squared_error", record_every=4, test=(TEST[0], np.eye(10, dtype="float32")[TEST[1]]), gradient_norms=True)
    many = train_many(relu, X, one_hot, seeds=[1, 1, 2], learning_rate=[0.05, 1e4, 0.05], **settings)
    clean = train_many(relu, X, one_hot, seeds=[1, 2], learning_rate=0.05, **settings)
    assert many.diverged.tolist() == [False, True, False]
    for name, values in many.records.items():
        np.testing.assert_allclose(values[[0, 2]], clean[name], atol=1e-5)
        assert np.isnan(values[1, -1]).all(), f"{name} of the lost member is a number"
        first = np.isnan(values[1].reshape(10, -1)).all(1).argmax()
        assert np.isnan(values[1, first:]).all(), f"{name} came back"
    assert all(np.isnan(values[1]).all() and np.isfinite(values[[0, 2]]).all() for values in many.weights)
    assert np.isnan(many.predict(TEST[0])[1]).all() and "1 diverged" in repr(many)


def test_the_number_of_operations_does_not_grow_with_the_number_of_members():
    "One matrix product for all: a hidden loop over members would show here."
    def operations(size):
        stack = ensemble._Stack(normalised, (8, 8), np.arange(size))
        held = {id(v): tf.constant(values) for v, values in zip(stack.variables, stack.values)}
        forward = tf.function(lambda x: ensemble._outputs(stack.template, held, x, True)[0]).get_concrete_function(tf.TensorSpec((size, None, 8, 8)))
        return [op.type for op in forward.graph.get_operations()]
    few, many = operations(2), operations(20)
    assert sorted(few) == sorted(many) and not {"While", "StatelessWhile"} & set(many)


# Own examples, own targets

def test_subsets_and_own_targets_against_keras():
    subsets = np.stack([np.arange(40), np.arange(105, 65, -1)])
    many = train_many(dense, X, Y, seeds=[4, 9], subsets=subsets, epochs=6, learning_rate=0.1)
    assert_same(many, 1, alone(dense, 9, SGD(0.1), X[subsets[1]], Y[subsets[1]], epochs=6)[0])
    shuffled = np.stack([Y, np.random.default_rng(0).permutation(Y)])
    many = train_many(dense, X, shuffled, seeds=[9, 9], epochs=6, learning_rate=0.1)
    for member in (0, 1): assert_same(many, member, alone(dense, 9, SGD(0.1), y=shuffled[member], epochs=6)[0])


def test_members_with_shuffled_labels_stay_at_chance():
    labels = np.stack([np.random.default_rng(seed).permutation(DIGITS.y_train) for seed in range(8)])
    many = train_many(dense, DIGITS.x_train, labels, seeds=range(8), epochs=4, learning_rate=0.1, test=(DIGITS.x_test, DIGITS.y_test))
    assert abs(many["test_accuracy"][:, -1].mean() - 0.1) < 0.03


# Records

def test_records_by_hand():
    "Running means, measures of the moment and gradient lengths, computed again with one network and a tape."
    many = train_many(dense, X, Y, seeds=[2, 3], steps=6, record_every=3, learning_rate=0.1, test=TEST, measure_train=True, gradient_norms=True)
    assert many.steps.tolist() == [3, 6] and {values.shape for values in many.records.values()} == {(2, 2), (2, 2, 2)}
    seed_everything(3)
    network = keras.Sequential([keras.Input((8, 8)), *dense()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    order = np.concatenate([np.random.default_rng((3, epoch)).permutation(110) for epoch in range(2)])
    cuts, seen = [0, 32, 64, 96, 110, 142, 174], []
    for step in range(6):
        batch = order[cuts[step]:cuts[step + 1]]
        with tf.GradientTape() as tape: value = loss(Y[batch], network(X[batch]))
        gradients = tape.gradient(value, network.trainable_variables)
        for v, g in zip(network.trainable_variables, gradients): v.assign(v - 0.1 * g)
        seen.append((float(value), len(batch)))
    assert np.isclose(many["loss"][1, 1], np.average([v for v, _ in seen[3:]], weights=[n for _, n in seen[3:]]), atol=1e-6)
    lengths = [np.sqrt(sum(float((g**2).numpy().sum()) for g in gradients[i:i + 2])) for i in (0, 2)]
    np.testing.assert_allclose(many["gradient_norm"][1, 1], lengths, atol=1e-6)
    for part, (x, y) in dict(train=(X, Y), test=TEST).items():
        outputs = keras.ops.convert_to_numpy(network(x))
        assert np.isclose(many[f"{part}_loss"][1, 1], float(loss(y, outputs)), atol=1e-6)
        assert np.isclose(many[f"{part}_accuracy"][1, 1], (outputs.argmax(1) == y).mean())
    np.testing.assert_allclose(many.predict(TEST[0], block=16)[1], network(TEST[0]), atol=1e-5)
    np.testing.assert_allclose(many.network(1)(TEST[0]), network(TEST[0]), atol=1e-5)


def test_own_loss_and_metrics():
    many = train_many(dense, X, Y, seeds=[1, 2], steps=4, learning_rate=0.1, test=TEST, metrics={"largest": lambda y, outputs: tf.reduce_max(outputs, -1)},
                      loss=lambda y, outputs: tf.nn.sparse_softmax_cross_entropy_with_logits(y, outputs))
    same = train_many(dense, X, Y, seeds=[1, 2], steps=4, learning_rate=0.1)
    np.testing.assert_allclose(many["loss"], same["loss"], atol=1e-6)
    np.testing.assert_allclose(many["test_largest"][:, -1], many.predict(TEST[0]).max(-1).mean(-1), atol=1e-5)
    assert "accuracy" not in many.records


def test_records_do_not_depend_on_how_often_they_are_taken():
    often = train_many(dense, X, Y, seeds=[1, 2], steps=48, record_every=1, learning_rate=0.1, test=TEST)
    seldom = train_many(dense, X, Y, seeds=[1, 2], steps=48, record_every=24, learning_rate=0.1, test=TEST)
    np.testing.assert_array_equal(often["test_loss"][:, 23::24], seldom["test_loss"])
    for ours, theirs in zip(often.weights, seldom.weights): np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("values, falling, expected", [
    ([[0.1, 0.9, 0.5]], False, [20]), ([[0.1, 0.2, 0.3]], False, [np.inf]), ([[0.9, 0.1, 0.1]], False, [10]), ([[np.nan, np.nan, 0.9]], False, [30]),
    ([[0.9, 0.8, 0.7]], True, [10]), ([[2.0, 0.8, 0.9]], True, [20]), ([[0.8, 0, 0], [0, 0, 0]], False, [10, np.inf])])
def test_steps_to(values, falling, expected):
    assert steps_to(values, 0.8 if not falling else 0.9, [10, 20, 30], falling).tolist() == expected


def test_steps_to_of_many_knows_the_direction():
    many = train_many(dense, X, Y, seeds=[1, 2], steps=48, record_every=4, learning_rate=0.1)
    for name, target in (("loss", 2.0), ("accuracy", 0.5)):
        there = many[name] <= target if name == "loss" else many[name] >= target
        assert many.steps_to(name, target).tolist() == [4 * (1 + row.argmax()) for row in there] and there.any(1).all()


# Manners

def test_the_callers_generators_are_left_alone():
    random.seed(1), np.random.seed(1)
    expected = random.random(), np.random.rand()
    random.seed(1), np.random.seed(1)
    many = train_many(dense, X, Y, seeds=[0], steps=1)
    many.network(0)
    assert (random.random(), np.random.rand()) == expected


def test_the_callers_optimiser_is_left_alone():
    rule = keras.optimizers.Adam(0.01)
    train_many(dense, X, Y, seeds=[0], steps=2, optimizer=rule, learning_rate=0.5)
    assert not rule.built and float(rule.learning_rate) == pytest.approx(0.01)


SCRIPT = """
import hashlib
from deeplearn.core.data import load
from deeplearn.core.ensemble import train_many
from deeplearn.core.training import keras
layers, digits = keras.layers, load("digits")
make = lambda: [layers.Reshape((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dropout(0.5), layers.Dense(16, "relu"), layers.Dense(10)]
many = train_many(make, digits.x_train, digits.y_train, seeds=range(6), steps=40, record_every=10, optimizer=keras.optimizers.Adam(0.01))
print(hashlib.sha256(b"".join(values.tobytes() for values in [*many.weights, *many.records.values()])).hexdigest())
"""


def test_two_processes_give_the_same_bits():
    running = [subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate() for process in running]
    assert all(process.returncode == 0 for process in running), said
    assert said[0][0].strip() and said[0][0] == said[1][0]


shared = dense()


@pytest.mark.parametrize("change, words", [
    (dict(layers=dense()), "`layers` must be a function"), (dict(layers=lambda: layers.Dense(10)), "returns a list of new Keras layers"),
    (dict(layers=lambda: shared), "new layers at each call"), (dict(seeds=[]), "`seeds`"), (dict(seeds=[0.5]), "`seeds`"), (dict(seeds=3), "`seeds`"),
    (dict(epochs=1), "either `epochs` or `steps`"), (dict(steps=None), "either `epochs` or `steps`"), (dict(record_every=3), "`record_every`"),
    (dict(learning_rate=[0.1, 0.2, 0.3]), "`learning_rate`"), (dict(learning_rate=-1.0), "`learning_rate`"), (dict(y=Y[:50]), "`y`"),
    (dict(test=(TEST[0], TEST[1][:3])), "`test`"), (dict(test=TEST[0]), "`test`"), (dict(subsets=[[0, 1]]), "`subsets`"),
    (dict(subsets=[[0], [110]]), "`subsets`"), (dict(loss="hinge"), "`loss`"), (dict(optimizer=keras.optimizers.Lamb()), "by its own gradients alone"),
    (dict(optimizer=SGD(clipnorm=1.0)), "by its own gradients alone"), (dict(optimizer=SGD(global_clipnorm=1.0)), "by its own gradients alone"),
    (dict(layers=lambda: [layers.Flatten(), layers.Dense(10, kernel_constraint="non_neg")]), "unconstrained"),
    (dict(layers=lambda: [layers.Flatten(), layers.Dense(10, activity_regularizer="l2")]), "penalties on weights")])
def test_errors_say_what_is_wrong(change, words):
    arguments = dict(layers=dense, x=X, y=Y, seeds=[0, 1], steps=4) | change
    with pytest.raises(ValueError, match=words):
        train_many(arguments.pop("layers"), arguments.pop("x"), arguments.pop("y"), **arguments)


def test_a_name_that_was_not_recorded():
    with pytest.raises(KeyError, match="there are: loss, accuracy"): train_many(dense, X, Y, seeds=[0], steps=1)["test_loss"]
