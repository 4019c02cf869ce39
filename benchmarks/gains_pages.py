"""The page on the comparisons declared in gains.yaml, from the JSON files in benchmarks/results/gains."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import mean
from typing import Any

from gains import FOLDER, protocol
from tellapart.evaluation.comparison import Comparison
from tellapart.evaluation.metrics import METRICS
from tellapart.evaluation.significance import holm, wilcoxon_p_value
from tellapart.evaluation.trials import PairedDifference, paired_difference
from tellapart.inspection.page import markdown_list as bullets
from tellapart.inspection.page import markdown_table as table
from tellapart.reproduction.pages import environment_sentence as hardware

TITLE = "Do the methods help? Comparisons declared beforehand"
RECOMMENDED = "recommended against cross entropy, as they are"
_OURS = ("recommended", "recommended with class frequencies", "recommended with unlabelled texts")
_PEERS = {
    "recommended": "`contrast`",
    "recommended with class frequencies": "the same, class frequencies of unlabelled texts",
    "SetFit with 1,000 steps": "SetFit, 1,000 steps",
    "transformers.Trainer with 1,000 steps": "`transformers.Trainer`, 1,000 steps",
    "TF-IDF and a linear SVM": "TF-IDF, linear SVM",
}


@dataclass(frozen=True)
class Measured:
    """A set's results: the comparison, and the method of each arm in it."""

    name: str
    given: dict[str, Any]
    comparison: Comparison
    methods: dict[str, str]

    def scores(self, arm: str) -> dict[int, float]:
        method = self.methods.get(arm)
        return {} if method is None else self.comparison.methods[method].scores


def measured_sets(declared: dict[str, Any]) -> list[Measured]:
    """The sets of which results are committed, in the order of the protocol."""
    found = []
    for name, given in declared["sets"].items():
        file = FOLDER / f"{name}.json"
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            methods = content.pop("arms")
            found.append(Measured(name, given, Comparison.from_dict(content), methods))
    return found


def gains_page() -> str:
    """Means, and the declared comparisons with one Holm correction over all of them."""
    declared = protocol()
    sets = measured_sets(declared)
    return "\n\n".join(
        [
            f"# {TITLE}",
            declared["remark"].strip(),
            "## Means",
            "Mean of the set's metric in %, in brackets the seeds. All arms of a set see the same rows of a seed. "
            "A dash: not run.",
            table(_means(declared, sets)),
            *_not_run(declared, sets),
            "## Declared comparisons",
            "Difference in points over paired seeds with its 95 % interval (Student's t). *Holm p*: the p-value of "
            f"the paired t test after Holm's correction for all {len(_differences(declared, sets))} tests of this "
            "table. *Detectable*: the true difference that these seeds detect with a power of 0.8, without the "
            "correction.",
            table(_comparisons(declared, sets)),
            "## Across sets",
            "Wilcoxon's signed-rank test over the mean difference of each set, which counts once.",
            table(_across(declared, sets)),
            *_peers(declared),
            *_changes(declared),
            "## Commands",
            "```bash\nOMP_NUM_THREADS=1 python benchmarks/gains.py\n"
            "OMP_NUM_THREADS=1 python benchmarks/gains_peers.py --setfit-python path/to/setfit/bin/python\n```",
            "Declared in `benchmarks/gains.yaml`, label texts in `benchmarks/label_texts`. "
            + (hardware(sets[0].comparison.environment) if sets else "")
            + " JSON: `benchmarks/results/gains`.",
        ]
    )


def gains_table() -> str:
    """The differences of all declared comparisons, one row per set, for the pages that help to choose a method."""
    declared = protocol()
    sets = measured_sets(declared)
    differences = _differences(declared, sets)
    titles = [
        title for title in declared["comparisons"] if any(title == found for found, _, _ in differences)
    ]
    rows = [["", *titles]]
    for measured in sets:
        pairs = {title: pair for title, its, pair in differences if its is measured}
        if pairs:
            cells = [_cell(measured, pairs.get(title)) for title in titles]
            rows.append([measured.given["title"], *cells])
    return table(rows)


