"""Back-propagation: every rule against central differences and TensorFlow, the network against Keras, and what the networks of 1986 learn."""
import functools
import warnings

import numpy as np
import pytest

from deeplearn.core.checks import CheckError, check_gradients
from deeplearn.core.training import keras
from deeplearn.foundations.backprop import (MLP, Tensor, cross_entropy, mirror_ratios, mirror_task, squared_error, train_sigmoid_nets)

tf = pytest.importorskip("tensorflow")
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])


def arrays(shapes, seed: int, low: float = 0.4, high: float = 2.5) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.uniform(low, high, shape) for shape in shapes]


def gradients(operation, points) -> tuple[np.ndarray, list, np.ndarray]:
    "Result, our gradients at all inputs, and the random weights that made one number of the result."
    tensors = [Tensor(p) for p in points]
    result = operation(*tensors)
    weights = np.random.default_rng(9).normal(size=result.shape)
    result.backward(weights)
    return result.data, [t.grad for t in tensors], weights


# name: (our operation, TensorFlow's, shapes of the inputs)
OPERATIONS = {
    "add": (lambda a, b: a + b, lambda a, b: a + b, [(3, 1, 4), (2, 1)]),
    "add a scalar": (lambda a, b: a + b, lambda a, b: a + b, [(2, 3), ()]),
    "subtract": (lambda a, b: a - b, lambda a, b: a - b, [(4,), (3, 4)]),
    "multiply": (lambda a, b: a * b, lambda a, b: a * b, [(2, 1, 3), (5, 1)]),
    "divide": (lambda a, b: a / b, lambda a, b: a / b, [(1, 3), (2, 1)]),
    "power": (lambda a, b: a ** b, lambda a, b: a ** b, [(3, 1), (1, 2)]),
    "power of a number": (lambda a: a ** 3 + a ** -1 + a ** 0.5, lambda a: a ** 3 + a ** -1 + a ** 0.5, [(2, 3)]),
    "negative": (lambda a: -a, lambda a: -a, [(2, 3)]),
    "index": (lambda a: a[1:, ::2], lambda a: a[1:, ::2], [(3, 5)]),
    "repeated index": (lambda a: a[[2, 0, 2, 2]], lambda a: tf.gather(a, [2, 0, 2, 2]), [(3, 2)]),
    "pairs of indices": (lambda a: a[[0, 1, 0], [1, 1, 1]], lambda a: tf.gather_nd(a, [[0, 1], [1, 1], [0, 1]]), [(2, 3)]),
    "new axis": (lambda a: a[None, :, 0], lambda a: a[None, :, 0], [(3, 2)]),
    "reshape": (lambda a: a.reshape(3, -1) * a.reshape((3, 4)), lambda a: tf.reshape(a, (3, 4)) ** 2, [(2, 6)]),
    "transpose": (lambda a: a.T, tf.transpose, [(2, 3, 4)]),
    "matmul": (lambda a, b: a @ b, tf.matmul, [(2, 3), (3, 4)]),
    "matmul of stacks": (lambda a, b: a @ b, tf.matmul, [(5, 1, 2, 3), (4, 3, 2)]),
    "vector @ matrix": (lambda a, b: a @ b, lambda a, b: tf.einsum("i,ij->j", a, b), [(3,), (3, 2)]),
    "matrix @ vector": (lambda a, b: a @ b, tf.linalg.matvec, [(2, 3), (3,)]),
    "vector @ vector": (lambda a, b: a @ b, lambda a, b: tf.tensordot(a, b, 1), [(3,), (3,)]),
    "vector @ stack": (lambda a, b: a @ b, lambda a, b: tf.einsum("i,bij->bj", a, b), [(3,), (2, 3, 4)]),
    "stack @ vector": (lambda a, b: a @ b, tf.linalg.matvec, [(2, 4, 3), (3,)]),
    "sum": (lambda a: a.sum(), tf.reduce_sum, [(2, 3)]),
    "sum over axes": (lambda a: a.sum((0, -1)), lambda a: tf.reduce_sum(a, (0, -1)), [(2, 3, 4)]),
    "sum keeping axes": (lambda a: a.sum(1, keepdims=True), lambda a: tf.reduce_sum(a, 1, keepdims=True), [(2, 3, 4)]),
    "mean": (lambda a: a.mean(), tf.reduce_mean, [(2, 3)]),
    "mean over an axis": (lambda a: a.mean(-2), lambda a: tf.reduce_mean(a, -2), [(2, 3, 4)]),
    "max": (lambda a: a.max(), tf.reduce_max, [(2, 3)]),
    "max over axes": (lambda a: a.max((0, 2), keepdims=True), lambda a: tf.reduce_max(a, (0, 2), keepdims=True), [(2, 3, 4)]),
    "exp": (Tensor.exp, tf.exp, [(2, 3)]), "log": (Tensor.log, tf.math.log, [(2, 3)]), "tanh": (Tensor.tanh, tf.tanh, [(2, 3)]),
    "sigmoid": (Tensor.sigmoid, tf.sigmoid, [(2, 3)]), "relu": (lambda a: (a - 1.5).relu(), lambda a: tf.nn.relu(a - 1.5), [(4, 5)]),
    "softmax": (Tensor.softmax, tf.nn.softmax, [(2, 3)]), "softmax over axis 0": (lambda a: a.softmax(0), lambda a: tf.nn.softmax(a, 0), [(2, 3)]),
    "squared error": (squared_error, lambda a, b: tf.reduce_mean((a - b) ** 2), [(4, 2), (4, 2)]),
    "cross-entropy": (lambda a: cross_entropy(a, [2, 0, 1, 2]),
                      lambda a: tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits([2, 0, 1, 2], a)), [(4, 3)]),
    "reuse": (lambda a, b: (a * b).tanh() @ b.T / (1 + a.exp().sum()), lambda a, b: tf.tanh(a * b) @ tf.transpose(b) / (1 + tf.reduce_sum(tf.exp(a))),
              [(3, 4), (3, 4)]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_against_central_differences(name):
    operation, _, shapes = OPERATIONS[name]
    for seed in (0, 1):
        points = arrays(shapes, seed)
        _, grads, weights = gradients(operation, points)
        assert [g.shape for g in grads] == shapes
        check_gradients(lambda x: (operation(*map(Tensor, x)).data * weights).sum(), points, grads, tolerance=1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_against_tensorflow(name):
    operation, theirs, shapes = OPERATIONS[name]
    points = arrays(shapes, seed=2)
    result, grads, weights = gradients(operation, points)
    variables = [tf.Variable(p) for p in points]
    with tf.GradientTape() as tape:
        value = theirs(*variables)
        total = tf.reduce_sum(value * weights)
    np.testing.assert_allclose(result, value.numpy(), rtol=1e-10, atol=1e-12)
    for ours, g in zip(grads, tape.gradient(total, variables)):
        np.testing.assert_allclose(ours, tf.convert_to_tensor(g).numpy(), rtol=1e-10, atol=1e-12)


def test_random_shapes_that_broadcast():
    random = np.random.default_rng(3)
    for _ in range(20):
        full = random.integers(1, 4, size=random.integers(1, 5))
        shapes = [tuple(np.where(random.random(n) < 0.5, 1, full[len(full) - n:]).tolist()) for n in random.integers(0, len(full) + 1, size=2)]
        points = arrays(shapes, seed=int(random.integers(100)))
        operation = lambda a, b: (a * b + a / b - b) * np.ones(full)
        _, grads, weights = gradients(operation, points)
        check_gradients(lambda x: (operation(*map(Tensor, x)).data * weights).sum(), points, grads)


def test_the_judge_can_say_no():
    point = arrays([(2, 3)], 0)[0]
    with pytest.raises(CheckError): check_gradients(lambda x: Tensor(x).tanh().data.sum(), point, 1 - np.tanh(point) ** 2 + 1e-4)


def test_ties_of_max_share_as_in_tensorflow():
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, -1.0, 5.0]])
    for axis in (None, 0, 1):
        ours, theirs = Tensor(x), tf.Variable(x)
        (ours.max(axis) * 2).sum().backward()
        with tf.GradientTape() as tape: total = tf.reduce_sum(tf.reduce_max(theirs, axis) * 2)
        np.testing.assert_allclose(ours.grad, tape.gradient(total, theirs).numpy())


