"""Figures look alike, say the same bytes twice, can be read by everybody, and reach the report once."""
import base64
import io
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from deeplearn.core import plotting
from deeplearn.core.plotting import (COLOURS, confusion_matrix, curves, decision_regions, figure, image_grid, intervals, network_diagram, show,
                                     use_style)

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(size=(60, 2))
QUADRANT = (POINTS.prod(1) > 0).astype(int)
LONG = "a name that is far too long for a label"
DRAWINGS = {
    "curves": lambda ax=None: curves({"train": np.arange(5.0), LONG: RANDOM.random((3, 5)), "paper": 2.0}, ax,
                                     x_label="epoch", y_label="loss (nats)"),
    "log curves": lambda ax=None: curves({"train": (np.array([10, 100, 1000]), [1.0, 0.1, 0.01])}, ax, log_x=True, log_y=True, x_label="images"),
    "images": lambda ax=None: image_grid(RANDOM.random((12, 8, 8)), ["title"] * 12, ax=ax),
    "signed": lambda ax=None: image_grid(RANDOM.normal(size=(3, 5, 5)), ax=ax, signed=True),
    "confusion": lambda ax=None: confusion_matrix([0, 1, 2, 2], [0, 1, 1, 2], ["short", LONG, "third"], ax),
    "regions": lambda ax=None: decision_regions(lambda x: (x.prod(1) > 0).astype(int), POINTS, QUADRANT, ax, classes=["odd", LONG]),
    "network": lambda ax=None: network_diagram((3, 20, 2), ax, labels=["in", "hidden", LONG]),
    "small network": lambda ax=None: network_diagram((2, 2, 1), ax, weights=[np.eye(2), np.ones((2, 1))], biases=[[-1, 1], [0]]),
    "intervals": lambda ax=None: intervals({LONG: (1.0, 0.5, None), "b": (2, 1.5, 2.5)}, ax, {"threshold": 1.2, "paper": {"b": 2.2}},
                                           {"b": "reproduced"}),
}


def picture(ax) -> np.ndarray:
    "The saved PNG as `(H, W, 3)`."
    return np.asarray(Image.open(io.BytesIO(plotting._png(ax.get_figure(root=True))[0])).convert("RGB"))


def texts(ax) -> list[str]: return [text.get_text() for text in ax.texts if text.get_text()]


# What every drawing promises

@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_returns_the_axes_it_was_given_and_leaves_the_others_alone(name):
    _, (left, right) = figure("wide", columns=2)
    assert DRAWINGS[name](right) is right
    assert right.has_data() or right.texts or right.patches
    assert not left.has_data() and not left.texts and not left.patches


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_makes_its_own_figure_and_nothing_of_it_is_cut_off(name):
    png = picture(DRAWINGS[name]())
    for edge in (png[0], png[-1], png[:, 0], png[:, -1]): assert (edge == 255).all(), "ink on the edge of the picture"
    assert (png < 255).any()


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_same_figure_gives_the_same_small_png_twice(name):
    ax = DRAWINGS[name]()
    first, second = (plotting._png(ax.get_figure(root=True))[0] for _ in range(2))
    assert first == second and len(first) < 60_000
    for word in (b"Software", b"tIME", b"tEXt"): assert word not in first


def test_drawings_leave_no_figure_with_pyplot():
    import matplotlib.pyplot as plt
    for draw in DRAWINGS.values(): draw()
    assert plt.get_fignums() == []


# Style

@pytest.mark.parametrize("width, pixels", [("text", 960), ("wide", 1440)])
def test_two_widths(width, pixels):
    fig, ax = figure(width, 2.0)
    ax.plot([1, 2])
    assert picture(ax).shape[1] == pixels


def test_axes_are_one_or_an_array():
    assert figure()[1].get_figure() is not None
    assert figure(rows=2)[1].shape == (2,) and figure(columns=3)[1].shape == (3,) and figure(rows=2, columns=3)[1].shape == (2, 3)


