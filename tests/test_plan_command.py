"""The label planner's command line, in this process: its files, its report, and every bad input in one line."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import example_comparisons
import numpy as np
import pytest

from banditlab import estimators, planner, plotting
from banditlab.command import main
from banditlab.command.planning import data as plan_data
from banditlab.command.planning import figure as plan_figure
from banditlab.command.planning import report as plan_report
from banditlab.command.planning import running as planning
from banditlab.errors import CommandLineError
from banditlab.terminal import Terminal
from experiments import CHECKOUT

EXAMPLE = example_comparisons.example()
FEATURES, LOG_REFERENCE = EXAMPLE["features"], EXAMPLE["log_reference"]
SHAPE = LOG_REFERENCE.shape


def command(tmp_path, *words):
    return main(["plan", "--out", str(tmp_path / "out"), *map(str, words)])


def saved_npz(tmp_path, **changes):
    path = tmp_path / "data.npz"
    arrays = {name: value for name, value in (EXAMPLE | changes).items() if value is not None}
    path.write_bytes(example_comparisons.npz(arrays))
    return path


def saved_csv(tmp_path, comparisons=None, nodes=None):
    """The example as two CSV files with ids of text; context p2 has no action e, so its rows are left out."""
    letters = "abcde"
    table = ["context,action,log_reference,f0,f1,f2"]
    for x, y in np.ndindex(*SHAPE):
        numbers = [EXAMPLE["log_reference"][x, y], *EXAMPLE["features"][x, y]]
        table += [f"p{x},{letters[y]},{','.join(map(repr, map(float, numbers)))}"] * ((x, y) != (2, 4))
    rows = ["context,chosen,rejected,by"]
    for x, first, second in zip(*(EXAMPLE[name] for name in ("context", "chosen", "rejected")), strict=True):
        rows += [f"p{x}, {letters[first]},{letters[second]},me"] * bool(x != 2 or 4 not in (first, second))
    paths = tmp_path / "comparisons.csv", tmp_path / "features.csv"
    paths[0].write_text("\n".join(rows if comparisons is None else comparisons) + "\n\n")
    paths[1].write_text("\ufeff" + "\n".join(table if nodes is None else nodes) + "\n", encoding="utf-8")
    return paths


def test_the_committed_example_is_what_the_generator_makes():
    path = CHECKOUT / "docs/example_comparisons.npz"
    assert path.stat().st_size < 20_000
    with np.load(path) as archive:
        assert set(archive) == set(EXAMPLE)
        for name, values in EXAMPLE.items():
            np.testing.assert_allclose(archive[name], values, rtol=1e-15)


def test_a_plan_is_printed_and_written(tmp_path, capsys):
    assert command(tmp_path, "--data", CHECKOUT / "docs/example_comparisons.npz", "--next", 50) == 0
    printed = capsys.readouterr().out
    assert "the maximum-likelihood estimate exists and is unique" in printed
    assert "these data's" in printed
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["plan.csv", "plan.json", "plan.pdf", "plan.png", "plan.tex"]
    record = json.loads((tmp_path / "out/plan.json").read_text())
    env = planner.problem(FEATURES, log_reference=LOG_REFERENCE)
    wins = planner.comparisons(env, *(EXAMPLE[name] for name in ("context", "chosen", "rejected")))
    found = planner.plan(env, wins, num_next=50)
    assert record["samplers"]["triple"]["label_price"] == pytest.approx(float(found.assessment.price[4]))
    header, *rows = (tmp_path / "out/plan.csv").read_text().splitlines()
    assert header == "context,action_a,action_b,labels"
    table = np.asarray([row.split(",") for row in rows], int)
    np.testing.assert_array_equal(found.next_pairs[tuple(table[:, :3].T)], table[:, 3])
    assert table[:, 3].sum() == 50
    made = plan_figure.draw(found, {"kl": 0.01, "next": 50, "beta": 1.0, "ridge": 0.0})
    assert plotting.measure(made) == []
    prices, errors = found.assessment.price, found.assessment.price_se
    bars = [np.asarray(bar.get_paths()[0].vertices)[:, 0] for bar in made.axes[0].collections]
    ends = [np.log(bar[1] / bar[0]) for bar in bars]
    np.testing.assert_allclose(ends, 2 * plotting.NUM_ERRORS * errors / prices)


def test_csv_files_with_ids_of_text_and_contexts_of_different_sizes(tmp_path, capsys):
    data, features = saved_csv(tmp_path)
    read = plan_data.read(data, features)
    assert read.context_ids == ["p0", "p1", "p2", "p3"]
    assert read.action_ids[2] == ["a", "b", "c", "d"]
    kept = (EXAMPLE["context"] != 2) | ((EXAMPLE["chosen"] != 4) & (EXAMPLE["rejected"] != 4))
    for name in ("context", "chosen", "rejected"):
        np.testing.assert_array_equal(read.arrays[name], EXAMPLE[name][kept])
    present = np.ones(SHAPE, bool)
    present[2, 4] = False
    np.testing.assert_array_equal(read.arrays["features"][present], EXAMPLE["features"][present])
    np.testing.assert_array_equal(np.isneginf(read.arrays["log_reference"]), ~present)
    assert command(tmp_path, "--data", data, "--features", features) == 0
    assert "p3" in capsys.readouterr().out
    rows = [line.split(",") for line in (tmp_path / "out/plan.csv").read_text().splitlines()[1:]]
    assert all(context in read.context_ids for context, *_ in rows)
    assert not any(context == "p2" and "e" in actions for context, *actions, _ in rows)
    assert sum(int(labels) for *_, labels in rows) == 100


def test_separable_data_still_get_pairs_and_a_page(tmp_path, capsys):
    few = {name: EXAMPLE[name][:4] for name in ("context", "chosen", "rejected")}
    assert command(tmp_path, "--data", saved_npz(tmp_path, **few)) == 0
    assert "separable: there is no maximum-likelihood estimate" in capsys.readouterr().out
    record = json.loads((tmp_path / "out/plan.json").read_text())
    assert (record["estimate"], record["params"]) == ("none", None)
    assert (tmp_path / "out/plan.pdf").exists()


@pytest.mark.parametrize("words", [["--data", ""], ["--data", "missing.npz"], ["--data", "missing.csv"]])
def test_a_refused_file_leaves_no_folder(words, tmp_path, capsys):
    assert command(tmp_path, *words) == 2
    assert capsys.readouterr().err.startswith("error: --data must be ")
    assert not (tmp_path / "out").exists()


NAN = np.where(np.arange(FEATURES.size).reshape(FEATURES.shape) == 7, np.nan, FEATURES)
HEAD = "context,chosen,rejected"
NODES = ("context,action,f0", "x,a,0.0", "x,b,1.0")


def npz_case(message, **changes):
    return pytest.param(lambda path: ["--data", saved_npz(path, **changes)], message, id=message[:40])


def csv_case(message, comparisons=(HEAD, "x,a,b"), nodes=NODES):
    def words(path):
        data, features = saved_csv(path, comparisons, nodes)
        return ["--data", data, "--features", features]

    return pytest.param(words, message, id=message[:40])


def word_case(message, *words):
    return pytest.param(lambda path: ["--data", saved_npz(path), *words], message, id=message[:40])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        npz_case("--data must hold features, context, chosen, rejected; got none called chosen", chosen=None),
        npz_case("--data: features must hold no nan; got nan at index (0, 2, 1)", features=NAN),
        npz_case(
            "--data: features must be (num_contexts, num_actions, num_features); got (5, 3)", features=FEATURES[0]
        ),
        npz_case("--data: log_reference must be (4, 5); got (4, 4)", log_reference=LOG_REFERENCE[:, :4]),
        npz_case("--data: context_probs must sum to 1", context_probs=np.ones(4)),
        npz_case("--data: context must lie in 0..3; got values from", context=EXAMPLE["context"] + 1),
        npz_case("--data: chosen must lie in 0..4; got values from", chosen=EXAMPLE["chosen"] + 1),
        npz_case("--data: rejected must differ from chosen; got action", rejected=EXAMPLE["chosen"]),
        npz_case("--data: rejected must be (num_comparisons,) of integers", rejected=EXAMPLE["chosen"] + 0.5),
        npz_case("--data: context, chosen and rejected must have the same length", chosen=EXAMPLE["chosen"][1:]),
        npz_case("--data: features must differ between two actions of a context", features=np.ones((4, 5, 3))),
        npz_case(
            "--data: context must hold at least one comparison; got none",
            **{name: EXAMPLE[name][:0] for name in ("context", "chosen", "rejected")},
        ),
        npz_case(
            "--data: log_reference must leave an action in every context; got none in context 0",
            log_reference=np.full(SHAPE, -np.inf),
        ),
        npz_case(
            "--data: chosen must be an action with log_reference > -inf; got action",
            log_reference=np.where(np.arange(5) == EXAMPLE["chosen"][0], -np.inf, LOG_REFERENCE),
        ),
        csv_case("--data must have the columns context, chosen, rejected; ", ("context,chosen", "x,a")),
        csv_case("--data line 3: chosen 'c' is not an action of context 'x' in --features", (HEAD, "x,a,b", "x,c,b")),
        csv_case("--data line 2: context 'y' is not in --features", (HEAD, "y,a,b")),
        csv_case("--data line 2: rejected must differ from chosen; got 'a' twice", (HEAD, "x,a,a")),
        csv_case("--data line 2: got 2 cells for 3 columns", (HEAD, "x,a")),
        csv_case("--data must have at least one row under its header; ", (HEAD,)),
        csv_case("--features must have the columns context, action; ", nodes=("context,f0", "x,1.0")),
        csv_case("--features must name its columns, each differently; ", nodes=(",context,action,f0", "0,x,a,0.0")),
        csv_case("--features must have a column for every feature; ", nodes=("context,action", "x,a", "x,b")),
        csv_case("--features line 2: f0 must be a finite number; got 'nan'", nodes=(NODES[0], "x,a,nan", "x,b,1")),
        csv_case("--features line 3: f0 must be a finite number; got 'one'", nodes=(NODES[0], "x,a,0", "x,b,one")),
        csv_case("--features line 3: context 'x', action 'a' must come once; ", nodes=(NODES[0], "x,a,0", "x,a,1")),
        csv_case(
            "--features must give one context_prob per context; got several for 'x'",
            nodes=("context,action,context_prob,f0", "x,a,0.5,0", "x,b,0.6,1"),
        ),
        word_case("--features must go with a CSV; got it with", "--features", __file__),
        word_case("--features must be a file; got 'none.csv', which is none", "--features", "none.csv"),
        word_case("--data must be a file; got 'none.npz', which is none", "--data", "none.npz"),
        word_case("--data must be FILE.npz, or a CSV that comes with --features", "--data", __file__),
        word_case("--kl must be a finite number, positive; got '0'", "--kl", "0"),
        word_case("--kl must be a finite number, positive; got 'small'", "--kl", "small"),
        word_case("--kl: kl must be reachable within 2^53 labels; got 1e-30, for which", "--kl", "1e-30"),
        word_case("--next must be a whole number from 1 to 1000000; got '2.5'", "--next", "2.5"),
        word_case("--beta must be a finite number, positive; got '-1'", "--beta=-1"),
        word_case("--ridge must be a finite number, at least zero; got 'inf'", "--ridge", "inf"),
        word_case("--out must be a writable folder; got ", "--out", Path(__file__) / "folder"),
    ],
)
def test_bad_input_is_one_line_that_names_the_argument_and_leaves_nothing(tmp_path, capsys, words, message):
    assert command(tmp_path, *words(tmp_path)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}"), captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not [path for path in tmp_path.rglob("*") if "plan" in path.name]


# Twelve comparisons of three items, a strength each, c the base; the fit by Newton's method at 60 digits.
ROWS = ("p,a,b",) * 3 + ("p,b,a",) * 2 + ("p,b,c",) * 3 + ("p,c,b",) + ("p,a,c",) * 2 + ("p,c,a",)
ITEMS = ("context,action,f0,f1", "p,a,1,0", "p,b,0,1", "p,c,0,0")
STRENGTHS = [1.04716750755, 0.822784257981]


@pytest.mark.parametrize(
    ("rows", "items"),
    [
        ((HEAD, *ROWS), ITEMS),
        ((f",{HEAD}", *(f"{line},{row}" for line, row in enumerate(ROWS))), ITEMS),
        ((f"{HEAD},by,token_id", *(f"{row},me,7" for row in ROWS)), ITEMS),
        (
            (HEAD, *(row.replace("a", "cafe\u0301") for row in ROWS)),
            [row.replace("p,a", "p,caf\u00e9") for row in ITEMS],
        ),
    ],
    ids=["plain", "index without a name", "columns that say nothing", "another form of Unicode"],
)
def test_twelve_comparisons_give_the_known_fit(tmp_path, rows, items):
    read = plan_data.read(*saved_csv(tmp_path, rows, items))
    env = planner.problem(read.arrays["features"])
    wins = planner.comparisons(env, *(read.arrays[name] for name in ("context", "chosen", "rejected")))
    assert float(wins.sum()) == 12
    np.testing.assert_allclose(estimators.fit(env, wins).params, STRENGTHS, rtol=1e-10)
    assert read.action_ids == [[items[1].split(",")[1], "b", "c"]]


def test_a_square_table_of_wins_has_the_known_fit():
    # Wins of w, x, y, z by row over the opponent by column, and the published strengths against w.
    wins = [[[0, 730, 498, 221], [33, 0, 68, 17], [320, 813, 0, 142], [284, 276, 325, 0]]]
    params = np.asarray(estimators.fit(planner.problem(np.eye(4)[None]), np.asarray(wins, float)).params)
    np.testing.assert_allclose(params[1:] - params[0], [-2.94907, -0.47957, 0.26895], atol=5e-6)


@pytest.mark.parametrize(
    ("value", "error", "text"), [(2.0, 1e-16, "2 ± 0"), (2.0, 1e-12, "2 ± 1e-12"), (0.0417, 6.1e-19, "0.0417 ± 0")]
)
def test_an_error_of_rounding_size_is_that_of_a_constant(value, error, text):
    assert plan_report._with_error(value, error) == text


def test_columns_that_nothing_reads_are_named(tmp_path, capsys):
    data, features = saved_csv(tmp_path)
    assert command(tmp_path, "--data", data, "--features", features) == 0
    assert "note: of --data nothing reads by." in capsys.readouterr().out


UNREAD = (
    "reps amount wt nb y both_equal score target num_annotators annotations support strength margin "
    "count counts weight n votes wins winner tie ties outcome result label preference freq prob num_votes isTie N_WINS"
)


@pytest.mark.parametrize("name", UNREAD.split())
def test_what_would_change_the_meaning_of_a_row_is_refused_by_name(tmp_path, name):
    data, features = saved_csv(tmp_path, (f"{HEAD},{name}", "p,a,b,3"), ITEMS)
    rule = "each row is one comparison that chosen won, and nothing else is read; write the data so, without it"
    with pytest.raises(CommandLineError, match=f"--data must not have the column '{name}': {rule}"):
        plan_data.read(data, features)
    with pytest.raises(CommandLineError, match=f"--data must not have the array '{name}': {rule}"):
        plan_data.read(saved_npz(tmp_path, **{name: np.ones(300)}), None)


@pytest.mark.parametrize("name", ["context_prob", "Log_reference", "Features"])
def test_an_array_of_nearly_a_known_name_is_refused(tmp_path, name):
    with pytest.raises(CommandLineError, match=f"--data has the array '{name}'; it is called '"):
        plan_data.read(saved_npz(tmp_path, **{name: np.ones(4)}), None)


def test_tables_that_no_memory_holds_are_refused(tmp_path):
    nodes = [f"p{number},a,1" for number in range(3000)] + [f"q,{number},{number}" for number in range(3000)]
    data, features = saved_csv(tmp_path, (HEAD, "q,1,2"), ("context,action,f0", *nodes))
    with pytest.raises(CommandLineError, match="--features must make tables of at most 2.27 numbers; got 2.7e.10"):
        plan_data.read(data, features)


TEXT = "\n".join((HEAD, *ROWS))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "must be a CSV in UTF-8; 'FILE' is empty"),
        (gzip.compress(TEXT.encode()), "must be a CSV in UTF-8; 'FILE' is compressed by gzip"),
        (TEXT.encode("utf-16"), "must be a CSV in UTF-8; 'FILE' is in UTF-16"),
        (TEXT.encode("utf-16-le"), "must be a CSV in UTF-8; 'FILE' is binary, or in UTF-16"),
        (b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n', "must be a CSV in UTF-8; 'FILE' is in JSON"),
        (f"{HEAD}\np,\u00e9,b".encode("latin-1"), "must be a CSV in UTF-8; 'FILE' has byte 0xe9 in line 2"),
        (
            TEXT.replace(",", ";").encode(),
            "must have the columns context, chosen, rejected; the header of 'FILE' is context;chosen;rejected, "
            "cells separated by semicolons; commas are wanted",
        ),
        (
            TEXT.title().encode(),
            "must have the columns context, chosen, rejected; the header of 'FILE' is Context, Chosen, Rejected; "
            "names are wanted in small letters",
        ),
        (f"{HEAD}\np,{'a' * 140_000},b".encode(), "line 2: field larger than field limit (131072); a CSV is wanted"),
    ],
    ids=["empty", "gzip", "UTF-16", "UTF-16 without mark", "JSON", "Latin-1", "semicolons", "capitals", "endless cell"],
)
def test_a_file_of_another_kind_is_named_for_what_it_is(tmp_path, content, what):
    data, features = saved_csv(tmp_path, nodes=ITEMS)
    data.write_bytes(content)
    with pytest.raises(CommandLineError) as caught:
        plan_data.read(data, features)
    assert str(caught.value).startswith(f"--data {what.replace('FILE', str(data))}")


def plan_of(ids):
    """A plan that buys one label, and data with these ids: of the context, and of its two actions."""
    return SimpleNamespace(next_pairs=np.asarray([[[0, 1], [0, 0]]])), plan_data.PlanData({}, ids[:1], [ids[1:]])


def test_an_id_is_no_formula_in_the_table_of_the_plan():
    ids = ["=HYPERLINK(1)", "@SUM(1)", "+cmd"], ["-1+1", "-1.5", "+2"], ["a=b", "", "'=1"], ["p", 0, 1]
    written = [planning.pairs_csv(*plan_of(list(names))).decode().splitlines()[1] for names in ids]
    assert written == ["'=HYPERLINK(1),'@SUM(1),'+cmd,1", "'-1+1,-1.5,+2,1", "a=b,,'=1,1", "p,0,1,1"]


def test_escapes_in_ids_are_shown_and_not_sent_to_the_terminal(capsys):
    Terminal(lines=False).print(plan_report._pair_grid(*plan_of(["p", "\x1b[31ma", "b\u202e"])))
    printed = capsys.readouterr().out
    assert r" \x1b[31ma " in printed
    assert r" b\u202e " in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize(("place", "value"), [(8, 99), (6, 1)], ids=["unknown compression", "encrypted"])
def test_an_archive_that_python_cannot_unpack_is_refused(tmp_path, capsys, place, value):
    path = saved_npz(tmp_path)
    content = bytearray(path.read_bytes())
    for sign, further in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):  # headers of members, and of the directory
        start = content.find(sign)
        while start >= 0:
            content[start + place + further] = value
            start = content.find(sign, start + 1)
    path.write_bytes(content)
    assert command(tmp_path, "--data", path) == 2
    assert capsys.readouterr().err.startswith("error: --data must be an npz of plain arrays; ")


def test_a_file_that_is_no_npz_is_refused(tmp_path, capsys):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 not really")
    assert command(tmp_path, "--data", tmp_path / "bad.npz") == 2
    assert capsys.readouterr().err.startswith("error: --data must be an npz of plain arrays; ")


def test_an_interrupted_write_leaves_no_half_written_file(tmp_path, capsys, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", f"{path}.png")

    monkeypatch.setattr(planning.plotting, "save", lambda made, stem: full(stem, b""))
    assert command(tmp_path, "--data", saved_npz(tmp_path)) == 2
    assert "plan.png' cannot be written (No space left on device)" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plan.csv"]
