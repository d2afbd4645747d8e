"""Claims: every rule errs as rarely as promised and still decides, declarations are checked before a run, and what was accepted is shown truly."""
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from deeplearn.core import claims
from deeplearn.core.claims import (Accepted, Claim, ClaimError, ExperimentSpec, Rule, Verdict, accepted, changes_since, data_hashes, find_claim, judge,
                                   load_claims, metric, nearest, recorded_verdicts, rule_hash, spec_of, weigh)
from deeplearn.core.declaration import share_design, short
from deeplearn.core.provenance import key_parts
from deeplearn.core.verdicts import VERDICTS

REPRODUCED, REFUSED, OPEN, UNJUDGED = VERDICTS


def claim(n=None, level="scaled down", control=False, kind=None, **rule) -> Claim:
    kind = kind or {"EQ": "exact", "DOC": "historical"}.get(rule["rule"], "statistical")
    rule = {("kind" if k == "rule" else k): v for k, v in rule.items()}
    return Claim("made-up", "A made-up statement", "nowhere", level, kind, (Rule(**rule),), n, control)


def verdict(one: Claim, samples, **more) -> str: return weigh(one, {"": samples}, **more).verdict


def shares(one: Claim, draw, repeats: int) -> dict[str, float]:
    "The share of each verdict among simulated experiments."
    found = [verdict(one, draw()) for _ in range(repeats)]
    return {word: found.count(word) / repeats for word in VERDICTS}


# Error rates and power: every rule, on worlds whose truth is known

random = np.random.default_rng(20)


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    "Each test starts from the same seed, alone or among others."
    random.bit_generator.state = np.random.default_rng(20).bit_generator.state


def resplits(effect, n=10, fraction=0.2):
    return effect + np.sqrt(fraction) * random.normal() + np.sqrt(1 - fraction) * random.normal(size=n)


def stopped(ratio, n, budget=2.0):
    arms = random.lognormal([[np.log(ratio)], [0.0]], 0.8, size=(2, n))
    return np.where(arms > budget, np.inf, arms)


def power_law(exponent, noise=0.3):
    sizes = 2.0 ** np.arange(5)
    return sizes, sizes[:, None] ** exponent * random.lognormal(0, noise, size=(5, 5))


WORLDS = {  # name -> (claim, draw(truth), truth on the edge, a truth well inside, a truth well outside)
    "DIFF": (claim(5, rule="DIFF", threshold=0.0), lambda d: random.normal(d, 1, 5), 0, 3, -3),
    "DIFF of two arms": (claim(10, rule="DIFF", threshold=0.5), lambda d: random.normal([[d], [0]], 1, (2, 10)), 0.5, 3, -2),
    "DIFF with looks": (claim(rule="DIFF", threshold=0.0, looks=(5, 10, 20)), lambda d: random.normal(d, 1, 20), 0, 1, -1),
    "DIFF of resplits": (claim(10, rule="DIFF", threshold=0.0, test_fraction=0.2), lambda d: resplits(d), 0, 3, -3),
    "RATIO": (claim(6, rule="RATIO", threshold=1.0), lambda r: random.lognormal([[np.log(r)], [0]], 0.8, (2, 6)), 1, 8, 1 / 8),
    "RATIO with looks": (claim(rule="RATIO", threshold=2.0, looks=(5, 10, 20)), lambda r: random.lognormal([[np.log(r)], [0]], 0.8, (2, 20)), 2, 6, 0.7),
    "RATIO, some stopped": (claim(20, rule="RATIO", threshold=1.0, budget=2.0), lambda r: stopped(r, 20), 1, 4, 0.25),
    "PROP .5, 5 runs": (claim(5, rule="PROP", threshold=0.5), lambda p: random.random(5) < p, 0.5, 0.97, 0.03),
    "PROP .8, 40 runs": (claim(40, rule="PROP", threshold=0.8), lambda p: random.random(40) < p, 0.8, 0.99, 0.5),
    "RANGE of the mean": (claim(10, rule="RANGE", low=-1.0, high=1.0), lambda m: random.normal(m, 0.7, 10), 1, 0, 2.5),
    "RANGE of the median": (claim(20, rule="RANGE", low=0.5, high=2.0, of="median"), lambda m: random.lognormal(np.log(m), 0.5, 20), 2, 1, 5),
    "SLOPE": (claim(5, rule="SLOPE", high=-0.2), power_law, -0.2, -0.6, 0.2),
    "SLOPE with a floor": (claim(5, rule="SLOPE", low=-1.0, high=-0.2, r2=0.8), power_law, -0.2, -0.7, 0.4),
}


@pytest.mark.parametrize("name", WORLDS)
def test_type_one_error_is_at_most_five_percent(name):
    "The truth lies on the edge of the rule: calling it reproduced is an error."
    one, draw, edge, *_ = WORLDS[name]
    repeats = 1_000
    assert shares(one, lambda: draw(edge), repeats)[REPRODUCED] <= 0.05


@pytest.mark.parametrize("name", WORLDS)
def test_a_visible_effect_is_seen_and_a_visible_failure_refused(name):
    one, draw, _, inside, outside = WORLDS[name]
    good, bad = shares(one, lambda: draw(inside), 150), shares(one, lambda: draw(outside), 150)
    assert good[REPRODUCED] > 0.6 and good[REFUSED] < 0.03
    assert bad[REFUSED] > 0.6 and bad[REPRODUCED] < 0.03


def test_refusals_of_what_is_barely_true_are_rare():
    repeats = 1_000
    for name in ("DIFF", "DIFF with looks", "RATIO", "RANGE of the mean", "SLOPE"):
        one, draw, edge, *_ = WORLDS[name]
        assert shares(one, lambda: draw(edge), repeats)[REFUSED] <= 0.05, name


