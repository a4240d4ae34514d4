"""A hundred cases of `python -m tests.fuzz`: whatever damage a visitor sends, no error of the server and nothing left."""

from .fuzz import Fuzzer


def test_no_damage_is_an_error_of_the_server(site, job_queue):
    assert Fuzzer(site, seed=0).run(100) == []
