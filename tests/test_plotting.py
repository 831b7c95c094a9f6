"""Figures: the same bytes for the same figure, embedded fonts, nothing clipped, settings left alone."""

import itertools
import zlib

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from banditlab import plotting

TEXT = "Six stairs, 800 labels a round, 1024 seeds: median and 10 to 90% band, no failed fit. " * 3


def draw():
    made, ax = plotting.figure()
    x = np.arange(1.0, 6.0)
    middle = np.exp(-x)
    quantiles = np.stack([middle / 2, middle, np.where(x == 1, np.inf, middle * 2)])
    with plotting.style():
        plotting.band(ax, x, quantiles, "offline")
        plotting.theory(ax, x, middle, "offline")
        ax.set(yscale="log", xlabel="labels", ylabel="KL")
    plotting.legend(made)
    plotting.caption(made, TEXT)
    return made


def test_saving_twice_gives_the_same_bytes_in_three_formats(tmp_path):
    first = [path.read_bytes() for path in plotting.save(draw(), tmp_path / "n=1.5")]
    paths = plotting.save(draw(), tmp_path / "n=1.5")
    assert [path.name for path in paths] == ["n=1.5.png", "n=1.5.svg", "n=1.5.pdf"]
    assert [path.read_bytes() for path in paths] == first


def test_pdf_embeds_truetype_fonts(tmp_path):
    pdf = plotting.save(draw(), tmp_path / "f")[2].read_bytes()
    streams = pdf.split(b"stream\n")[1::2]
    plain = b"".join(zlib.decompress(part) for part in streams if part[:1] == b"\x78")
    assert b"/Type3" not in pdf + plain
    assert b"/FontFile2" in pdf + plain  # where PDF keeps an embedded TrueType program


def test_caption_lies_inside_the_figure_and_under_the_axes():
    made = draw()
    canvas = FigureCanvasAgg(made)
    canvas.draw()
    renderer = canvas.get_renderer()
    (text,) = made.texts
    box = text.get_window_extent(renderer)
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= made.bbox.x1
    assert box.y1 <= made.axes[0].get_tightbbox(renderer).y0
    assert " ".join(text.get_text().split()) == TEXT.strip()


def test_infinite_values_leave_a_gap_not_an_error():
    line, dashed = draw().axes[0].lines
    assert np.isfinite(line.get_ydata()).all()
    assert dashed.get_linestyle() == "--"
    _, ax = plotting.figure()
    plotting.theory(ax, np.arange(3.0), np.asarray([1.0, np.inf, 2.0]))
    assert np.isnan(ax.lines[0].get_ydata()).tolist() == [False, True, False]


def test_legend_names_each_algorithm_once_and_theory():
    (legend,) = draw().legends
    assert [text.get_text() for text in legend.get_texts()] == ["offline", "theory"]


def test_every_algorithm_has_its_own_colour_marker_and_name():
    # "dpo" is offline DPO under the name it has where every learner is offline.
    assert plotting.COLORS["dpo"] == plotting.COLORS["offline"]
    assert plotting.MARKERS["dpo"] == plotting.MARKERS["offline"]
    for looks in (plotting.COLORS, plotting.MARKERS, plotting.LABELS):
        own = [look for key, look in looks.items() if key != "dpo"]
        assert len(set(own)) == len(own)
    # Colours that differ by less than this in every channel are not told apart in a thin line.
    for first, second in itertools.combinations(set(plotting.COLORS.values()), 2):
        assert np.max(np.abs(np.subtract(to_rgb(first), to_rgb(second)))) > 0.15


def test_style_gives_the_users_settings_back():
    with matplotlib.rc_context({"font.size": 17.0}):
        with plotting.style():
            assert matplotlib.rcParams["font.size"] == 8
        draw()
        assert matplotlib.rcParams["font.size"] == 17


def test_bad_arguments_are_named():
    _, ax = plotting.figure()
    with pytest.raises(ValueError, match=r"key must be one of offline, .*; got 'ofline'"):
        plotting.band(ax, np.arange(3.0), np.ones((3, 3)), "ofline")
    with pytest.raises(ValueError, match=r"quantiles must be \(3, K\) for x \(K,\); got \(2, 3\) for \(3,\)"):
        plotting.band(ax, np.arange(3.0), np.ones((2, 3)), "offline")
    with pytest.raises(ValueError, match=r"y must be \(K,\) for x \(K,\)"):
        plotting.theory(ax, np.arange(3.0), np.ones(2))