def recommended_table() -> str:
    """Cross entropy and the recommended method side by side, one row per measured set."""
    declared = protocol()
    sets = measured_sets(declared)
    rows = [["", "texts of the classes", "cross entropy", "`contrast`", "difference (95 %)", "seeds"]]
    for title, measured, pair in _differences(declared, sets):
        if title == RECOMMENDED:
            kind = METRICS[measured.comparison.metric]
            first, second = (measured.scores(arm) for arm in declared["comparisons"][title])
            seeds = first.keys() & second.keys()
            means = [kind.display(mean(arm[seed] for seed in seeds)) for arm in (first, second)]
            declared_seeds = measured.given["trials"]
            count = str(len(seeds)) if len(seeds) == declared_seeds else f"{len(seeds)} of {declared_seeds}"
            texts = "names" if measured.given["label_texts"] == "names" else "descriptions"
            rows.append([measured.given["title"], texts, *means, _cell(measured, pair), count])
    return table(rows)


def _cell(measured: Measured, pair: PairedDifference | None) -> str:
    if pair is None:
        return "–"
    kind = METRICS[measured.comparison.metric]
    interval = kind.display_interval(pair.interval, signed=True)
    return f"{kind.display(pair.difference, signed=True)} ({interval})"


def _means(declared: dict[str, Any], sets: list[Measured]) -> list[list[str]]:
    """The mean of each set's trials by arm, for the arms that have been run."""
    arms = [arm for arm in declared["arms"] if any(measured.scores(arm) for measured in sets)]
    rows = [["", "metric", *arms]]
    for measured in sets:
        kind = METRICS[measured.comparison.metric]
        cells = []
        for arm in arms:
            scores = measured.scores(arm)
            cells.append(f"{kind.display(mean(scores.values()))} ({len(scores)})" if scores else "–")
        rows.append([measured.given["title"], measured.comparison.metric.replace("_", " "), *cells])
    return rows


def _not_run(declared: dict[str, Any], sets: list[Measured]) -> list[str]:
    """A list of the declared comparisons that no set has, and of the declared sets that have no result."""
    found = {title for title, _, _ in _differences(declared, sets)}
    missing = [title for title in declared["comparisons"] if title not in found]
    names = {measured.name for measured in sets}
    missing += [given["title"] for name, given in declared["sets"].items() if name not in names]
    return [f"Declared, and not run yet: {'; '.join(missing)}."] if missing else []


def _differences(
    declared: dict[str, Any], sets: list[Measured]
) -> list[tuple[str, Measured, PairedDifference]]:
    """Every declared comparison of every set in which both arms have at least two common seeds."""
    found = []
    for title, (baseline, arm) in declared["comparisons"].items():
        for measured in sets:
            first, second = measured.scores(baseline), measured.scores(arm)
            seeds = first.keys() & second.keys()
            if len(seeds) > 1:
                pair = paired_difference(
                    {seed: first[seed] for seed in seeds}, {seed: second[seed] for seed in seeds}
                )
                found.append((title, measured, pair))
    return found


def _comparisons(declared: dict[str, Any], sets: list[Measured]) -> list[list[str]]:
    found = _differences(declared, sets)
    adjusted = holm([1.0 if pair.p_value is None else pair.p_value for _, _, pair in found])
    rows = [["comparison", "set", "difference", "95 %", "won : lost", "Holm p", "detectable"]]
    for (title, measured, pair), p_value in zip(found, adjusted, strict=True):
        kind = METRICS[measured.comparison.metric]
        detectable = pair.minimum_detectable_difference
        rows.append(
            [
                title,
                measured.given["title"],
                kind.display(pair.difference, signed=True),
                kind.display_interval(pair.interval, signed=True),
                f"{pair.wins} : {pair.losses}",
                f"{p_value:.2g}",
                "" if detectable is None else kind.display(detectable),
            ]
        )
    return rows


def _across(declared: dict[str, Any], sets: list[Measured]) -> list[list[str]]:
    rows = [["comparison", "sets", "better on", "mean difference", "p"]]
    for title in declared["comparisons"]:
        pairs = [
            pair
            for name, measured, pair in _differences(declared, sets)
            if name == title and "variant_of" not in measured.given
        ]
        differences = [pair.difference for pair in pairs]
        p_value = wilcoxon_p_value(differences)
        if p_value is not None:
            better = sum(difference > 0 for difference in differences)
            average = 100 * mean(differences)
            rows.append([title, str(len(pairs)), str(better), f"{average:+.2f}", f"{p_value:.2g}"])
    return rows


