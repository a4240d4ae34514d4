"""The baseline computes what we compute, operations are counted as by hand, and one command writes table, plot and README."""

import json
import time

import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks import clips, parts, starts
from benchmarks.__main__ import main
from benchmarks.baseline import PlainUNet
from benchmarks.columns import BASELINE, DEFAULT, PLAIN_COLUMN, columns_of
from benchmarks.counts import count_decode, count_encode, count_rows, count_step, networks, together
from benchmarks.measure import GROUPS, measure_rows
from benchmarks.report import END, START, table
from benchmarks.roofline import Count, count, measure_rates
from benchmarks.rows import ALL, ROWS, Row
from benchmarks.run import add_ratios
from benchmarks.session import Session
from benchmarks.timing import difference, repeat
from fashionflow.generation.queue import JobQueue
from fashionflow.runtime.acceleration import PLAIN

from . import tiny


CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.fixture
def session(model, tmp_path):
    """With every switch off, because the others are the whole process's."""
    return Session(columns_of(CPU)[PLAIN_COLUMN], CPU, str(model), repeats=2, budget=5, references=tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"time_levels": (0,), "attention_levels": (0, 1), "first_frame_everywhere": False},
        {"time_levels": (0, 1), "motion_channels": 0},
        {"guide_channels": tiny.LATENT_CHANNELS + 4},
        {"time_levels": (1,), "motion_channels": 0, "first_frame_everywhere": False, "gated_skips": False},
    ],
)
def test_the_baseline_computes_what_ours_computes(config):
    unet = tiny.unet(**config)
    if unet.skip_gates is not None:
        nn.init.normal_(unet.skip_gates.weight)  # zeros would hide gates that are mixed up
    for module in unet.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size[1] == 1:
            nn.init.normal_(module.weight, std=0.3)  # the identity would hide a wrong order of frames
    inputs = {
        "sample": parts.random(2, tiny.LATENT_CHANNELS, 4, 8, 8),
        "encoder_hidden_states": parts.random(2, 5, tiny.CONTEXT_CHANNELS),
    }
    if unet.config.motion_channels:
        inputs["motion"] = parts.random(2, 4, 3)
    if unet.config.guide_channels:
        inputs["guide"] = parts.random(2, unet.config.guide_channels, 4, 8, 8)
    ours, plain = (parts.one_step(model, inputs, CPU)() for model in (unet, PlainUNet(unet)))
    assert ours.std() > 0.1
    assert (plain - ours).abs().max() < 1e-5 * ours.abs().max()


def test_layers_are_counted_as_by_hand():
    convolution = nn.Conv2d(4, 8, 3, padding=1, device=META)
    counted = count(lambda: convolution(torch.empty(2, 4, 10, 6, device=META)), convolution)
    weights = 8 * 4 * 9 + 8
    assert counted.layers == [(2 * (2 * 10 * 6) * 8 * 4 * 9, 2 * 4 * 60 + 2 * 8 * 60 + weights)]

    twice = nn.Linear(4, 4, device=META)
    counted = count(lambda: twice(twice(torch.empty(5, 4, device=META))), nn.Sequential(twice, nn.SiLU()))
    assert counted.layers == [(2 * 5 * 4 * 4, 5 * 4 + 5 * 4 + 4 * 4 + 4)] * 2
    assert not twice._forward_hooks and not twice._forward_pre_hooks


def test_attention_is_counted_too():
    query = torch.empty(1, 2, 16, 8, device=META)  # [B, A, N, D]
    bias = torch.empty(1, 2, 16, 16, device=META)
    counted = count(lambda: nn.functional.scaled_dot_product_attention(query, query, query, attn_mask=bias))
    assert counted.layers == [] and counted.operations == 2 * (2 * 2 * 16 * 16 * 8)


def test_a_roofline_is_the_sum_of_each_layers_slower_side():
    rates = {"operations": {"float32": 100.0, "bfloat16": 200.0}, "bytes": 40.0}
    counted = Count(layers=[(1000, 10), (100, 200)], between=50)
    assert counted.seconds(rates, "float32") == pytest.approx(10 + 20 + 0.5)
    assert counted.seconds(rates, "bfloat16") == pytest.approx(5 + 10 + 0.25)
    both = together((counted, 2), (Count(between=7), 1))
    assert both.operations == 2 * 1150 + 7 and both.numbers == 2 * 210
    assert both.seconds(rates, "float32") == pytest.approx(2 * 30.5 + 0.07)


@pytest.mark.parametrize("make", [tiny.pipeline, tiny.guided_pipeline])
def test_every_part_of_a_pipeline_can_be_counted_without_computing(make):
    pipe = make()
    inputs = parts.unet_inputs(pipe)
    for part in (pipe.unet, *networks(pipe)):
        part.to(META)
    step, double = count_step(pipe.unet, inputs), count_step(pipe.unet, parts.unet_inputs(pipe, batch=2))
    assert step.between > 0 and sum(map(bool, step.layers)) > 50
    assert double.between == 2 * step.between
    assert step.operations < double.operations <= 2 * step.operations  # position biases are shared
    assert count_encode(pipe).operations > 0
    assert count_decode(pipe, 3).operations == 3 * count_decode(pipe).operations


