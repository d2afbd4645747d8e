"""The perceptron chapter: units of 1943, the rule and its bound, and what one unit can't do."""
import subprocess
import sys
import warnings
from itertools import combinations, product

import numpy as np
import pytest
import sklearn.linear_model
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from deeplearn.core.claims import load_claims, weigh
from deeplearn.core.provenance import code_cells, read_notebook
from deeplearn.foundations.perceptron import (Perceptron, ThresholdUnit, binary_inputs, boolean_network, is_linearly_separable,
                                              novikoff_bound, signed_examples)

XOR = [0, 1, 1, 0]


def digits(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    chosen = np.isin(data.target, (a, b))
    return data.data[chosen] / 16, data.target[chosen]


def separable_set(seed: int) -> tuple[np.ndarray, np.ndarray]:
    "Random points with a random cut and a random gap beside it; sizes vary with the seed."
    random = np.random.default_rng(seed)
    n, d, gap = random.integers(2, 120), random.integers(1, 30), random.choice([0.01, 0.1, 0.5])
    x, normal, offset = random.normal(size=(n, d)), random.normal(size=d), random.normal()
    sums = x @ normal / np.linalg.norm(normal) + offset
    x, y = x + np.sign(sums)[:, None] * gap * normal / np.linalg.norm(normal), sums > 0
    return (x, y) if 0 < y.sum() < n else separable_set(seed + 1000)


def naive(signed, orders) -> tuple[np.ndarray, list[int]]:
    "Equations (2) and (3) one example at a time: the weights after the last order, and the mistakes in each."
    weights, counts = np.zeros(signed.shape[1]), []
    for order in orders:
        counts.append(0)
        for z in signed[order]:
            if weights @ z <= 0:
                weights = weights + z
                counts[-1] += 1
    return weights, counts


# The estimator

@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_is_a_scikit_learn_estimator():
    found = check_estimator(Perceptron(max_epochs=50), on_skip=None)
    assert {c["check_name"] for c in found if c["status"] == "passed"} >= {"check_classifiers_train", "check_classifier_not_supporting_multiclass"}
    x, y = digits(3, 8)
    assert clone(Perceptron(shuffle=False)).get_params()["shuffle"] is False
    assert cross_val_score(make_pipeline(StandardScaler(), Perceptron(random_state=0)), x, y).mean() > 0.9


@pytest.mark.parametrize("a, b", [(0, 1), (3, 8), (4, 9)])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_weights_equal_scikit_learns_epoch_by_epoch(a, b, fit_intercept):
    x, y = digits(a, b)
    for epochs in (1, 2, 3, 5, 8):
        with warnings.catch_warnings(action="ignore"):
            ours = Perceptron(max_epochs=epochs, shuffle=False, fit_intercept=fit_intercept).fit(x, y)
            peer = sklearn.linear_model.Perceptron(max_iter=epochs, tol=None, shuffle=False, eta0=1.0, fit_intercept=fit_intercept).fit(x, y)
        assert np.array_equal(ours.coef_, peer.coef_) and np.array_equal(ours.intercept_, peer.intercept_)
        assert np.array_equal(ours.predict(x), peer.predict(x))


@pytest.mark.parametrize("seed", range(12))
def test_mistakes_equal_a_naive_loop(seed):
    x, y = digits(4, 9) if seed % 2 else separable_set(seed)
    machine = Perceptron(random_state=seed).fit(x, y)
    random = np.random.RandomState(seed)
    weights, counts = naive(signed_examples(x, y), [random.permutation(len(x)) for _ in range(machine.n_iter_)])
    assert machine.mistakes_per_epoch_.tolist() == counts and machine.mistakes_ == sum(counts)
    np.testing.assert_allclose(np.r_[machine.coef_[0], machine.intercept_], weights, atol=1e-9)
    assert machine.converged_ and counts[-1] == 0 and 0 not in counts[:-1]


def test_a_sum_of_zero_is_a_mistake():
    "Weights of zero answer nothing, so the first example is always corrected, whatever its class."
    for y in ([0, 1], [1, 0]):
        machine = Perceptron(shuffle=False, fit_intercept=False).fit([[1.0, 0.0], [0.0, 1.0]], y)
        assert machine.mistakes_ == 2 and machine.coef_.tolist() == [[2 * y[0] - 1, 2 * y[1] - 1]]


def test_one_seed_gives_one_result_and_labels_may_be_words():
    x, y = digits(3, 8)
    machines = [Perceptron(random_state=s).fit(x, y) for s in (0, 0, 1)]
    assert np.array_equal(machines[0].coef_, machines[1].coef_) and not np.array_equal(machines[0].coef_, machines[2].coef_)
    words = Perceptron(random_state=0).fit(x, np.where(y == 8, "eight", "a three"))
    assert np.array_equal(words.coef_, machines[0].coef_) and set(words.predict(x)) == {"eight", "a three"}


def test_it_warns_when_it_did_not_converge():
    with pytest.warns(ConvergenceWarning, match="max_epochs=7"): machine = Perceptron(max_epochs=7).fit(binary_inputs(2), XOR)
    assert not machine.converged_ and machine.n_iter_ == 7
    with warnings.catch_warnings(action="error"): assert Perceptron().fit(binary_inputs(2), [0, 0, 0, 1]).converged_


# The bound

@pytest.mark.parametrize("seed", range(25))
def test_bound_holds_on_random_separable_sets(seed):
    x, y = separable_set(seed)
    fit_intercept = is_linearly_separable(x, y, fit_intercept=False) is False or seed % 2 == 0
    bound = novikoff_bound(x, y, fit_intercept)
    assert abs(np.linalg.norm(bound.direction) - 1) < 1e-9
    assert (signed_examples(x, y, fit_intercept) @ bound.direction).min() == pytest.approx(bound.margin)
    for order in range(5):
        machine = Perceptron(max_epochs=bound.mistakes + 1, fit_intercept=fit_intercept, random_state=order).fit(x, y)
        assert machine.converged_ and machine.mistakes_ <= bound.mistakes
    adversary = Perceptron(max_epochs=bound.mistakes + 1, fit_intercept=fit_intercept, shuffle=False).fit(x[np.argsort(y, kind="stable")], np.sort(y))
    assert adversary.converged_ and adversary.mistakes_ <= bound.mistakes


@pytest.mark.parametrize("seed", range(6))
def test_margin_is_the_best_one(seed):
    "A general-purpose optimiser finds the same shortest w with w . z >= 1, and random directions are no better."
    random = np.random.default_rng(seed)
    x, y = np.r_[random.normal(-2, 1, (15, 3)), random.normal(3, 1, (15, 3))], np.repeat([0, 1], 15)
    if not is_linearly_separable(x, y): pytest.skip("this draw overlaps")
    signed, bound = signed_examples(x, y), novikoff_bound(x, y)
    start = Perceptron(random_state=0).fit(x, y)
    start = np.r_[start.coef_[0], start.intercept_]
    found = minimize(lambda w: w @ w, start / (signed @ start).min(), jac=lambda w: 2 * w, method="SLSQP", options=dict(maxiter=500, ftol=1e-14),
                     constraints=dict(type="ineq", fun=lambda w: signed @ w - 1, jac=lambda w: signed))
    assert bound.margin == pytest.approx(1 / np.linalg.norm(found.x), rel=1e-4)
    directions = random.normal(size=(2000, 4))
    assert ((directions / np.linalg.norm(directions, axis=1, keepdims=True)) @ signed.T).min(1).max() <= bound.margin + 1e-12


@pytest.mark.parametrize("n", [2, 3, 10, 100])
def test_bound_is_tight_for_examples_at_right_angles(n):
    x, y = np.eye(n), np.arange(n) % 2
    assert novikoff_bound(x, y, fit_intercept=False).mistakes == n == Perceptron(fit_intercept=False, random_state=0).fit(x, y).mistakes_


def test_bound_without_intercept_does_not_depend_on_the_scale():
    x, y = digits(3, 8)
    small, large = novikoff_bound(x, y, fit_intercept=False), novikoff_bound(1e4 * x, y, fit_intercept=False)
    assert small.mistakes == large.mistakes and large.margin == pytest.approx(1e4 * small.margin)


def test_linear_program_and_bound_agree_on_what_is_separable():
    "Few points in few dimensions, so that both answers occur often."
    answers = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        x, y = random.normal(size=(9, 3)), np.arange(9) % 2
        answers.append(is_linearly_separable(x, y))
        if answers[-1]: assert Perceptron(max_epochs=novikoff_bound(x, y).mistakes + 1, random_state=0).fit(x, y).converged_
        else:
            with pytest.raises(ValueError, match="linearly separable"): novikoff_bound(x, y)
    assert 10 < sum(answers) < 50


# Logic

def test_all_256_functions_of_three_bits_are_realised():
    inputs = binary_inputs(3)
    networks = {table: boolean_network(table) for table in product((0, 1), repeat=8)}
    assert len(networks) == 256
    assert all(tuple(network(inputs)) == table for table, network in networks.items())
    assert all(len(network.hidden) == sum(table) for table, network in networks.items())


def test_negative_weights_and_absolute_inhibition_agree_on_these_networks():
    "The reading of 1943: an active inhibitor silences a unit whatever excites it."
    inputs = binary_inputs(3)
    for unit in boolean_network([1] * 8).hidden:
        weights = np.array(unit.weights)
        vetoed = inputs @ (weights < 0) > 0
        assert np.array_equal(unit(inputs), (inputs @ (weights > 0) >= unit.threshold) & ~vetoed)


def test_counts_of_separable_functions():
    "OEIS A000609: 4, 14, 104 and 1,882 for one to four inputs."
    tables = {n: list(product((0, 1), repeat=2**n)) for n in (1, 2, 3)}
    counts = [sum(len(set(table)) == 1 or is_linearly_separable(binary_inputs(n), table) for table in tables[n]) for n in tables]
    assert counts == [4, 14, 104]
    for reach, expected in ((1, None), (3, 1882), (4, 1882)):  # weights of 3 suffice, weights of 1 do not
        sums = binary_inputs(4) @ np.array(list(product(range(-reach, reach + 1), repeat=4))).T
        codes = 2 ** np.arange(16) @ (sums[..., None] >= np.arange(-4 * reach - 0.5, 4 * reach + 1)).reshape(16, -1)
        assert len(np.unique(codes)) == expected if expected else len(np.unique(codes)) < 1882


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_parity_needs_products_of_all_inputs(n):
    bits = binary_inputs(n)
    for most in range(1, n + 1):
        features = np.stack([bits[:, list(c)].prod(1) for d in range(1, most + 1) for c in combinations(range(n), d)], 1)
        assert is_linearly_separable(features, bits.sum(1) % 2) == (most == n)


def test_xor_never_converges_and_comes_back():
    signed, weights, states = signed_examples(binary_inputs(2), XOR), np.zeros(3), []
    for _ in range(10_000):
        before = weights.copy()
        for z in signed:
            if weights @ z <= 0: weights = weights + z
        assert not np.array_equal(before, weights) or (signed @ weights <= 0).any()
        states.append(tuple(weights))
    assert set(states) == {(0, 0, 0)}
    for seed in range(5):
        with pytest.warns(ConvergenceWarning): machine = Perceptron(max_epochs=500, random_state=seed).fit(binary_inputs(2), XOR)
        assert machine.mistakes_per_epoch_.min() > 0 and np.abs(machine.coef_).max() <= 4


def test_a_product_of_the_inputs_makes_xor_learnable():
    x = np.column_stack([binary_inputs(2), binary_inputs(2).prod(1)])
    machine = Perceptron(random_state=0).fit(x, XOR)
    assert machine.converged_ and machine.mistakes_ <= novikoff_bound(x, XOR).mistakes and machine.predict(x).tolist() == XOR


# Wrong input

@pytest.mark.parametrize("call, message", [
    (lambda: Perceptron().fit([[0.0], [1.0], [2.0]], [0, 1, 2]), r"^Only binary classification is supported.*Received: 3 classes"),
    (lambda: Perceptron().fit([[0.0], [1.0]], [1, 1]), r"Received: 1 class, "),
    (lambda: Perceptron(max_epochs=0).fit([[0.0], [1.0]], [0, 1]), r"`max_epochs`.*Received: max_epochs=0"),
    (lambda: Perceptron(max_epochs=2.5).fit([[0.0], [1.0]], [0, 1]), r"Received: max_epochs=2.5"),
    (lambda: Perceptron().fit([[np.nan], [1.0]], [0, 1]), "NaN"),
    (lambda: ThresholdUnit((1, 1), 2)([1, 1, 1]), r"axis of 2.*Received: inputs.shape=\(3,\)"),
    (lambda: boolean_network([0, 1, 1]), r"2\*\*D values.*Received: truth_table.shape=\(3,\)"),
    (lambda: boolean_network([]), r"Received: truth_table.shape=\(0,\)"),
    (lambda: boolean_network([0, 2]), r"values \[0, 2\]"),
    (lambda: signed_examples(np.zeros((4, 8, 8)), [0, 1, 0, 1]), r"`x` must be \(B, D\).*Received: x.shape=\(4, 8, 8\)"),
    (lambda: signed_examples(np.zeros((3, 2)), [0, 1]), r"Received: x.shape=\(3, 2\), 2 labels"),
    (lambda: novikoff_bound(binary_inputs(2), XOR), r"linearly separable.*Received: 4 examples"),
])
def test_wrong_input_is_refused_with_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message): call()


