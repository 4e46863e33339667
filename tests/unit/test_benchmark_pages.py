"""What the benchmarks write: every figure of docs/results/performance.md comes from the measured ones."""

import ast
import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def load_benchmark(name, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def make_figures(gpu=None):
    return {
        "machine": "a machine",
        "torch": "2.0",
        "commit": "abc",
        "load_after": 0.5,
        "compared": [
            {
                "what": "step",
                "before": "slow",
                "after": "quick",
                "before_s": 6.0,
                "after_s": 2.0,
                "work": 4,
                "notes": "they agree",
            }
        ],
        "singles": [{"what": "command", "value": 1.25, "unit": "s"}],
        "growth": [{"what": "step", "of": "bins", "sizes": [1, 10], "seconds": [0.5, 5.0], "exponent": 1.0}],
        "gpu": gpu,
    }


def test_page_tells_ratios_exponents_and_what_was_not_measured(monkeypatch, tmp_path):
    page = load_benchmark("performance_page", monkeypatch)
    page.write_page(make_figures(), tmp_path / "p.md")
    text = (tmp_path / "p.md").read_text()
    assert "| step | slow: 1500 ms each, 0.667 a second | quick: 500 ms each, 2 a second | 3.0 |" in text
    assert "| step | bins | 1, 10 | 0.5, 5 | 1.00 |" in text
    assert "| command | 1.25 s |" in text
    assert "They agree." in text
    assert "Not measured" in text


def test_page_tells_where_the_time_goes_and_how_fast_catalogues_are(monkeypatch, tmp_path):
    page = load_benchmark("performance_page", monkeypatch)
    about = {"machine": "another machine", "commit": "def", "load_after": 3.0}
    profile = {"what": "a step", "seconds": 0.5, "shares": {"network": 0.6, "noise": 0.15}}
    rows = [{"workers": n, "rows": 1000, "wall": 10.0 / (n + 1), "cpu": 20.0} for n in (0, 2)]
    figures = {"profiles": {**about, "figures": [profile]}, "catalogue": {**about, "figures": rows}}
    page.write_page(make_figures() | figures, tmp_path / "p.md")
    text = (tmp_path / "p.md").read_text()
    assert text.count("another machine; code at def") == 2
    assert "| network | 60% |" in text
    assert "| the rest | 25% |" in text
    assert "| 1000, 2 Dask workers of this machine | 300 | 50 |" in text


def test_parts_are_timed_once_where_they_call_themselves(monkeypatch):
    profiles = load_benchmark("profiles", monkeypatch)
    clock = iter(range(100))
    monkeypatch.setattr(profiles.time, "process_time", lambda: float(next(clock)))

    class Work:
        def outer(self):
            return self.inner()

        def inner(self):
            return 5

    with profiles.time_parts({"all": ((Work, "outer"), (Work, "inner")), "inner": ((Work, "inner"),)}) as spent:
        assert Work().outer() == 5
    assert spent == {"all": 4.0, "inner": 2.0}
    assert Work().outer() == 5
    assert next(clock) == 5, "the functions are as they were"


def test_page_tells_a_gpus_figures_with_its_name(monkeypatch, tmp_path):
    page = load_benchmark("performance_page", monkeypatch)
    gpu = {
        "machine": "NVIDIA X",
        "figures": [{"what": "throughput, point", "value": 1e5, "unit": "bins/s", "goal": 3e5}],
    }
    page.write_page(make_figures(gpu), tmp_path / "p.md")
    text = (tmp_path / "p.md").read_text()
    assert "Measured on NVIDIA X." in text
    assert "| throughput, point | 100000 bins/s | 300000 |" in text
    assert "Not measured" not in text


def test_page_tells_what_acts_take_without_drawing(monkeypatch, tmp_path):
    page = load_benchmark("performance_page", monkeypatch)
    act = {"what": "click", "before": 52.6, "after": 46.6, "fixed_before": 40.8, "fixed_after": 35.4}
    kept = {"machine": "a machine", "commits": ["abc", "def"], "figures": [act]}
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "window_gl.json").write_text(json.dumps(kept))
    (tmp_path / "results").mkdir()
    page.write_page(make_figures(), tmp_path / "results" / "p.md")
    text = (tmp_path / "results" / "p.md").read_text()
    assert "abc and def" in text
    assert "| click | 52.6 (40.8) | 46.6 (35.4) |" in text


