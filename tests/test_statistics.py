"""Intervals hold what they promise: against SciPy to the last digits, and against simulated truths by counting."""
import numpy as np
import pytest
from scipy import stats

from deeplearn.core.statistics import (POCOCK, Interval, look_confidence, median_interval, median_rank, minimum_detectable, prediction_interval,
                                       ratio_bounds, ratio_interval, slope_interval, t_interval, wilson_interval)


def coverage(interval, experiments, truth) -> float:
    found = [interval(samples) for samples in experiments]
    return np.mean([i.low <= truth <= i.high for i in found])


def error(share: float, repeats: int) -> float:
    "Three Monte-Carlo standard errors of a share."
    return 3 * np.sqrt(share * (1 - share) / repeats)


# Means

@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.978])
def test_t_interval_is_scipys(n, confidence):
    samples = np.random.default_rng(n).normal(3, 2, n)
    found, theirs = t_interval(samples, confidence), stats.ttest_1samp(samples, 0).confidence_interval(confidence)
    assert (found.low, found.high) == pytest.approx(tuple(theirs), rel=1e-12)
    assert found.standard_error == pytest.approx(stats.sem(samples), rel=1e-12) and found.n == n


@pytest.mark.parametrize("n", [3, 5, 20])
def test_t_interval_covers_as_promised_and_no_more(n):
    experiments = np.random.default_rng(0).normal(1, 2, size=(4_000, n))
    assert abs(coverage(t_interval, experiments, 1) - 0.95) < error(0.95, 4_000)


def test_equal_samples_and_a_single_one_are_no_certainty():
    for samples in ([0.9] * 5, [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3], [0.7], [0.0] * 4):
        found = t_interval(samples)
        assert (found.low, found.high) == (-np.inf, np.inf), samples
    assert (t_interval([0.9] * 6).low, t_interval([0.0] * 6).high) == (0.9, 0.0)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_nadeau_bengio_covers_correlated_resplits_and_student_does_not(fraction):
    "Scores whose correlation is the test part's share, as the correction assumes."
    random, repeats = np.random.default_rng(1), 3_000
    experiments = np.sqrt(fraction) * random.normal(size=(repeats, 1)) + np.sqrt(1 - fraction) * random.normal(size=(repeats, 10))
    assert abs(coverage(lambda x: t_interval(x, test_fraction=fraction), experiments, 0) - 0.95) < error(0.95, repeats)
    assert coverage(t_interval, experiments, 0) < 0.9


# Shares

@pytest.mark.parametrize("n", [1, 5, 16, 35, 200])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_interval_is_scipys(n, confidence):
    for hits in {0, 1, n // 3, n - 1, n}:
        found, theirs = wilson_interval(np.arange(n) < hits, confidence), stats.binomtest(hits, n).proportion_ci(confidence, method="wilson")
        assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=1e-12)


def test_a_share_wants_outcomes():
    with pytest.raises(ValueError, match=r"`outcomes` must be True/False or 1/0, one a run. Received: \[0.5\]"): wilson_interval([1, 0, 0.5])


# Medians and unfinished runs

