"""The checks catch planted faults, one at a time, and let healthy layers, gradients and models pass."""

import numpy as np
import pytest

from deeplearn.core.checks import CheckError, check_gradients, check_layer, gradient, overfit_one_batch
from deeplearn.core.training import keras, seed_everything

layers, ops = keras.layers, keras.ops


def failed(make, **given) -> tuple[str, ...]:
    "The checks that a layer fails."
    with pytest.raises(CheckError) as caught: check_layer(make, **(given or dict(input_shape=(None, 5))))
    return caught.value.report.failed


# Healthy layers

@pytest.mark.parametrize("make, given", [
    (lambda: layers.Dense(3, activation="softmax"), dict(input_shape=(None, 5), output_shape=(None, 3))),
    (lambda: layers.BatchNormalization(momentum=0.9), dict(input_shape=(8, 5))),
    (lambda: layers.Conv2D(4, 3), dict(input_shape=(2, 6, 6, 3), output_shape=(None, 4, 4, 4))),
    (lambda: layers.GRU(4, return_sequences=True), dict(input_shape=(2, 5, 3))),
    (lambda: layers.Dropout(0.5), dict(input_shape=(2, 5))),
    (lambda: layers.Embedding(10, 4), dict(inputs=np.arange(6).reshape(2, 3), output_shape=(2, 3, 4))),
    (lambda: Product(), dict(input_shape=(2, 5))),
    (lambda: layers.Concatenate(), dict(inputs=[np.ones((2, 3), "float32"), np.zeros((2, 4), "float32")], output_shape=(None, 7))),
], ids=["Dense", "BatchNormalization", "Conv2D", "GRU", "Dropout", "Embedding", "Product", "Concatenate"])
def test_keras_own_layers_pass(make, given):
    assert check_layer(make, **given).failed == ()


def test_an_instance_is_taken_for_its_configuration():
    report = check_layer(layers.Dense(3, dtype="float32"), input_shape=(None, 5))
    assert report["mixed_float16"].outcome == "passed" and "float16" in report["mixed_float16"].detail


def test_a_report_is_a_table_with_a_line_a_check():
    report = check_layer(lambda: layers.Dense(3), input_shape=(None, 5), policies=("float32",))
    lines = repr(report).splitlines()
    assert lines[0] == "Dense on (4, 5)" and len(lines) == 1 + len(report.checks) and all("passed" in line for line in lines[1:])


def test_checking_leaves_the_global_precision_alone():
    check_layer(lambda: layers.Dense(3), input_shape=(None, 5))
    assert keras.config.dtype_policy().name == "float32"


# Planted faults, one each

class WrongShape(layers.Dense):
    def compute_output_shape(self, input_shape): return (*input_shape[:-1], self.units + 1)