# The experiment and the module

def test_the_experiments_claim_and_control_could_go_either_way(root):
    "One broken promise in one pair refutes the claim; a count that sees none makes the control fail."
    spec = load_claims(root / "nbs" / "experiments" / "perceptron_convergence.yaml")
    claim, control = spec.claim("perceptron-novikoff"), spec.claim("perceptron-novikoff-control")
    assert weigh(claim, {"": [0, 0, 0]}).verdict == "reproduced"
    assert weigh(claim, {"": [0, 1, 0]}).verdict == "not reproduced"
    assert weigh(claim, {"": [0, 0]}).verdict == "inconclusive"
    assert not weigh(control, {"": [20, 20, 20]}).control_failed
    assert weigh(control, {"": [0, 0, 0]}).control_failed


@pytest.fixture
def run_experiment(root, monkeypatch):
    "Run the experiment's cells here, at two orders; returns its verdicts by claim."
    def run() -> dict:
        from deeplearn.core import claims
        monkeypatch.setenv("DEEPLEARN_CLAIMS", str(root / "nbs" / "experiments" / "perceptron_convergence.yaml"))
        verdicts, honest = {}, claims.judge
        with monkeypatch.context() as patch, warnings.catch_warnings():
            patch.setattr(claims, "judge", lambda claim, samples: verdicts.setdefault(claim, honest(claim, samples)))
            cells = code_cells(read_notebook(root / "nbs" / "experiments" / "perceptron_convergence.ipynb"))
            exec("\n".join(cells).replace("n_orders: int = 20", "n_orders: int = 2"), {})
        return verdicts
    return run


