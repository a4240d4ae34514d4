"""From clips to scores: every metric on every clip of every column, and their summary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from . import frechet
from .clips import TRUTH, Comparison
from .extras import MissingPackageError, optional
from .metrics import METRICS, Metric, Row, SetMetric, View
from .weights import WeightsError


@dataclass
class Scores:
    """The results of the evaluation.

    Args:
        rows: the rows of the table, in order.
        columns: the columns of the table, in order.
        clips: scores by column, clip and row; NaN if a clip has no such score.
        curves: curves by column, clip and name, [F].
        sets: scores by column and row, for the rows that judge all clips together.
        counts: by row, the number of samples in the column of the judged clips.
        remarks: sentences about metrics that were left out, and about numbers that need caution.
    """

    rows: list[Row] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    clips: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    curves: dict[str, dict[str, dict[str, np.ndarray]]] = field(default_factory=dict)
    sets: dict[str, dict[str, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def values(self, column: str, row: Row) -> np.ndarray:
        """The scores of a column's clips that are not NaN, [N]."""
        values = np.array([scores.get(row.key, np.nan) for scores in self.clips[column].values()], dtype=np.float64)
        return values[np.isfinite(values)]

    def summary(self, column: str, row: Row) -> float | None:
        """The table's value in this column and row; None if it has none."""
        if row.summary == "set":
            return self.sets[column].get(row.key)
        values = self.values(column, row)
        if not len(values):
            return None
        return float(np.mean(values) if row.summary == "mean" else np.median(values))


def check_names(names: Sequence[str]) -> list[str]:
    """The names of metrics, each once, because a second pass over a set would count its clips twice.

    Raises:
        ValueError: if there is no such metric.
    """
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"`metrics` must be among {', '.join(METRICS)}, got {unknown[0]!r}.")
    return list(dict.fromkeys(names))


def score(comparison: Comparison, names: Sequence[str] = tuple(METRICS)) -> Scores:
    """Computes the metrics `names` for every column; a metric that cannot run is left out with a remark.

    Raises:
        ValueError: if there is no such metric, or none of them can run.
    """
    names = check_names(names)
    scores = Scores(columns=list(comparison.columns))
    for column in scores.columns:
        scores.clips[column] = {name: {} for name in comparison.names}
        scores.curves[column] = {name: {} for name in comparison.names}
        scores.sets[column] = {}
    of_clips, of_sets = _prepare(comparison, names, scores)
    if not of_clips and not of_sets:
        raise ValueError("None of the metrics can run: " + " ".join(scores.remarks))
    features: dict[str, dict[str, list[np.ndarray]]] = {
        column: {key: [] for functions, _ in of_sets for key in functions} for column in scores.columns
    }
    with tqdm(total=len(comparison.names) * len(scores.columns), desc="clips", mininterval=2) as bar:
        for name in comparison.names:
            truth = comparison.truth(name)
            for column in scores.columns:
                frames = truth if column == TRUTH else comparison.frames(column, name)
                view = View(frames, None if column == TRUTH else truth, comparison.yaw.get(name))
                for metric, function in of_clips:
                    if metric.needs == "truth" and column == TRUTH:
                        continue
                    for key, value in function(view).items():
                        kind = scores.curves if isinstance(value, np.ndarray) else scores.clips
                        kind[column][name][key] = value if isinstance(value, np.ndarray) else float(value)
                for functions, metric in of_sets:
                    for key, function in functions.items():
                        kept = frames[: frechet.FVD_FRAMES] if key == "fvd_16" else frames
                        # The true clips are the same in every evaluation, so their features are cached; the other columns are new.
                        found = (
                            frechet.remembered(metric.weights, key, kept, function)
                            if column == TRUTH
                            else function(kept)
                        )
                        features[column][key].append(found)
                bar.update()
    for functions, _ in of_sets:
        for key in functions:
            true = np.concatenate(features[TRUTH][key])
            for column in scores.columns[:-1]:
                scores.sets[column][key] = frechet.frechet_distance(np.concatenate(features[column][key]), true)
            scores.counts[key] = len(true)
    _count(scores)
    return scores


def _prepare(
    comparison: Comparison, names: Sequence[str], scores: Scores
) -> tuple[list[tuple[Metric, Callable]], list[tuple[dict[str, Callable], SetMetric]]]:
    """Loads the requirements of the metrics, adds their rows, and adds remarks about metrics that cannot run."""
    of_clips, of_sets = [], []
    length = min(len(comparison.frames("model", name)) for name in comparison.names) if "fvd" in names else 0
    for name in names:
        metric = METRICS[name]
        needs = "truth" if isinstance(metric, SetMetric) else metric.needs
        if needs == "truth" and comparison.reference is None:
            scores.remarks.append(f"{name} was left out: there are no true clips; name their folder with --reference.")
            continue
        if needs == "yaw" and not comparison.yaw:
            scores.remarks.append(f"{name} was left out: no labels.jsonl says the angle of every clip.")
            continue
        if isinstance(metric, SetMetric) and len(comparison.names) < 2:
            scores.remarks.append(f"{name} was left out: it compares sets of at least 2 clips.")
            continue
        try:
            if isinstance(metric, SetMetric):
                optional("scipy.linalg")
            prepared = metric.prepare()
        except (WeightsError, MissingPackageError) as error:
            scores.remarks.append(f"{name} was left out: {error}")
            continue
        if isinstance(metric, Metric):
            of_clips.append((metric, prepared))
            scores.rows += metric.rows
            continue
        for key, shortest in metric.shortest.items():
            if length < shortest:
                del prepared[key]
                scores.remarks.append(
                    f"{key} was left out: it needs clips of {shortest} frames, and the shortest has {length}."
                )
        if not prepared:
            continue
        of_sets.append((prepared, metric))
        scores.rows += [row for row in metric.rows if row.key in prepared]
    return of_clips, of_sets


def _count(scores: Scores) -> None:
    for row in scores.rows:
        if row.summary != "set":
            scores.counts[row.key] = len(scores.values("model", row))
        elif scores.counts[row.key] < frechet.FEW[row.key.split("_")[0]]:
            scores.remarks.append(
                f"{row.title}: {scores.counts[row.key]} samples are fewer than the {frechet.FEW[row.key.split('_')[0]]} that it "
                "needs, so it is far too large and compares only with numbers from the same clips."
            )
