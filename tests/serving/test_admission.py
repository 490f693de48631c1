import pytest

from plackett.serving.admission import Admission
from plackett.serving.refusal import Refusal


def refused(admission, *given, **options):
    with pytest.raises(Refusal) as caught:
        admission.check(*given, **options)
    assert caught.value.status == 429
    return int(caught.value.headers["Retry-After"])


def test_the_wait_is_that_of_the_queue():
    admission = Admission(1000, 0.5)
    assert refused(admission, 200, queued=900, rate=100.0) == 9
    assert refused(admission, 200, queued=901, rate=100.0) == 10
    assert refused(admission, 200, queued=900, rate=1e9) == 1
    admission.check(100, queued=900, rate=100.0)


def test_a_request_larger_than_the_queue_is_accepted_while_nothing_waits():
    Admission(1000, 0.5).check(10_000, queued=0, rate=1.0)


def test_the_queue_is_no_longer_than_the_time_for_a_request():
    admission = Admission(1000, 0.5, seconds=5.0)
    admission.check(100, queued=400, rate=100.0)
    assert refused(admission, 101, queued=400, rate=100.0) == 4


def test_low_priority_is_refused_first():
    admission = Admission(1000, 0.5)
    admission.check(100, queued=450, rate=1.0, priority=0)
    assert refused(admission, 100, queued=450, rate=1.0, priority=1)