def test_the_experiment_keeps_its_promise_and_its_control_breaks_it(run_experiment):
    verdicts = run_experiment()
    assert verdicts["perceptron-novikoff"].verdict == "reproduced"
    assert verdicts["perceptron-novikoff-control"].verdict == "not reproduced"


def test_the_control_fails_when_the_count_is_blind(run_experiment, monkeypatch):
    "A machine that always reports success passes the claim; the control is what gives it away."
    def blind(self, X, y, fit=Perceptron.fit):
        fit(self, X, y)
        self.mistakes_, self.converged_ = 0, True
        return self
    monkeypatch.setattr(Perceptron, "fit", blind)
    verdicts = run_experiment()
    assert verdicts["perceptron-novikoff"].verdict == "reproduced" and verdicts["perceptron-novikoff-control"].control_failed


def test_the_claim_falls_when_a_machine_breaks_the_bound(run_experiment, monkeypatch):
    def careless(self, X, y, fit=Perceptron.fit):
        fit(self, X, y)
        self.mistakes_ *= 10
        return self
    monkeypatch.setattr(Perceptron, "fit", careless)
    assert run_experiment()["perceptron-novikoff"].verdict == "not reproduced"


def test_module_needs_neither_matplotlib_nor_keras():
    code = ("import sys; sys.modules.update(matplotlib=None, tensorflow=None, keras=None)\n"
            "from deeplearn.foundations import Perceptron, ThresholdUnit; Perceptron().fit([[0.], [1.]], [0, 1])")
    subprocess.run([sys.executable, "-c", code], check=True)