def test_conventions_at_kinks_and_edges():
    x = Tensor([0.0, -1.0, 2.0])
    x.relu().sum().backward()
    assert x.grad.tolist() == [0, 0, 1]
    base = Tensor([0.0, -2.0, 3.0])
    (base ** 2 + base ** 0).sum().backward()
    assert base.grad.tolist() == [0, -4, 6]
    exponent = Tensor(2.0)
    (np.array([0.0, -3.0]) ** exponent).sum().backward()
    assert exponent.grad == 0


def test_extreme_inputs_stay_finite_without_a_warning():
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
        warnings.simplefilter("error")
        x = Tensor([[-1000.0, 0.0, 1000.0]])
        (x.sigmoid() + x.softmax() + x.tanh()).sum().backward()
        assert np.isfinite(x.grad).all()
        logits = Tensor([[0.0, 1000.0], [-1000.0, 0.0]])
        loss = cross_entropy(logits, [0, 0])
        loss.backward()
    assert float(loss) == 1000 and np.allclose(logits.grad, [[-0.5, 0.5], [-0.5, 0.5]])


def test_uses_and_passes_add_up():
    v = Tensor(3.0)
    for expected in (7, 14):
        (v * v + v).backward()
        assert v.grad == expected
    v.grad = None
    graph = v * v
    graph.backward()
    graph.backward()
    assert v.grad == 12
    assert graph.grad == 2