def test_earlier_settings_do_not_show():
    import matplotlib
    def draw(): return plotting._png(DRAWINGS["confusion"]().figure)[0]
    calm = draw()
    matplotlib.rcParams.update({"font.size": 25, "axes.facecolor": "black", "font.family": "monospace", "savefig.bbox": "tight", "text.color": "red",
                                "xtick.major.pad": 30, "axes.labelweight": "bold", "figure.constrained_layout.h_pad": 1})
    try: assert draw() == calm
    finally: use_style()


def test_one_type_size_in_a_bundled_font():
    import matplotlib
    from matplotlib.font_manager import findfont
    ax = DRAWINGS["intervals"]()
    words = [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label, ax.title, *ax.get_legend().get_texts()]
    assert {word.get_fontsize() for word in words} == {plotting.TYPE_SIZE}
    assert {word.get_fontname() for word in words} == {"DejaVu Sans"}
    assert findfont("DejaVu Sans").startswith(matplotlib.get_data_path())


def test_a_photograph_keeps_its_colours_and_a_drawing_is_packed():
    ax = image_grid(RANDOM.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    assert Image.open(io.BytesIO(plotting._png(ax.figure)[0])).mode == "RGB"
    assert Image.open(io.BytesIO(plotting._png(DRAWINGS["curves"]().figure)[0])).mode == "P"


# Colours

def _intensities(colour: str) -> np.ndarray:
    c = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


VIENOT = {  # Viénot, Brettel and Mollon (1999): another simulation than the chapter's
    "all cones": np.eye(3), "no red cones": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
    "no green cones": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])}


def _lab(c: np.ndarray) -> np.ndarray:
    f = np.cbrt(np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ c / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", VIENOT)
@pytest.mark.parametrize("group", [("train", "validation", "test", "paper", "chance", "control"),
                                   ("first", "second", "third", "fourth", "paper", "chance"), ("positive", "negative", "neutral")],
                         ids=lambda g: g[0])
def test_colours_that_meet_can_be_told_apart(group, eye):
    for a, b in itertools.combinations(group, 2):
        far = np.linalg.norm(_lab(VIENOT[eye] @ _intensities(COLOURS[a])) - _lab(VIENOT[eye] @ _intensities(COLOURS[b])))
        assert far > 12, f"{a} and {b} with {eye}: {far:.1f}"


def test_the_measure_finds_a_bad_pair():
    "Red and green of equal lightness are told apart by most people and not by those without green cones."
    far = {eye: np.linalg.norm(_lab(m @ _intensities("#2CA02C")) - _lab(m @ _intensities("#B8641E"))) for eye, m in VIENOT.items()}
    assert far["all cones"] > 60 and far["no green cones"] < 12


@pytest.mark.parametrize("role", COLOURS)
def test_every_colour_stands_out_from_white(role):
    assert 1.05 / (_intensities(COLOURS[role]) @ [0.2126, 0.7152, 0.0722] + 0.05) >= 3


# Curves

def test_names_pick_colours():
    ax = curves({"validation loss": [2, 1], "LeNet-5": [3, 1], "train": [1, 0], "chance": 4.0}, colours={"LeNet-5": "fourth"})
    drawn = {line.get_label(): line for line in ax.lines}
    assert {name: line.get_color().upper() for name, line in drawn.items()} == {
        "validation loss": COLOURS["validation"], "LeNet-5": COLOURS["fourth"], "train": COLOURS["train"], "chance": COLOURS["chance"]}
    assert drawn["train"].get_linestyle() == "-" and drawn["chance"].get_linestyle() == "--"  # Matplotlib's word for any dashes


def test_series_of_one_colour_differ_in_their_dashes():
    looks = plotting._looks([f"method {i}" for i in range(12)], None)
    assert len(set(looks.values())) == 12


def test_the_line_is_the_median_and_the_band_holds_every_seed():
    y = RANDOM.random((5, 7))
    ax = curves({"train": y})
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.median(y, 0))
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(1, 8))
    box = ax.collections[0].get_datalim(ax.transData)
    assert np.isclose(box.y0, y.min()) and np.isclose(box.y1, y.max())


