"""Each visitor's share of the queue (`--most-jobs`): who counts as one visitor, and what is told to whoever has had theirs."""

import httpx
import pytest
from gradio_client import Client, handle_file

from fashionflow.generation.queue import TooManyJobs
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.page.hosting import MOST_JOBS_VARIABLE, HostingError, read_most_jobs
from fashionflow.page.languages import ENGLISH, texts
from fashionflow.page.visitors import access

from . import tiny
from .assistants import assistant, data_uri, finished, said
from .brake import Brake
from .browser import animate, visitors, wait_for_status, wait_until
from .programs import named_queue, refusal, refused_photo
from .serve import served


FULL = ENGLISH("status.share_full", count=1)
LONG = {"frames": 4, "steps": 1000, "seed": 1}
VISITORS = [("ada", "s3cret"), ("bo", "hush")]


@pytest.fixture(scope="module")
def job_queue():
    job_queue = named_queue()
    job_queue.most_jobs = 1
    return job_queue


@pytest.fixture(scope="module")
def url(job_queue):
    with served(job_queue) as site:
        yield site.url


@pytest.fixture
def held(job_queue):
    """Nobody's clip goes on until the test has ended; then all jobs end."""
    brake = Brake(job_queue.pipe)
    brake.hold()
    yield
    for job in job_queue.jobs:
        job_queue.discard(job)
    brake.remove()
    wait_until(lambda: not job_queue.in_line)


def connect(url: str, address: str, **options) -> Client:
    """A program that comes from an address, as a proxy on this machine tells it."""
    return Client(url, headers={"X-Forwarded-For": address}, verbose=False, download_files=False, **options)


def submit(client: Client, photo) -> str:
    return client.predict(handle_file(photo), **LONG, api_name="/submit")[0]


def refused_job(client: Client, photo) -> str:
    return refusal(client, handle_file(photo), **LONG, api_name="/submit")


def test_a_program_gets_its_share_and_again_when_a_job_has_ended(url, job_queue, held, dress):
    ada, bo = connect(url, "203.0.113.5"), connect(url, "203.0.113.6")
    submit(ada, dress)
    number = submit(bo, dress)  # which waits
    again = connect(url, "203.0.113.6")  # another session of the same visitor
    assert refused_job(again, dress) == refused_photo(bo, dress) == FULL
    assert job_queue.in_line == 2
    assert bo.predict(number, api_name="/stop") == "stopped"
    submit(again, dress)


def test_a_network_of_ipv6_is_one_visitor(url, held, dress):
    for address in ("2001:db8::5", "2001:db8:0:1::5", "::ffff:203.0.113.5", "::ffff:203.0.113.6"):
        submit(connect(url, address), dress)
    for address in ("2001:db8::6:7", "203.0.113.5"):
        assert refused_job(connect(url, address), dress) == FULL


def test_an_assistant_is_known_by_its_own_address_whatever_it_says(url, job_queue, held, dress):
    """Gradio calls the page for assistants from this machine, and passes on what they say of themselves."""
    submit(connect(url, "127.0.0.1"), dress)

    async def ask(says: str) -> list[str]:
        from_elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        options = {"headers": {"X-Forwarded-For": says}, "timeout": 60, "follow_redirects": True}
        async with (
            httpx.AsyncClient(transport=from_elsewhere, **options) as client,
            assistant(url, client) as session,
        ):
            return await said(session, "submit", photo=data_uri(dress), **LONG)

    assert finished(ask("203.0.113.5"))[0] != "refused"
    assert finished(ask("203.0.113.6")) == ["refused", FULL]


def test_who_asks_twice_at_the_same_moment_gets_one_job(job_queue, held):
    """Both have been told that there is room, and nothing is left of the one that is refused."""
    request = ClipRequest(tiny.photo(), ClipSettings(**LONG))
    job_queue.submit(request, visitor="ada")
    with pytest.raises(TooManyJobs):
        job_queue.submit(request, visitor="ada")
    assert len(list(job_queue.folder.glob("job-*"))) == len(job_queue.jobs) == 1
    for visitor in ("bo", None, None):
        job_queue.submit(request, visitor=visitor)


def test_who_has_logged_in_is_known_by_name(dress):
    job_queue = named_queue()
    job_queue.most_jobs = 1
    brake = Brake(job_queue.pipe)
    brake.hold()
    with served(job_queue, **access(VISITORS)) as site:
        ada, bo = (connect(site.url, "203.0.113.5", auth=visitor) for visitor in VISITORS)
        submit(ada, dress)
        assert refused_job(connect(site.url, "203.0.113.6", auth=VISITORS[0]), dress) == FULL
        submit(bo, dress)
        for job in job_queue.jobs:
            job_queue.discard(job)
        brake.remove()


@pytest.mark.browser
def test_the_page_says_so_in_the_visitors_language_and_serves_others(browser, url, job_queue, held, dress):
    with visitors(browser) as visit:
        one = visit(url)
        animate(one, dress)
        wait_for_status(one, "Step")
        again = visit(url, locale="ja")  # another browser of the same visitor
        animate(again, dress)
        sentence = texts()["ja"]["status.share_full"].format(count=1)
        wait_for_status(again, sentence)
        other = visit(url, extra_http_headers={"X-Forwarded-For": "203.0.113.5"})
        animate(other, dress)
        wait_for_status(other, "made before yours")
        for job in job_queue.jobs:
            job_queue.stop(job)


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5", "", "²"])
def test_a_number_that_is_none_is_told_in_one_sentence(monkeypatch, given):
    with pytest.raises(HostingError, match="--most-jobs is") as caught:
        read_most_jobs(given)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    if given:
        monkeypatch.setenv(MOST_JOBS_VARIABLE, given)
        with pytest.raises(HostingError, match=f"{MOST_JOBS_VARIABLE} is"):
            read_most_jobs(None)


def test_the_number_given_comes_before_the_variable(monkeypatch):
    monkeypatch.delenv(MOST_JOBS_VARIABLE, raising=False)
    assert read_most_jobs(None) is None
    monkeypatch.setenv(MOST_JOBS_VARIABLE, "3")
    assert (read_most_jobs(None), read_most_jobs("2")) == (3, 2)