def test_a_number_from_the_same_distribution_is_placed_inside():
    repeats = 1_000
    draws = random.lognormal(7, 0.3, size=(repeats, 101))
    found = [verdict(claim(100, rule="RANGE", of="quantiles", value=float(row[-1])), row[:-1]) for row in draws]
    assert found.count(REFUSED) / repeats <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert verdict(claim(100, rule="RANGE", of="quantiles", value=300.0), draws[0, :-1]) == REFUSED


@pytest.mark.parametrize("threshold, n", [(0.5, 5), (0.8, 16), (0.9, 35), (0.3, 25), (0.02, 300)])
def test_the_declared_false_alarm_rate_of_a_share_is_the_real_one(threshold, n):
    needed, luck = share_design(threshold, n)
    assert luck <= 0.05 and needed <= n
    one = claim(n, rule="PROP", threshold=threshold)
    assert verdict(one, np.arange(n) < needed) == REPRODUCED and verdict(one, np.arange(n) < needed - 1) != REPRODUCED


# Rules one by one

def test_equality_is_exact_for_whole_numbers_of_any_length():
    go = 208168199381979984699478633344862770286522453884530548425639456820927419612738015378525648451698519643907259916015628128546089888314427129715319317557736620397247064840935
    assert verdict(claim(rule="EQ", value=go), go) == REPRODUCED
    assert verdict(claim(rule="EQ", value=go), go + 1) == REFUSED
    assert verdict(claim(rule="EQ", value=9760), np.int64(9760)) == REPRODUCED
    found = weigh(claim(rule="EQ", value=9760), {"": 9840})
    assert found.verdict == REFUSED and found.reason == "expected 9,760, found 9,840" and found.estimate == 9840


@pytest.mark.parametrize("value, tolerance, observed, expected", [
    (2.0, 1e-3, 2.0019, REPRODUCED), (2.0, 1e-3, 2.0021, REFUSED), (0, 1e-6, [9e-7, -9e-7], REPRODUCED), (0, 1e-6, 1.1e-6, REFUSED),
    (-4.0, 0.1, -4.3, REPRODUCED), (-4.0, 0.1, -4.5, REFUSED), (1, 0, np.nan, REFUSED), (1, 0.5, np.inf, REFUSED), (1, 0, [1, 1, 0], REFUSED),
    ((4, 14, 104), 0, [4, 14, 104], REPRODUCED), ((4, 14, 104), 0, [4, 104, 14], REFUSED), (1, 0, [], OPEN)])
def test_tolerance_is_relative_and_absolute_at_nought(value, tolerance, observed, expected):
    assert verdict(claim(rule="EQ", value=value, tolerance=tolerance), observed) == expected


def test_equality_of_the_wrong_shape_or_kind_is_an_error_and_of_too_few_is_open():
    with pytest.raises(ClaimError, match=r"claim `made-up`: expected 3 values. Received: shape \(2,\)"): verdict(claim(rule="EQ", value=(1, 2, 3)), [1, 2])
    with pytest.raises(ClaimError, match="expected numbers. Received: .'nine'"): verdict(claim(rule="EQ", value=9), ["nine"])
    found = weigh(claim(20, rule="EQ", value=1), {"": [1] * 19})
    assert (found.verdict, found.reason) == (OPEN, "19 of 20 declared samples")


@pytest.mark.parametrize("sources, value, expected", [
    ({"a": 1, "b": 1}, None, REPRODUCED), ({"a": 1, "b": 2}, None, OPEN), ({"a": 1}, None, OPEN), ({"a": 2, "b": 2}, 1, REFUSED), ({"a": 1, "b": 2}, 1, OPEN)])
def test_documents(sources, value, expected):
    assert weigh(claim(rule="DOC", sources=tuple(sources.items()), value=value), {}).verdict == expected


def test_unfinished_runs_are_never_dropped():
    one = claim(6, rule="RATIO", threshold=1.0, budget=100)
    finished = [[40, 50, 60, 40, 50, 60], [10, 10, 10, 10, 10, 10]]
    assert verdict(one, finished) == REPRODUCED
    against = [[40, 50, 60, 40, 50, 60], [10, 10, 10, 10, 10, np.inf]]  # the faster arm got stuck once
    found = weigh(one, {"": against})
    assert found.verdict == OPEN and found.n == 6 and found.interval[0] == 0
    helps = [[40, 50, 60, 40, 50, np.inf], [10, 10, 10, 10, 10, 10]]    # the slower arm did: at least 10 times slower
    assert weigh(one, {"": helps}).interval == [pytest.approx(4), None] and verdict(one, helps) == REPRODUCED
    assert verdict(claim(5, rule="RATIO", threshold=1.0), [[*helps[0][:4], np.inf], helps[1][:5]]) == OPEN, "five pairs can't bound a median"


def test_diverged_runs_leave_a_mean_open():
    for one in (claim(5, rule="DIFF", threshold=0.0), claim(5, rule="RANGE", low=0.0)):
        found = weigh(one, {"": [1, 1.1, np.nan, 1.2, 1]})
        assert (found.verdict, found.reason, found.estimate) == (OPEN, "1 of 5 values are not finite", None)
    assert "2 of 12 values are 0" in weigh(claim(6, rule="RATIO", threshold=1.0), {"": [[1, 1, 1, 0, 1, 1], [1, 1, 0, 1, 1, 1]]}).reason
    sizes, values = power_law(-0.5)
    assert "1 of 25 values are not finite" in weigh(claim(5, rule="SLOPE", high=-0.1), {"": (sizes, np.where(values == values[2, 2], np.nan, values))}).reason
    assert "logarithm" in weigh(claim(5, rule="SLOPE", high=-0.1), {"": (sizes, values * np.array([1, 1, 1, 1, 0])[:, None])}).reason


