"""The simulation of scale, where arithmetic or theory says what must come out."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.scale.run import PAIRS, Assumptions, Rates, Scaling, autoscaled, bulk_job, limits, replicas, training
from benchmarks.serving.run import md1_p99

RATES = Rates(bulk=100.0, start=0.0, of_a_part=0.0, texts=1e5, serving=100.0, lists=4.0)
GIVEN = Assumptions(cores=10, failures=0.0, spread=0.0)


def rng():
    return np.random.default_rng(1)


def test_machines_that_lose_nothing_take_the_ideal_time():
    job = bulk_job(5, RATES, GIVEN, rng())
    assert job["hours"] == pytest.approx(PAIRS / (5 * 10 * 100) / 3600, rel=0.001)
    assert job["dollars"] == round(PAIRS / 100 / 3600 * GIVEN.price)
    assert job["of the ideal"] == pytest.approx(1, abs=0.001)


def test_a_driver_limits_the_number_of_machines():
    slow = replace(RATES, of_a_part=1.0)  # a part takes 20 s, so 20 machines are all that it can feed
    assert limits(slow, GIVEN)["driver, machines"] == 20
    at_the_limit, beyond = (bulk_job(machines, slow, GIVEN, rng())["hours"] for machines in (20, 200))
    assert beyond == pytest.approx(at_the_limit, rel=0.05)


def test_lost_machines_repeat_parts():
    job = bulk_job(5, RATES, replace(GIVEN, failures=18.0), rng())
    assert job["repeated parts"] == pytest.approx(0.1 * PAIRS / GIVEN.rows_of_a_part, rel=0.05)
    assert job["of the ideal"] == pytest.approx(1 / 1.05, rel=0.01)


@pytest.mark.parametrize("load", [0.5, 0.8])
@pytest.mark.parametrize("number", [1, 4])
def test_a_random_choice_makes_queues_of_their_own(load, number):
    assert replicas(number, load, "random", rng()) == pytest.approx(md1_p99(load), rel=0.1)


def test_the_choice_of_the_least_busy_is_better():
    assert replicas(4, 0.8, "least", rng()) < 0.6 * replicas(4, 0.8, "random", rng())


def test_autoscaling_serves_all_and_costs_less_than_the_peak_all_day():
    day = autoscaled(10, Scaling())
    assert 24 * 10 * 0.55 < day["replica-hours"] < 24 * 10 / 0.8
    assert day["longest wait, s"] < 60


def test_one_process_exchanges_nothing():
    assert training(1, RATES, GIVEN) == {"processes": 1, "lists per second": 4.0, "of the ideal": 1.0}
    assert training(8, RATES, replace(GIVEN, network=1e6))["of the ideal"] < 0.1
