"""The data sets are what the world knows them to be, and everything that is not so is refused with a reason."""
import gzip
import hashlib
import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deeplearn.core import data
from deeplearn.core.data import (DATASETS, ChecksumMismatch, Dataset, DataUnavailable, Entry, File, UnknownDataset, arrays_sha256, available, catalogue,
                                 check, fetch, fingerprint, load, read_idx, read_zip_codes, stratified_order, table)

FILED = [name for name, entry in DATASETS.items() if entry.files]
ABSENT = "`{name}` is not here: set DEEPLEARN_DATA to a folder that holds it, or `deeplearn data fetch {name}`"
RANGES = dict(digits=(0, 1), mnist=(0, 1), fashion_mnist=(0, 1), usps_zip=(-1, 1))
COUNTS = {  # label -> examples, as published: UCI's optdigits.names (test part), UCI's wdbc.names, MNIST's and Fashion-MNIST's files, zip.info.txt
    "digits": [178, 182, 177, 183, 181, 182, 181, 179, 174, 180],
    "breast_cancer": [212, 357],
    "mnist": ([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    "fashion_mnist": ([6000] * 10, [1000] * 10),
    "usps_zip": ([1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644], [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]),
}


def need(name: str) -> None:
    "Skip where the set is not here; a damaged copy is a failure, not a reason to skip."
    if None in [data._find(name, file) for file in DATASETS[name].files]: pytest.skip(ABSENT.format(name=name))


@pytest.fixture
def alone(monkeypatch, tmp_path) -> Path:
    "Offline, with an empty cache and an empty folder of the reader's own, which is returned."
    own = tmp_path / "own"
    own.mkdir()
    for name, value in dict(DEEPLEARN_DATA=own, DEEPLEARN_CACHE=tmp_path / "cache", DEEPLEARN_OFFLINE="1").items(): monkeypatch.setenv(name, str(value))
    return own


# What the sets are

@pytest.mark.parametrize("name", DATASETS)
def test_shapes_types_and_ranges(name):
    need(name)
    entry, loaded = DATASETS[name], load(name)
    for x, y, n in ((loaded.x_train, loaded.y_train, entry.train), (loaded.x_test, loaded.y_test, entry.test)):
        assert x.shape == (n, *entry.shape) and x.dtype == np.float32 and np.isfinite(x).all()
        assert y.shape == (n,) and y.dtype == np.int64 and set(np.unique(y)) == set(range(len(entry.classes)))
        if name in RANGES: assert (x.min(), x.max()) == RANGES[name]
    assert loaded.name == name and loaded.classes == entry.classes and len(loaded.features) in (0, entry.shape[0])


@pytest.mark.parametrize("name", DATASETS)
def test_label_counts_are_the_published_ones(name):
    need(name)
    loaded, counts = load(name), COUNTS[name]
    found = [np.bincount(y).tolist() for y in (loaded.y_train, loaded.y_test)]
    if isinstance(counts, tuple): assert found == list(counts)
    else:
        assert np.sum(found, axis=0).tolist() == counts
        shares = np.array([f / np.sum(f) for f in found])
        assert np.abs(shares[0] - shares[1]).max() < 0.01, "the split is not stratified"


@pytest.mark.parametrize("name", DATASETS)
def test_no_test_example_is_a_training_example(name):
    need(name)
    loaded = load(name)
    seen = {x.tobytes() for x in loaded.x_train}
    assert not any(x.tobytes() in seen for x in loaded.x_test)


@pytest.mark.parametrize("name", DATASETS)
def test_the_fingerprint_is_the_hash_of_what_load_returns(name):
    need(name)
    assert arrays_sha256(*load(name).arrays) == fingerprint(name)


def test_digits_are_scikit_learns_cell_by_cell():
    from sklearn.datasets import load_digits
    original, digits = load_digits(), load("digits")
    assert original.data.shape == (1797, 64) and original.data.sum() == 561718
    ours = np.concatenate([digits.x_train, digits.x_test]) * 16
    assert ours.sum(dtype=float) == 561718 and (ours == np.round(ours)).all()
    labelled = lambda x, y: sorted((image.astype("uint8").tobytes(), int(label)) for image, label in zip(x, y))
    assert labelled(ours, np.concatenate([digits.y_train, digits.y_test])) == labelled(original.images, original.target)


def test_breast_cancer_is_in_raw_units_with_scikit_learns_names():
    from sklearn.datasets import load_breast_cancer
    original, cancer = load_breast_cancer(), load("breast_cancer")
    assert list(cancer.features) == original.feature_names.tolist() and list(cancer.classes) == original.target_names.tolist()
    ours = np.concatenate([cancer.x_train, cancer.x_test])
    assert ours.max() == 4254 and np.allclose(np.sort(ours, axis=0), np.sort(original.data, axis=0).astype("float32"), rtol=0, atol=0)
    radius = cancer.x_train[:, 0]
    assert radius[cancer.y_train == 0].mean() > radius[cancer.y_train == 1].mean(), "malignant nuclei are the larger ones"


def test_mnist_mean_and_deviation_are_the_ones_everybody_uses():
    need("mnist")
    x = load("mnist").x_train
    assert f"{x.mean(dtype=float):.4f} {x.std(dtype=float):.4f}" == "0.1307 0.3081"


def test_fashion_mnist_mean_and_deviation_are_the_ones_everybody_uses():
    need("fashion_mnist")
    x = load("fashion_mnist").x_train
    assert f"{x.mean(dtype=float):.4f} {x.std(dtype=float):.4f}" == "0.2860 0.3530"


def test_usps_has_ink_at_plus_one_and_is_upright():
    "The mean 1 is a vertical stroke: bright down the middle columns, dark at both sides."
    need("usps_zip")
    usps = load("usps_zip")
    assert (len(usps.y_train), len(usps.y_test)) == (7291, 2007)
    one = usps.x_train[usps.y_train == 1].mean(0)
    assert one[:, 6:10].mean() > 0 and one[:, :4].max() < -0.9 and one[:, 12:].max() < -0.9


def test_the_registry_is_complete_and_consistent():
    for name, entry in DATASETS.items():
        assert bool(entry.files) != bool(entry.bundled), name
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256) and entry.licence and entry.source and len(set(entry.classes)) == len(entry.classes)
        for file in entry.files:
            assert file.addresses and all(a.startswith("https://") and a.endswith(f"/{file.name}") for a in file.addresses)
            assert all(re.fullmatch("[0-9a-f]{64}", h) for h in (*file.sha256, *([file.contents] if file.contents else [])))
            assert not any(Path(place).is_absolute() for place in file.places)


# Arrays that nobody can spoil

def test_arrays_are_read_only_and_fresh():
    first, second = load("digits"), load("digits")
    for a, b in zip(first.arrays, second.arrays):
        assert not np.shares_memory(a, b)
        with pytest.raises(ValueError, match="read-only"): a[0] = 0
    with pytest.raises(AttributeError): first.x_train = second.x_train


def test_one_changed_bit_changes_the_hash():
    arrays = [a.copy() for a in load("digits").arrays]
    before = arrays_sha256(*arrays)
    arrays[2].view("u4")[17, 3, 4] ^= 1
    assert arrays_sha256(*arrays) != before
    x = np.zeros((2, 6), "float32")
    assert len({arrays_sha256(x), arrays_sha256(x.reshape(3, 4)), arrays_sha256(x.view("int32")), arrays_sha256(x[:1], x[1:])}) == 4
    assert arrays_sha256(x) == arrays_sha256(np.asfortranarray(x))


def test_shuffled_labels_keep_the_histogram_and_nothing_else():
    digits = load("digits")
    shuffled = digits.shuffled_labels(seed=0)
    assert np.array_equal(np.bincount(shuffled.y_train), np.bincount(digits.y_train))
    agreement = (shuffled.y_train == digits.y_train).mean()
    assert abs(agreement - 0.1) < 5 * np.sqrt(0.1 * 0.9 / len(digits.y_train)), "labels still tell of their images"
    assert shuffled.x_train is digits.x_train and shuffled.y_test is digits.y_test
    assert np.array_equal(shuffled.y_train, digits.shuffled_labels(0).y_train) and not np.array_equal(shuffled.y_train, digits.shuffled_labels(1).y_train)


def test_take_is_stratified_nested_and_keeps_pairs_together():
    cancer = load("breast_cancer")
    share = (cancer.y_train == 1).mean()
    pairs = {x.tobytes(): y for x, y in zip(cancer.x_train, cancer.y_train)}
    before: set = set()
    for n in (1, 2, 5, 20, 57, 200, 455):
        part = cancer.take(n, seed=4)
        rows = {x.tobytes() for x in part.x_train}
        assert len(part.y_train) == len(rows) == n and before <= rows and all(pairs[x.tobytes()] == y for x, y in zip(part.x_train, part.y_train))
        assert abs((part.y_train == 1).sum() - share * n) <= 1 and part.x_test is cancer.x_test
        before = rows
    assert np.array_equal(cancer.take(455).x_train, cancer.x_train), "order is kept"
    assert not np.array_equal(cancer.take(50, 0).x_train, cancer.take(50, 1).x_train)


@pytest.mark.parametrize("n", [0, -3, 1438])
def test_take_refuses_what_is_not_there(n):
    with pytest.raises(ValueError, match=rf"`n` .*1437.*Received: n={n}"): load("digits").take(n)


@pytest.mark.parametrize("counts", [[50, 50], [90, 10], [5, 30, 65], [1, 99]])
def test_every_prefix_of_a_stratified_order_is_stratified(counts):
    labels = np.repeat(range(len(counts)), counts)
    for seed in range(5):
        order = stratified_order(labels, seed)
        assert sorted(order) == list(range(len(labels)))
        held = np.stack([(labels[order] == k).cumsum() for k in range(len(counts))], 1)
        fair = np.arange(1, len(labels) + 1)[:, None] * np.array(counts) / len(labels)
        assert np.abs(held - fair).max() <= 1.5


def test_a_data_set_describes_itself():
    text = repr(load("digits"))
    for word in ("digits", "(1437, 8, 8) float32", "(360,) int64", "10: 0, 1", "CC BY 4.0", "Alpaydin"): assert word in text
    assert "0x" not in text + repr(DATASETS) and len(repr(DATASETS)) < 600


# Names and places

@pytest.mark.parametrize("call", [load, fetch, fingerprint, available, check])
def test_an_unknown_name_gets_the_nearest_ones(call):
    with pytest.raises(UnknownDataset, match=r"`name` must be one of digits.*nearest: mnist.*Received: name='mnits'") as caught: call("mnits")
    assert isinstance(caught.value, ValueError)


def test_a_missing_set_says_what_was_tried_and_how_to_get_it(alone):
    with pytest.raises(DataUnavailable) as caught: load("usps_zip")
    text = str(caught.value)
    for word in ("usps_zip", "DEEPLEARN_DATA", "cache", "DEEPLEARN_OFFLINE is set", "deeplearn data fetch usps_zip", "usps_zip/zip.train.gz",
                 "usps_zip/zip.test.gz", DATASETS["usps_zip"].files[0].sha256[0]): assert word in text
    assert str(alone) not in text and not available("usps_zip") and check("usps_zip") == "not here"


def test_a_folder_that_does_not_exist_is_named_as_such(alone, monkeypatch):
    monkeypatch.setenv("DEEPLEARN_DATA", str(alone / "nowhere"))
    with pytest.raises(DataUnavailable, match="there is no such folder"): load("mnist")


def test_offline_opens_no_socket(alone, monkeypatch):
    def refuse(*args, **kwargs): raise AssertionError("a socket was opened")
    for name in ("socket", "create_connection", "getaddrinfo"): monkeypatch.setattr(socket, name, refuse)
    for name in FILED:
        for call in (load, fetch):
            with pytest.raises(DataUnavailable): call(name)
        assert not available(name) and fingerprint(name) and check(name) == "not here"
    table(), catalogue(), load("digits")


@pytest.mark.parametrize("name", FILED)
@pytest.mark.parametrize("place", ["the set's own folder", "first of its places", "bare"])
def test_every_documented_place_is_found(alone, name, place):
    "And a set read from there is the same set."
    originals = _real_files(name)
    for file, original in zip(DATASETS[name].files, originals):
        where = alone / {"the set's own folder": f"{name}/{file.name}", "first of its places": file.places[0], "bare": file.name}[place]
        where.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(original, where)
    assert available(name) and check(name) == "ok, from the folder named by DEEPLEARN_DATA" and len(fetch(name)) == len(originals)


def _real_files(name: str) -> list[Path]:
    "The files of a set as this machine has them, found with its own settings."
    if not (found := REAL[name]): pytest.skip(ABSENT.format(name=name))
    return found


REAL = {name: fetch(name) if available(name) else [] for name in FILED}  # before any test changes the environment


# Wrong bytes

def test_a_file_with_other_bytes_is_an_error_and_stays(alone):
    wrong = alone / "digits" / "usps-zip" / "zip.test.gz"
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(b"not what it should be")
    with pytest.raises(ChecksumMismatch) as caught: load("usps_zip")
    text = str(caught.value)
    assert "digits/usps-zip/zip.test.gz" in text and f"Expected: sha256={DATASETS['usps_zip'].files[1].sha256[0]}" in text
    assert f"Received: sha256={hashlib.sha256(b'not what it should be').hexdigest()}" in text and str(alone) not in text
    assert wrong.read_bytes() == b"not what it should be" and not available("usps_zip") and isinstance(caught.value, DataUnavailable)
    with pytest.raises(ChecksumMismatch): check("usps_zip")
    assert "wrong" in {row["name"]: row["comes_from"] for row in table()}["usps_zip"]


@pytest.mark.parametrize("name", FILED)
def test_one_flipped_bit_in_a_real_file_is_found(alone, name):
    for file, original in zip(DATASETS[name].files, _real_files(name)): shutil.copy(original, alone / file.name)
    spoilt = alone / DATASETS[name].files[-1].name
    content = bytearray(spoilt.read_bytes())
    content[len(content) // 2] ^= 1
    spoilt.write_bytes(content)
    with pytest.raises(ChecksumMismatch, match=re.escape(spoilt.name)): load(name)
    assert spoilt.read_bytes() == content


def test_usps_packed_again_is_accepted_and_another_number_is_not(alone):
    for file, original in zip(DATASETS["usps_zip"].files, _real_files("usps_zip")):
        text = gzip.decompress(original.read_bytes())
        (alone / file.name).write_bytes(gzip.compress(text, compresslevel=1, mtime=987654321))
    assert check("usps_zip").startswith("ok")
    changed = text.replace(b"-1 ", b"-0.999 ", 1)
    assert changed != text
    (alone / "zip.test.gz").write_bytes(gzip.compress(changed))
    with pytest.raises(ChecksumMismatch, match="zip.test.gz"): load("usps_zip")


def test_a_wrong_file_in_the_cache_counts_as_absent(alone, tmp_path):
    cached = tmp_path / "cache" / "mnist" / "mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half a download")
    assert not available("mnist")
    with pytest.raises(DataUnavailable, match="can't be had here"): load("mnist")
    assert cached.exists()


def test_the_cache_is_used(alone, tmp_path):
    for file, original in zip(DATASETS["usps_zip"].files, _real_files("usps_zip")):
        target = tmp_path / "cache" / "usps_zip" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(original, target)
    assert check("usps_zip") == "ok, from the cache"


def test_other_numbers_from_scikit_learn_are_refused(monkeypatch):
    honest = DATASETS["digits"].read
    def altered(paths):
        x, *rest = (a.copy() for a in honest(paths))
        x[3, 4, 4] += 1 / 16
        return x, *rest
    monkeypatch.setitem(DATASETS, "digits", replace(DATASETS["digits"], read=altered))
    with pytest.raises(ChecksumMismatch, match=f"Expected: sha256={fingerprint('digits')}"): load("digits")


def test_a_bundled_set_without_its_package_says_so(monkeypatch):
    monkeypatch.setitem(DATASETS, "digits", replace(DATASETS["digits"], bundled="a-package-nobody-has"))
    assert not available("digits")
    for call in (load, check):
        with pytest.raises(DataUnavailable, match="pip install a-package-nobody-has"): call("digits")


def test_a_file_is_hashed_once_and_again_when_it_changes(alone, monkeypatch):
    hashed = []
    honest = data._hash_bytes
    monkeypatch.setattr(data, "_hash_bytes", lambda path: hashed.append(path.name) or honest(path))
    (alone / "mnist.npz").write_bytes(b"one")
    for _ in range(3): assert not available("mnist")
    assert hashed == ["mnist.npz"]
    (alone / "mnist.npz").write_bytes(b"other")
    for _ in range(3): assert not available("mnist")
    assert hashed == ["mnist.npz"] * 2


# Readers

def test_idx_files(tmp_path):
    path = tmp_path / "x.gz"
    def write(content: bytes) -> Path:
        path.write_bytes(gzip.compress(content))
        return path
    numbers = np.arange(24, dtype="u1").reshape(2, 3, 4)
    header = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4])
    assert np.array_equal(read_idx(write(header + numbers.tobytes())), numbers)
    broken = dict(empty=b"", magic=b"\x01" + header[1:] + numbers.tobytes(), floats=b"\0\0\x0d" + header[3:] + numbers.tobytes(),
                  short=header + numbers.tobytes()[:-1], long=header + numbers.tobytes() + b"!", header=header[:9])
    for content in broken.values():
        with pytest.raises(ValueError, match="`x.gz` must be an idx file.*Received: header="): read_idx(write(content))