def test_rates_are_measured_in_every_format():
    rates = measure_rates(CPU, ["float32", "bfloat16"], side=128, size=2**20, seconds=0.05)
    assert set(rates["operations"]) == {"float32", "bfloat16"}
    assert min(*rates["operations"].values(), rates["bytes"]) > 1e6


def test_repeats_end_with_the_budget_and_the_warm_up_does_not_count():
    calls = []
    assert len(repeat(lambda: calls.append(0), 5, 10)[0]) == 5
    assert len(calls) == 7  # two to warm up
    calls.clear()
    assert len(repeat(lambda: (calls.append(0), time.sleep(0.05)), 50, 0.2)[0]) < 5
    assert len(repeat(lambda: time.sleep(0.02), 5, 0.01)[0]) == 1
    seconds, output = repeat(lambda: 7, 1, 10)
    assert output == 7 and len(seconds) == 1


def test_differences_are_absolute_and_relative():
    found = difference(torch.tensor([3.0, 4.5]), torch.tensor([3.0, 4.0]))
    assert found == {"largest": pytest.approx(0.5), "relative": pytest.approx(0.1)}


def test_columns_differ_and_each_switch_is_alone_once():
    for device in (CPU, torch.device("cuda")):
        columns = columns_of(device)
        assert list(columns)[:2] == [BASELINE, DEFAULT]
        ours = [column.switches for name, column in columns.items() if name != BASELINE]
        assert len(set(ours)) == len(ours)
        for name, column in columns.items():
            if name.startswith("only-"):
                changed = [key for key, value in vars(column.switches).items() if value != getattr(PLAIN, key)]
                assert len(changed) == 1, name
    assert "only-xformers" in columns and "only-xformers" not in columns_of(CPU)


def test_every_row_can_be_measured():
    assert {row.group for row in ROWS.values()} == set(GROUPS)
    assert all(row.name in parts.WORKS for row in ROWS.values() if GROUPS[row.group] is parts.measure)


def test_a_clip_is_timed_from_the_button_to_each_event(session):
    cells = dict(clips.measure(session, [ROWS["preview"], ROWS["segment"], ROWS["clip"]]))
    assert 0 < cells["preview"]["value"] < cells["segment"]["value"] < cells["clip"]["value"]
    assert len(cells["clip"]["values"]) == session.repeats
    assert cells["clip"]["error"]["relative"] < 1e-4


def test_parts_of_a_pipeline_with_geometry_are_timed_too(tmp_path):
    tiny.guided_pipeline().save_pretrained(tmp_path / "guided")
    column = columns_of(CPU)[PLAIN_COLUMN]
    session = Session(column, CPU, str(tmp_path / "guided"), repeats=1, budget=5, references=tmp_path)
    cells = measure_rows(session, [ROWS["step"], ROWS["encode"], ROWS["decode"]])
    for name, cell in cells.items():
        assert cell["value"] > 0 and cell["error"]["relative"] < 1e-4, name
    cells = dict(clips.measure(session, [ROWS["preview"], ROWS["clip"]]))
    assert 0 < cells["preview"]["value"] < cells["clip"]["value"]
    assert cells["clip"]["error"]["relative"] < 1e-4
    counts = count_rows(session, ["encode", "decode", "clip"])
    assert counts["clip"].operations > counts["encode"].operations + 16 * counts["decode"].operations


def test_visitors_are_timed_until_the_last_has_a_clip(session):
    job_queue, jobs = JobQueue(session.pipeline), []
    job_queue.watchers.append(jobs.append)
    clips.make_clips_at_once(job_queue, clips.default_request(session.pipeline), 2)
    assert [job.state for job in jobs] == ["finished"] * 2
    ((name, two),) = clips.measure_visitors(session, [ROWS["visitors-2"]])
    assert name == "visitors-2" and two["note"] == f"{two['value'] / 2:.2g} s a clip"


def test_a_row_that_fails_says_why_and_the_others_are_kept(session, monkeypatch):
    monkeypatch.setitem(parts.WORKS, "encode", parts.shipped_step(factor=0.9))  # sides that cannot be halved
    cells = measure_rows(session, [ROWS["step"], ROWS["encode"]])
    assert cells["step"]["value"] > 0 and cells["step"]["error"]["relative"] < 1e-4
    assert "Error" in cells["encode"]["failed"]