def test_median_rank_is_the_tightest_that_holds():
    for n in range(1, 60):
        for confidence in (0.95, 0.978):
            held = {k: 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) for k in range(1, n // 2 + 1)}
            assert median_rank(n, confidence) == max((k for k, c in held.items() if c >= confidence), default=0)
    assert median_rank(5) == 0 and median_rank(6) == 1 and median_rank(6, 0.978) == 0


@pytest.mark.parametrize("n", [6, 9, 20])
def test_median_interval_covers_whatever_the_distribution(n):
    random, repeats = np.random.default_rng(2), 4_000
    exact = 1 - 2 * stats.binom.cdf(median_rank(n) - 1, n, 0.5)
    for experiments, truth in [(random.standard_cauchy((repeats, n)), 0), (random.exponential(size=(repeats, n)), np.log(2))]:
        assert abs(coverage(median_interval, experiments, truth) - exact) < error(exact, repeats)


def test_an_unfinished_run_counts_as_the_longest():
    times = np.array([310, 280, 350, 295, 330, 305, 340, 290, np.inf])
    assert median_interval(times) == median_interval(np.where(np.isinf(times), 1e9, times))
    six = median_interval([1, 2, 3, 4, 5, np.inf])
    assert six.low == 1 and six.high == np.inf and six.estimate == 3.5


def test_an_unknown_run_widens_both_ways():
    known, unknown = median_interval(np.arange(9.0)), median_interval([*np.arange(8.0), np.nan])
    assert unknown.low <= known.low and unknown.high >= known.high - 1 and np.isnan(median_interval([1, np.nan, 3]).estimate)


def test_bounds_hold_the_true_ratio_of_every_stopped_pair():
    "Whatever was hidden by the budget, the true log ratio lies within the bounds, and a finished run beats an unfinished one."
    random = np.random.default_rng(3)
    arms = random.lognormal(0, 1, size=(2, 5_000))
    for budget in (0.3, 1.0, 4.0):
        seen = np.where(arms > budget, np.inf, arms)
        low, high = ratio_bounds(seen, budget)
        true, (top, bottom) = np.log(arms[0] / arms[1]), np.isfinite(seen)
        assert np.all(low <= true + 1e-12) and np.all(true - 1e-12 <= high)
        assert np.all(low[~top & bottom] > 0) and np.all(high[top & ~bottom] < 0) and np.all(np.isinf(low[~top & ~bottom]))
        without = ratio_bounds(seen)
        assert np.all(without[0] <= low) and np.all(high <= without[1])


def test_ratio_bounds_in_rows_and_their_errors():
    low, high = ratio_bounds([2.0, np.inf, 0.0, np.nan])
    assert low[0] == high[0] == np.log(2) and low[1] > 0 and high[2] < 0 and np.isinf([low[3], high[3]]).all()
    for wrong in ([[1, -2], [1, 1]], [[1, 0], [1, 1]]):
        with pytest.raises(ValueError, match="must be positive"): ratio_bounds(wrong)


def test_ratio_interval_is_scipys_on_the_logs_and_switches_with_the_first_unfinished_run():
    arms = np.random.default_rng(4).lognormal([[0.7], [0.0]], 0.3, size=(2, 8))
    finished, logs = ratio_interval(arms), stats.ttest_rel(*np.log(arms)).confidence_interval()
    assert (finished.low, finished.high) == pytest.approx(tuple(np.exp(logs)))
    arms[0, 3] = np.inf
    stopped = ratio_interval(arms)
    assert np.isinf(stopped.high) and stopped.low > 0 and np.isnan(stopped.standard_error) and stopped.n == 8


@pytest.mark.parametrize("stopped", [0.0, 0.2, 0.5])
def test_ratio_interval_covers_with_runs_stopped(stopped):
    random, repeats = np.random.default_rng(5), 1_500
    arms = random.lognormal([[[np.log(2)], [0.0]]], 0.5, size=(repeats, 2, 12))
    budget = np.quantile(arms[:, 0], 1 - stopped)
    arms[arms > budget] = np.inf
    held = coverage(lambda pair: ratio_interval(pair, budget=budget), arms, 2)
    assert held > 0.95 - error(0.95, repeats)


def test_dropping_unfinished_runs_would_bias_the_ratio_and_we_do_not():
    random = np.random.default_rng(6)
    arms = random.lognormal([[[np.log(2)], [0.0]]], 0.5, size=(300, 2, 20))
    budget = np.quantile(arms[:, 0], 0.6)
    seen = np.where(arms > budget, np.inf, arms)
    found = [ratio_interval(pair, budget=budget) for pair in seen]
    dropped = [t_interval(np.subtract(*np.log(pair[:, np.isfinite(pair).all(0)]))) for pair in seen]
    assert np.mean([i.high < np.log(2) for i in dropped]) > 0.2
    assert np.mean([i.high < 2 for i in found]) < 0.05


# One more run, and exponents

def test_prediction_interval_covers_one_more_run():
    random, repeats = np.random.default_rng(7), 3_000
    for n in (39, 100):
        runs = random.exponential(size=(repeats, n + 1))
        inside = np.mean([(i := prediction_interval(row[:n])).low <= row[n] <= i.high for row in runs])
        exact = 1 - 2 * int(0.025 * (n + 1) + 1e-9) / (n + 1)
        assert exact >= 0.95 and abs(inside - exact) < error(exact, repeats)
    assert np.isinf(prediction_interval(runs[0, :38]).low)


def laws(exponent, sizes, seeds, noise, repeats, random, bend=0.0):
    "`(repeats, M, S)` values around a power law, bent by `bend` in the log."
    x = np.log(2.0) * np.arange(sizes)
    logs = exponent * x + bend * (x - x.mean()) ** 2
    return np.exp(x), np.exp(logs)[:, None] * random.lognormal(0, noise, size=(repeats, sizes, seeds))


def test_slope_is_that_of_scipys_line():
    sizes, (values,) = laws(-0.3, 6, 5, 0.2, 1, np.random.default_rng(8))
    line, found = stats.linregress(np.log(sizes), np.log(values.mean(1))), slope_interval(sizes, values)
    assert found.estimate == pytest.approx(line.slope) and found.r2 == pytest.approx(line.rvalue ** 2)
    assert slope_interval(sizes, [row[:4 + i % 2] for i, row in enumerate(values)]).n == 4


@pytest.mark.parametrize("sizes, seeds, noise", [(3, 5, 0.1), (5, 5, 0.3), (5, 3, 0.3), (4, 20, 0.3)])
def test_slope_interval_covers_as_promised(sizes, seeds, noise):
    repeats = 700
    x, experiments = laws(-0.3, sizes, seeds, noise, repeats, np.random.default_rng(9))
    held = coverage(lambda values: slope_interval(x, values, resamples=300), experiments, -0.3)
    assert held > 0.95 - error(0.95, repeats) and held < 0.985


@pytest.mark.parametrize("seeds, noise", [(5, 0.1), (5, 0.4), (3, 0.3)])
def test_noise_alone_does_not_refuse_a_power_law(seeds, noise):
    "A true law with noisy points fits badly often enough; it may be called crooked in 5 % of experiments at most."
    repeats, random = 700, np.random.default_rng(10)
    x, experiments = laws(-0.3, 5, seeds, noise, repeats, random)
    found = [slope_interval(x, values, resamples=300) for values in experiments]
    assert np.mean([i.r2 < 0.9 and i.r2_high < 0.9 for i in found]) <= 0.05 + error(0.05, repeats)
    assert noise < 0.2 or np.mean([i.r2 < 0.9 for i in found]) > 0.4


def test_noise_does_not_refuse_a_law_that_is_just_straight_enough():
    "The true R2 lies on the floor of .9, seen through much noise: refusing it is an error, too."
    x = np.log(2.0) * (np.arange(5) - 2)
    bend = 0.3 * np.sqrt((x @ x) / 9 / ((x**2 - (x**2).mean()) ** 2).sum())
    sizes, experiments = laws(-0.3, 5, 5, 0.4, 1_000, np.random.default_rng(10), bend=bend)
    found = [slope_interval(sizes, values, resamples=300) for values in experiments]
    assert np.mean([i.r2 < 0.9 and i.r2_high < 0.9 for i in found]) <= 0.06


def test_a_bent_law_is_seen_through_little_noise():
    x, experiments = laws(-0.3, 6, 5, 0.05, 60, np.random.default_rng(11), bend=-0.3)
    assert np.mean([slope_interval(x, values).r2_high < 0.9 for values in experiments]) > 0.95


def test_slope_knows_when_it_knows_nothing():
    x = [1, 2, 4, 8]
    for sizes, values in [(x[:2], np.ones((2, 5))), (x, np.ones((4, 5))), (x, np.random.default_rng(0).random((4, 1)))]:
        found = slope_interval(sizes, values)
        assert (found.low, found.high) == (-np.inf, np.inf)
    with pytest.raises(ValueError, match="positive finite"): slope_interval(x, [[1, 2], [1, 2], [0, 0], [1, 2]])


def test_slope_interval_is_the_same_every_time():
    x, (values,) = laws(-0.3, 5, 5, 0.3, 1, np.random.default_rng(12))
    assert slope_interval(x, values) == slope_interval(x, values) != slope_interval(x, values, seed=1)


# Looking early, and what could have been seen

@pytest.mark.parametrize("looks", [2, 3, 4, 5])
def test_pococks_constants_share_five_percent(looks):
    steps, z = np.arange(1, looks + 1), stats.norm.ppf((1 + look_confidence(looks)) / 2)
    correlation = np.sqrt(np.minimum.outer(steps, steps) / np.maximum.outer(steps, steps))
    inside = stats.multivariate_normal(np.zeros(looks), correlation).cdf(np.full(looks, z), lower_limit=np.full(looks, -z), rng=np.random.default_rng(0))
    assert 1 - inside == pytest.approx(0.05, abs=5e-4)


def test_peeking_errs_twice_as_often_without_the_correction():
    samples, repeats = np.random.default_rng(13).normal(size=(3_000, 20)), 3_000

    def fooled(confidence):
        return np.mean([any(not (i := t_interval(row[:n], confidence)).low <= 0 <= i.high for n in (5, 10, 20)) for row in samples])
    assert fooled(0.95) > 0.1
    assert fooled(look_confidence(3)) < 0.06 + error(0.06, repeats)
    with pytest.raises(ValueError, match="Received: 6"): look_confidence(6)
    assert list(POCOCK.values()) == sorted(POCOCK.values())


def test_minimum_detectable_effect_is_seen_in_four_of_five():
    assert stats.norm.sf(stats.norm.ppf(0.975) - minimum_detectable(1.0)) == pytest.approx(0.8, abs=0.001)
    n, repeats = 200, 2_000
    samples = np.random.default_rng(14).normal(minimum_detectable(1 / np.sqrt(n)), 1, size=(repeats, n))
    assert abs(np.mean([t_interval(row).low > 0 for row in samples]) - 0.8) < error(0.8, repeats)


def test_an_interval_reads_well():
    assert repr(Interval(0.93, 0.91, 0.95, 5)) == "Interval(0.93 [0.91, 0.95], n=5, 95 %)"