def test_zip_code_files(tmp_path):
    path = tmp_path / "zip.gz"
    path.write_bytes(gzip.compress(("3.0000 " + "-0.250 " * 256 + "\n").encode()))
    rows = read_zip_codes(path)
    assert rows.shape == (1, 257) and rows[0, 0] == 3 and (rows[0, 1:] == -0.25).all()
    for text in ("", "3 1 2 3"):
        path.write_bytes(gzip.compress(text.encode()))
        with pytest.raises(ValueError, match="`zip.gz` must hold 257 numbers a line.*Received: "): read_zip_codes(path)


def test_an_archive_with_a_pickle_is_not_opened(alone):
    class Trap:
        def __reduce__(self): return open, (str(alone / "sprung"), "w")
    trap = np.empty(1, dtype=object)
    trap[0] = Trap()
    np.savez(alone / "mnist.npz", x_train=trap)
    with pytest.raises(ValueError, match="allow_pickle=False"): DATASETS["mnist"].read([alone / "mnist.npz"])
    assert not (alone / "sprung").exists()


# Downloads, from a server on this machine

@pytest.fixture
def server(tmp_path):
    "A server of the files under `served/`: (its address, the folder, the paths it was asked for)."
    served, asked = tmp_path / "served", []
    served.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs): super().__init__(*args, directory=str(served), **kwargs)
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()
        def log_message(self, *args): pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", served, asked
    running.shutdown()
    running.server_close()
    thread.join()