def test_a_failed_seed_leaves_a_gap():
    y = np.ones((3, 4))
    y[1, 2:] = np.nan
    assert np.isnan(curves({"train": y}).lines[0].get_ydata()).tolist() == [False, False, True, True]


def test_labels_never_overlap():
    names = {f"m{i}": np.array([0, 1 + i / 1000]) for i in range(8)}
    ax = curves(names)
    ax.figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert len(boxes) == 8 and all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))


def test_spreading_is_the_least_squares_answer():
    "Against isotonic regression of scikit-learn, which solves the same problem after the gaps are taken off."
    from sklearn.isotonic import IsotonicRegression
    for n in (1, 2, 5, 9):
        for _ in range(20):
            ends, steps = RANDOM.normal(0, 20, n), 12.5 * np.arange(n)
            expected = IsotonicRegression().fit_transform(steps, np.sort(ends) - steps) + steps
            np.testing.assert_allclose(np.sort(plotting._spread(ends, 12.5)), expected, atol=1e-9)
            assert (plotting._spread(ends, 12.5).argsort() == ends.argsort()).all()


# Images, counts, regions

def test_images_share_one_scale_and_keep_their_order():
    images = RANDOM.random((7, 4, 6))
    ax = image_grid(images, columns=3)
    assert {image.get_clim() for image in ax.images} == {(images.min(), images.max())}
    corners = [image.get_extent() for image in ax.images]
    assert all((image.get_array() == given).all() for image, given in zip(ax.images, images))
    assert [int(top // 0.7) for _, _, _, top in corners] == [0, 0, 0, 1, 1, 1, 2]  # rows are 4/6 high, and a gap
    assert corners[0][0] == corners[3][0] == corners[6][0] and corners[0][0] < corners[1][0] < corners[2][0]


def test_signs_are_white_at_zero():
    ax = image_grid(np.array([[[-1.0, 0.0, 4.0]]]), signed=True)
    assert ax.images[0].get_clim() == (-4, 4)
    least, zero, greatest = (np.array(ax.images[0].cmap(place)[:3]) for place in (0.0, 0.5, 1.0))
    assert zero.min() > 0.99 and least[0] > least[2] and greatest[2] > greatest[0], "vermillion, white, blue"


def test_confusion_counts_rows_by_truth():
    from sklearn.metrics import confusion_matrix as peer
    truth, predicted = RANDOM.integers(0, 5, 200), RANDOM.integers(0, 5, 200)
    ax = confusion_matrix(truth, predicted)
    drawn = np.zeros((5, 5), int)
    for text in ax.texts: drawn[int(text.get_position()[1]), int(text.get_position()[0])] = int(text.get_text())
    np.testing.assert_array_equal(drawn, peer(truth, predicted))


def test_hits_are_blue_and_errors_vermillion():
    shades = confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1]).images[0].get_array()
    assert shades[1, 1, 2] > shades[1, 1, 0] and shades[0, 1, 0] > shades[0, 1, 2] and (shades[1, 0] == 1).all()


def test_regions_are_what_the_model_says():
    def model(x): return np.select([x[:, 0] < 0, x[:, 1] < 0.3], [0, 1], 2)
    image = decision_regions(model, POINTS, model(POINTS)).images[0]
    left, right, low, high = image.get_extent()
    tints = image.get_array()
    h, w = tints.shape[:2]
    columns, rows = RANDOM.integers(0, w, 500), RANDOM.integers(0, h, 500)
    where = np.stack([left + (columns + 0.5) / w * (right - left), low + (rows + 0.5) / h * (high - low)], 1)
    hues = np.array([[int(COLOURS[r][i:i + 2], 16) / 255 for i in (1, 3, 5)] for r in ("first", "second", "third")])
    nearest = np.linalg.norm(tints[rows, columns][:, None] - (1 - 0.25 * (1 - hues)), axis=2).argmin(1)
    np.testing.assert_array_equal(nearest, model(where))


