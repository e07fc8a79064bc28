"""Clonality: known values, laws that every index obeys, and what the authors of the integration sites published."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.clonality import INDICES, LOCI, chao1, clonality_columns, gini, uc50
from features.patients import Clones, FloatArray

ABUNDANCES = st.lists(st.integers(1, 40), min_size=1, max_size=30).map(lambda values: np.array(values, dtype=float))
UNSCALED = ("shannon", "normalised_entropy", "gini", "gini_simpson", "top_share", "uc50")
"""Indices that depend on shares alone."""


def clones_of(samples: list[list[tuple[str, float, float]]]) -> Clones:
    """Clones from (locus, abundance, near_oncogene) of each sample."""
    rows = [row for sample in samples for row in sample]
    return Clones(
        np.concatenate([[0], np.cumsum([len(sample) for sample in samples])]).astype(np.int64),
        np.array([row[0] for row in rows], dtype=object),
        np.array([f"clone {i}" for i in range(len(rows))], dtype=object),
        np.array([row[1] for row in rows], dtype=float),
        np.array([row[2] for row in rows], dtype=float),
    )


def slowly(cells: list[int]) -> dict[str, float]:
    """Every index from the labels of single cells, by definition."""
    size = Counter(cells)
    n, share = len(cells), [count / len(cells) for count in size.values()]
    pairs = [abs(a - b) for a in size.values() for b in size.values()]
    entropy = -sum(p * np.log(p) for p in share)
    large, held, needed = sorted(size.values(), reverse=True), 0, 0
    while held <= n / 2:
        held += large[needed]
        needed += 1
    once, twice = (sum(count == times for count in size.values()) for times in (1, 2))
    return {
        "richness": len(size),
        "shannon": entropy,
        "normalised_entropy": entropy / np.log(len(size)) if len(size) > 1 else 0.0,
        "gini": sum(pairs) / len(pairs) / (2 * n / len(size)),
        "gini_simpson": sum(p * (1 - p) for p in share),
        "top_share": max(share),
        "expanded_share": sum(size[cell] >= 2 for cell in cells) / n,
        "expanded_3_share": sum(size[cell] >= 3 for cell in cells) / n,
        "chao1": len(size) + once * (once - 1) / (2 * (twice + 1)),
        "uc50": needed,
    }


@pytest.mark.parametrize(
    ("abundance", "expected"),
    [
        ([5], {"shannon": 0, "normalised_entropy": 0, "gini": 0, "gini_simpson": 0, "top_share": 1, "uc50": 1}),
        ([1, 1, 1, 1], {"shannon": np.log(4), "normalised_entropy": 1, "gini": 0, "gini_simpson": 0.75, "uc50": 3}),
        ([1, 1, 1, 1], {"chao1": 10, "expanded_share": 0, "richness": 4}),
        ([3, 2, 1], {"gini": 2 / 9, "expanded_share": 5 / 6, "expanded_3_share": 0.5, "chao1": 3, "uc50": 2}),
        ([1, 1, 1, 2, 2, 9], {"chao1": 7, "top_share": 9 / 16, "uc50": 1}),
        ([98, 1, 1], {"top_share": 0.98, "uc50": 1, "chao1": 4}),
    ],
    ids=["one clone", "even", "even, unseen", "expanded", "unseen", "dominated"],
)
def test_known_values(abundance: list[float], expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert INDICES[name](np.array(abundance, dtype=float)) == pytest.approx(value, abs=1e-12), name


@given(ABUNDANCES)
def test_indices_are_their_definitions_over_single_cells(abundance: FloatArray) -> None:
    cells = np.repeat(np.arange(len(abundance)), abundance.astype(int)).tolist()
    for name, value in slowly(cells).items():
        assert INDICES[name](abundance) == pytest.approx(value, abs=1e-9), name


@given(ABUNDANCES, st.randoms(use_true_random=False))
def test_the_order_of_clones_does_not_matter(abundance: FloatArray, random: object) -> None:
    shuffled = abundance[np.argsort([random.random() for _ in abundance])]  # type: ignore[attr-defined]
    for name, index in INDICES.items():
        assert index(shuffled) == index(abundance), name


@given(ABUNDANCES, st.integers(2, 9))
def test_deeper_sequencing_of_the_same_shares(abundance: FloatArray, factor: int) -> None:
    for name in UNSCALED:
        assert INDICES[name](factor * abundance) == pytest.approx(INDICES[name](abundance), abs=1e-12), name
    assert chao1(3 * abundance) == len(abundance)
    assert INDICES["expanded_share"](factor * abundance) == 1


@given(ABUNDANCES)
def test_two_copies_of_a_repertoire(abundance: FloatArray) -> None:
    twice = np.concatenate([abundance, abundance])
    assert INDICES["richness"](twice) == 2 * len(abundance)
    assert INDICES["shannon"](twice) == pytest.approx(INDICES["shannon"](abundance) + np.log(2))
    assert gini(twice) == pytest.approx(gini(abundance), abs=1e-12)
    assert INDICES["top_share"](twice) == pytest.approx(INDICES["top_share"](abundance) / 2)
    assert uc50(twice) in (2 * uc50(abundance) - 1, 2 * uc50(abundance))


@given(ABUNDANCES)
def test_bounds(abundance: FloatArray) -> None:
    n = len(abundance)
    value = {name: index(abundance) for name, index in INDICES.items()}
    assert 0 <= value["shannon"] <= np.log(n) + 1e-12
    assert 0 <= value["normalised_entropy"] <= 1 + 1e-12
    assert 0 <= value["gini"] <= 1 - 1 / n + 1e-12
    assert 1 / n - 1e-12 <= value["top_share"] <= 1
    assert 0 <= value["expanded_3_share"] <= value["expanded_share"] <= 1
    assert value["chao1"] >= n
    assert 1 <= value["uc50"] <= n // 2 + 1


def test_estimates_that_are_no_counts_have_no_clones_seen_once() -> None:
    estimates = np.array([0.5, 1.0, 2.5])
    missing = {name for name, index in INDICES.items() if np.isnan(index(estimates))}
    assert missing == {"expanded_share", "expanded_3_share", "chao1"}


def test_columns_of_samples_and_loci() -> None:
    clones = clones_of(
        [
            [("tcr", 2, np.nan), ("integration", 3, 1), ("integration", 1, 0), ("integration", 9, np.nan)],
            [],
            [("tcr", 1, np.nan), ("tcr", 3, np.nan)],
            [("bcr", 7, np.nan)],
        ]
    )
    columns = clonality_columns(clones, 4)
    assert set(columns) == {f"{locus}:{name}" for locus in LOCI for name in INDICES} | {
        "integration:near_oncogene_share"
    }
    np.testing.assert_equal(columns["tcr:richness"], [1, np.nan, 2, np.nan])
    np.testing.assert_equal(columns["tcr:top_share"], [1, np.nan, 0.75, np.nan])
    np.testing.assert_equal(columns["integration:richness"], [3, np.nan, np.nan, np.nan])
    np.testing.assert_equal(columns["integration:uc50"], [1, np.nan, np.nan, np.nan])
    np.testing.assert_equal(columns["integration:near_oncogene_share"], [0.5, np.nan, np.nan, np.nan])


def test_samples_are_independent() -> None:
    rng = np.random.default_rng(0)
    samples = [[(str(rng.choice(LOCI)), float(rng.integers(1, 9)), np.nan) for _ in range(n)] for n in (7, 0, 3, 12)]
    together = clonality_columns(clones_of(samples), 4)
    for i, sample in enumerate(samples):
        alone = clonality_columns(clones_of([sample]), 1)
        for name, values in together.items():
            np.testing.assert_equal(values[i], alone[name][0])


def test_no_clones_at_all() -> None:
    columns = clonality_columns(Clones.empty(3), 3)
    assert all(np.isnan(values).all() and values.shape == (3,) for values in columns.values())


@pytest.mark.parametrize(
    ("samples", "n_samples", "message"),
    [
        ([[("tcr", 1, np.nan)]], 2, "clones of 1 samples, not of 2"),
        ([[("tcr", 0, np.nan)]], 1, "must be above 0"),
        ([[("tcr", np.nan, np.nan)]], 1, "must be above 0"),
    ],
    ids=["another number of samples", "nothing of a clone", "unknown abundance"],
)
def test_wrong_clones_are_refused(samples: list[list[tuple[str, float, float]]], n_samples: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clonality_columns(clones_of(samples), n_samples)


@pytest.fixture(scope="module")
def published(shared_data: Path) -> pd.DataFrame:
    """Specimens with the authors' indices, and ours from the published sites (fragments count as cells)."""
    folder = shared_data / "upenn_cart19"
    sites = pd.read_parquet(folder / "integration_sites.parquet", columns=["gtsp", "n_fragments"])
    by_specimen = sites.groupby("gtsp", observed=True)["n_fragments"]
    ours = {
        str(specimen): {f"our_{name}": index(values.to_numpy(dtype=float)) for name, index in INDICES.items()}
        | {"our_fragments": values.sum()}
        for specimen, values in by_specimen
    }
    theirs = pd.read_csv(folder / "specimen_ml_features_569.csv.gz").set_index("specimen")
    return theirs.join(pd.DataFrame.from_dict(ours, orient="index"), how="inner")