def test_the_given_gradient_is_neither_kept_nor_changed():
    seed, x = np.ones(3), Tensor([1.0, 2.0, 3.0])
    (x + 0).backward(seed)
    x.grad *= 5
    assert seed.tolist() == [1, 1, 1]


def test_numbers_arrays_and_lists_on_the_left_are_constants():
    x, a = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[2, 1], [4, 3]])
    for operation in (lambda l, r: l + r, lambda l, r: l - r, lambda l, r: l * r, lambda l, r: l / r, lambda l, r: l ** r, lambda l, r: l @ r):
        t = Tensor(x)
        result = operation(a, t)
        assert isinstance(result, Tensor) and len(result._edges) == 1
        np.testing.assert_allclose(result.data, operation(a.astype(float), x))
        result.sum().backward()
        check_gradients(lambda p: operation(a, Tensor(p)).data.sum(), x, t.grad)
    assert (2 - Tensor([1.0])).data == 1 and (np.float64(2) / Tensor([4.0])).data == 0.5 and ([1, 2] @ Tensor([3.0, 4.0])).data == 11
    assert [float(row.sum()) for row in Tensor(x)] == [3, 8]


def test_dtype_is_kept_and_whole_numbers_become_floats():
    single = Tensor(np.ones((2, 2), "float32"))
    loss = ((single * 2 + 1) ** 2 / 3).mean().exp()
    loss.backward()
    assert loss.dtype == single.grad.dtype == np.float32
    assert Tensor([1, 2]).dtype == Tensor([True]).dtype == np.float64
    shared = np.zeros(2)
    assert np.shares_memory(Tensor(shared).data, shared)


def test_deep_graphs_need_no_recursion():
    ratio, grown = Tensor(1.0001), Tensor(1.0)
    for _ in range(20_000): grown = grown * ratio
    grown.backward()
    assert np.isclose(ratio.grad, 20_000 * 1.0001 ** 19_999)
    wide = Tensor(0.5)
    ladder = wide
    for _ in range(60): ladder = ladder + ladder * wide          # 2 ** 60 paths, 120 nodes
    ladder.backward()
    assert np.isclose(wide.grad, 1.5 ** 60 + 0.5 * 60 * 1.5 ** 59)


