"""Training is resumed to the bit, refuses what is foreign, stops in time, is quiet, and says how far it is."""
import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import deeplearn.core.training as training
from deeplearn.core.training import fit, keras, progress, seed_everything

ROOT = Path(__file__).resolve().parents[1]
layers, ops = keras.layers, keras.ops
RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 6)).astype("float32")
Y = (X[:, 0] * X[:, 1] > 0).astype("int64")
VALIDATION = X[:50] + 0.3, Y[:50]
MODEL = '''
def new_model(seed=0, rate=0.01):
    seed_everything(seed)
    noisy = [keras.Input((6,)), keras.layers.GaussianNoise(0.1), keras.layers.Dense(16, "relu"), keras.layers.BatchNormalization(momentum=0.9),
             keras.layers.Dropout(0.3), keras.layers.Dense(2)]
    model = keras.Sequential(noisy)
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model
'''
exec(MODEL)


def state(model) -> list[np.ndarray]: return training._values(training._variables(model))


def equal(ours, theirs) -> bool: return len(ours) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(ours, theirs))


def digest(model) -> str: return training._digest(*model.get_weights())


@pytest.fixture(scope="module")
def undisturbed():
    "Six epochs without a checkpoint: the model and its history."
    model = new_model()
    return model, fit(model, X, Y, epochs=6, validation=VALIDATION)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    "The checkpoint of three epochs, and what was said of them."
    path = tmp_path_factory.mktemp("finished") / "three.npz"
    return path, fit(new_model(), X, Y, epochs=3, validation=VALIDATION, checkpoint=path)


def copy(path: Path, folder: Path) -> Path:
    (folder / path.name).write_bytes(path.read_bytes())
    return folder / path.name


# Another process: quiet import, equal seeds, a kill in the middle of a save

CHILD = f'''
import os, signal, sys
import numpy as np
import deeplearn.core.training as training
from deeplearn.core.training import fit, keras, seed_everything
{MODEL}
x, y, v, w = (np.load(sys.argv[1])[name] for name in "xyvw")
for seed in (0, 1): print(training._digest(*new_model(seed).get_weights()))
once = new_model()
fit(once, x, y, epochs=1)
print(training._digest(*once.get_weights()), flush=True)
replace, saves = os.replace, []

def die_at_the_fourth(source, target):
    saves.append(target)
    if len(saves) == 4: os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = die_at_the_fourth
fit(new_model(), x, y, epochs=6, validation=(v, w), checkpoint=sys.argv[2])
'''


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    folder = tmp_path_factory.mktemp("child")
    np.savez(folder / "data.npz", x=X, y=Y, v=VALIDATION[0], w=VALIDATION[1])
    environment = {k: v for k, v in os.environ.items() if k not in ("TF_CPP_MIN_LOG_LEVEL", "DEEPLEARN_PROGRESS")}
    done = subprocess.run([sys.executable, "-c", CHILD, folder / "data.npz", folder / "killed.npz"], capture_output=True, text=True, cwd=ROOT,
                          env=environment, timeout=120)
    return done, folder / "killed.npz"


def test_import_and_training_write_nothing_to_standard_error(child): assert child[0].stderr == ""


def test_one_seed_gives_equal_weights_in_two_processes(child):
    first, other, trained = child[0].stdout.split()
    assert first == digest(new_model(0)) and other == digest(new_model(1)) and first != other
    model = new_model()
    fit(model, X, Y, epochs=1)
    assert trained == digest(model)


def test_a_training_killed_while_saving_is_resumed_to_the_bit(child, undisturbed):
    done, path = child
    assert done.returncode == -9
    assert path.with_name("killed.npz.partial").exists(), "the child should have died with the fourth save half done"
    model = new_model(seed=5)
    history = fit(model, X, Y, epochs=6, validation=VALIDATION, checkpoint=path)
    assert history.resumed == 3 and equal(state(model), state(undisturbed[0]))
    assert not path.with_name("killed.npz.partial").exists()


# Resuming