def test_published_indices_where_the_clones_are_the_published_ones(published: pd.DataFrame) -> None:
    """Site calls of the two releases differ; where sites and fragments agree in number, so do the indices."""
    assert len(published) == 224
    same = (published["numUniqSites"] == published["our_richness"]) & (
        published["numClones"] == published["our_fragments"]
    )
    agreeing = published[same]
    assert len(agreeing) == 16
    for theirs, ours in (("ShannonIndex", "shannon"), ("GiniIndex", "gini"), ("maxRelAbund", "top_share")):
        np.testing.assert_allclose(agreeing[f"our_{ours}"], agreeing[theirs], atol=1e-12)
    np.testing.assert_array_equal(agreeing["our_uc50"], agreeing["UC50"])


def test_published_indices_of_all_specimens_are_close(published: pd.DataFrame) -> None:
    for theirs, ours, least in (
        ("numUniqSites", "richness", 0.999),
        ("ShannonIndex", "shannon", 0.998),
        ("UC50", "uc50", 0.996),
        ("maxRelAbund", "top_share", 0.99),
        ("Chao1", "chao1", 0.97),
        ("GiniIndex", "gini", 0.95),
    ):
        assert published[theirs].corr(published[f"our_{ours}"], method="spearman") > least, theirs


def test_published_chao1_is_the_jackknife_of_ours(published: pd.DataFrame) -> None:
    """INSPIIRED deletes ten groups of fragments in turn; where every clone was seen once, chance plays no part."""
    once = published[
        (published["our_fragments"] == published["our_richness"])
        & (published["numClones"] == published["our_fragments"])
        & (published["our_richness"] > 1)
    ]
    assert len(once) >= 2
    for n, theirs in zip(once["our_richness"].astype(int), once["Chao1"], strict=True):
        groups = np.bincount(np.arange(n) % 10)
        left_out = np.mean([chao1(np.ones(n - size)) if n > size else 0.0 for size in groups])
        jackknife = len(groups) * chao1(np.ones(n)) - (len(groups) - 1) * left_out
        assert theirs == round(jackknife)
