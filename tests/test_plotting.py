"""Figures: the same bytes for the same figure, embedded fonts, captions, colours, settings left alone."""

import itertools
import re
import zlib
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from banditlab import plotting
from banditlab.plotting import colours, looks

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


def test_saving_twice_gives_the_same_bytes_in_every_format(tmp_path):
    kinds = ("png", "pdf", "svg", "tex")
    first = [path.read_bytes() for path in plotting.save(draw(), tmp_path / "n=1.5", kinds)]
    paths = plotting.save(draw(), tmp_path / "n=1.5", kinds)
    assert [path.name for path in paths] == ["n=1.5.png", "n=1.5.pdf", "n=1.5.svg", "n=1.5.tex"]
    assert [path.read_bytes() for path in paths] == first
    assert [path.suffix for path in plotting.save(draw(), tmp_path / "usual")] == [".png", ".pdf", ".tex"]


def test_pdf_embeds_truetype_fonts(tmp_path):
    pdf = plotting.save(draw(), tmp_path / "f", ["pdf"])[0].read_bytes()
    streams = pdf.split(b"stream\n")[1::2]
    plain = b"".join(zlib.decompress(part) for part in streams if part[:1] == b"\x78")
    assert b"/Type3" not in pdf + plain
    assert b"/FontFile2" in pdf + plain  # where PDF keeps an embedded TrueType program


def test_a_png_has_the_caption_and_a_pdf_has_not(tmp_path):
    made = draw()
    whole = made.get_size_inches()[1]
    png, pdf = (path.read_bytes() for path in plotting.save(made, tmp_path / "f", ("png", "pdf")))
    (low, high) = (float(number) for number in re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf).groups())
    assert low == pytest.approx(72 * plotting.COLUMN_WIDTH)
    assert high == pytest.approx(72 * 2.3)  # of `figure`, without the caption
    assert int.from_bytes(png[20:24], "big") == int(200 * whole)
    (bare,) = plotting.save(made, tmp_path / "bare", ["png"], with_caption=False)
    assert int.from_bytes(bare.read_bytes()[20:24], "big") == 460
    assert made.get_size_inches()[1] == pytest.approx(whole)  # and is as it was


def test_a_caption_is_latex_with_its_formulas_untouched(tmp_path):
    made, _ = plotting.figure()
    text = r"10-90% of runs & $C_F(\pi^*)/2n$ (a_b #1 {x} at \$3), $a\$b$; x < y ~ z^2"
    plotting.caption(made, text)
    (path,) = plotting.save(made, tmp_path / "f", ["tex"])
    assert path.read_text() == (
        r"\caption{10-90\% of runs \& $C_F(\pi^*)/2n$ (a\_b \#1 \{x\} at \$3), $a\$b$; x \textless{} y "
        r"\textasciitilde{} z\textasciicircum{}2}" + "\n"
    )
    assert plotting.save(plotting.figure()[0], tmp_path / "g", ["tex"])[0].read_text() == "\\caption{}\n"


def test_a_formula_is_one_word_of_a_caption():
    made, _ = plotting.figure()
    formula = r"$\mathrm{KL} (\pi^* \| \pi) \leq \epsilon$"
    plotting.caption(made, f"word {formula}, " * 12)
    assert sorted(set(made.texts[0].get_text().replace("\n", " ").split(" word "))) == [
        f"{formula},",
        f"word {formula},",
    ]
    assert all(line.count("$") % 2 == 0 for line in made.texts[0].get_text().split("\n"))
    with pytest.raises(ValueError, match="text must close every formula with a dollar sign; got 'costs"):
        plotting.caption(plotting.figure()[0], "costs $3")
    with pytest.raises(ValueError, match="made must be a figure without a caption"):
        plotting.caption(made, "another")


def test_bookkeeping_is_said_only_when_it_is_not_zero():
    assert plotting.only_if(0, " Fits that did not converge: {}.") == ""
    assert plotting.only_if(3, " Fits that did not converge: {}.") == " Fits that did not converge: 3."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (800, "800"), (3200.0, "3,200"), (0.05, "0.05"), (1e6, "$10^{6}$"), (-1e14, "$-10^{14}$"),
        (1.5e6, r"$1.5\times 10^{6}$"), (1e-9, "$10^{-9}$"), (2.5e-5, r"$2.5\times 10^{-5}$"), (np.inf, r"$\infty$"),
    ],
)  # fmt: skip
def test_numbers_of_captions_are_set_as_mathematics(value, text):
    assert plotting.number(value) == text


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


# What one claim compares: the keys of a family, with those that every family uses and the usual comparisons.
COMPARED = {
    "samplers": (looks.SAMPLERS, "oracle", "reference", "dpo"),
    "learners": (looks.LEARNERS, "oracle", "reference", "offline", "on_policy", "uniform"),
    "didactic losses": (looks.DIDACTIC, "oracle", "reference", "dpo", "ipo"),
}