def peer_runs() -> list[dict[str, Any]]:
    """The finished runs of gains_peers.py."""
    file = FOLDER / "peers.json"
    return json.loads(file.read_text(encoding="utf-8"))["runs"] if file.is_file() else []


def _peers(declared: dict[str, Any]) -> list[str]:
    """The section on the peers, if any ran: accuracy and time of training, and our differences from each."""
    runs = peer_runs()
    if not runs:
        return []
    rows = [["", "set", "accuracy", "processor seconds", "times the recommended method's", "seeds"]]
    for name in declared["peers"]["sets"]:
        found = {title: _by_seed(runs, name, title) for title in declared["peers"]["rows"]}
        own = list(found["recommended"].values())
        for title, by_seed in found.items():
            if its := list(by_seed.values()):
                seconds = _mean(its, "processor_seconds")
                ratio = _times(seconds / _mean(own, "processor_seconds")) if own else ""
                accuracy = f"{100 * _mean(its, 'accuracy'):.2f}"
                title_of_set = declared["sets"][name]["title"]
                rows.append([title, title_of_set, accuracy, f"{seconds:.1f}", ratio, str(len(its))])
    return [
        "## Peers",
        declared["peers"]["remark"].strip(),
        table(rows),
        "Our accuracy minus that of a peer on the same rows, in points:",
        table(_against_peers(declared, runs)),
    ]


def _against_peers(declared: dict[str, Any], runs: list[dict[str, Any]]) -> list[list[str]]:
    """The paired differences of our rows from the peers', for the seeds that both have."""
    kind = METRICS["accuracy"]
    rows = [["", "peer", "set", "difference", "95 %", "won : lost", "share of its time"]]
    for name in declared["peers"]["sets"]:
        for ours in _OURS:
            for peer in declared["peers"]["rows"]:
                mine, its = _by_seed(runs, name, ours), _by_seed(runs, name, peer)
                seeds = sorted(mine.keys() & its.keys())
                if peer.startswith("recommended") or len(seeds) < 2:
                    continue
                theirs, own = ({seed: run[seed]["accuracy"] for seed in seeds} for run in (its, mine))
                seconds = [_mean([run[seed] for seed in seeds], "processor_seconds") for run in (mine, its)]
                pair = paired_difference(theirs, own)
                rows.append(
                    [
                        ours,
                        peer,
                        declared["sets"][name]["title"],
                        kind.display(pair.difference, signed=True),
                        kind.display_interval(pair.interval, signed=True),
                        f"{pair.wins} : {pair.losses}",
                        _times(seconds[0] / seconds[1]),
                    ]
                )
    return rows


def _times(ratio: float) -> str:
    return f"{ratio:.2g}" if ratio < 100 else f"{ratio:,.0f}"


def _by_seed(runs: list[dict[str, Any]], name: str, title: str) -> dict[int, dict[str, Any]]:
    return {run["seed"]: run for run in runs if run["set"] == name and run["row"] == title}


def peers_table() -> str:
    """Accuracy and processor seconds of the recommended method and its peers, on the seeds that all of them have."""
    declared, runs = protocol(), peer_runs()
    rows = [["", *_PEERS.values(), "seeds"]]
    for name in declared["peers"]["sets"]:
        found = {title: _by_seed(runs, name, title) for title in _PEERS}
        seeds = sorted(set.intersection(*(set(its) for its in found.values())))
        if not seeds:
            continue
        cells = []
        for its in found.values():
            shared = [its[seed] for seed in seeds]
            seconds = _mean(shared, "processor_seconds")
            shown = f"{seconds:,.0f} s" if seconds >= 1 else "below 1 s"
            cells.append(f"{100 * _mean(shared, 'accuracy'):.1f} ({shown})")
        rows.append([declared["sets"][name]["title"], *cells, str(len(seeds))])
    return table(rows)


def _mean(runs: list[dict[str, Any]], key: str) -> float:
    return mean(run[key] for run in runs)


def _changes(declared: dict[str, Any]) -> list[str]:
    changes = declared.get("changes", [])
    return ["## Changes of the protocol", bullets([change.strip() for change in changes])] if changes else []