def small_set(address: str, content: bytes, contents: str = "") -> Entry:
    arrays = np.zeros((3, 2), "float32"), np.array([0, 1, 0]), np.ones((2, 2), "float32"), np.array([1, 0])
    file = File("small.bin", len(content), (hashlib.sha256(content).hexdigest(),), (f"{address}/gone/small.bin", f"{address}/small.bin"), (), contents)
    return Entry("small", (2,), 3, 2, ("a", "b"), "", "CC0", "here", arrays_sha256(*arrays), lambda paths: tuple(a.copy() for a in arrays), files=(file,))


@pytest.fixture
def online(alone, monkeypatch):
    monkeypatch.delenv("DEEPLEARN_OFFLINE")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"): monkeypatch.delenv(name, raising=False)
    return alone


def test_a_download_comes_from_the_first_address_that_has_it_and_only_once(online, server, monkeypatch, tmp_path, capfd):
    address, served, asked = server
    (served / "small.bin").write_bytes(b"the right bytes")
    monkeypatch.setitem(DATASETS, "small", small_set(address, b"the right bytes"))
    assert not available("small") and check("small") == "not here" and not asked
    assert load("small").x_train.shape == (3, 2) and asked == ["/gone/small.bin", "/small.bin"]
    assert fetch("small") == [tmp_path / "cache" / "small" / "small.bin"] and check("small") == "ok, from the cache" and len(asked) == 2
    assert capfd.readouterr() == ("", ""), "a download leaves nothing in a notebook's outputs"