@pytest.mark.parametrize("family", COMPARED)
def test_colours_that_meet_are_told_apart_by_eyes_of_every_kind(family):
    keys = {key for part in COMPARED[family] for key in ([part] if isinstance(part, str) else part)}
    # Mix-R, Mix-P, PILAF and XPO are compared with policies, not with designs.
    apart = {frozenset(pair) for pair in itertools.product(("mix_r", "mix_p", "pilaf", "xpo"), SEPARATE)}
    for first, second in itertools.combinations(sorted(keys), 2):
        if frozenset((first, second)) not in apart:
            found, eyes = colours.distance(plotting.COLORS[first], plotting.COLORS[second])
            assert found >= colours.LEAST_DISTANCE, (first, second, eyes)


SEPARATE = ("design", "design_one_round", "hybrid_paired", "hybrid_mixture", "hybrid_design", "oracle", "reference")


def test_every_algorithm_has_its_own_colour_and_name_and_in_its_family_its_own_marker():
    for own in (plotting.COLORS, plotting.LABELS):
        assert len(set(own.values())) == len(own)
    for family in (looks.SAMPLERS, looks.LEARNERS, looks.DIDACTIC):
        markers = [plotting.MARKERS[key] for key in (*family, *looks.EVERYWHERE)]
        assert len(set(markers)) == len(markers)
    assert min(map(colours.contrast, plotting.COLORS.values())) >= colours.MARK_CONTRAST


@pytest.mark.parametrize("key", plotting.COLORS)
def test_shades_show_on_white_and_five_are_told_apart(key):
    shades = plotting.shades(key, 5)
    assert min(map(colours.contrast, shades)) >= colours.MARK_CONTRAST
    assert sorted(shades, key=colours.contrast) == shades
    assert min(colours.distance(*pair)[0] for pair in itertools.pairwise(shades)) >= colours.LEAST_DISTANCE
    assert plotting.shades(key, 1) == [plotting.COLORS[key]]


def test_colour_distances_are_those_of_the_literature():
    # L* of the grey #777777 is 50.03; white against black 100; pure red (53.24, 80.09, 67.20) against pure green
    # (87.73, -86.18, 83.18), by B. Lindbloom's calculator.
    assert colours.distance("#777777", "#000000")[0] == pytest.approx(50.03, abs=0.02)
    lab = np.subtract((53.24, 80.09, 67.20), (87.73, -86.18, 83.18))
    full = {"full colour vision": colours.VISIONS["full colour vision"]}
    assert colours.distance("#ff0000", "#00ff00", full)[0] == pytest.approx(np.linalg.norm(lab), abs=0.05)
    assert colours.contrast("#000000") == pytest.approx(21.0)
    assert colours.contrast("#777777") == pytest.approx(4.48, abs=0.01)  # the known greyest text but one below 4.5
    # A simulated eye sees greys as they are.
    for vision in colours.VISIONS.values():
        np.testing.assert_allclose(vision.sum(axis=1), 1.0, atol=2e-6)  # six digits a number, three numbers
    assert colours.distance("#d55e00", "#6d8d31")[1] in ("protanopia", "deuteranopia")


def test_a_mean_has_bars_of_four_standard_errors_and_a_band():
    made, ax = plotting.figure()
    x, mean = np.arange(3.0), np.array([1.0, np.inf, 3.0])
    line = plotting.mean(ax, x, mean, np.full(3, 0.1), "offline", quantiles=np.stack([mean - 1, mean, mean + 1]))
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False]
    (bars,) = ax.containers[0].lines[2]
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], [0.6, 1.4])
    bands = [one for one in ax.collections if one is not bars]
    assert len(bands) == 1
    plotting.legend(made)
    assert [text.get_text() for text in made.legends[0].get_texts()] == ["offline"]
    with pytest.raises(ValueError, match=r"mean and error must be \(K,\) for x \(K,\)"):
        plotting.mean(ax, x, mean[:2], mean, "offline")


def test_the_package_lists_what_it_documents():
    assert dir(plotting) == sorted(plotting.__all__)
    assert all(getattr(plotting, name).__doc__ for name in plotting.__all__ if callable(getattr(plotting, name)))


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
    with pytest.raises(ValueError, match=r"width must be COLUMN_WIDTH \(3.25\) or PAGE_WIDTH \(6.75\); got 5"):
        plotting.figure(width=5)
    with pytest.raises(ValueError, match="kinds must be of png, svg, pdf and tex; got 'jpg'"):
        plotting.save(plotting.figure()[0], Path("never"), ["jpg"])
