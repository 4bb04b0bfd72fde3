"""`speed.json` in words: the table of the README."""

from typing import Any, Final

from benchmarks.contestants import DENSENET, FILMS

KERAS_TARGET: Final = 30
TORCH_TARGET: Final = 6
OVERHEAD_TARGET: Final = 1.3
"""Times (a) and (b) ought to take as long as the serving graph at least, and times the bare graph that bytes to verdict
ought to take at most, decoding apart."""

HEAD: Final = (
    "| what | median | (a) takes … times as long | (b) takes … times as long | times (c) | times (d) |",
    "|---|---:|---:|---:|---:|---:|",
)


def floor_ms(record: dict[str, Any], graph: str) -> float:
    """Milliseconds that the arithmetic of a graph takes at the speed of the matrix product."""
    return 2 * record["multiply_adds"][graph] / record["gflops"] / 1e6


def overheads(record: dict[str, Any]) -> dict[str, float]:
    """Time from bytes to verdict without what the codec alone takes, as times the bare graph's, by kind of film."""
    ms = record["ms"]
    return {kind: (ms[f"product: {kind}"] - ms[f"product: {kind} decoding"]) / ms["product: graph"] for kind in FILMS}


def speed_table(record: dict[str, Any]) -> str:
    """The table, and what is to be read with it.

    Args:
        record: of `benchmarks.speed.measured`.
    """
    return "\n".join([*HEAD, *_rows(record), "", *_legend(record), "", _targets(record)])


def _rows(record: dict[str, Any]) -> list[str]:
    ms = record["ms"]
    graph, dense = ms["product: graph"], ms[f"{DENSENET}: graph"]
    keras, torch = ms["keras: both"], ms["torch: both"]

    def row(what: str, value: float, c: float, *, a: bool = False, b: bool = False, floor: str = "") -> str:
        cells = [
            what,
            f"{value:.1f} ms",
            f"{keras / value:.1f}" if a else "",
            f"{torch / value:.1f}" if b else "",
            f"{value / c:.2f}",
            f"{value / floor_ms(record, floor):.1f}" if floor else "",
        ]
        return f"| {' | '.join(cells)} |"

    def rate(what: str, milliseconds: float) -> str:
        return f"| {what} | {1000 * record['batch_films'] / milliseconds:.1f} films/s | | | | |"

    films = []
    for kind, overhead in overheads(record).items():
        whole, decoding = ms[f"product: {kind}"], ms[f"product: {kind} decoding"]
        films.append(row(f"bytes to verdict: {FILMS[kind]}", whole, graph, a=True))
        films.append(f"| … without decoding ({decoding:.1f} ms) | {whole - decoding:.1f} ms | | | {overhead:.2f} | |")
    memory = record["memory_mb"]
    return [
        *films,
        row("(c) the bare graph, 15 maps", graph, graph, a=True, floor="default"),
        row("… under OpenVINO in float32", ms["openvino: float32"], graph, a=True, floor="default"),
        row("… under OpenVINO as it comes", ms["openvino: as it comes"], graph, a=True),
        row("(a) Keras `predict` + one tf-keras-vis Grad-CAM", keras, graph, a=True),
        row("… Keras `predict` alone", ms["keras: predict"], graph, a=True),
        row("DenseNet-121, 224 px, bytes to verdict: JPEG 600 px", ms[f"{DENSENET}: jpeg"], dense, b=True),
        row("DenseNet-121, (c) the bare graph, 18 maps", dense, dense, b=True, floor=DENSENET),
        row("… under OpenVINO in float32", ms["openvino densenet: float32"], dense, b=True, floor=DENSENET),
        row("… under OpenVINO as it comes", ms["openvino densenet: as it comes"], dense, b=True),
        row("(b) TorchXRayVision + one pytorch-grad-cam", torch, dense, b=True),
        row("… TorchXRayVision's forward pass alone", ms["torch: forward"], dense, b=True),
        rate("many JPEG films, one after the other, on all cores", ms["product: batch"]),
        rate("… on one core", ms["one core: batch"]),
        rate("many squares in one pass of the graph, on all cores", ms["batches: batch graph"]),
        rate("… on one core", ms["one core: batch graph"]),
        f"| `python -m cxr classify`, start to verdict | {record['start']['seconds']:.1f} s | | | | |",
        f"| memory, model loaded | {memory['at rest']:,} MB | | | | |",
        f"| … after many films, decoders too | {memory['after the films']:,} MB | | | | |",
        f"| … at most, its own process alone | {memory['peak']:,} MB | | | | |",
    ]


def _legend(record: dict[str, Any]) -> list[str]:
    apart = ", ".join(f"{value:.0e} under {name}" for name, value in record["largest_difference"].items())
    machine = record["machine"]
    default, dense = (record["multiply_adds"][name] / 1e9 for name in ("default", DENSENET))
    return [
        f"Medians of {record['turns']} turns on {machine['cores']} cores ({machine['cpu']}). (a) and (b) start from "
        "the square that the model sees and draw the map of one finding; the product draws all. (b)'s network and ours "
        "beside it have random weights. (d) is the time that the graph's multiplications and additions "
        f"({default:.2f} billion, DenseNet-121 {dense:.2f}) take at the machine's own float32 matrix product, "
        f"{record['gflops']:.0f} GFLOP/s: {floor_ms(record, 'default'):.1f} and {floor_ms(record, DENSENET):.1f} ms. "
        f"Largest difference of a logit from Keras': {apart}. As it comes, OpenVINO computes in bfloat16 where the "
        "processor can.",
    ]


def _targets(record: dict[str, Any]) -> str:
    """Which of the aims were reached in this run."""
    ms = record["ms"]
    keras = ms["keras: both"] / ms["product: graph"]
    torch = ms["torch: both"] / ms[f"{DENSENET}: graph"]
    over = {FILMS[kind].split(" ")[0]: value for kind, value in overheads(record).items()}
    met = [
        (f"{KERAS_TARGET} times as fast as (a): {keras:.1f}", keras >= KERAS_TARGET),
        (f"{TORCH_TARGET} times as fast as (b): {torch:.1f}", torch >= TORCH_TARGET),
        *(
            (f"{kind} at most {OVERHEAD_TARGET} times (c) without decoding: {value:.2f}", value <= OVERHEAD_TARGET)
            for kind, value in over.items()
        ),
    ]
    return "Aims: " + "; ".join(f"{what}, {'met' if done else 'not met'}" for what, done in met) + "."
