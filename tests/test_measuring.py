"""Every rule that figures are measured by: a good figure has no fault, and each fault is seen where it is planted."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D

from banditlab import plotting

X = np.arange(1.0, 6.0)


def good(**names):
    """Two algorithms beside their predictions, with a legend and a caption."""
    made, ax = plotting.figure(**names)
    for key, height in (("offline", 2.0), ("on_policy", 1.0)):
        plotting.mean(ax, X, height / X, 0.01 / X, key)
        plotting.theory(ax, X, height / X, key)
    ax.set(xlabel="labels", ylabel=r"KL($\pi^*\|\pi$)", title="Fresh labels are better")
    return made, ax


def faults(made, ax=None):
    plotting.legend(made)
    plotting.caption(made, f"Six stairs. {plotting.BARS} Dashed: $C_F(\\pi^*)/(2n)$.")
    return plotting.measure(made)


def test_a_good_figure_has_no_fault_and_stays_the_same(tmp_path):
    made, _ = good()
    assert faults(made) == []
    again = good()[0]
    assert faults(again) == []
    first, second = (
        plotting.save(one, tmp_path / name, ["png", "pdf"]) for one, name in ((made, "one"), (again, "two"))
    )
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    page, _ = good(width=plotting.PAGE_WIDTH)
    assert faults(page) == []


def test_another_width_and_more_than_eight_inches_are_faults():
    made, _ = good()
    made.set_size_inches(3.4, 2.3)
    assert "the width must be 3.25 or 6.75 in; got 3.40" in faults(made)
    (fault,) = faults(good(height=7.9)[0])
    assert fault.startswith("the height must be at most 8 in with the caption; got 8.")


def test_a_text_beyond_the_canvas_is_a_fault():
    made, ax = good()
    ax.set_xlabel("labels " * 20)
    (fault,) = faults(made)
    assert fault == "the text 'labels labels labels labels labels la...' leaves the canvas"


def test_texts_that_overlap_are_a_fault():
    made, ax = good()
    for shift in (0.0, 0.1):
        ax.text(2 + shift, 1.5, "here")
    assert faults(made) == ["the texts 'here' and 'here' overlap"]


def test_tick_labels_of_neighbouring_axes_that_overlap_are_a_fault():
    made, axes = plotting.figure(1, 2)
    made.set_layout_engine("none")
    for ax, left in zip(axes, (0.2, 0.55), strict=True):
        ax.set_position((left, 0.3, 0.35, 0.5))
        ax.plot([0, 1], [0, 1])
        ax.set_xticks([0, 1], ["left", "right"])
    assert "the texts 'right' and 'left' overlap" in plotting.measure(made)


def test_tick_labels_out_of_view_and_hidden_texts_are_not_measured():
    made, ax = good()
    ax.set_xticks([2, 3, 900], ["2", "3", "far away"])
    ax.set_xlim(1, 5)
    for _ in range(2):
        ax.text(2, 1, "hidden").set_visible(False)
    assert faults(made) == []


@pytest.mark.parametrize(
    ("look", "missing"),
    [
        ({"marker": "o", "markerfacecolor": "none", "markeredgewidth": 0.8}, "open marker 'o'"),
        ({"marker": "v"}, "marker 'v'"),
        ({"linestyle": ":"}, "dotted line"),
        ({"color": "#18724e"}, "colour #18724e"),
    ],
)
def test_a_look_that_no_legend_shows_is_a_fault(look, missing):
    extra = {"color": plotting.COLORS["offline"]} | look
    made, ax = good()
    ax.plot(X, 0.5 / X, **extra)
    assert faults(made) == [f"the panel: the {missing} is in no legend and has no label"]
    made, ax = good()
    ax.plot(X, 0.5 / X, **extra, label="now it is")
    assert faults(made) == []
    made, ax = good()
    ax.plot(X, 0.5 / X, **extra, gid="decoration")
    assert faults(made) == []
    made, ax = good()
    plotting.direct_label(ax.plot(X, 0.5 / X, **extra)[0], "named", place=0, offset=(4, -6))
    assert faults(made) == []


def test_a_line_across_the_axes_is_named_at_its_height():
    made, ax = plotting.figure()
    ax.set(xscale="log", xlim=(1, 100), ylim=(0, 4))
    named = plotting.direct_label(ax.axhline(3.0), "the bound", place=0, offset=(3, 0))
    FigureCanvasAgg(made).draw()
    box = named.get_window_extent().transformed(ax.transAxes.inverted())
    assert 0 < box.x0 < 0.1
    assert box.y0 < 0.75 < box.y1


def test_scattered_points_are_told_by_their_markers_and_a_proxy_explains_them():
    made, ax = good()
    look = {"marker": "^", "s": 20, "facecolors": "none", "edgecolors": plotting.COLORS["offline"]}
    ax.scatter(X, 0.5 / X, **look)
    assert faults(made) == ["the panel: the open marker '^' is in no legend and has no label"]
    made, ax = good()
    ax.scatter(X, 0.5 / X, **look)
    plotting.legend(made, extra=[plotting.proxy("open: $n$ = 40", marker="^", filled=False)])
    assert plotting.measure(made) == []


def test_one_open_black_marker_says_what_open_means_for_every_marker_of_the_legend():
    opened = {"markerfacecolor": "none", "markeredgewidth": 0.8, "color": plotting.COLORS["on_policy"]}
    for entry, shape, missing in (
        (plotting.proxy("open: own draws", marker="o", filled=False), "s", []),
        (plotting.proxy("offline, own draws", "offline", filled=False), "s", ["open marker 's'"]),
        (plotting.proxy("open: own draws", marker="o", filled=False), "v", ["open marker 'v'"]),
    ):
        made, ax = plotting.figure()
        plotting.mean(ax, X, 1 / X, 0.01 / X, "offline")
        plotting.mean(ax, X, 2 / X, 0.01 / X, "on_policy")
        ax.plot(X, 0.5 / X, marker=shape, **opened)
        plotting.legend(made, extra=[entry])
        assert plotting.measure(made) == [f"the panel: the {one} is in no legend and has no label" for one in missing]


def test_the_only_data_of_axes_need_no_legend_but_a_prediction_beside_them_does():
    made, ax = plotting.figure()
    plotting.mean(ax, X, 1 / X, 0.01 / X, "offline")
    assert plotting.measure(made) == []
    plotting.theory(ax, X, 1 / X)
    assert plotting.measure(made) == ["the panel: the dashed line is in no legend and has no label"]


def test_pale_lines_and_texts_are_faults():
    made, ax = good()
    ax.plot(X, 0.5 / X, color="#56b4e9", label="pale")
    ax.text(2, 1.5, "grey", color="#888888")
    assert faults(made) == [
        "the panel: #56b4e9, solid line has a contrast of 2.3 on white, below 3",
        "the text 'grey' has a contrast of 3.5 on white, below 4.5",
    ]
    made, ax = good()
    ax.plot(X, 0.5 / X, color="#000000", alpha=0.3, label="faint")
    assert ["contrast of 2." in fault for fault in faults(made)] == [True]


def test_colours_that_one_kind_of_eyes_does_not_tell_apart_are_a_fault_where_marker_and_dash_are_the_same():
    def drawn(second):
        made, ax = plotting.figure()
        ax.plot(X, 1 / X, color="#882255", label="one")
        ax.plot(X, 2 / X, color="#4d4d4d", label="other", **second)
        return faults(made)

    (fault,) = drawn({})
    assert fault.startswith("the panel: one and other differ by 2.")
    assert "under deuteranopia, below 11.5" in fault
    assert drawn({"marker": "s"}) == []
    assert drawn({"linestyle": ":"}) == []


def test_two_names_of_one_look_are_a_fault_and_many_lines_of_one_name_are_none():
    made, ax = good()
    ax.plot(X, 1 / X, color="#333333", label="one")
    ax.plot(X, 2 / X, color="#333333", label="other")
    assert faults(made) == ["the panel: 'one' and 'other' look the same"]
    made, ax = good()
    for place, scale in enumerate((1, 2, 3)):
        ax.plot(X, scale / X, color="#333333", label="" if place else "seeds")
    assert faults(made) == []


def test_a_proxy_has_the_look_that_it_stands_for():
    opened, dashed, plain = (
        plotting.proxy("$n$ = 40", "offline", filled=False),
        plotting.proxy("exact", dashed=True),
        plotting.proxy("any", marker="s"),
    )
    assert all(isinstance(one, Line2D) for one in (opened, dashed, plain))
    assert (opened.get_marker(), opened.get_markerfacecolor(), opened.get_linestyle()) == ("o", "none", "None")
    assert (dashed.get_marker(), dashed.get_linestyle()) == ("", "--")
    assert (plain.get_marker(), plain.get_color()) == ("s", "#000000")


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("n = 40", "n"),
        ("fresh batches of n labels", "n"),
        ("R_1 at T = 1", "T"),
        ("at K > 3", "K"),
        ("at -0.2 nats", "-0.2"),
    ],
)
def test_a_symbol_that_is_not_set_as_mathematics_is_a_fault(text, symbol):
    made, ax = plotting.figure(1, 1)
    ax.set_title(text)
    assert [fault for fault in plotting.measure(made) if f"must set '{symbol}' as mathematics" in fault]
    ax.set_title(f"a: {text}".replace(f" {symbol} ", f" ${symbol}$ ") + ", A labels")
    assert not [fault for fault in plotting.measure(made) if "as mathematics" in fault]
