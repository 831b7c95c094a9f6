"""The committed figures: what is drawn from every committed table has no fault, and no PNG is cut at its edge."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from banditlab import plotting
from banditlab.claims import registry
from banditlab.claims.selection import select
from experiments import CHECKOUT

FIGURES = CHECKOUT / "figures"
COMMITTED = sorted(path for folder in (FIGURES, FIGURES / "paper") for path in folder.glob("*.png"))
# Drawn and measured with every test run; the others by `make test-all`.
TEN = (
    "staircase",
    "batch_threshold",
    "exact_chain",
    "hybrid_two_rounds",
    "coverage_improvement",
    "random_features",
    "floor_constants",
    "offline_lower_bound",
    "reward_accuracy",
    "llm_epochs",
)


def name_of(path):
    return path.relative_to(FIGURES).with_suffix("").as_posix()


def drawn(name):
    """The figure of a committed table, ``paper/`` before its name for the paper preset."""
    *folder, stem = name.split("/")
    experiment = registry.load(stem)
    return experiment.figure(select(experiment, folder[0] if folder else "default").committed().tables())


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, id=name, marks=[] if name in TEN else [pytest.mark.slow]) for name in map(name_of, COMMITTED)],
)
def test_a_committed_table_is_drawn_without_a_fault(name):
    assert plotting.measure(drawn(name)) == []


@pytest.mark.parametrize("path", COMMITTED, ids=name_of)
def test_no_dark_pixel_lies_at_the_edge_of_a_committed_png(path):
    assert not edge_is_dark(path)


def test_a_text_that_is_cut_shows_at_the_edge(tmp_path):
    made, _ = plotting.figure()
    (whole,) = plotting.save(made, tmp_path / "whole", ["png"])
    assert not edge_is_dark(whole)
    made.text(0.9, 0.5, "cut " * 20)
    (cut,) = plotting.save(made, tmp_path / "cut", ["png"])
    assert edge_is_dark(cut)


def test_every_committed_record_has_its_png_pdf_and_caption_and_no_svg_is_committed():
    records = sorted(path for folder in (FIGURES, FIGURES / "paper") for path in folder.glob("*.json"))
    assert [name_of(path) for path in records] == [name_of(path) for path in COMMITTED]
    assert all(path.with_suffix(suffix).is_file() for path in records for suffix in (".pdf", ".tex"))
    ignored = (CHECKOUT / ".gitignore").read_text().split()
    assert {"figures/*.svg", "figures/paper/*.svg"} <= set(ignored)


def edge_is_dark(path: Path) -> bool:
    """Whether a pixel of the outermost rows and columns is not white."""
    pixels = imread(path)[..., :3]
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return bool((edge < 1).any())