def test_errors_say_what_was_expected():
    t = Tensor(np.ones((2, 3)))
    for action, words in ((t.backward, "`backward` starts from one number"), (lambda: t.backward(np.ones((3, 2))), r"must have the tensor's shape \(2, 3\)"),
                          (lambda: Tensor("one"), "`data` must be real numbers"), (lambda: Tensor([1j]), "`data` must be real numbers"),
                          (lambda: t @ 2.0, "`@` needs at least one axis"), (lambda: MLP((3,)), "`sizes` must be two or more"),
                          (lambda: MLP((2, 1)), "needs two outputs"), (lambda: MLP((2, 2), "gelu"), "`activation` must be one of"),
                          (lambda: MLP((2, 2), loss="hinge"), "`loss` must be one of"),
                          (lambda: MLP((2, 2)).fit(np.ones((4, 3)), [0] * 4), r"`x` must be \(B, 2\)"),
                          (lambda: MLP((2, 2)).fit(np.ones((4, 2)), [0, 1, 2, 0]), r"classes 0 \.\. 1"),
                          (lambda: MLP((2, 2)).fit(np.ones((4, 2)), [0.0] * 4), "`y` must be"),
                          (lambda: MLP((2, 1), loss="squared_error").fit(np.ones((4, 2)), np.ones(4)), r"`y` must be \(B, 1\)"),
                          (lambda: MLP((2, 2)).fit(np.ones((4, 2)), [0] * 4, batch_size=0), "`batch_size` must be"),
                          (lambda: MLP((2, 2)).set_weights([np.ones((2, 2))]), "`weights` must have shapes"), (lambda: mirror_task(5), "even number"),
                          (lambda: train_sigmoid_nets(*XOR, (3, 2, 1)), "`sizes` must begin"), (lambda: train_sigmoid_nets(*XOR, (2, 1), starts=0), "`starts`")):
        with pytest.raises(ValueError, match=words) as error: action()
        assert "Received:" in str(error.value)
    with pytest.raises(TypeError, match="`.data`"): np.asarray(t)
    with pytest.raises(TypeError): np.exp(t)


@pytest.mark.parametrize("activation,momentum", [("tanh", 0.0), ("relu", 0.875), ("sigmoid", 0.5)])
def test_mlp_equals_keras_step_for_step(activation, momentum):
    "Fifty steps from the same weights on the same batches; rates are exact in single precision, through which Keras passes them."
    random = np.random.default_rng(4)
    x, y = random.normal(size=(400, 7)), random.integers(3, size=400)
    keras.config.set_floatx("float64")
    try:
        dense = functools.partial(keras.layers.Dense, dtype="float64")  # said outright: Keras may have fixed its default before
        twin = keras.Sequential([keras.Input((7,), dtype="float64"), dense(9, activation), dense(5, activation), dense(3)])
        twin.compile(keras.optimizers.SGD(0.25, momentum=momentum), keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64"))
        ours = MLP((7, 9, 5, 3), activation, seed=5)
        twin.set_weights(ours.get_weights())
        losses = [float(twin.train_on_batch(x[i:i + 8], y[i:i + 8])) for i in range(0, 400, 8)]
    finally: keras.config.set_floatx("float32")
    start = ours.get_weights()
    ours.fit(x, y, learning_rate=0.25, momentum=momentum, batch_size=8, shuffle=False)
    for mine, theirs, first in zip(ours.get_weights(), twin.get_weights(), start):
        np.testing.assert_allclose(mine, theirs, atol=1e-10)
        assert np.abs(mine - first).max() > 1e-3, "the weights have moved"
    np.testing.assert_allclose(ours(x).data, twin(x).numpy(), atol=1e-6)
    assert len(losses) == 50


def test_mlp_initial_weights_follow_glorot():
    kernel, bias, *_ = MLP((300, 200, 10), seed=1).get_weights()
    reach = np.sqrt(6 / 500)
    assert not bias.any() and 0.99 * reach < np.abs(kernel).max() <= reach and abs(kernel.std() / (reach / np.sqrt(3)) - 1) < 0.02


def test_mlp_same_seed_same_training_and_fitting_on_is_one_training():
    random = np.random.default_rng(6)
    x, y = random.normal(size=(50, 4)), random.integers(2, size=50)
    options = dict(learning_rate=0.1, momentum=0.9, batch_size=7)
    whole, parts, other = MLP((4, 5, 2), seed=1), MLP((4, 5, 2), seed=1), MLP((4, 5, 2), seed=2)
    losses = whole.fit(x, y, epochs=6, **options)
    again = np.concatenate([parts.fit(x, y, epochs=2, **options) for _ in range(3)])
    other.fit(x, y, epochs=6, **options)
    assert losses.shape == (6,) and np.array_equal(losses, again)
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), parts.get_weights()))
    assert not np.allclose(whole.get_weights()[0], other.get_weights()[0])