def test_page_tells_which_goals_are_reached(monkeypatch, tmp_path):
    page = load_benchmark("performance_page", monkeypatch)
    about = {"machine": "a machine", "commit": "abc", "load_after": 0.1, "pace": 480}
    rate = {"what": "points", "goal": 100.0, "unit": "bins/s", "more_is_better": True, "values": [90.0]}
    wait = {"what": "start", "goal": 3.0, "unit": "s", "more_is_better": False, "values": [4.0, 2.5, 2.0]}
    slow = wait | {"what": "maps", "values": [6.0]}
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "speed.json").write_text(json.dumps({"part": about | {"figures": [rate, wait, slow]}}))
    (tmp_path / "results").mkdir()
    page.write_page(make_figures(), tmp_path / "results" / "p.md")
    text = (tmp_path / "results" / "p.md").read_text()
    assert "Measured on a machine; 480 products of 512 x 512 matrices a second, one thread; code at abc;" in text
    assert "| points | 100 bins/s | 90 bins/s | no, 0.90 of it |" in text
    assert "| start | 3 s | 2.5 s (best of 3: 2) | yes |" in text
    assert "| maps | 3 s | 6 s | no, 2.00 of it |" in text


def test_goals_are_read_from_what_benchmarks_print(monkeypatch):
    goals = load_benchmark("speed_goals", monkeypatch)
    said = """cpu, 1 thread
  point: 11538 bins/s (median), 12568 (best), 11485 per processor second
  posterior, 1000 draws: 239 bins/s (median), 261 (best), 221 per processor second
cpu, 2 threads
  point: 20330 bins/s (median), 21325 (best), 10822 per processor second
  posterior, 1000 draws: 310 bins/s (median), 338 (best), 169 per processor second
"""
    assert [goals.read_goal(goal, said) for goal in goals.GOALS["inference"]] == [11538, 239, 20330, 310]
    click = "  click -> canvas and plots    median   45.0 ms   95 %   80.5 ms   CPU of the main thread 1 / 2 ms\n"
    windows = f"a: 1219 bins on 1 x 1 spaxels\n{click}b: 10000 bins on 1 x 1 spaxels\n{click.replace('45.0', '51.0')}"
    clicks = [goal for goal in goals.GOALS["clicks"] if goal.what.startswith("click")]
    assert [goals.read_goal(goal, windows) for goal in clicks] == [45.0, 80.5, 51.0, 80.5]
    with pytest.raises(ValueError, match="map switch"):
        goals.read_goal(goals.GOALS["clicks"][2], windows)


@pytest.mark.parametrize(
    ("name", "line", "what", "value", "unit", "goal"),
    [
        ("throughput", "  point: 9300 bins/s (median), 9800 (best)", "point", 9300.0, "bins/s", 300000),
        (
            "x",
            "torch-cuda, one thread: 81000 spectra/s (70 per s)",
            "torch-cuda, one thread",
            81000.0,
            "spectra/s",
            None,
        ),
        ("x", "disk: 165000 objects, 2 workers: 13.1 s (20 s)", "disk: 165000 objects, 2 workers", 13.1, "s", 2),
    ],
)
def test_gpu_script_reads_what_the_benchmarks_print(monkeypatch, name, line, what, value, unit, goal):
    gpu = load_benchmark("gpu", monkeypatch)
    expected = {"what": f"{name}, {what}", "value": value, "unit": unit} | ({"goal": goal} if goal else {})
    assert gpu.read_figures(name, line) == [expected]


def test_gpu_script_measures_nothing_without_a_gpu(monkeypatch, capsys):
    gpu = load_benchmark("gpu", monkeypatch)
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert gpu.main() == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_field_page_adds_the_stages_and_plans_a_survey(monkeypatch, tmp_path):
    page = load_benchmark("field_page", monkeypatch)
    stages = [
        {"stage": "spectra", "cpu": 8.0, "asked": 3.0, "peak": 0.5},
        {"stage": "predicting", "cpu": 2.0, "asked": 0.0, "peak": 1.25},
        {"stage": "reading the result again", "cpu": 0.0, "asked": 1.0, "peak": 0.5, "bins": 100, "result_gb": 0.5},
    ]
    found = {"machine": "a machine", "side": 100, "mosaic": 10, "cube_gb": 6.0, "input_gb": 7.0, "stages": stages}
    page.write_field_page(found, tmp_path)
    text = (tmp_path / "results" / "field.md").read_text()
    assert "| everything | 10 s | 4.0 GB | **1.25 GiB** |" in text
    assert "800 s for\na million spaxels and 20.0 ms for a bin" in text
    assert "| processor | 2.8 hours of a core; 0.2 hours on 16 cores" in text
    assert "take\n1000 s" in text
    assert "each cube is read 0.50 times" in text
    assert "| results | 500 GB |" in text
    assert "| the network's share | 20%" in text


def test_benchmarks_find_what_they_take_from_the_tests():
    tests = {path.stem: path for path in (FOLDER.parent / "tests").rglob("*.py")}
    taken = [
        (path.name, node.module, alias.name)
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in tests
        for alias in node.names
    ]
    assert len(taken) > 5
    for benchmark, module, name in taken:
        there = {getattr(node, "name", None) for node in ast.parse(tests[module].read_text(encoding="utf-8")).body}
        assert name in there, (benchmark, module, name)