def test_up_is_up():
    png = picture(decision_regions(lambda x: (x[:, 1] > 0).astype(int), POINTS * [1e-9, 1], QUADRANT)).astype(int)
    column = png[:, int(0.9 * png.shape[1])]  # right of the data
    blue, vermillion = (np.flatnonzero((column[:, a] - column[:, b]) > 20) for a, b in ((2, 0), (0, 2)))
    assert len(blue) > 50 and len(vermillion) > 50 and blue.max() < vermillion.min() + 3


def test_a_map_asks_twice_and_is_sharp():
    sizes = []
    def disc(x):
        sizes.append(len(x))
        return (x ** 2).sum(1) < 0.5
    found = plotting._map(disc, (-1, -1), (1, 1), coarse=80)
    full = disc(np.stack(np.meshgrid(*[(np.arange(320) + 0.5) / 160 - 1] * 2), -1).reshape(-1, 2)).reshape(320, 320)
    np.testing.assert_array_equal(found, full)
    assert len(sizes) == 3 and sum(sizes[:2]) < 0.25 * full.size


def test_points_on_the_wrong_side_have_a_dark_rim():
    wrong = 7
    ax = decision_regions(lambda x: np.zeros(len(x), int), POINTS, (np.arange(60) < wrong).astype(int))
    dark = sum(len(c.get_offsets()) for c in ax.collections if len(c.get_offsets()) and c.get_edgecolor()[0][:3].max() < 0.3)
    assert dark == wrong


def test_probabilities_fade_to_white_where_undecided():
    ax = decision_regions(lambda x: 1 / (1 + np.exp(-5 * x[:, 0])), POINTS, POINTS[:, 0] > 0)
    tints = ax.images[0].get_array()[300]
    left, right = ax.images[0].get_extent()[:2]
    middle = int(-left / (right - left) * 640)
    assert tints[middle].min() > 0.95 and tints[5, 0] > tints[5, 2] and tints[-5, 2] > tints[-5, 0]


# Networks

def test_edges_carry_sign_and_size():
    w = [np.array([[2.0, -1.0], [0.5, -4.0]])]
    edges = network_diagram((2, 2), weights=w).collections[0]
    widths, colours = edges.get_linewidths(), edges.get_colors()
    assert len(widths) == 4 and list(widths) == sorted(widths)  # the strongest is drawn last
    assert [bool(c[2] > c[0]) for c in colours] == [True, False, True, False]  # 0.5, -1, 2, -4: blue where positive


def test_numbers_stand_on_their_edges():
    w = [np.array([[1.0, 2.0], [3.0, -4.5]])]
    ax = network_diagram((2, 2), weights=w)
    ends = {text.get_text(): text.get_position() for text in ax.texts}
    assert {"1", "2", "3", "\u22124.5"} <= set(ends)
    heights = [ends[name][1] for name in ("1", "2", "3", "\u22124.5")]
    assert heights == sorted(heights, reverse=True), "upper unit to upper, upper to lower, lower to upper, lower to lower"


@pytest.mark.parametrize("sizes, circles", [((2, 2, 1), 5), ((6, 2, 1), 9), ((8, 8), 16), ((64, 32, 10), 15)])
def test_units_and_dots(sizes, circles):
    ax = network_diagram(sizes)
    assert len(ax.patches) == circles
    assert sum(len(c.get_offsets()) == 3 for c in ax.collections) == sum(size > 8 for size in sizes)
    for size in sizes: assert any(str(size) in text for text in texts(ax))


def test_units_are_round_and_do_not_touch():
    for sizes in ((2, 2, 1), (6, 2, 1), (64, 32, 10)):
        ax = network_diagram(sizes)
        assert ax.get_aspect() == 1.0
        for a, b in itertools.combinations(ax.patches, 2): assert np.hypot(*np.subtract(a.center, b.center)) > a.radius + b.radius + 2


def test_text_and_biases_of_units():
    ax = network_diagram((2, 1), biases=[[-1.5]], unit_text=[["x1", "x2"], None], labels=["inputs", "answer"])
    assert sorted(texts(ax)) == sorted(["x1", "x2", "b = \u22121.5", "inputs", "answer"])