def test_fewer_than_declared_decide_nothing_and_more_are_ignored():
    one, clear = claim(10, rule="DIFF", threshold=0.0), random.normal(5, 1, 30)
    few = weigh(one, {"": clear[:9]})
    assert (few.verdict, few.reason) == (OPEN, "9 of 10 declared samples")
    many = weigh(one, {"": [*clear[:10], *[-100] * 20]})
    assert (many.verdict, many.n) == (REPRODUCED, 10)
    assert verdict(claim(20, rule="PROP", threshold=0.5), [1] * 19) == OPEN and verdict(claim(8, rule="RANGE", low=0, of="median"), [1] * 7) == OPEN
    assert verdict(one, []) == OPEN
    three = weigh(claim(5, rule="SLOPE", high=0.0), {"": [[1, 2, 4], [[9, 9, 9], [3, 3.1, 3], [1, 1, 1.1]]]})
    assert (three.verdict, three.n, three.reason) == (OPEN, 3, "3 of 5 declared samples") and three.estimate < -1
    assert verdict(claim(5, rule="SLOPE", high=0.0), [[1, 2, 4], [[], [], []]]) == OPEN and verdict(claim(5, rule="SLOPE", high=0.0), {1: [1] * 5}) == OPEN


def test_looks_stop_at_the_first_verdict_with_pococks_interval():
    from scipy import stats
    one = claim(rule="DIFF", threshold=0.0, looks=(5, 10, 20))
    samples = np.array([0.9, 1.1, 1.0, 0.8, 1.2, *[-50] * 15])
    first = weigh(one, {"": samples})
    theirs = stats.ttest_1samp(samples[:5], 0).confidence_interval(0.978)
    assert (first.verdict, first.n) == (REPRODUCED, 5) and first.interval == pytest.approx(list(theirs))
    slow = np.tile([2.0, -1.0], 10) + 0.3
    assert [weigh(one, {"": slow[:n]}).n for n in (5, 9, 12, 20)] == [5, 5, 10, 20]
    assert weigh(one, {"": slow[:4]}).reason == "4 of 20 declared samples" and weigh(one, {"": slow[:12]}).reason == "10 of 20 declared samples"
    assert weigh(one, {"": random.normal(30, 1, 4)}).verdict == OPEN


def test_a_refusal_the_data_could_not_have_decided_is_taken_back():
    noisy, steady = [-0.03, -0.09, -0.01, -0.08, -0.04], [-0.030, -0.034, -0.031, -0.036, -0.032]
    blind, seeing = (weigh(claim(5, rule="DIFF", threshold=0.0, paper=0.01), {"": s}) for s in (noisy, steady))
    assert blind.verdict == OPEN and blind.reason.startswith("under-powered: differences below 0.04") and "0.01" in blind.reason
    assert seeing.verdict == REFUSED and not seeing.reason
    assert verdict(claim(5, rule="DIFF", threshold=0.0), noisy) == REFUSED, "without the paper's number the refusal stands"
    ratios = random.lognormal(-1, 0.5, size=8)
    assert verdict(claim(8, rule="RATIO", threshold=1.0, paper=1.05), ratios) == OPEN
    assert verdict(claim(8, rule="RATIO", threshold=1.0, paper=6.0), ratios) == REFUSED
    assert verdict(claim(20, rule="PROP", threshold=0.5, paper=0.6), [0] * 20) == OPEN
    assert verdict(claim(20, rule="PROP", threshold=0.5, paper=0.95), [0] * 20) == REFUSED


def test_open_verdicts_say_why():
    assert weigh(claim(5, rule="DIFF", threshold=0.0), {"": [1, -1, 1, -1, 0]}).reason == "the interval reaches both sides of the rule"
    assert weigh(claim(5, rule="DIFF", threshold=0.0), {"": [1.0] * 5}).reason.startswith("too few samples, or too little spread")
    assert "three sizes" in weigh(claim(5, rule="SLOPE", high=0.0), {"": {1: [1] * 5, 2: [2, 1, 1, 2, 1]}}).reason
    assert weigh(claim(5, rule="DIFF", threshold=0.0), {"": [1, -1, 1, -1, 0]}, reason="seed 3 diverged").reason.endswith("rule; seed 3 diverged")


def test_a_constant_is_no_power_law():
    "A model at chance everywhere must not pass a rule that asks for an exponent of at most nought."
    assert verdict(claim(5, rule="SLOPE", high=0.0), (2.0 ** np.arange(5), np.full((5, 5), 0.1))) == OPEN


def test_a_bad_fit_is_refused_only_when_noise_can_not_explain_it():
    sizes = 2.0 ** np.arange(6)
    bent = 0.1 + 0.4 * sizes ** -2
    one = claim(5, rule="SLOPE", low=-2.0, high=-0.1, r2=0.95)
    clear, noisy = (weigh(one, {"": (sizes, bent[:, None] * np.random.default_rng(1).lognormal(0, s, (6, 5)))}) for s in (0.02, 0.7))
    assert clear.verdict == REFUSED and "R2 is" in clear.reason
    assert noisy.verdict == OPEN


# Level, tier, control, parts

def test_a_proxy_never_speaks_against_the_paper():
    worlds = [(claim(10, "proxy", rule="DIFF", threshold=0.0), random.normal(-3, 1, 10)), (claim(20, "proxy", rule="PROP", threshold=0.5), [0] * 20),
              (claim(10, "proxy", rule="RANGE", low=0.0), random.normal(-5, 1, 10)), (claim(8, "proxy", rule="RATIO", threshold=2.0), random.lognormal(-2, 0.1, 8)),
              (claim(5, "proxy", rule="SLOPE", high=-0.2), power_law(1.0)), (claim(40, "proxy", rule="RANGE", of="quantiles", value=9.0), random.random(40))]
    for one, samples in worlds:
        assert verdict(replace(one, level="scaled down"), samples) == REFUSED
        found = weigh(one, {"": samples})
        assert (found.verdict, found.reason) == (OPEN, "proxy")
    assert verdict(claim(10, "proxy", rule="DIFF", threshold=0.0), random.normal(3, 1, 10)) == REPRODUCED