def test_mlp_fits_one_batch_and_learns_digits():
    from deeplearn.core.data import load
    digits = load("digits")
    x, x_test = digits.x_train.reshape(-1, 64), digits.x_test.reshape(-1, 64)
    net = MLP((64, 32, 10), seed=0)
    assert net.fit(x[:32], digits.y_train[:32], epochs=200, learning_rate=0.5)[-1] < 0.02
    shuffled = np.random.default_rng(0).permutation(digits.y_train)
    for labels, low, high in ((digits.y_train, 0.93, 1.0), (shuffled, 0.0, 0.2)):
        net = MLP((64, 32, 10), seed=0)
        net.fit(x, labels, epochs=10, learning_rate=0.05, momentum=0.9, batch_size=32)
        assert low <= (net.predict(x_test) == digits.y_test).mean() <= high


def test_linear_layers_are_one_matrix():
    net = MLP((5, 7, 6, 3), activation="linear", seed=3)
    w1, b1, w2, b2, w3, b3 = net.get_weights()
    x = np.random.default_rng(0).normal(size=(10, 5))
    np.testing.assert_allclose(net(x).data, x @ (w1 @ w2 @ w3) + (b1 @ w2 + b2) @ w3 + b3, atol=1e-12)


@pytest.mark.parametrize("sizes", [(2, 1), (2, 3, 1), (2, 4, 3, 1)])
def test_many_starts_take_the_step_that_tensors_compute(sizes):
    nets = train_sigmoid_nets(*XOR, sizes, starts=3, learning_rate=1.0, momentum=0.0, sweeps=1, keep=[0], seed=7)
    for start in range(3):
        net = MLP(sizes, "sigmoid", "sigmoid", "squared_error")
        net.set_weights(nets.start(start, 0))
        loss = ((net(XOR[0]) - XOR[1]) ** 2).sum() / 2
        loss.backward()
        assert np.isclose(float(loss), nets.losses[0, start], atol=1e-14)
        assert np.isclose(np.abs(net.predict(XOR[0]) - XOR[1]).max(), nets.worst[0, start])
        for parameter, before, after in zip(net.parameters, nets.start(start, 0), nets.start(start)):
            np.testing.assert_allclose(before - after, parameter.grad, atol=1e-14)


def test_many_starts_follow_the_paper_s_momentum():
    "Two sweeps with momentum, by hand: change = -rate * gradient + momentum * last change."
    nets = train_sigmoid_nets(*XOR, (2, 2, 1), starts=1, learning_rate=0.5, momentum=0.9, sweeps=2, keep=[0, 1])
    steps = [[a - b for a, b in zip(nets.start(0, t + 1 if t == 0 else None), nets.start(0, t))] for t in (0, 1)]
    net = MLP((2, 2, 1), "sigmoid", "sigmoid", "squared_error")
    net.set_weights(nets.start(0, 1))
    (((net(XOR[0]) - XOR[1]) ** 2).sum() / 2).backward()
    for first, second, parameter in zip(*steps, net.parameters): np.testing.assert_allclose(second, -0.5 * parameter.grad + 0.9 * first, atol=1e-14)


def test_a_start_depends_on_its_own_seed_alone():
    crowd = train_sigmoid_nets(*XOR, (2, 2, 1), starts=5, sweeps=50, seed=10)
    alone = train_sigmoid_nets(*XOR, (2, 2, 1), starts=1, sweeps=50, seed=13)
    for a, b in zip(crowd.start(3), alone.start(0)): np.testing.assert_allclose(a, b, atol=1e-12)
    assert not np.allclose(crowd.start(0)[0], crowd.start(1)[0])
    zero = train_sigmoid_nets(*XOR, (2, 2, 1), starts=5, sweeps=0, seed=10, bias_init=0.0)
    assert not zero.weights[1].any() and not zero.weights[3].any() and 0.2 < np.abs(zero.weights[0]).max() < 0.3