def test_resumed_equals_undisturbed_in_weights_optimiser_generators_and_history(finished, undisturbed, tmp_path):
    model = new_model(seed=7)
    history = fit(model, X, Y, epochs=6, validation=VALIDATION, checkpoint=copy(finished[0], tmp_path))
    assert (history.resumed, history.epochs) == (3, 6) and equal(state(model), state(undisturbed[0]))
    assert history.metrics.keys() == undisturbed[1].metrics.keys()
    assert all(np.array_equal(history[name], undisturbed[1][name]) for name in history.metrics)


def test_saving_does_not_disturb_a_training(undisturbed, tmp_path):
    model = new_model()
    fit(model, X, Y, epochs=6, validation=VALIDATION, checkpoint=tmp_path / "a" / "whole.npz")
    assert equal(state(model), state(undisturbed[0])) and [p.name for p in (tmp_path / "a").iterdir()] == ["whole.npz"]


def test_a_finished_checkpoint_returns_at_once(finished, monkeypatch):
    model = new_model(seed=3)
    monkeypatch.setattr(model, "fit", lambda *a, **k: pytest.fail("nothing was left to train"))
    history = fit(model, X, Y, epochs=3, validation=VALIDATION, checkpoint=finished[0])
    assert history.resumed == history.epochs == 3 and np.array_equal(history["loss"], finished[1]["loss"]) and history.seconds == finished[1].seconds


@pytest.mark.parametrize("lost", ["optimiser", "generators", "order"])
def test_each_part_of_the_state_matters(lost, finished, undisturbed, tmp_path, monkeypatch):
    "A checkpoint that forgets one part ends elsewhere, so the equality above is no accident."
    if lost == "order": monkeypatch.setattr(training._Batches, "begin", lambda self, epoch: setattr(self, "order", np.arange(self.count)))
    resume = training._resume

    def forgetful(path, identity, epochs, model):
        kept = state(model)
        found = resume(path, identity, epochs, model)
        for variable, old in zip(training._variables(model), kept):
            if lost == "generators" and "seed_generator" in variable.path or lost == "optimiser" and "momentum" in variable.path: variable.assign(old)
        return found

    monkeypatch.setattr(training, "_resume", forgetful)
    model = new_model(seed=7)
    fit(model, X, Y, epochs=6, validation=VALIDATION, checkpoint=copy(finished[0], tmp_path))
    assert not equal(model.get_weights(), undisturbed[0].get_weights())


class AnonymousNoise(layers.Layer):
    "Draws from Keras's shared generator, NumPy's and Python's."
    def call(self, inputs, training=False):
        if not training: return inputs
        other = ops.convert_to_tensor(np.float32(np.random.rand() + random.random()))
        return inputs + keras.random.normal(ops.shape(inputs)) * 0.1 + other * 0.0