class Scaled(layers.Dense):
    "Forgets `scale` in its configuration."
    def __init__(self, units, scale=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.scale = scale

    def call(self, inputs): return super().call(inputs) * self.scale


class WrongValue(Scaled):
    "Names its argument, with a wrong value."
    def get_config(self): return super().get_config() | dict(scale=1.0)


class Detached(layers.Dense):
    def call(self, inputs): return ops.matmul(inputs, ops.stop_gradient(self.kernel)) + self.bias


class Product(layers.Layer):
    "A healthy layer with one weight, to spoil."
    def build(self, input_shape): self.gain = self.add_weight(shape=input_shape[1:], name="gain", initializer="ones")

    def call(self, inputs): return inputs * self.gain


class Unused(Product):
    "Has a weight that it never uses."
    def build(self, input_shape):
        super().build(input_shape)
        self.spare = self.add_weight(shape=(3,), name="spare")


class HalfWeights(Product):
    "Keeps its weight in the precision it computes in."
    def build(self, input_shape): self.gain = self.add_weight(shape=input_shape[1:], name="gain", initializer="ones", dtype=self.compute_dtype)


class Unsaved(layers.Dense):
    "Adds a weight to a Keras layer that writes its own weights by name, and so forgets it in the file."
    def build(self, input_shape):
        super().build(input_shape)
        self.gain = self.add_weight(shape=(self.units,), name="gain", initializer="ones")

    def call(self, inputs): return super().call(inputs) * self.gain


class Muted(Product):
    "Its weight has a derivative that is zero everywhere."
    def call(self, inputs): return inputs + self.gain * 0


class Leak(layers.Dense):
    def call(self, inputs): return ops.cast(super().call(inputs), "float32")


class HiddenState(layers.Layer):
    mean = 0.0

    def call(self, inputs, training=False):
        if training: self.mean = self.mean + 0.5
        return inputs - ops.cast(self.mean, inputs.dtype)


class ReverseCopy(layers.Dense):
    "Writes its weights to the file, and reads back others."
    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.bias.assign(ops.zeros_like(self.bias))


class Noisy(layers.Layer):
    def call(self, inputs): return inputs + ops.cast(np.random.normal(size=inputs.shape[1:]), inputs.dtype)


class BatchCentred(layers.Layer):
    def call(self, inputs): return inputs - ops.mean(inputs, axis=0, keepdims=True)


class FixedBatch(layers.Layer):
    def call(self, inputs): return ops.reshape(inputs, (4, -1))


class Infinite(layers.Layer):
    def call(self, inputs): return ops.log(inputs * 0)


class InfiniteSlope(layers.Dense):
    "Its outputs are finite, its gradient at zero is not."
    def call(self, inputs): return ops.sqrt(ops.abs(ops.matmul(inputs * 0, self.kernel))) + self.bias


class Crashes(layers.Layer):
    def call(self, inputs): raise RuntimeError("out of order")


@pytest.mark.parametrize("make, expected", [
    (lambda: WrongShape(3), {"output shape"}),
    (lambda: Scaled(3, scale=2.0), {"config", "saving"}),
    (lambda: Scaled(3), {"config"}),
    (lambda: WrongValue(3, scale=2.0), {"config", "saving"}),
    (lambda: Detached(3), {"gradients"}),
    (lambda: Unused(), {"gradients"}),
    (lambda: Muted(), {"gradients"}),
    (lambda: Leak(3), {"mixed_float16", "mixed_bfloat16"}),
    (lambda: HalfWeights(), {"mixed_float16", "mixed_bfloat16"}),
    (lambda: HiddenState(), {"config", "saving"}),
    (lambda: ReverseCopy(3), {"saving"}),
    (lambda: Unsaved(3), {"saving"}),
    (lambda: BatchCentred(), {"one example"}),
    (lambda: InfiniteSlope(3), {"gradients"}),
    (lambda: Crashes(), {"call"}),
], ids=lambda value: "" if callable(value) else "+".join(sorted(value)))
def test_a_planted_fault_fails_exactly_its_checks(make, expected): assert set(failed(make)) == expected


@pytest.mark.parametrize("make, expected", [
    (lambda: Noisy(), {"repeatable"}), (lambda: FixedBatch(), {"one example", "any batch size"}), (lambda: Infinite(), {"finite"}),
], ids=["noisy", "fixed batch", "infinite"])
def test_a_planted_fault_fails_its_checks_among_others(make, expected): assert expected <= set(failed(make))


def test_the_expected_shape_is_checked_where_given():
    assert failed(lambda: layers.Dense(3), input_shape=(None, 5), output_shape=(None, 4)) == ("output shape",)


def test_a_layer_may_compare_examples_if_it_says_so():
    assert check_layer(lambda: BatchCentred(), input_shape=(None, 5), across_batch=True).failed == ()


def test_the_error_names_check_expected_and_received():
    with pytest.raises(AssertionError, match=r"Detached failed: gradients.*expected a gradient in every trainable weight. Received: none in kernel"):
        check_layer(lambda: Detached(3), input_shape=(None, 5))


@pytest.mark.parametrize("arguments, message", [
    (dict(layer=layers.Dense), "`layer` must be a layer, or a function without arguments"),
    (dict(layer=lambda: layers.Dense(3)), "`inputs` or `input_shape` must be given, not both"),
    (dict(layer=lambda: layers.Dense(3), inputs=np.ones((2, 3)), input_shape=(2, 3)), "must be given, not both"),
    (dict(layer=lambda: layers.Dense(3), input_shape=(None, None)), "every size but the batch's"),
])
def test_arguments_that_make_no_sense(arguments, message):
    arguments = dict(arguments)
    with pytest.raises(ValueError, match=message): check_layer(arguments.pop("layer"), **arguments)


# Gradients

POINT = np.random.default_rng(0).normal(size=(3, 4))


def cubes(x): return float(np.sum(x ** 3))


def test_a_true_gradient_passes_by_hand_and_by_backend():
    assert check_gradients(cubes, POINT, lambda x: 3 * x ** 2) < 1e-6
    assert check_gradients(cubes, POINT, 3 * POINT ** 2) < 1e-6
    assert check_gradients(lambda x: ops.sum(x ** 3), POINT) < 1e-6


@pytest.mark.parametrize("wrong", [lambda x: 3 * x, lambda x: 3 * x ** 2 * (1 + 1e-5), lambda x: -3 * x ** 2, lambda x: 0 * x, lambda x: x * np.nan])
def test_a_wrong_gradient_is_caught(wrong):
    with pytest.raises(CheckError, match="expected the derivative"): check_gradients(cubes, POINT, wrong)


def test_one_wrong_entry_is_named():
    wrong = 3 * POINT ** 2
    wrong[1, 2] += 0.01
    with pytest.raises(CheckError, match=r"at x\[1, 2\]"): check_gradients(cubes, POINT, wrong)
    with pytest.raises(CheckError, match=r"at x\[1\]\[1, 2\]"):
        check_gradients(lambda v: cubes(v[0]) + cubes(v[1]), [POINT, POINT], [3 * POINT ** 2, wrong])


def test_a_missing_derivative_is_caught():
    "The backend sees no path through `stop_gradient`; the function has a slope all the same."
    with pytest.raises(CheckError, match="Received: 0"): check_gradients(lambda x: ops.sum(ops.stop_gradient(x) ** 2), POINT)


def test_a_gradient_of_another_shape_is_caught():
    with pytest.raises(CheckError, match=r"shape \(3, 4\)"): check_gradients(cubes, POINT, 3 * POINT[0] ** 2)


def test_a_derivative_that_is_zero_raises_no_alarm():
    assert check_gradients(lambda x: float(x[0] ** 2), np.array([3.0, 5.0]), np.array([6.0, 0.0])) < 1e-6
    assert check_gradients(lambda x: 1.0, np.array([3.0]), np.array([0.0])) == 0


def test_float32_is_refused_rather_than_compared_with_noise():
    dense = layers.Dense(2)
    with pytest.raises(ValueError, match="must compute in float64.*float32"): check_gradients(lambda x: ops.sum(dense(x)), POINT)
    with pytest.raises(ValueError, match="must return a scalar"): check_gradients(lambda x: x, POINT)


def test_weights_of_a_layer_are_checked_through_a_stateless_call():
    dense = layers.Dense(3, activation="sigmoid", dtype="float64")
    dense.build(POINT.shape)
    assert check_gradients(lambda weights: ops.sum(dense.stateless_call(weights, [], POINT)[0] ** 2), dense.get_weights()) < 1e-6


def test_gradient_is_none_or_zero_where_nothing_depends():
    used, unused = gradient(lambda v: ops.sum(v[0] * 2), [np.ones(2, "float32"), np.ones(3, "float32")])
    assert used.tolist() == [2, 2] and (unused is None or not unused.any())


# One batch by heart

BATCH = np.random.default_rng(1).normal(size=(16, 5)).astype("float32"), np.arange(16) % 4


def classifier(*extra, start="glorot_uniform"):
    seed_everything(0)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(32, "relu", kernel_initializer=start), *extra, layers.Dense(4)])
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_a_healthy_model_learns_a_batch_and_is_left_as_it_was():
    model = classifier()
    before = model.get_weights()
    first, again = overfit_one_batch(model, *BATCH), overfit_one_batch(model, *BATCH)
    assert first[-1] < 0.01 < first[0] and len(first) < 500
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights())) and int(model.optimizer.iterations) == 0
    assert np.array_equal(first, again)


@pytest.mark.parametrize("make, message", [
    (lambda: classifier(start="zeros"), "these weights never moved: dense"),
    (lambda: classifier(BatchCentred(), layers.Rescaling(0.0)), "never moved"),
], ids=["zero start", "signal lost"])
def test_a_model_that_cannot_learn_is_caught_with_its_loss(make, message):
    with pytest.raises(CheckError, match=r"Received: 1\.3\d+ after 60, .*" + message) as caught: overfit_one_batch(make(), *BATCH, steps=60)
    assert caught.value.report.shape == (60,)


def test_a_frozen_model_and_one_that_is_not_compiled_are_named():
    model = classifier()
    model.trainable = False
    model.compile("sgd", "mse")
    with pytest.raises(CheckError, match="no trainable weights"): overfit_one_batch(model, *BATCH)
    with pytest.raises(ValueError, match="must be compiled"): overfit_one_batch(keras.Sequential([layers.Dense(1)]), *BATCH)


def test_a_diverging_model_fails_at_once():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e20), "mse")
    with pytest.raises(CheckError, match="(nan|inf) after [23],"): overfit_one_batch(model, BATCH[0], BATCH[1][:, None].astype("float32"))