def test_smoke_judges_exact_claims_only():
    for one, samples in [(claim(5, rule="DIFF", threshold=0.0), [0.3]), (claim(5, rule="SLOPE", high=0.0), power_law(-1)), (claim(20, rule="PROP", threshold=0.5), [1]),
                         (claim(rule="RATIO", threshold=1.0, looks=(5, 10)), [[np.inf], [4]])]:
        found = weigh(one, {"": samples}, tier="smoke")
        assert (found.verdict, found.reason) == (UNJUDGED, "")
    assert verdict(claim(rule="EQ", value=3), 3, tier="smoke") == REPRODUCED and verdict(claim(rule="EQ", value=3), 4, tier="smoke") == REFUSED
    assert weigh(claim(rule="DOC", sources=(("a", 1), ("b", 1))), {}, tier="smoke").verdict == REPRODUCED
    with pytest.raises(ClaimError, match="Did you mean `laptop`?"): verdict(claim(rule="EQ", value=3), 3, tier="laptob")


def test_a_control_reads_the_other_way_round():
    null, leak = (weigh(claim(10, control=True, rule="DIFF", threshold=0.0), {"": random.normal(m, 1, 10)}) for m in (0, 9))
    assert leak.control_failed and "CONTROL FAILED" in str(leak) and "CONTROL FAILED" in leak._repr_html_()
    assert not null.control_failed and "control came out null, as it must" in str(null)
    assert "not judged at this tier" in str(weigh(claim(10, control=True, rule="DIFF", threshold=0.0), {"": [1]}, tier="smoke"))


def parted() -> Claim:
    rules = (Rule("PROP", "solved", threshold=0.5), Rule("RANGE", "ratio", low=1.8, high=2.2, of="median"))
    return Claim("two-parts", "It solves, and in the ratio", "nowhere", "same scale", "statistical", rules, 20)


def test_a_claim_of_parts_holds_when_all_do():
    solved, right, wrong = [1] * 20, random.normal(2, 0.05, 20), np.linspace(3.9, 4.1, 20)
    assert weigh(parted(), dict(solved=solved, ratio=right)).verdict == REPRODUCED
    found = weigh(parted(), dict(solved=solved, ratio=wrong))
    assert found.verdict == REFUSED and [p["verdict"] for p in found.parts] == [REPRODUCED, REFUSED]
    assert "ratio: not reproduced, median 4, 95 % interval [3.9" in str(found) and list(found.rule) == ["solved", "ratio"]
    assert weigh(parted(), dict(solved=[1, 0] * 10, ratio=right)).reason.startswith("solved: the interval")
    for given, message in [(dict(solved=solved), "needs samples for part `ratio`"), (dict(solved=solved, ratios=right), "no part `ratios`. Did you mean `ratio`"),
                           ({"": solved}, "no part ``")]:
        with pytest.raises(ClaimError, match=message.replace("(", r"\(")): weigh(parted(), given)


def test_verdicts_read_well_and_hold_only_json():
    found = weigh(claim(rule="RATIO", threshold=1.0, looks=(5, 10)), {"": [[3, 3.1, 2.9, 3.2, 3], [1, 1.1, 1, 0.9, 1]]})
    assert str(found).startswith("✓ reproduced: A made-up statement\n  made-up, scaled down\n  3.0") and "97.06 % interval" in str(found) and "n = 5" in str(found)
    page = replace(found, statement="a < b & c")._repr_html_()
    assert "a &lt; b &amp; c" in page and "ratio above 1" in page and "nowhere" in page
    for one in (found, weigh(claim(6, rule="RATIO", threshold=1.0), {"": [[np.inf] * 6, [1] * 6]}), weigh(claim(rule="EQ", value=1), {"": np.nan}), weigh(parted(), dict(solved=[1], ratio=[2.0]))):
        assert json.loads(json.dumps(one.record(), allow_nan=False)) == one.record()
        assert "None" not in str(one) and "np." not in str(one)
    assert "control" in str(weigh(claim(10, control=True, rule="DIFF", threshold=0.0), {"": np.zeros(10)}))


def test_short_numbers_and_suggestions():
    assert [short(x) for x in (60000, 340908.0, 0.051234, None, (1, 2.5), True, "x", -3.0)] == ["60,000", "340,908", "0.05123", "unknown", "1, 2.5", "True", "x", "-3"]
    assert nearest("xyz", ["threshold", "looks"]) == "" and nearest("treshold", ["threshold", "looks"]) == " Did you mean `threshold`?"


# Declarations

WHOLE = """
question: Does it work?
data: [digits]
environment: [SOME_VARIABLE]
claims:
  - id: works
    statement: It works better
    source: A. Author 2001, table 2
    level: scaled down
    kind: statistical
    n: 10
    rule: {kind: DIFF, threshold: 0, paper: 0.5}
  - id: counts
    statement: It has 7 parts
    source: A. Author 2001, section 3
    level: exact
    kind: exact
    rule: {kind: EQ, value: 7, tolerance: 1e-6}
controls:
  - id: null
    statement: Nothing works better
    source: control
    level: scaled down
    kind: statistical
    n: 10
    rule: {kind: DIFF, threshold: 0}
tiers:
  smoke: {n_seeds: 1}
tolerance: {accuracy: 0.01}
""".replace("id: null", "id: nothing")


@pytest.fixture
def declare(tmp_path):
    def read(text: str) -> ExperimentSpec:
        (path := tmp_path / "made_up.yaml").write_text(text, encoding="utf-8")
        return load_claims(path)
    return read


def test_a_declaration_is_read_whole(declare):
    spec = declare(WHOLE)
    assert (spec.name, spec.question, spec.data, spec.environment) == ("made_up", "Does it work?", ("digits",), ("SOME_VARIABLE",))
    assert [c.id for c in spec.claims] == ["works", "counts"] and spec.controls[0].control and not spec.claims[0].control
    assert spec.claim("counts").rules[0] == Rule("EQ", value=7, tolerance=1e-6) and spec.claims[0].rule == dict(kind="DIFF", threshold=0, paper=0.5)
    assert spec.tiers == dict(smoke=dict(n_seeds=1)) and spec.tolerance == dict(accuracy=0.01)
    with pytest.raises(ClaimError, match="no claim `count` in made_up. Did you mean `counts`"): spec.claim("count")


