"""A real server and a real monitor, which is killed while clients ask: every row is counted once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from unit.inference.rest_process import ask, serving
from unit.inference.test_capture_served import body, rows_total, until

from .worlds import MonitorProcess

ROWS, REQUESTS, KILLS = 7, 150, 3


def test_every_row_is_counted_once(tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    bundle.mkdir()
    numbers = np.random.default_rng(1).permutation(ROWS * REQUESTS).reshape(-1, ROWS).tolist()
    with (
        MonitorProcess(bundle, LEARN_ROWS="100") as monitor,
        serving(bundle, CAPTURE_SOCKET=str(monitor.socket)) as server,
    ):
        with ThreadPoolExecutor(4) as pool:
            for part in np.array_split(np.arange(REQUESTS), KILLS + 1):
                answers = pool.map(lambda number: ask(server, body(*numbers[number]))[0], part)
                monitor.kill()
                monitor.start(wait=False)
                assert set(answers) == {200}
        until(lambda: rows_total(server, "sent") == ROWS * REQUESTS)
        server.terminate()
        server.process.wait()
        status, read = monitor.get("/v1/counts")
    assert status == 200
    assert (read["intake"]["counted"], read["intake"]["dropped"]) == (ROWS * REQUESTS, 0)
    cells = [sum(each["cells"]) for each in read["counts"]]
    assert set(cells) == {ROWS * REQUESTS}
