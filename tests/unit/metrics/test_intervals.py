"""Intervals: they hold the mean, stay within bounds, and agree with published figures."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics.intervals import DIFFERENCE, SHARE, Interval, mean_of, paired_shares


def test_on_the_logit_an_interval_stays_within_its_bounds_and_holds_its_mean():
    for values in ([0.99, 1.0, 0.97], [0.0, 0.01, 0.05], [1.0, 1.0], [0.4, 0.6]):
        interval = Interval.of(values, SHARE)
        assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    plain = Interval.of([0.99, 1.0, 0.97])
    assert plain.high > 1, "which is what the bounds are for"
    assert Interval.of([0.9, -1.0], DIFFERENCE).low >= -1
    assert Interval.of([0.7], SHARE) == Interval(0.7, None, None)


def test_in_the_middle_it_is_students():
    values = [0.49, 0.5, 0.51, 0.5]
    bounded, plain = Interval.of(values, SHARE), Interval.of(values)
    assert bounded.low == pytest.approx(plain.low, abs=1e-4)
    assert bounded.high == pytest.approx(plain.high, abs=1e-4)


def test_paired_shares_without_correlation_add_wilsons_intervals_in_squares():
    # 25 items each of both, ours, theirs, none: each share is ½, Wilson ½ ± 0.096.
    pairs = [(a, b) for a in (True, False) for b in (True, False)] * 25
    interval = paired_shares(pairs)
    assert interval.mean == 0
    assert (interval.low, interval.high) == pytest.approx((-0.136, 0.136), abs=1e-3)


def test_paired_shares_cover_about_95_percent():
    generator, inside = np.random.default_rng(0), 0
    for _ in range(500):
        theirs = generator.random(48) < 0.6
        ours = np.where(generator.random(48) < 0.7, theirs, generator.random(48) < 0.8)
        truth = 0.7 * 0.6 + 0.3 * 0.8 - 0.6
        interval = paired_shares(list(zip(ours.tolist(), theirs.tolist(), strict=True)))
        assert -1 <= interval.low <= interval.mean <= interval.high <= 1
        inside += interval.low <= truth <= interval.high
    assert 0.92 <= inside / 500 <= 0.99


def test_a_mean_of_estimates_is_surer_than_each():
    ends = Interval(0.1, -0.1, 0.4)
    both = mean_of([ends, ends])
    assert both.mean == pytest.approx(0.1)
    assert both.low == pytest.approx(0.1 - 0.2 / 2**0.5)
    assert both.high == pytest.approx(0.1 + 0.3 / 2**0.5)


def test_no_item_is_a_mistake():
    with pytest.raises(ValueError, match="no item"):
        paired_shares([])