def test_sweeps_are_counted_from_the_first_time_all_outputs_are_close():
    nets = train_sigmoid_nets(*XOR, (2, 2, 1), starts=6, learning_rate=0.5, sweeps=1_500)
    for start, count in enumerate(nets.sweeps_to(0.5)):
        close = np.flatnonzero(nets.worst[:, start] < 0.5)
        assert count == (close[0] if len(close) else np.inf)
    assert (nets.sweeps_to(0.1) >= nets.sweeps_to(0.5)).all()


def test_xor_is_learned_by_most_starts_and_not_by_all():
    nets = train_sigmoid_nets(*XOR, (2, 2, 1), starts=60, learning_rate=0.5, momentum=0.9, sweeps=5_000)
    solved = np.isfinite(nets.sweeps_to(0.5))
    assert 0.8 < solved.mean() < 1
    assert np.allclose(nets.losses[-1, ~solved], 0.25, atol=0.02), "a stalled net settles two cases and answers one half to two"
    assert not np.isfinite(train_sigmoid_nets(*XOR, (2, 1, 1), starts=20, learning_rate=0.5, sweeps=2_000).sweeps_to(0.5)).any()


def test_mirror_task_lists_all_patterns():
    x, y = mirror_task()
    assert len({tuple(row) for row in x}) == 64 and y.sum() == 8
    assert all(bool(t[0]) == (list(row) == list(row)[::-1]) for row, t in zip(x, y))
    assert mirror_task(2)[0].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]] and mirror_task(2)[1][:, 0].tolist() == [1, 0, 0, 1]


def test_symmetry_finds_the_code_1_2_4():
    x, y = mirror_task()
    nets = train_sigmoid_nets(x, y, (6, 2, 1), starts=12, learning_rate=0.05, sweeps=4_000)
    assert np.isfinite(nets.sweeps_to(0.5)).all()
    ratios, asymmetry = mirror_ratios(nets.weights[0])
    assert (asymmetry < 0.05).all()
    np.testing.assert_allclose(np.median(ratios, 0), [2, 4], rtol=0.1)
    first, second = nets.weights[0][..., 0], nets.weights[0][..., 1]
    np.testing.assert_allclose(first, -second, rtol=0.02, err_msg="the second unit is the first with its signs turned")


def test_mirror_ratios_of_known_weights():
    code = np.array([1.0, -4.0, 2.0, -2.0, 4.0, -1.0])
    kernel = np.stack([np.stack([3 * code, -3 * code], -1), np.stack([code, np.abs(code)], -1)])
    ratios, asymmetry = mirror_ratios(kernel)
    np.testing.assert_allclose(ratios, [[2, 4], [2, 4]])
    np.testing.assert_allclose(asymmetry, [0, 2])


def test_the_experiment_judges_by_the_rules_of_the_ledger(root):
    from deeplearn.core.claims import load_claims
    spec = load_claims(root / "nbs" / "experiments" / "backprop_symmetry.yaml")
    rules = {c.id: c.rule for c in (*spec.claims, *spec.controls)}
    assert rules["rhw-symmetry-1-2-4"]["solved"] == dict(kind="PROP", threshold=0.9)
    assert [rules["rhw-symmetry-1-2-4"][part][end] for part in ("second_magnitude", "third_magnitude") for end in ("low", "high")] == [1.8, 2.2, 3.6, 4.4]
    assert rules["rhw-symmetry-1425"] == dict(kind="RANGE", of="quantiles", value=1425)
    assert {part: rule["threshold"] for part, rule in rules["mlp-solves-xor"].items()} == dict(learns=0.8, stalls=0)
    assert {c.id for c in spec.controls} == {"shuffled-targets-solved", "shuffled-targets-code", "xor-one-hidden-unit"}