def test_a_download_with_a_wrong_checksum_is_not_kept(online, server, monkeypatch, tmp_path):
    address, served, asked = server
    (served / "small.bin").write_bytes(b"other bytes")
    monkeypatch.setitem(DATASETS, "small", small_set(address, b"the right bytes"))
    with pytest.raises(DataUnavailable, match=r"gone/small.bin failed \(HTTPError\); .*small.bin has another sha256"): load("small")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    (served / "small.bin").write_bytes(b"the right bytes")
    assert load("small").y_test.tolist() == [1, 0]


def test_a_damaged_file_in_the_cache_is_replaced(online, server, monkeypatch, tmp_path):
    address, served, asked = server
    (served / "small.bin").write_bytes(b"the right bytes")
    monkeypatch.setitem(DATASETS, "small", small_set(address, b"the right bytes"))
    cached = tmp_path / "cache" / "small" / "small.bin"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half")
    load("small")
    assert cached.read_bytes() == b"the right bytes"


def test_a_download_that_is_checked_by_its_numbers(online, server, monkeypatch, tmp_path):
    "Other bytes with the same numbers are kept; other numbers are not."
    address, served, asked = server
    text = ("3 " + "0.5 " * 256).encode()
    (tmp_path / "known.gz").write_bytes(gzip.compress(text, mtime=0))
    monkeypatch.setitem(DATASETS, "small", small_set(address, b"never served", arrays_sha256(read_zip_codes(tmp_path / "known.gz"))))
    (served / "small.bin").write_bytes(gzip.compress(text.replace(b"3", b"4", 1)))
    with pytest.raises(DataUnavailable, match="small.bin has other data"): load("small")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    (served / "small.bin").write_bytes(gzip.compress(text, mtime=1))
    assert load("small").name == "small"