def test_biases_tint_their_units():
    inputs, below, zero, above = [np.array(patch.get_facecolor()[:3]) for patch in network_diagram((1, 3), biases=[[-2.0, 0.0, 1.0]]).patches]
    assert (inputs == 1).all() and (zero == 1).all() and below[0] > below[2] and above[2] > above[0]
    assert (1 - below).max() > (1 - above).max(), "the tint grows with the bias"


# Intervals

def test_verdicts_differ_in_colour_and_shape():
    rows = {"a": (1, 0.5, 1.5), "b": (2, 1, 3), "c": (0, -1, 1)}
    ax = intervals(rows, verdicts=dict(zip(rows, ("reproduced", "not reproduced", "inconclusive"))), marks={"threshold": 0.7})
    dots = [line for line in ax.lines if line.get_marker() in ("o", "D")]
    assert len({(dot.get_color(), dot.get_markerfacecolor(), dot.get_marker()) for dot in dots}) == 3
    assert texts(ax) == ["reproduced", "not reproduced", "inconclusive"]


def test_open_ends_get_arrows_and_unknown_rows_no_dot():
    ax = intervals({"a": (1, None, 2), "b": (None, 0.5, np.inf)})
    assert sorted(line.get_marker() for line in ax.lines if line.get_marker() in "<>") == ["<", ">"]
    drawn = [line.get_xdata() for line in ax.lines if line.get_marker() == "o"]
    assert np.isfinite(drawn[0]).all() and np.isnan(drawn[1]).all()


def test_ticks_of_a_logarithmic_axis_are_plain_numbers():
    ax = curves({"train": (np.array([10, 1_000, 10_000]), [3.0, 2.0, 1.0])}, log_x=True)
    ax.figure.draw_without_rendering()
    assert {"10", "100", "1,000", "10,000"} <= {tick.get_text() for tick in ax.get_xticklabels()}


# Errors

BAD = {
    "width": lambda: figure("huge"), "height": lambda: figure(height=0),
    "caption": lambda: show(figure()[0], " ", "alt"), "alt": lambda: show(figure()[0], "caption", ""),
    "figure": lambda: show("a picture", "caption", "alt"),
    "no series": lambda: curves({}), "three axes": lambda: curves({"train": np.zeros((2, 3, 4))}), "empty": lambda: curves({"train": []}),
    "x and y": lambda: curves({"train": ([1, 2], [1, 2, 3])}), "labels": lambda: curves({"train": [1]}, labels="left"),
    "band": lambda: curves({"train": [1]}, band=0), "colour": lambda: curves({"a": [1, 2]}, colours={"a": "trian"}),
    "colour of nobody": lambda: curves({"a": [1, 2]}, colours={"b": "train"}),
    "flat image": lambda: image_grid(np.zeros((4, 4))), "two channels": lambda: image_grid(np.zeros((1, 4, 4, 2))),
    "no image": lambda: image_grid(np.zeros((0, 4, 4))),
    "titles": lambda: image_grid(np.zeros((2, 4, 4)), ["one"]),
    "title colours": lambda: image_grid(np.zeros((2, 4, 4)), ["a", "b"], colours=["train"]),
    "columns": lambda: image_grid(np.zeros((2, 4, 4)), columns=0),
    "lengths": lambda: confusion_matrix([0, 1], [0]), "class names": lambda: confusion_matrix([0, 2], [0, 1], ["a", "b"]),
    "shares": lambda: confusion_matrix([0.5, 1.0], [0, 1]), "negative class": lambda: confusion_matrix([-1, 1], [1, 1]),
    "three features": lambda: decision_regions(lambda x: x[:, 0], np.zeros((4, 3)), np.zeros(4)),
    "column of labels": lambda: decision_regions(lambda x: x[:, :1], POINTS, QUADRANT),
    "five classes": lambda: decision_regions(lambda x: np.arange(len(x)) % 5, POINTS, QUADRANT),
    "not a probability": lambda: decision_regions(lambda x: 7.5 * x[:, 0], POINTS, QUADRANT),
    "one layer": lambda: network_diagram((3,)), "empty layer": lambda: network_diagram((3, 0)), "most": lambda: network_diagram((3, 2), most=2),
    "weights": lambda: network_diagram((3, 2), weights=[np.zeros((2, 3))]), "biases": lambda: network_diagram((3, 2), biases=[np.zeros(3)]),
    "layer labels": lambda: network_diagram((3, 2), labels=["one"]), "unit text": lambda: network_diagram((3, 2), unit_text=[["a"], None]),
    "layers of text": lambda: network_diagram((3, 2), unit_text=[None]),
    "no rows": lambda: intervals({}), "two numbers": lambda: intervals({"a": (1, 2)}), "upside down": lambda: intervals({"a": (1, 2, 0)}),
    "unknown row": lambda: intervals({"a": (1, 0, 2)}, verdicts={"b": "reproduced"}), "nothing known": lambda: intervals({"a": (None, None, None)}),
    "logarithm of zero": lambda: intervals({"a": (1, 0, 2)}, log_x=True)}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_what_was_received(name):
    with pytest.raises(ValueError, match=r"`.+`.* Received: "): BAD[name]()