APP = """
import http.server, sys, time
time.sleep(0.5)
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def test_a_page_is_ready_when_it_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(starts, "ROOT", tmp_path)
    (tmp_path / "app.py").write_text(APP)
    assert 0.5 < starts.start_page(None, "cpu") < 20
    (tmp_path / "app.py").write_text("raise SystemExit('There is no model.')")
    with pytest.raises(RuntimeError, match="ended by itself: There is no model"):
        starts.start_page(None, "cpu")


def results_by_hand() -> dict:
    def row(title, cells, **more):
        return {"title": title, "unit": "s", "curve": None, "cells": cells} | more

    results = {
        "columns": {
            BASELINE: {"title": "baseline", "switches": {"number_format": "float32"}},
            DEFAULT: {"title": "ours", "switches": {"number_format": "bfloat16"}},
        },
        "rows": {
            "step": row(
                "a step",
                {BASELINE: {"value": 12.0}, DEFAULT: {"value": 3.0, "error": {"largest": 0.02, "relative": 0.001}}},
                roofline={"seconds": {"float32": 4.0, "bfloat16": 2.0}},
            ),
            "clip": row("a clip", {DEFAULT: {"failed": "no time"}}),
            "lean": row("a lean clip", {}, skipped="needs a CUDA GPU"),
            "frames-10": row("ten frames", {DEFAULT: {"value": 1.0}}, curve=("step", "frames", 10)),
        },
    }
    add_ratios(results)
    return results


def test_ratios_and_the_table():
    results = results_by_hand()
    cells = results["rows"]["step"]["cells"]
    assert cells[BASELINE] == {"value": 12.0, "times_baseline": 1.0, "times_roofline": 3.0}
    assert (cells[DEFAULT]["times_baseline"], cells[DEFAULT]["times_roofline"]) == (4.0, 1.5)
    lines = table(results).splitlines()
    assert lines[0] == "|  | baseline | ours | times as fast | roofline | ours / roofline |"
    assert lines[2] == "| a step | 12.0 s | 3.00 s | 4.00 | 2.00 s | 1.50 |"
    assert lines[3] == "| · largest error (relative) | – | 2e-02 (1e-03) | – | – | – |"
    assert "| a clip | – | failed | – | – | – |" in lines and "- a clip, ours: no time" in lines
    assert "| a lean clip | needs a CUDA GPU | – | – | – | – |" in lines
    assert "ten frames" in table(results) and "ten frames" not in table(results, whole=False)


def test_one_command_writes_json_table_plot_and_readme(model, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"Before.\n{START}\nold\n{END}\nAfter.\n")
    out = tmp_path / "results"
    options = ["--quick", "--rows", "step", "clip-full", "--columns", BASELINE, PLAIN_COLUMN, "--repeats", "2"]
    where = ["--device", "cpu", "--model", str(model), "--out", str(out), "--readme", str(readme)]
    assert main([*options, *where]) == 0, capsys.readouterr().err

    results = json.loads((out / "results.json").read_text())
    step = results["rows"]["step"]
    assert set(step["cells"]) == {BASELINE, PLAIN_COLUMN}
    assert all(len(cell["values"]) == 2 and cell["times_roofline"] > 0 for cell in step["cells"].values())
    assert step["cells"][BASELINE]["error"]["largest"] == 0 < step["cells"][PLAIN_COLUMN]["error"]["largest"]
    assert results["rows"]["clip-full"] == results["rows"]["clip-full"] | {"cells": {}, "skipped": "needs a CUDA GPU"}
    assert results["machine"]["cores"] >= 1 and results["rates"]["bytes"] > 0
    written = (out / "table.md").read_text()
    assert written.strip() in capsys.readouterr().out
    assert table(results) in written and results["machine"]["processor"] in written
    with Image.open(out / "plot.png") as plot:
        assert plot.width > 800
    text = readme.read_text()
    assert text.startswith(f"Before.\n{START}\n") and text.endswith(f"{END}\nAfter.\n") and "old" not in text
    assert "U-Net step, shipped size" in text and "(results/plot.png)" in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rows", "stepp"], "There is no row 'stepp'; choose from step-full"),
        (["--columns", "ours"], "There is no column 'ours' on this device; choose from baseline"),
        (["--repeats", "0"], "`--repeats` must be at least 1, got 0."),
        (["--device", "abacus"], "`device` must be auto, cuda, mps or cpu, got 'abacus'."),
        (["--readme", "absent.md"], "'absent.md' must have one line <!-- benchmark -->"),
    ],
)
def test_what_cannot_be_measured_gets_one_sentence(options, sentence, tmp_path, capsys):
    assert main([*options, "--out", str(tmp_path)]) == 2
    output = capsys.readouterr()
    assert output.err.startswith(sentence) and output.err.count("\n") == 1 and output.out == ""


def test_a_row_by_itself_is_measured_in_all_columns():
    assert Row("a", "a", "a").columns == ALL
    assert all(column.has(ROWS["step"]) for column in columns_of(CPU).values())
    assert [name for name, column in columns_of(CPU).items() if column.has(ROWS["frames-10"])] == [BASELINE, DEFAULT]
    assert [name for name, column in columns_of(CPU).items() if column.has(ROWS["start-page"])] == [DEFAULT]
