"""The results as JSON, as a table in markdown, and as plots; and what the bars say of them."""

import json
from math import exp, log
from pathlib import Path
from statistics import median

from . import plots, shapes


class Verdict:
    """A number beside its bar."""

    def __init__(self, what: str, found: float, bar: float | None, *, at_most: bool = False, form: str = "{:.2f}×"):
        self.what, self.found, self.bar, self.at_most, self.form = what, found, bar, at_most, form

    @property
    def met(self) -> bool | None:
        if self.bar is None:
            return None
        return self.found <= self.bar if self.at_most else self.found >= self.bar

    def cells(self, judged: bool) -> list[str]:
        bar = "–" if self.bar is None else ("≤ " if self.at_most else "≥ ") + self.form.format(self.bar)
        met = {None: "–", True: "met", False: "**not met**"}[self.met] if judged else "not judged: other shapes"
        return [self.what, self.form.format(self.found), bar, met]

    def json(self) -> dict:
        return {"what": self.what, "found": self.found, "bar": self.bar, "met": self.met}


def geometric_mean(values) -> float:
    values = list(values)
    return exp(sum(map(log, values)) / len(values))


def entry(name: str, shape, rounds: dict[str, list[float]], details: dict[str, dict], ours: list[str]) -> dict:
    """One shape: medians over the rounds, and the ratio of each peer's time to each of ours, round by round."""
    flops = next(details[name]["flops"] for name in ours if name in details)
    seconds = {who: median(times) for who, times in rounds.items()}
    ratios = {
        f"{peer} / {own}": median(p / o for p, o in zip(rounds[peer], rounds[own]))
        for own in ours
        if own in rounds
        for peer in rounds
        if peer not in ours
    }
    return {
        "set": name, "dtype": shape.dtype, "family": shape.family, "length": shape.length, "shape": shape.title,
        "flops": flops, "seconds": seconds, "rounds": rounds, "ratios": ratios,
        "gflops": {who: flops / time / 1e9 for who, time in seconds.items()}, "details": details,
    }  # fmt: skip


def verdicts(entries: list[dict], peak_gflops: float, ours: list[str]) -> list[Verdict]:
    """Each set's geometric mean and least ratio for each pair, and the fraction of the peak."""
    found = []
    for key in dict.fromkeys((e["set"], e["dtype"]) for e in entries):
        own = [e for e in entries if (e["set"], e["dtype"]) == key]
        for pair in dict.fromkeys(pair for e in own for pair in e["ratios"]):
            ratios = [e["ratios"][pair] for e in own if pair in e["ratios"]]
            bar = shapes.bar(pair.split(" / ")[0], *key)
            title = f"{key[0]} {key[1]}, {pair}"
            found.append(Verdict(f"{title}: geometric mean", geometric_mean(ratios), bar.geometric_mean))
            found.append(Verdict(f"{title}: least", min(ratios), bar.minimum))
    for name in ours:
        longest = [
            e for e in entries if e["set"] == "prefill-d64" and e["dtype"] == "f32" and "causal" not in e["family"]
            and e["length"] == shapes.FRACTION_LENGTH and name in e["gflops"]
        ]  # fmt: skip
        for e in longest:
            fraction = e["gflops"][name] / peak_gflops
            found.append(
                Verdict(f"{e['shape']}, {name}: fraction of the peak", fraction, shapes.FRACTION_BAR, form="{:.2f}")
            )
    return found


def table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def markdown(result: dict, found: list[Verdict]) -> str:
    peaks, judged = result["peaks"], result["judged"]
    text = ["# Comparison", "", "Made by `Benchmarks/compare.py`; not to be edited.", "", "## Machine", ""]
    text += [f"- {name}: {value}" for name, value in result["machine"].items()]
    text += [
        f"- measured peaks, all cores: {peaks['gflops']:.0f} GFLOP/s of float32 multiply-adds, "
        f"{peaks['gigabytes_per_second']:.0f} GB/s read",
        f"- command: `{result['command']}`", "",
    ]  # fmt: skip
    if found:
        text += ["## Bars", "", "Ratios are a peer's time over ours: above 1 we are faster.", ""]
        text += [table(["what", "found", "bar", ""], [verdict.cells(judged) for verdict in found])]
    for key in dict.fromkeys((e["set"], e["dtype"]) for e in result["entries"]):
        own = [e for e in result["entries"] if (e["set"], e["dtype"]) == key]
        names = list(dict.fromkeys(name for e in own for name in e["seconds"]))
        pairs = list(dict.fromkeys(pair for e in own for pair in e["ratios"]))
        text += [f"## {key[0]}, {key[1]}", ""]
        text += [f"![speed](speed-{key[0]}-{key[1]}.svg)", f"![fraction of the peak](fraction-{key[0]}-{key[1]}.svg)", ""]
        rows = []
        for e in own:
            cells = [e["shape"]]
            for name in names:
                known = name in e["seconds"]
                cells.append(f"{milliseconds(e['seconds'][name])}, {e['gflops'][name]:.1f}" if known else "–")
            for name in result["ours"]:
                detail = e["details"].get(name)
                cells.append(milliseconds(detail["end_to_end_seconds_median"]) if detail else "–")
            cells += [f"{e['ratios'][pair]:.2f}×" if pair in e["ratios"] else "–" for pair in pairs]
            rows.append(cells)
        headings = ["shape"] + [f"{name}: time, GFLOP/s" for name in names]
        headings += [f"{name}: end to end" for name in result["ours"]] + pairs
        text += [table(headings, rows)]
    if result["notes"]:
        text += ["## Notes", ""] + [f"- {note}" for note in result["notes"]] + [""]
    return "\n".join(text)


def drawings(result: dict) -> dict[str, str]:
    """File names and SVG texts."""
    files = {}
    for key in dict.fromkeys((e["set"], e["dtype"]) for e in result["entries"]):
        speed, fraction = {}, {}
        for e in result["entries"]:
            if (e["set"], e["dtype"]) != key:
                continue
            for name, value in e["gflops"].items():
                speed.setdefault(e["family"], {}).setdefault(name, []).append((e["length"], value))
                part = value / result["peaks"]["gflops"]
                fraction.setdefault(e["family"], {}).setdefault(name, []).append((e["length"], part))
        title = f"{key[0]}, {key[1]}"
        files[f"speed-{key[0]}-{key[1]}.svg"] = plots.draw(f"Speed: {title}", speed, "GFLOP/s by length")
        files[f"fraction-{key[0]}-{key[1]}.svg"] = plots.draw(
            f"Fraction of the measured peak: {title}", fraction, "by length", top=1
        )
    return files


def write(folder: Path, result: dict, found: list[Verdict]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # What an earlier run drew and this one did not must not stand beside its table.
    for old in [*folder.glob("speed-*.svg"), *folder.glob("fraction-*.svg")]:
        old.unlink()
    for name, text in drawings(result).items():
        (folder / name).write_text(text)
    (folder / "table.md").write_text(markdown(result, found))
    whole = {**result, "bars": [verdict.json() for verdict in found]}
    (folder / "results.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
