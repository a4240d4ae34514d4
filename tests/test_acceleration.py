"""The switches for speed: each gives the same clip up to rounding, and does what it says."""

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import setuptools  # noqa: F401  PyTorch's compiler imports it; in the middle of a run that once failed to replace distutils
import torch
import torch._inductor.config as inductor

from fashionflow.models import SpaceTimeUNet, blocks
from fashionflow.runtime import acceleration
from fashionflow.runtime.acceleration import PLAIN, Switches, prepare
from fashionflow.runtime.cuda_graphs import RecordedSteps
from fashionflow.runtime.loading import load_pipeline
from fashionflow.runtime.model_folder import SHIPPED_MODEL
from fashionflow.video.prefetch import prefetch

from . import tiny


ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc can be told")


@pytest.fixture(scope="module")
def plain():
    """What the shipped denoiser predicts with everything off, and its inputs."""
    return shipped_step(PLAIN)


def shipped_step(switches: Switches) -> torch.Tensor:
    """A step of the shipped denoiser on 8 frames, [1, C, 8, H, W], float32."""
    unet = load_pipeline(SHIPPED_MODEL, "cpu", switches).unet
    draw = torch.Generator().manual_seed(0)
    sample = torch.randn(1, unet.config.in_channels, 8, 20, 16, generator=draw)
    context = torch.randn(1, 37, unet.config.context_channels, generator=draw)
    motion = torch.randn(1, 8, unet.config.motion_channels, generator=draw)
    guide = torch.randn(1, unet.config.guide_channels, 8, 20, 16, generator=draw)
    with torch.no_grad():
        inputs = (tensor.to(unet.dtype) for tensor in (context, motion))
        return unet(sample.to(unet.dtype), 500, *inputs, guide=guide.to(unet.dtype)).sample.float()


def unet_inputs(unet) -> dict:
    draw = torch.Generator().manual_seed(0)
    config = unet.config
    return {
        "sample": torch.randn(1, config.in_channels, 4, 8, 8, generator=draw),
        "timestep": 500,
        "encoder_hidden_states": torch.randn(1, 5, config.context_channels, generator=draw),
        "motion": torch.randn(1, 4, config.motion_channels, generator=draw),
    }