DIFF, EQ = "{kind: DIFF, threshold: 0, paper: 0.5}", "{kind: EQ, value: 7, tolerance: 1e-6}"


@pytest.mark.parametrize("old, new, message", [
    ("data: [digits]", "data: [digits]\ndata: [mnist]", "made_up.yaml: key `data` is given twice, the second time in line 4"),
    ("threshold: 0, paper", "treshold: 0, paper", "unknown key `treshold`. Did you mean `threshold`? Expected: kind, threshold"),
    ("statement: It works better", "statment: It works better", "claim `works`: unknown key `statment`. Did you mean `statement`?"),
    ("question:", "qestion:", "made_up.yaml: unknown key `qestion`. Did you mean `question`?"),
    ("Does it work?", "It works", "`question` must be one sentence that ends with a question mark"),
    ("    source: A. Author 2001, table 2\n", "", "claim `works`: missing key `source`"),
    ("    n: 10\n    rule: {kind: DIFF, threshold: 0, paper", "    rule: {kind: DIFF, threshold: 0, paper", "missing key `n`, the number of samples declared for DIFF"),
    ("n: 10", "n: 10.5", "`n` must be a whole number of samples. Received: n=10.5"),
    ("n: 10", "n: 1", "can be reproduced by no outcome of so few samples: at least 2 are needed. Received: n=1"),
    ("level: scaled down", "level: scaled", "`level` must be one of exact, same scale, scaled down, proxy. Did you mean `scaled down`"),
    ("kind: statistical", "kind: exact", "a claim of kind exact is judged by EQ. Received: DIFF"),
    ("kind: statistical", "kind: historical", "kind historical and rule DOC go together"),
    ("kind: exact", "kind: statistical", "a claim judged by EQ alone is of kind exact"),
    ("id: counts", "id: works", "id `works` is used 2 times"),
    ("id: nothing", "id: works", "id `works` is used 2 times"),
    ("smoke:", "laptop:", "tier `laptop` is the notebook's own defaults"),
    ("smoke:", "smok:", "`tiers` must be one of smoke, full. Did you mean `smoke`?"),
    ("accuracy: 0.01", "accuracy: -1", "`accuracy` must be a finite number of at least 0"),
    ("data: [digits]", "data: digits", "`data` must be a list. Received: 'digits'"),
    ("data: [digits]", "data: [{a: 1}]", "`data` must be text"),
    ("data: [digits]", "[a, b]: digits", "a key must be a word, in line 3"),
    ("data: [digits]", "data: [digits", "is not YAML"),
    (DIFF, "{kind: DIF, threshold: 0}", "`kind` must be one of EQ, DIFF, RATIO, PROP, SLOPE, RANGE, DOC. Did you mean `DIFF`?"),
    (DIFF, "{threshold: 0}", "missing key `kind`"),
    (DIFF, "0.5", "a rule is a mapping"),
    (DIFF, "{kind: DIFF, threshold: .nan}", "`threshold` must be a finite number"),
    (DIFF, "{kind: DIFF, threshold: high}", "`threshold` must be a finite number. Received: threshold='high'"),
    (DIFF, "{kind: DIFF, threshold: 0, looks: [10, 5]}", "`looks` must be 2 to 5 rising sample sizes"),
    (DIFF, "{kind: DIFF, threshold: 0, looks: [5, 10, 20]}", "`n` must equal the last look. Received: n=10, looks=[5, 10, 20]"),
    (DIFF, "{kind: DIFF, threshold: 0, paper: 0}", "`paper` must satisfy the rule (mean paired difference above 0) and not lie on its edge"),
    (DIFF, "{kind: RATIO, threshold: 6, paper: 5}", "`paper` must satisfy the rule (ratio above 6)"),
    (DIFF, "{kind: RATIO, threshold: -1}", "`threshold` must be a finite number of at least"),
    (DIFF, "{kind: RANGE, low: 4, high: 6, paper: 6}", "`paper` must satisfy the rule (mean at least 4 and at most 6)"),
    (DIFF, "{kind: PROP, threshold: 0.9, n: 5}", "PROP (share of successes above 0.9) can be reproduced by no outcome of so few samples: at least 35 are needed. Received: n=5"),
    (DIFF, "{kind: PROP, threshold: 0.8, n: 15}", "at least 16 are needed. Received: n=15"),
    (DIFF, "{kind: PROP, threshold: 1, n: 50}", "no share can be shown to lie above 1"),
    (DIFF, "{kind: PROP, threshold: 1.5}", "`threshold` must be a finite number from 0 to 1"),
    (DIFF, "{kind: PROP, threshold: 0.05}", "luck alone would reproduce PROP (share of successes above 0.05) in 8.6% of experiments"),
    (DIFF, "{kind: SLOPE}", "missing key `low` or `high`"),
    (DIFF, "{kind: SLOPE, low: 1, high: 0}", "`low` must not exceed `high`"),
    (DIFF, "{kind: SLOPE, low: 0, r2: 2}", "`r2` must be a finite number from 0 to 1"),
    (DIFF, "{kind: RANGE, low: 0, of: medain}", "`of` must be one of mean, median, quantiles. Did you mean `median`"),
    (DIFF, "{kind: RANGE, low: 0, value: 1}", "`value` belongs to a RANGE of quantiles"),
    (DIFF, "{kind: RANGE, of: quantiles, low: 0}", "a RANGE of quantiles needs `value`"),
    (DIFF, "{kind: RANGE, of: quantiles, value: 1425}", "at least 39 are needed. Received: n=10"),
    (DIFF, "{kind: RANGE, of: median, low: 1, n: 5}", "at least 6 are needed. Received: n=5"),
    (EQ, "{kind: EQ, value: seven}", "`value` must be a finite number. Received: value='seven'"),
    (EQ, "{kind: EQ, value: 7, tolerance: -1}", "`tolerance` must be a finite number of at least 0"),
    ("    rule: " + EQ, "", "give either `rule` or `rules`"),
    ("rule: " + EQ, "rules: {2nd: {kind: EQ, value: 7}}", "a part's name must be an identifier other than claim_id, samples, reason. Received: '2nd'"),
    ("rule: " + EQ, "rules: {reason: {kind: EQ, value: 7}}", "a part's name must be an identifier"),
    ("rule: " + EQ, "rules: []", "`rules` maps names of parts to rules"),
])
def test_a_faulty_declaration_says_what_and_where(declare, old, new, message):
    assert old in WHOLE
    with pytest.raises(ClaimError) as caught: declare(WHOLE.replace(old, new, 1))
    assert message in str(caught.value) and str(caught.value).startswith("made_up.yaml")


