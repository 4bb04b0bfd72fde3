"""What it costs to decode films in a process of their own: `python -m benchmarks.isolation`.

Each film is read in this process and by the app's decoder in turns of five, the best of all turns counts. The second
number is the time from the first call of `decoder()` until a process is ready, which passes while the model is loaded.
"""

import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from cxr.radiograph import read_radiograph
from cxr.radiograph.isolated import decoder
from cxr.samples import SAMPLES
from scripts.hostile_files.parts import dicom, picture

TURNS = 8
IN_A_ROW = 5


def _best(act: Callable[[bytes], object], data: bytes) -> float:
    times = []
    for _ in range(IN_A_ROW):
        start = time.perf_counter()
        act(data)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    start = time.perf_counter()
    held = decoder().held()
    print(f"ready after {time.perf_counter() - start:.2f} s; holds: {', '.join(held)}")
    compressed = SAMPLES[0].read()
    film = read_radiograph(compressed)
    stored = np.rint(film.pixels * 4095).astype(np.uint16)
    small = Image.fromarray(film.grey).resize((600, 600))
    films = {
        "DICOM, JPEG 2000, 1841 x 1955": compressed,
        "DICOM, uncompressed, 1841 x 1955": dicom(stored),
        "JPEG, 600 x 600": picture(small, "JPEG", quality=95),
        "PNG, 1024 x 1024": picture(Image.fromarray(film.grey).resize((1024, 1024)), "PNG"),
    }
    print(f"{'film':36}{'here, ms':>10}{'decoder, ms':>13}{'more, ms':>10}{'ratio':>8}")
    for name, data in films.items():
        here, there = [], []
        for _ in range(TURNS):
            here.append(_best(read_radiograph, data))
            there.append(_best(decoder().read, data))
        least, most = 1000 * min(here), 1000 * min(there)
        print(f"{name:36}{least:10.1f}{most:13.1f}{most - least:10.2f}{most / least:8.3f}", flush=True)


if __name__ == "__main__":
    main()