def test_no_server_is_an_error_with_a_reason(online, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setitem(DATASETS, "small", small_set(address, b"anything"))
    with pytest.raises(DataUnavailable, match="failed"): fetch("small")


# The module

def test_importing_is_light_and_a_fingerprint_needs_no_data():
    code = ("import sys; from deeplearn.core.data import *; [fingerprint(n) for n in DATASETS]; available('digits'); table(); catalogue();"
            "heavy = {'sklearn', 'scipy', 'pooch', 'requests', 'tensorflow', 'keras', 'matplotlib', 'pandas'} & set(sys.modules);"
            "assert not heavy, heavy")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_catalogue_and_the_table_hold_every_set(alone):
    text, rows = catalogue(), {row["name"]: row for row in table()}
    assert rows.keys() == DATASETS.keys()
    for name, entry in DATASETS.items():
        assert f"`{name}`" in text and entry.sha256 in text and entry.source in text
        assert all(h in text for file in entry.files for h in file.sha256)
        assert list(rows[name]) == ["name", "what", "train", "test", "shape", "licence", "comes_from"]
        assert rows[name]["comes_from"] == (entry.bundled or "nowhere (DEEPLEARN_OFFLINE is set)")
    assert str(alone) not in text


def test_the_record_takes_any_arrays():
    made = Dataset("pair", np.zeros((2, 1), "float32"), np.array([0, 1]), np.zeros((1, 1), "float32"), np.array([1]), ("a", "b"), "", "", "")
    assert made.features == () and "Dataset pair" in repr(made)