def test_files_that_are_none(declare, tmp_path):
    for text, message in [("", "expected a mapping with `question` and `claims`. Received: NoneType"), ("- a", "Received: list"), ("a: \x01", "is not YAML")]:
        with pytest.raises(ClaimError, match=message): declare(text)
    with pytest.raises(ClaimError, match="absent.yaml: can't be read"): load_claims(tmp_path / "absent.yaml")
    assert spec_of(tmp_path / "absent.ipynb") == ExperimentSpec("absent", "", (), (), (), (), {}, {})


def test_powers_of_ten_are_numbers_in_yaml(declare):
    assert declare(WHOLE.replace("1e-6", "5E+2")).claim("counts").rules[0].tolerance == 500.0


@pytest.mark.parametrize("old, new, moved", [
    ("A. Author 2001, table 2", "A. Author (2001), p. 4", False), ("It works better", "It  works\n      better", False), ("threshold: 0,", "threshold: 0.0,", False),
    ("Does it work?", "Does it work at all?", False), ("threshold: 0,", "threshold: 0.01,", True), ("It works better", "It works", True),
    ("level: scaled down", "level: proxy", True), ("n: 10", "n: 11", True), ("paper: 0.5", "paper: 0.6", True), ("id: works", "id: work", True),
    ("value: 7", "value: 8", True), ("tolerance: 1e-6", "tolerance: 1e-5", True)])
def test_the_hash_moves_with_what_could_move_a_verdict(declare, old, new, moved):
    assert (declare(WHOLE).claims_hash != declare(WHOLE.replace(old, new, 1)).claims_hash) == moved


def test_a_control_and_a_claim_of_the_same_words_differ():
    one = claim(10, rule="DIFF", threshold=0.0)
    assert rule_hash(one) != rule_hash(replace(one, control=True)) and one.rule_hash == rule_hash(one)


# What an experiment hands over

@pytest.fixture
def handed(monkeypatch):
    "What `metric` and `judge` display, caught."
    caught = []
    monkeypatch.setattr(claims, "publish", lambda data, metadata=None: caught.append(data))
    return caught


def test_metric_hands_over_a_number_its_unit_and_its_interval(handed):
    metric("test_error", np.float32(0.25), "share of test images")
    metric("sweeps", np.int64(1425), "sweeps", interval=np.array([1300.0, 1600.0]))
    metric("ratio", 2, "dimensionless", interval=(1.5, np.inf))
    metric("one_seed", 0.5, "dimensionless", interval=(-np.inf, np.inf))
    found = [h["application/vnd.deeplearn.metric+json"] for h in handed]
    assert found == [dict(name="test_error", value=0.25, unit="share of test images"), dict(name="sweeps", value=1425, unit="sweeps", interval=[1300.0, 1600.0]),
                     dict(name="ratio", value=2, unit="dimensionless", interval=[1.5, None]), dict(name="one_seed", value=0.5, unit="dimensionless")]
    assert [h["text/plain"] for h in handed[:2]] == ["test_error = 0.25 (share of test images)", "sweeps = 1,425 (sweeps, 95 % interval [1,300, 1,600])"]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("given, message", [
    (("", 1, "x"), "`name` must be text"), (("a", 1, ""), "`unit` must be text"), (("a", np.nan, "x"), "`value` of metric `a` must be finite"),
    (("a", True, "x"), "must be a number. Received: value=True"), (("a", "1", "x"), "must be a number"), (("a", np.ones(2), "x"), "must be a number"),
    (("a", 1, "x", [1]), r"must be \[low, high\]"), (("a", 1, "x", [2, 1]), "must rise from low to high"), (("a", 1, "x", ["a", "b"]), "must be a number")])
def test_metric_refuses_what_is_none(handed, given, message):
    with pytest.raises(ValueError, match=message): metric(*given)
    assert not handed


@pytest.fixture
def declared(monkeypatch, tmp_path):
    (path := tmp_path / "made_up.yaml").write_text(WHOLE)
    monkeypatch.setenv("DEEPLEARN_CLAIMS", str(path))
    monkeypatch.delenv("DEEPLEARN_TIER", raising=False)
    return path


def test_judge_finds_the_claim_and_hands_over_the_whole_verdict(declared, handed, monkeypatch):
    found = judge("works", random.normal(5, 1, 10), reason="first try")
    data = handed[0]["application/vnd.deeplearn.claim+json"]
    assert data == found.record() and data["verdict"] == REPRODUCED and data["rule_hash"] == load_claims(declared).claim("works").rule_hash
    assert {"id", "verdict", "level", "rule", "estimate", "interval", "n", "reason", "kind", "statement", "source", "control"} <= data.keys()
    assert handed[0]["text/plain"] == str(found) and handed[0]["text/html"] == found._repr_html_() and "first try" in str(found)
    monkeypatch.setenv("DEEPLEARN_TIER", "smoke")
    assert judge("works", [1.0]).verdict == UNJUDGED and judge("counts", 7).verdict == REPRODUCED
    monkeypatch.setenv("DEEPLEARN_TIER", "huge")
    with pytest.raises(ClaimError, match="`tier` must be one of smoke, laptop, full"): judge("counts", 7)


