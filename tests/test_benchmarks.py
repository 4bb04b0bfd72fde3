"""What the benchmarks make of their measurements; nothing is timed here."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.arithmetic import multiply_adds
from benchmarks.contestants import DENSENET, FILMS
from benchmarks.int8 import agreement, may_serve, rounded
from benchmarks.machine import machine
from benchmarks.speed import RUNS
from benchmarks.speed_table import floor_ms, overheads, speed_table


@pytest.fixture
def record():
    """As a run of `benchmarks.speed` keeps it, with round numbers."""
    ms = {f"{name}: {task}": 50.0 for name, tasks in RUNS.items() for task in tasks}
    ms |= {"product: graph": 20.0, "keras: both": 700.0, f"{DENSENET}: graph": 40.0, "torch: both": 200.0}
    ms |= {
        "product: png": 40.0,
        "product: png decoding": 15.0,
        "product: dicom": 150.0,
        "product: dicom decoding": 110.0,
    }
    ms |= {"product: jpeg": 24.0, "product: jpeg decoding": 2.0, "product: batch": 320.0}
    return {
        "machine": {"cpu": "a processor", "cores": 2},
        "turns": 3,
        "ms": ms,
        "batch_films": 16,
        "start": {"seconds": 1.5, "peak_mb": 300},
        "memory_mb": {"at rest": 200, "after the films": 250, "peak": 260},
        "largest_difference": {"ONNX Runtime": 7e-6},
        "multiply_adds": {"default": 1_000_000_000, DENSENET: 2_500_000_000},
        "gflops": 200.0,
    }


def cells(table: str, start: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_floor_is_the_arithmetic_at_the_speed_of_the_machine(record):
    # Two operations each: 2e9 at 200e9 a second.
    assert floor_ms(record, "default") == pytest.approx(10)


def test_overhead_leaves_decoding_out(record):
    assert overheads(record) == pytest.approx({"png": 25 / 20, "jpeg": 22 / 20, "dicom": 40 / 20})


def test_table_holds_the_ratios(record):
    table = speed_table(record)
    assert cells(table, "(c) the bare graph")[1:] == ["20.0 ms", "35.0", "", "1.00", "2.0"]
    assert cells(table, "(b) TorchXRayVision")[1:] == ["200.0 ms", "", "1.0", "5.00", ""]
    assert cells(table, "DenseNet-121, (c)")[1:] == ["40.0 ms", "", "5.0", "1.00", "1.6"]
    assert cells(table, "many JPEG films")[1] == "50.0 films/s"
    assert cells(table, f"bytes to verdict: {FILMS['dicom']}")[1:] == ["150.0 ms", "4.7", "", "7.50", ""]


def test_every_row_has_as_many_cells_as_the_head(record):
    rows = [line for line in speed_table(record).splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {rows[0].count("|")}


def test_what_was_not_reached_is_said(record):
    said = speed_table(record).splitlines()[-1]
    assert "30 times as fast as (a): 35.0, met" in said
    assert "6 times as fast as (b): 5.0, not met" in said
    assert "PNG at most 1.3 times (c) without decoding: 1.25, met" in said
    assert "DICOM at most 1.3 times (c) without decoding: 2.00, not met" in said


def test_multiplications_of_convolutions_are_counted(tmp_path):
    """By hand: 8 x 8 outputs of 4 channels from 3 x 3 windows of 2; then depthwise; then a 1 x 1 to 5 of 4."""

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.zeros(shape, np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["film", "a"], ["x"], "first", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["x"], ["y"], "relu"),
            helper.make_node("Conv", ["y", "b"], ["z"], "depthwise", group=4, pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Conv", ["z", "c"], ["maps"], "last"),
        ],
        "graph",
        [helper.make_tensor_value_info("film", TensorProto.FLOAT, ["n", 2, 8, 8])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", 5, 4, 4])],
        [weight("a", 4, 2, 3, 3), weight("b", 4, 1, 3, 3), weight("c", 5, 4, 1, 1)],
    )
    file = tmp_path / "graph.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), file)
    one = 64 * 4 * 18 + 16 * 4 * 9 + 16 * 5 * 4
    assert multiply_adds(file) == one
    assert multiply_adds(file, batch=3) == 3 * one


def test_maps_agree_with_themselves_and_not_with_noise():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((3, 6, 6, 2))
    assert agreement(2 * maps + 1, maps)["lowest_of_findings"] == pytest.approx(1)
    noisy = maps.copy()
    noisy[..., 1] = rng.standard_normal((3, 6, 6))
    found = agreement(noisy, maps)
    assert found["lowest_of_findings"] < 0.5 < found["median_of_films"] + 0.5
    assert found["lowest_twentieth_of_films"] <= found["median_of_films"]


def test_weights_are_rounded_channel_by_channel():
    """By hand: the largest of a channel is 127 steps; 0.26 of 1.27 is 26 of them, and 0.263 as well."""
    weights = np.array([[1.27, 0.263, -0.004, 0], [127, 63.6, -2.4, 0], [0, 0, 0, 0]], np.float32).reshape(3, 4, 1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["film", "a"], ["x"], "first"),
            helper.make_node("Conv", ["film", "b"], ["y"], "second"),
        ],
        "graph",
        [helper.make_tensor_value_info("film", TensorProto.FLOAT, [1, 4, 2, 2])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 2, 2]) for name in "xy"],
        [numpy_helper.from_array(weights, name) for name in "ab"],
    )
    model = rounded(helper.make_model(graph), ["second"])
    first, second = (numpy_helper.to_array(tensor).reshape(3, 4) for tensor in model.graph.initializer)
    np.testing.assert_allclose(first, [[1.27, 0.26, 0, 0], [127, 64, -2, 0], [0, 0, 0, 0]], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(second, weights.reshape(3, 4))


@pytest.mark.parametrize(
    ("abnormal", "macro", "maps", "may"),
    [(0.002, -0.002, 0.991, True), (-0.0021, 0, 0.999, False), (0, 0.0021, 0.999, False), (0, 0, 0.99, False)],
)
def test_an_int8_graph_serves_only_if_it_says_the_same(abnormal, macro, maps, may):
    assert may_serve({"abnormal": abnormal, "macro": macro}, {"lowest_of_findings": maps}) == may


def test_facts_of_the_machine_can_be_kept():
    facts = json.loads(json.dumps(machine()))
    assert facts["cores"] >= 1
    assert facts["cpu"]