# Show

def test_outside_a_notebook_the_caption_is_printed(capsys):
    show(curves({"train": [2, 1]}), "Loss\n  falls.", "a falling line")
    assert capsys.readouterr().out == "Figure: Loss falls.\n"


CELLS = ["from deeplearn.core.plotting import *",
         "ax = curves({'train': [3, 2, 1]}, x_label='epoch', y_label='loss (nats)')\nshow(ax.figure, 'Loss *falls*,\\n from_3 to 1.', 'a line')",
         "show(ax, 'Again.', 'the same line')",
         "%matplotlib inline\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2])\nshow(fig, 'By pyplot.', 'another line')",
         "plt.get_fignums()"]


@pytest.fixture(scope="module")
def notebook():
    "A notebook with the cells above, run in a kernel."
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nbclient.NotebookClient(made, timeout=120, kernel_name="python3").execute()
    return json.loads(nbformat.writes(made))


def test_a_notebook_shows_the_picture_and_then_the_caption(notebook):
    picture, caption = notebook["cells"][1]["outputs"]
    assert picture["output_type"] == caption["output_type"] == "display_data"
    assert set(picture["data"]) == {"image/png", plotting.FIGURE, "text/plain"}
    assert picture["data"][plotting.FIGURE] == {"caption": "Loss *falls*, from_3 to 1.", "alt": "a line"}
    assert "".join(picture["data"]["text/plain"]) == "Figure: a line"
    png = base64.b64decode("".join(picture["data"]["image/png"]))
    assert png.startswith(b"\x89PNG") and len(png) < 60_000
    assert Image.open(io.BytesIO(png)).width / picture["metadata"]["image/png"]["width"] > 1.3, "sharp where a screen has more pixels"
    assert caption["metadata"] == {"deeplearn": "caption"}
    assert "".join(caption["data"]["text/markdown"]) == r"*Loss \*falls\*, from\_3 to 1.*"
    assert "".join(caption["data"]["text/plain"]) == "Loss *falls*, from_3 to 1."


def test_showing_twice_gives_the_same_bytes(notebook):
    first, second = (notebook["cells"][i]["outputs"][0]["data"]["image/png"] for i in (1, 2))
    assert first == second


def test_a_figure_of_pyplot_is_shown_once_and_closed(notebook):
    assert len(notebook["cells"][3]["outputs"]) == 2
    assert "".join(notebook["cells"][4]["outputs"][0]["data"]["text/plain"]) == "[]"


def test_the_report_takes_every_figure_once(notebook):
    from deeplearn.runner.page import collect, render_output
    assert [f["caption"] for f in collect(notebook)["figures"]] == ["Loss *falls*, from_3 to 1.", "Again.", "By pyplot."]
    picture, caption = (render_output(output) for output in notebook["cells"][1]["outputs"])
    assert 'alt="a line"' in picture and "<figcaption>Loss *falls*, from_3 to 1.</figcaption>" in picture and caption == ""