def test_judge_says_what_is_wrong(declared, handed, tmp_path):
    with pytest.raises(ClaimError, match="no claim `work`. Did you mean `works`"): judge("work", [1])
    with pytest.raises(ClaimError, match="claim `works` needs `samples`. Received: nothing"): judge("works")
    with pytest.raises(ClaimError, match="claim `works` has no part `arms`"): judge("works", arms=[1])
    with pytest.raises(ClaimError, match=r"claim `works`: expected `\(n,\)`, one value a run, or `\(2, n\)`.*Received: shape \(3, 4\)"): judge("works", np.ones((3, 4)))
    assert not handed


def test_claims_are_sought_in_the_project_and_must_be_unique(tmp_path, monkeypatch):
    monkeypatch.delenv("DEEPLEARN_CLAIMS", raising=False)
    project = make_project(tmp_path)
    monkeypatch.chdir(project)
    assert find_claim("works").id == "works"
    (project / "nbs" / "experiments" / "broken.yaml").write_text("question: no")
    with pytest.raises(ClaimError, match="(?s)no claim `absent`.*broken.yaml: `question` must be"): find_claim("absent")
    (project / "nbs" / "experiments" / "other.yaml").write_text(WHOLE)
    with pytest.raises(ClaimError, match="claim `works` is declared in made_up and other"): find_claim("works")


def test_in_a_notebook_a_verdict_is_shown_once_in_the_cell_that_judged(declared, tmp_path):
    "The real thing, in a kernel: MIME data in the outputs, and no second copy where the cell ends with `judge(...)`."
    import nbformat
    from nbclient import NotebookClient
    cells = ["from deeplearn.core.claims import judge, metric", "found = judge('counts', 7)\nfound", "found", "metric('parts', 7, 'count', interval=[6, 8])"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, kernel_name="python3", resources=dict(metadata=dict(path=str(tmp_path)))).execute()
    outputs = [[o["data"] for o in cell["outputs"]] for cell in notebook["cells"]]
    assert [len(o) for o in outputs] == [0, 1, 1, 1]
    assert outputs[1][0]["application/vnd.deeplearn.claim+json"]["verdict"] == REPRODUCED
    assert "application/vnd.deeplearn.claim+json" not in outputs[2][0] and outputs[2][0]["text/plain"] == outputs[1][0]["text/plain"]
    assert outputs[3][0]["application/vnd.deeplearn.metric+json"] == dict(name="parts", value=7, unit="count", interval=[6, 8])


# What was accepted

CELL = "n_seeds: int = 10  # seeds\nfrom deeplearn.core.statistics import t_interval"


def make_project(folder):
    "A project with one experiment, which declares a file of data."
    (experiments := folder / "project" / "nbs" / "experiments").mkdir(parents=True)
    (folder / "project" / "settings.ini").write_text("[DEFAULT]\nlib_name = deeplearn\n")
    (experiments / "made_up.ipynb").write_text(json.dumps(dict(cells=[dict(cell_type="code", source=CELL)])))
    (experiments / "made_up.yaml").write_text(WHOLE.replace("data: [digits]", "data: [made_up.csv]"))
    (experiments / "made_up.csv").write_text("1, 2\n")
    return folder / "project"


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (960).to_bytes(4, "big") + (480).to_bytes(4, "big") + b"\x08\x06\0\0\0"


@pytest.fixture
def project(tmp_path, monkeypatch):
    "The same with an accepted report, and this process inside it."
    monkeypatch.setenv("DEEPLEARN_HOME", str(root := make_project(tmp_path)))
    monkeypatch.setenv("SOME_VARIABLE", "a")
    monkeypatch.chdir(tmp_path)
    notebook = root / "nbs" / "experiments" / "made_up.ipynb"
    spec, parameters = spec_of(notebook), dict(n_seeds=10)
    steady = np.tile([0.4, 0.6], 5)
    judged = [weigh(spec.claim("works"), {"": steady}), weigh(spec.claim("counts"), {"": 7}), weigh(spec.claim("nothing"), {"": steady - 0.5})]
    parts = key_parts(notebook, parameters, spec.claims_hash, data_hashes(spec, parameters, notebook.parent), spec.environment)
    record = dict(experiment="made_up", question=spec.question, tier="laptop", started="2026-11-02T10:20:30+00:00", parameters=parameters, key_parts=parts,
                  claims=[v.record() for v in judged], figures=[dict(file="figures/01.png", alt="dots", caption="Look at <this>.")])
    (folder := root / "reports" / "accepted" / "made_up" / "figures").mkdir(parents=True)
    (folder.parent / "record.json").write_text(json.dumps(record))
    (folder / "01.png").write_bytes(PNG)
    return root


def edit(root, name, old, new):
    text = (path := root / "nbs" / "experiments" / name).read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_an_accepted_report_is_shown_with_everything_that_matters(project):
    shown = accepted("made_up")
    text, page = repr(shown), shown._repr_html_()
    for word in ("Does it work?", "laptop tier", "2026-11-02", "✓ reproduced: It works better", "0.5, 95 % interval [0.42", "n = 10", "scaled down", "It has 7 parts",
                 "control came out null, as it must"): assert word in text
    for word in ("Does it work?", "laptop tier", "2026-11-02", "<b>reproduced</b>", "n = 10", "scaled down", "A. Author 2001, table 2", "Current:"): assert word in page
    assert shown.changes == [] and "Stale" not in page


