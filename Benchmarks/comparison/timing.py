"""How a peer's call is timed."""

import statistics
import time


def repeat(run, seconds: float) -> float:
    """The median time of runs that take `seconds` together, or of one, after one that warms up: as `attend bench` does."""
    run()
    times, begin = [], time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