def relative(result: torch.Tensor, expected: torch.Tensor) -> float:
    return ((result - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("name", ["channels_last", "keep_memory", "fit_threads"])
def test_a_switch_that_computes_the_same_gives_the_same(plain, name):
    assert relative(shipped_step(replace(PLAIN, **{name: True})), plain) < 1e-5


def test_steps_go_straight_through_the_recorder_without_a_gpu():
    unet = tiny.unet()
    inputs = unet_inputs(unet)
    expected = unet(**inputs)
    recorder = RecordedSteps(unet)
    assert unet.forward is recorder
    result = unet(**inputs)
    assert torch.equal(result.sample, expected.sample) and torch.equal(result.deep_features, expected.deep_features)
    with torch.no_grad():
        borrowed = unet(**inputs, deep_features=expected.deep_features, return_dict=False)
    assert len(borrowed) == 1 and relative(borrowed[0], expected.sample) < 1e-5
    assert prepare(tiny.unet(), Switches("float32", cuda_graphs=True)).forward.__func__ is SpaceTimeUNet.forward


@pytest.mark.parametrize(("name", "largest"), [("bfloat16", 2e-2), ("float16", 3e-3)])
def test_a_shorter_number_format_is_only_rounding(plain, name, largest):
    error = relative(shipped_step(replace(PLAIN, number_format=name)), plain)
    assert 1e-4 < error < largest  # not nothing, or it was not applied


class Reached(Exception):
    """Ends a call of the U-Net early."""


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
def test_compiled_blocks_give_the_same(tmp_path, monkeypatch):
    """One block is run, because the compiler needs half a minute for all. That every block can be compiled is in
    `tests/test_unet_space_time.py::test_compile_traces_without_a_graph_break`."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    # PyTorch would try each of the processor's vector instructions with a program of its own, which takes the compiler ten seconds.
    monkeypatch.setattr(inductor.cpp, "vec_isa_ok", True)
    unet = tiny.unet(block_channels=(8,), attention_levels=(), cross_attention_heads=(1,))
    block, draw = unet.down_blocks[0].cross_attention, torch.Generator().manual_seed(0)
    hidden_states = torch.randn(1, 4, 4, 4, 8, generator=draw)  # [B, F, H, W, C]
    context = torch.randn(1, 5, tiny.CONTEXT_CHANNELS, generator=draw)
    with torch.no_grad():
        expected = block(hidden_states, context)
        acceleration.compile_blocks(unet)
        assert relative(block(hidden_states, context), expected) < 1e-5
    assert any(tmp_path.rglob("*.so"))  # another start finds them
    compiled = {type(module).__name__ for module in unet.modules() if module._compiled_call_impl}
    assert compiled == {"ResnetBlock", "SpaceTimeTransformerBlock", "CrossAttentionBlock"}
    limits = []

    def note_the_limit(*_):
        limits.append(torch._dynamo.config.recompile_limit)
        raise Reached

    unet.conv_in.register_forward_hook(note_the_limit)

    def call():
        with torch.no_grad(), pytest.raises(Reached):
            unet(**unet_inputs(unet))

    thread = threading.Thread(target=call)  # as a job queue's, which has a limit of its own
    thread.start()
    thread.join()
    assert limits == [acceleration.MOST_KINDS_OF_BLOCK]


def test_without_a_compiler_it_is_said_at_once(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match="install g"):
        acceleration.compile_blocks(tiny.unet())


def test_the_automatic_format_is_what_the_processor_multiplies_fast(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    acceleration.processor_has_bfloat16.cache_clear()
    assert acceleration.number_format(cpu) == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    acceleration.processor_has_bfloat16.cache_clear()
    assert acceleration.number_format(cpu) == torch.float32
    acceleration.processor_has_bfloat16.cache_clear()
    assert acceleration.number_format(torch.device("cuda")) == torch.float16
    with pytest.raises(ValueError, match="float32, bfloat16, float16, got 'int8'"):
        acceleration.number_format(cpu, "int8")


PAGES_TAKEN = """
import resource, threading
import torch

def pages_taken():
    def work():
        for _ in range(5):
            torch.ones(16_000_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            torch.ones(16_000_000)
        taken.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    taken = []
    thread = threading.Thread(target=work)  # the models run on a thread of their own
    thread.start()
    thread.join()
    return taken[0]
"""
# What glibc is told is told to the whole process, so all of it is tried in one of its own.
KEPT_MEMORY = f"""
from fashionflow.runtime import acceleration
assert acceleration.keep_freed_memory()
{PAGES_TAKEN}
import json
import psutil
from fashionflow.generation.queue import JobQueue
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from tests import tiny

def resident():
    return psutil.Process().memory_info().rss
found = {{"pages_kept": pages_taken()}}

acceleration.return_freed_memory()
before = resident()
tensors = [torch.ones(8_000_000) for _ in range(20)]
del tensors
found["kept"] = resident() - before
acceleration.return_freed_memory()
found["given_back"] = resident() - before

pipe = tiny.pipeline()
job_queue = JobQueue(pipe)
request = ClipRequest(pipe.fit_photo(tiny.photo()), ClipSettings(4, 1, 0))
def make():
    list(job_queue.submit(request).follow())
    while threads := list(job_queue._threads.values()):
        threads[0].join(0.1)
make()
before = resident()
pipe.unet.register_forward_pre_hook(lambda *_: [torch.ones(8_000_000) for _ in range(20)] and None)
make()
found["after_a_clip"] = resident() - before

print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def kept_memory() -> dict[str, int]:
    return json.loads(printed_by(KEPT_MEMORY))


def printed_by(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@ON_LINUX
def test_kept_memory_is_not_asked_for_again(kept_memory):
    pages_left = int(printed_by(f"{PAGES_TAKEN}\nprint(pages_taken())"))
    assert kept_memory["pages_kept"] < 100 < 1000 < pages_left


@ON_LINUX
def test_kept_memory_can_be_given_back(kept_memory):
    assert kept_memory["kept"] > 500e6 and kept_memory["given_back"] < 50e6


@ON_LINUX
def test_a_job_queue_with_nothing_to_do_keeps_nothing(kept_memory):
    assert kept_memory["after_a_clip"] < 100e6  # of 640 MB


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_threads_are_no_more_than_this_process_may_use():
    def count_on_one_core():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # of this thread alone
        counted.append(acceleration.usable_cores())

    counted = []
    thread = threading.Thread(target=count_on_one_core)
    thread.start()
    thread.join()
    assert counted == [1]


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    monkeypatch.setattr(acceleration, "QUOTA_FILES", ((tmp_path / "cpu.max", None),))
    assert acceleration.usable_cores() == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert acceleration.usable_cores() >= 1 and acceleration._quota() is None


def test_threads_wait_briefly_wherever_fashionflow_is_imported_first():
    code = "import fashionflow, os; print(os.environ['GOMP_SPINCOUNT'])"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    for given, seen in ((None, "2000"), ("7", "7")):
        changed = environment | ({"GOMP_SPINCOUNT": given} if given else {})
        result = subprocess.run([sys.executable, "-c", code], env=changed, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == seen


def test_cross_attention_in_parts_is_the_same(monkeypatch):
    unet = tiny.unet()
    inputs = unet_inputs(unet)
    with torch.no_grad():
        whole = unet(**inputs).sample
        monkeypatch.setattr(blocks, "WIDEST_ON_CPU", 1024)
        widths = []
        hook = unet.up_blocks[-1].cross_attention.feed_forward_in.register_forward_hook(
            lambda layer, inputs, output: widths.append(output.numel())
        )
        parts = unet(**inputs).sample
        hook.remove()
    assert len(widths) > 1 and max(widths) <= 1024
    assert relative(parts, whole) < 1e-5


def test_gradients_do_not_mind_what_is_written_over():
    unet = tiny.unet()
    inputs = unet_inputs(unet)
    unet(**inputs).sample.square().mean().backward()
    assert all(parameter.grad is not None for name, parameter in unet.named_parameters() if "motion" not in name)


def test_prefetch_works_ahead_and_in_order():
    begun = []

    def numbers():
        for number in range(6):
            begun.append(number)
            yield number

    items = prefetch(numbers(), most=1)
    assert next(items) == 0
    deadline = threading.Event()
    while len(begun) < 3 and not deadline.wait(0.01):
        pass
    assert list(items) == [1, 2, 3, 4, 5]


def test_prefetch_raises_after_what_was_made_before():
    def two_and_trouble():
        yield 1
        yield 2
        raise ZeroDivisionError

    items = prefetch(two_and_trouble(), most=1)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_nothing_goes_on_once_nobody_wants_more():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    items = prefetch(endless(), most=1)
    next(items)
    items.close()
    assert closed.is_set() and "prefetch" not in {thread.name for thread in threading.enumerate()}