def test_staleness_is_told_in_html_and_never_in_text(project, monkeypatch):
    before = repr(accepted("made_up"))
    edit(project, "made_up.ipynb", "t_interval", "wilson_interval")
    edit(project, "made_up.csv", "1, 2", "1, 3")
    monkeypatch.setenv("SOME_VARIABLE", "b")
    record = json.loads((path := project / "reports" / "accepted" / "made_up" / "record.json").read_text())
    record["key_parts"]["packages"]["numpy"], record["key_parts"]["modules"]["deeplearn.core.statistics"] = "1.0", "0"
    path.write_text(json.dumps(record))
    shown = accepted("made_up")
    assert repr(shown) == before
    expected = ["the experiment's code changed", "data `made_up.csv` changed", "deeplearn/core/statistics.py changed", "environment variable SOME_VARIABLE changed from 'a' to 'b'"]
    assert [c for c in shown.changes if "numpy" not in c] == expected and any("package numpy changed from '1.0'" in c for c in shown.changes)
    assert "Stale" in (page := shown._repr_html_()) and all(word in page for word in ("made_up.csv", "statistics.py", "numpy"))


def test_a_rule_changed_after_the_run_withdraws_its_verdict_and_no_other(project):
    edit(project, "made_up.yaml", "threshold: 0,", "threshold: 0.3,")
    shown = accepted("made_up")
    assert [v.verdict for v in shown.verdicts] == [OPEN, REPRODUCED, OPEN]
    assert shown.verdicts[0].reason == "rule changed since the run; the run said reproduced" and shown.verdicts[0].estimate == 0.5
    assert "? inconclusive: It works better" in repr(shown) and shown.changes == ["the claims' rules changed"]


def test_a_corrected_citation_changes_nothing(project):
    before = repr(accepted("made_up"))
    edit(project, "made_up.yaml", "A. Author 2001, table 2", "A. Author (2001), table II")
    assert repr(accepted("made_up")) == before and accepted("made_up").changes == []


def test_a_changed_control_no_longer_counts_as_null(project):
    edit(project, "made_up.yaml", "statement: Nothing works better", "statement: Nothing helps")
    control = accepted("made_up").verdicts[2]
    assert control.verdict == OPEN and "as it must" not in str(control) and str(control).startswith("? inconclusive")
    edit(project, "made_up.yaml", "id: nothing", "id: naught")
    assert accepted("made_up").verdicts[2].reason.startswith("rule changed: no longer declared")


def test_parts_are_withdrawn_with_their_claim():
    found = weigh(parted(), dict(solved=[1] * 20, ratio=random.normal(2, 0.05, 20)))
    record = dict(claims=[found.record() | dict(field_of_a_later_schema=1)])
    (kept,), (gone,) = recorded_verdicts(record), recorded_verdicts(record, ExperimentSpec("x", "", (), (), (), (), {}, {}))
    assert kept == found and gone.verdict == OPEN and {p["verdict"] for p in gone.parts} == {OPEN}


def test_figures_of_the_accepted_report(project, handed):
    accepted("made_up").figure(1)
    picture, caption = handed
    assert picture["text/plain"] == "Figure: dots" and picture["image/png"].startswith("iVBORw0KGgo") and "application/vnd.deeplearn.figure+json" not in picture
    assert caption == {"text/markdown": r"*Look at \<this\>.*", "text/plain": "Look at <this>."}
    for number in (0, 2, "1"):
        with pytest.raises(ValueError, match="`number` must be 1 to 1, the figures of `made_up`"): accepted("made_up").figure(number)


def test_a_missing_report_says_how_to_make_one(project, handed, monkeypatch, tmp_path):
    (project / "reports" / "accepted" / "made_up" / "record.json").unlink()
    assert repr(accepted("made_up")) == "`made_up` has no accepted report yet. Make one with:\n  deeplearn run made_up --tier laptop\n  deeplearn accept made_up"
    assert "deeplearn accept made_up" in accepted("made_up")._repr_html_()
    accepted("made_up").figure(1)
    assert "deeplearn run made_up" in handed[0]["text/plain"]
    assert repr(accepted("made_upp")) == "No experiment is called `made_upp`. Did you mean `made_up`? There are: made_up."
    with pytest.raises(ValueError, match="`experiment` must be a name"): accepted("../made_up")
    monkeypatch.delenv("DEEPLEARN_HOME")
    assert "set DEEPLEARN_HOME" in repr(accepted("made_up"))


def test_changes_name_what_is_gone(project):
    record = accepted("made_up").record
    edit(project, "made_up.yaml", "[made_up.csv]", "[no_such_set]")
    assert "no_such_set" in changes_since(record)[0]
    edit(project, "made_up.yaml", "question: Does it work?", "question: no")
    assert changes_since(record)[0].startswith("made_up.yaml: `question` must be")
    (project / "nbs" / "experiments" / "made_up.ipynb").unlink()
    assert changes_since(record) == ["the experiment is no longer in the project"]
    assert Accepted("made_up", project, record).changes == changes_since(record, project)


def test_only_the_chosen_data_set_counts_and_every_file(project):
    "`dataset` picks one of the declared sets; a declared file is read whichever set is chosen."
    folder, spec = project / "nbs" / "experiments", ExperimentSpec("x", "", ("made_up.csv", "digits", "mnist"), (), (), (), {}, {})
    assert set(data_hashes(spec, {}, folder)) == {"made_up.csv", "digits", "mnist"}
    assert set(data_hashes(spec, dict(dataset="digits"), folder)) == {"made_up.csv", "digits"}
    assert set(data_hashes(spec, dict(dataset="elsewhere"), folder)) == {"made_up.csv", "digits", "mnist"}


def test_claims_are_light_to_import():
    code = "import sys, deeplearn.core.claims, deeplearn.core.declaration, deeplearn.core.verdicts, deeplearn.core.statistics\n" \
           "print([m for m in ('scipy', 'yaml', 'matplotlib', 'keras', 'IPython', 'deeplearn.core.data') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