@pytest.mark.skipif(keras.config.backend() == "jax", reason="JAX refuses draws from the shared generator")
def test_generators_outside_the_model_are_resumed(tmp_path):
    def make(seed):
        seed_everything(seed)
        model = keras.Sequential([keras.Input((6,)), AnonymousNoise(), layers.Dense(2)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
        return model

    whole, cut, resumed = make(0), None, None
    fit(whole, X[:64], Y[:64], epochs=3)
    after = np.random.rand(), random.random()
    cut = make(0)
    fit(cut, X[:64], Y[:64], epochs=2, checkpoint=tmp_path / "noise.npz")
    resumed = make(9)
    fit(resumed, X[:64], Y[:64], epochs=3, checkpoint=tmp_path / "noise.npz")
    assert equal(whole.get_weights(), resumed.get_weights()) and after == (np.random.rand(), random.random())


def test_structures_of_inputs_and_several_optimisers_are_resumed(tmp_path):
    class Two(keras.Model):
        "Two inputs, no targets, an optimiser for each half of its weights."
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(2), layers.Dense(2)

        def build(self, shape):
            self.a.build(shape["left"])
            self.b.build(shape["right"])
            self.built = True

        def compile(self):
            super().compile(loss=None, optimizer=None)
            self.first, self.second = keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.1, momentum=0.9)
            for optimiser, layer in ((self.first, self.a), (self.second, self.b)): optimiser.build(layer.trainable_variables)

        def call(self, inputs): return self.a(inputs["left"]) - self.b(inputs["right"])

        def train_step(self, data):
            import tensorflow as tf
            inputs = data[0] if isinstance(data, tuple) else data
            with tf.GradientTape(persistent=True) as tape: loss = tf.reduce_mean(self(inputs) ** 2)
            for optimiser, layer in ((self.first, self.a), (self.second, self.b)):
                optimiser.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
            return dict(loss=loss)

    if keras.config.backend() != "tensorflow": pytest.skip("a train_step is written for one backend")
    models, given = [], dict(left=X[:, :3], right=X[:, 3:])
    for epochs in ((4,), (2, 4)):
        for count in epochs:
            seed_everything(0)
            model = Two()
            model.build(dict(left=(None, 3), right=(None, 3)))
            model.compile()
            history = fit(model, given, epochs=count, checkpoint=tmp_path / f"{len(epochs)}.npz")
        models.append(model)
    assert history.resumed == 2 and equal(state(models[0]), state(models[1])) and len(state(models[0])) > 10


# Refusals

@pytest.mark.parametrize("change, message", [
    (dict(batch_size=16), "batch_size (then 32, now 16)"), (dict(seed=1), "seed (then 0, now 1)"), (dict(patience=2), "patience (then None, now 2)"),
    (dict(x=X + 1), "differ: data"), (dict(y=1 - Y), "differ: data"), (dict(validation=None), "differ: validation"),
    (dict(validation=(X[:50], Y[:50])), "differ: validation"), (dict(model=lambda: new_model(rate=0.02)), "differ: compilation"),
    (dict(model=lambda: other_model("tanh")), "differ: model"), (dict(epochs=2), "`epochs` must be at least the 3"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_a_foreign_checkpoint_is_refused_and_left_alone(change, message, finished):
    given = dict(model=new_model, x=X, y=Y, epochs=3, validation=VALIDATION) | change
    model = given.pop("model")()
    before, file = state(model), finished[0].read_bytes()
    with pytest.raises(ValueError) as error: fit(model, given.pop("x"), given.pop("y"), checkpoint=finished[0], **given)
    assert message in str(error.value) and equal(before, state(model)) and finished[0].read_bytes() == file


def other_model(activation):
    model = keras.Sequential([keras.Input((6,)), layers.GaussianNoise(0.1), layers.Dense(16, activation), layers.BatchNormalization(momentum=0.9),
                              layers.Dropout(0.3), layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def test_the_same_model_built_elsewhere_is_no_stranger(finished):
    assert fit(other_model("relu"), X, Y, epochs=3, validation=VALIDATION, checkpoint=finished[0]).resumed == 3


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None], ids=["empty", "text", "cut off"])
def test_a_broken_file_is_refused(content, finished, tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(finished[0].read_bytes()[:-2000] if content is None else content)
    with pytest.raises(ValueError, match="`checkpoint` must name a file that `fit` wrote"): fit(new_model(), X, Y, epochs=3, validation=VALIDATION, checkpoint=path)


@pytest.mark.parametrize("change, message", [
    (dict(epochs=0), "`epochs` must be a whole number, 1 or more. Received: epochs=0"), (dict(epochs=2.5), "`epochs`"), (dict(batch_size=True), "`batch_size`"),
    (dict(seed=-1), "`seed` must be a whole number, 0 or more"), (dict(patience=0, validation=VALIDATION), "`patience`"), (dict(patience=2), "`patience` needs `validation`"),
    (dict(validation=X), "`validation` must be a pair"), (dict(validation=(X, Y, Y)), "a tuple of 3"), (dict(validation=(X, Y[:9])), "y of length|of length 9"),
    (dict(y=Y[:-1]), "x of length 203, y of length 202"), (dict(x=X[:0], y=Y[:0]), "not empty"), (dict(model=keras.Sequential([layers.Dense(1)])), "must be compiled"),
    (dict(callbacks=(keras.callbacks.Callback(),), checkpoint="never.npz"), "`callbacks` keep a state"),
])
def test_arguments_that_make_no_sense(change, message):
    given = dict(model=other_model("relu"), x=X, y=Y, epochs=1) | change
    with pytest.raises(ValueError, match=message): fit(given.pop("model"), given.pop("x"), given.pop("y"), **given)
    assert not Path("never.npz").exists()


def test_seeds_that_make_no_sense():
    for seed in (-1, 2**32, 1.0, True, None):
        with pytest.raises(ValueError, match="`seed` must be a whole number"): seed_everything(seed)


# Endings

@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    "Twenty examples, a large step: the validation loss soon rises."
    path, model = tmp_path_factory.mktemp("stopped") / "early.npz", new_model(rate=0.05)
    return path, model, fit(model, X[:20], Y[:20], epochs=60, validation=VALIDATION, patience=4, checkpoint=path)


def test_early_stop_restores_the_best_weights(stopped):
    _, model, history = stopped
    losses = history["val_loss"]
    assert history.stopped_early and history.epochs == len(losses) == history.best_epoch + 4 < 60
    assert history.best_epoch == losses.argmin() + 1 and losses[-1] > losses.min()
    measured = float(model.loss(VALIDATION[1], model(VALIDATION[0])))
    assert measured == pytest.approx(losses.min(), rel=1e-5) and measured != pytest.approx(losses[-1], rel=1e-3)


def test_a_stopped_training_stays_stopped_when_asked_for_more(stopped):
    path, model, history = stopped
    again = new_model(seed=4, rate=0.05)
    assert fit(again, X[:20], Y[:20], epochs=99, validation=VALIDATION, patience=4, checkpoint=path).epochs == history.epochs
    assert equal(again.get_weights(), model.get_weights())


def test_patience_across_a_restart_counts_on(stopped, tmp_path):
    "The best weights and the epochs waited are in the checkpoint."
    _, model, history = stopped
    for epochs in (history.best_epoch + 2, 60):
        again = new_model(seed=epochs, rate=0.05) if epochs == 60 else new_model(rate=0.05)
        found = fit(again, X[:20], Y[:20], epochs=epochs, validation=VALIDATION, patience=4, checkpoint=tmp_path / "early.npz")
    assert (found.epochs, found.best_epoch, found.stopped_early) == (history.epochs, history.best_epoch, True)
    assert equal(again.get_weights(), model.get_weights())


def interrupt(at_batch: int, monkeypatch):
    "Press Ctrl-C when the given batch ends, counted from the start of the training."
    original, seen = training._Track.on_train_batch_end, []

    def pressed(self, batch, logs=None):
        original(self, batch, logs)
        seen.append(batch)
        if len(seen) == at_batch: raise KeyboardInterrupt

    monkeypatch.setattr(training._Track, "on_train_batch_end", pressed)


def test_an_interrupted_training_keeps_its_epochs_and_goes_on_to_the_same_bits(undisturbed, tmp_path, monkeypatch, capsys):
    model = new_model()
    with monkeypatch.context() as patch:
        interrupt(7 * 2 + 3, patch)
        history = fit(model, X, Y, epochs=6, validation=VALIDATION, checkpoint=tmp_path / "cut.npz")
    assert (history.epochs, history.interrupted) == (2, True) and np.array_equal(history["loss"], undisturbed[1]["loss"][:2])
    said = capsys.readouterr().out
    assert "Interrupted in epoch 3 of 6." in said and "cut.npz holds 2 complete epochs" in said and str(tmp_path) not in said
    history = fit(model, X, Y, epochs=6, validation=VALIDATION, checkpoint=tmp_path / "cut.npz")  # the same model, in the middle of an epoch
    assert history.resumed == 2 and not history.interrupted and equal(state(model), state(undisturbed[0]))


def test_an_interruption_reaches_the_runner(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPLEARN_PROGRESS", str(tmp_path / "progress.jsonl"))
    interrupt(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt): fit(new_model(), X, Y, epochs=2)
    assert not training._Bar.running


def test_a_diverged_training_ends_and_says_so(tmp_path, capsys):
    def linear():
        model = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
        model.compile(keras.optimizers.SGD(2.0), "mse")
        return model

    path = tmp_path / "diverged.npz"
    history = fit(linear(), X, Y[:, None].astype("float32"), epochs=50, checkpoint=path)
    assert history.diverged and history.epochs < 49 and len(history["loss"]) == history.epochs + 1 and not np.isfinite(history["loss"][-1])
    assert f"Stopped in epoch {history.epochs + 1} of 50: the loss was no longer a finite number" in capsys.readouterr().out
    about, _, stored = training._read_checkpoint(path)
    assert about["progress"]["epochs"] == history.epochs, "the checkpoint holds the last sound epoch"


def test_history_is_small_frozen_and_the_same_when_slower(undisturbed):
    history = undisturbed[1]
    with pytest.raises(AttributeError): history.epochs = 9
    with pytest.raises(ValueError): history["loss"][0] = 0
    with pytest.raises(KeyError, match="there are: accuracy, loss"): history["los"]
    assert "seconds" not in repr(history) and history.seconds > 0 and repr(history).startswith("History(epochs=6, best_epoch=")
    epochs, values = history.series("accuracy")["validation"]
    assert epochs.tolist() == [1, 2, 3, 4, 5, 6] and np.array_equal(values, history["val_accuracy"])


def test_callbacks_are_passed_to_keras():
    seen = []
    fit(new_model(), X, Y, epochs=2, callbacks=(keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)),))
    assert seen == [0, 1]


# Order

def test_every_example_comes_once_an_epoch_in_an_order_of_seed_and_epoch():
    batches, other = training._Batches(X, Y, 32, 0), training._Batches(X, Y, 32, 1)
    orders = []
    for epoch in (0, 1):
        batches.begin(epoch)
        orders.append(np.concatenate([batches[i][0] for i in range(len(batches))]))
        assert np.array_equal(np.sort(orders[-1], axis=0), np.sort(X, axis=0)) and len(batches[len(batches) - 1][0]) == 203 % 32
    assert not np.array_equal(*orders) and not np.array_equal(batches.order, other.order)
    batches.begin(0)
    assert np.array_equal(batches[0][0], orders[0][:32])


def test_keras_sees_the_order_of_each_epoch():
    "What reaches the model in an epoch is the order of that epoch, not of the one before."
    seen = []

    class Spy(layers.Layer):
        def call(self, inputs, training=False):
            if training: seen.append(np.array(ops.convert_to_numpy(inputs)))
            return inputs

    if keras.config.backend() != "tensorflow": pytest.skip("looks into an eager step of TensorFlow")
    model = keras.Sequential([keras.Input((6,)), Spy(), layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    seen.clear()
    fit(model, X, Y, epochs=3, seed=4)
    expected = np.concatenate([X[np.random.default_rng((4, epoch)).permutation(203)] for epoch in range(3)])
    assert np.array_equal(np.concatenate(seen)[-3 * 203:], expected)


# Progress

def lines(path: Path) -> list[dict]: return [json.loads(line) for line in path.read_text().splitlines()]


def test_progress_tells_the_runner_a_few_times_a_second(tmp_path, monkeypatch):
    path = tmp_path / "progress.jsonl"
    monkeypatch.setenv("DEEPLEARN_PROGRESS", str(path))
    monkeypatch.setattr(training._Bar, "due", 0.0)
    assert list(progress(iter(range(5000)), "counting", total=5000)) == list(range(5000))
    told = lines(path)
    assert told[0] == dict(step=1, of=5000, text="counting") and told[-2] == dict(step=5000, of=5000, text="counting")
    assert told[-1] == dict(step=5000, of=None, text="") and len(told) < 12


def test_nested_progress_names_the_loops_around_it(tmp_path, monkeypatch):
    path, clock = tmp_path / "progress.jsonl", iter(range(10**6))
    monkeypatch.setenv("DEEPLEARN_PROGRESS", str(path))
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(training._Bar, "due", 0.0)
    for _ in progress(range(2), "seeds"): fit(new_model(), X, Y, epochs=2, text="fitting")
    told = lines(path)
    assert any(line["text"].startswith("seeds 2/2, fitting, loss ") and (line["step"], line["of"]) == (1, 2) for line in told)
    assert told[-1]["text"] == "" and not training._Bar.running


def test_a_loop_left_early_closes_its_bar(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPLEARN_PROGRESS", str(tmp_path / "progress.jsonl"))
    for item in progress(range(10)):
        if item == 3: break
    with pytest.raises(ZeroDivisionError):
        for item in progress(range(10)): 1 / 0
    assert not training._Bar.running and lines(tmp_path / "progress.jsonl")[-1]["of"] is None


def test_a_full_disk_does_not_end_a_training(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPLEARN_PROGRESS", str(tmp_path / "no" / "such" / "folder"))
    assert list(progress([1, 2])) == [1, 2]


def test_nothing_is_shown_where_nobody_looks(capfd, monkeypatch):
    monkeypatch.delenv("DEEPLEARN_PROGRESS", raising=False)
    fit(new_model(), X, Y, epochs=2)
    list(progress(range(3)))
    assert capfd.readouterr() == ("", "")


# Standard error

def test_held_back_noise_comes_out_only_on_failure(capfd):
    with training._quiet(): os.write(2, b"chatter")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), training._quiet():
        os.write(2, b"the reason")
        raise ImportError
    os.write(2, b", and restored")
    assert capfd.readouterr().err == "the reason, and restored"


# A person's notebook, and a program's

def run_cell(client, code: str, **metadata) -> list[dict]:
    "Run code in a kernel as a front end would; returns its messages with output."
    message = client.session.msg("execute_request", dict(code=code, silent=False, store_history=True, user_expressions={}, allow_stdin=False), metadata=metadata)
    client.shell_channel.send(message)
    outputs = []
    while True:
        found = client.get_iopub_msg(timeout=60)
        if found["parent_header"].get("msg_id") != message["header"]["msg_id"]: continue
        if found["msg_type"] == "status" and found["content"]["execution_state"] == "idle": return outputs
        if found["msg_type"] in ("stream", "display_data", "update_display_data", "error", "execute_result"): outputs.append(found)


def test_a_person_sees_one_display_that_changes_and_a_program_saves_nothing():
    pytest.importorskip("ipykernel")
    from jupyter_client.manager import start_new_kernel
    environment = {k: v for k, v in os.environ.items() if k != "DEEPLEARN_PROGRESS"}
    manager, client = start_new_kernel(kernel_name="python3", env=environment, cwd=str(ROOT))
    prepare = ("import numpy as np\nfrom deeplearn.core.training import keras, fit\nmodel = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])\n"
               "model.compile('sgd', 'mse')\nx = np.ones((64, 6))")
    train = "history = fit(model, x, x[:, :2], epochs=3)"
    try:
        assert run_cell(client, prepare) == []
        assert run_cell(client, train) == []
        watched = run_cell(client, train, cellId="a person's cell")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    displays = [m for m in watched if m["msg_type"] == "display_data"]
    assert len(displays) == 2 and {m["msg_type"] for m in watched} == {"display_data", "update_display_data"}
    last = {m["content"]["transient"]["display_id"]: m["content"]["data"] for m in watched}
    assert sorted(data["text/plain"] for data in last.values()) == ["", "Figure: loss in 3 epochs of training"]
    assert sum("image/png" in data for data in last.values()) == 1


# JAX

WITHOUT_TENSORFLOW = f'''
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow": raise ImportError("TensorFlow is blocked")
sys.meta_path.insert(0, Blocked())
import numpy as np
from deeplearn.core.training import fit, keras, seed_everything
from deeplearn.core.checks import check_layer, gradient
{MODEL}
x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
y = (x[:, 0] > 0).astype("int64")
models = [new_model(seed) for seed in (0, 0, 1)]
fit(models[0], x, y, epochs=2)
fit(models[1], x, y, epochs=1, checkpoint=sys.argv[1])
fit(models[2], x, y, epochs=2, checkpoint=sys.argv[1])
same = all(np.array_equal(a, b) for a, b in zip(models[0].get_weights(), models[2].get_weights()))
print(keras.config.backend(), same, check_layer(lambda: keras.layers.Dense(3), input_shape=(None, 5)).failed, "tensorflow" in sys.modules)
'''


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_jax_trains_and_resumes_with_tensorflow_absent(tmp_path):
    done = subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW, tmp_path / "jax.npz"], capture_output=True, text=True, cwd=ROOT,
                          env=os.environ | dict(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu"), timeout=120)
    assert done.stdout.split("\n")[0] == "jax True () False", done.stderr


def test_the_module_does_not_import_tensorflow_by_name_unless_it_is_the_backend():
    "Where JAX is not installed this is what can be said: a blocked TensorFlow is not asked for by our own code."
    import ast
    for name in ("training", "checks"):
        tree = ast.parse((ROOT / "deeplearn" / "core" / f"{name}.py").read_text())
        top = [alias.name for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names]
        assert "tensorflow" not in top
