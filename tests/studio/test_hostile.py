"""Requests that mean harm: refused in one line, and nothing outside the folder is read or written."""

import io
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

import own
from maskmixadv.cli.app import run as command_line
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from maskmixadv.studio.session import Session
from studio_server import SHAPE, SLICE, TOKEN, client, refused, serving, strokes

pytestmark = pytest.mark.usefixtures("untouched")

NAMES = (
    "..%2F..%2Fsecret", "%2e%2e%2fsecret", "..%5Csecret", "%2Fetc%2Fpasswd", "s0%00", "s0%00.nii.gz", "..",
    "%252e%252e%252fsecret", ".%2Fs0", "s0%2F..%2Fs0", "%E2%80%A4%E2%80%A4%E2%88%95secret",
)  # fmt: skip
FILES = (
    "..%2Fsecret.nii.gz", "%2Ftmp%2Fx.nii.gz", "..%5Cx.nii.gz", "x%00.nii.gz", ".hidden.nii.gz", ".nii.gz", "x.exe",
    "x.nii.gz%2F", "-x.nii.gz", "a" * 120 + ".nii", "x%0A.nii", "x.mhd", "x.nhdr",
)  # fmt: skip
ORDERS = (
    b"", b"{", b"[]", b'{"preset": ["cpu"]}', b'{"preset": "demo"}', b'{"method": "--out"}', b'{"steps": 0}',
    b'{"steps": 1e99}', b"[" * 60_000,
)  # fmt: skip
ORIGINS = (
    "http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1", "http://localhost.evil.example",
)  # fmt: skip
HOSTS = (
    "evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[::1]", "", "127.0.0.1:99999999",
)  # fmt: skip


def raw(address: str, method: str, path: str, body: bytes = b"", length: int | None = None) -> int:
    """Send a request as it is, which a client's library would tidy up; returns the answer's status."""
    length = len(body) if length is None else length
    fields = ["Host: 127.0.0.1", f"X-Token: {TOKEN}", "Content-Type: application/json", f"Content-Length: {length}"]
    request = "\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode() + body
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        return int(connection.recv(4096).split()[1])


@pytest.mark.parametrize("headers", [{}, {"X-Token": "wrong"}, {"X-Token": TOKEN + "x"}, {"X-Token": "é"}])
def test_without_the_token_nothing_is_told(page: httpx.Client, headers: dict[str, str]) -> None:
    calls = [
        ("GET", "/api/folder"),
        ("GET", f"{SLICE}/image"),
        ("PUT", f"{SLICE}/scribble"),
        ("GET", f"{SLICE}/mask"),
        ("PUT", f"{SLICE}/mask"),
        ("DELETE", f"{SLICE}/mask"),
        ("PUT", f"{SLICE}/looked"),
        ("PUT", "/api/cases/s0/use"),
        ("POST", "/api/train"),
        ("PUT", "/api/images/new.nii.gz"),
        ("GET", "/api/nothing"),
    ]
    del page.headers["X-Token"]
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    for method, path in calls:
        refused(page.request(method, path, headers=encoded), 403, "X-Token")


@pytest.mark.parametrize("origin", ORIGINS)
def test_other_pages_are_refused(page: httpx.Client, origin: str) -> None:
    refused(page.get("/api/folder", headers={"Origin": origin}), 403, "Origin")
    refused(page.options("/api/folder", headers={"Origin": origin}), 403, "Origin")


def test_its_own_page_is_not(page: httpx.Client) -> None:
    own_origin = str(page.base_url).rstrip("/")
    assert page.get("/api/folder", headers={"Origin": own_origin}).status_code == 200


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_that_was_bound_to_this_machine_is_refused(page: httpx.Client, host: str) -> None:
    refused(page.get("/api/folder", headers={"Host": host}), 403, "Host")
    refused(page.get("/", headers={"Host": host}), 403, "Host")


def test_every_answer_is_locked_down(page: httpx.Client) -> None:
    for path, status in (("/", 200), ("/api/folder", 200), ("/nothing", 404), ("/api/cases/x/slices/0/image", 404)):
        answer = page.get(path)
        assert answer.status_code == status
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("name", NAMES)
def test_names_are_looked_up_never_joined(folder: Path, name: str) -> None:
    with serving(folder) as address:
        drawn = [("PUT", what, bytes(1920)) for what in ("scribble", "mask", "looked")]
        read = [("GET", what, b"") for what in ("image", "prediction", "mask")]
        for method, what, body in (*read, *drawn, ("DELETE", "mask", b"")):
            assert raw(address, method, f"/api/cases/{name}/slices/1/{what}", body) in (400, 404, 405)


def test_static_files_end_at_the_web_folder(folder: Path) -> None:
    with serving(folder) as address:
        for path in ("/../server.py", "/..%2fserver.py", "/%2e%2e/server.py", "/..\\server.py", "//etc/passwd"):
            assert raw(address, "GET", path) == 404, path


@pytest.mark.parametrize("name", FILES)
def test_uploads_have_plain_names(folder: Path, name: str) -> None:
    with serving(folder) as address:
        body = (folder / "images" / "s0.nii.gz").read_bytes()
        assert raw(address, "PUT", f"/api/images/{name}", body) in (400, 404, 405)
    assert [path.name for path in (folder / "images").iterdir()] == ["s0.nii.gz"]


@pytest.mark.parametrize("path", ["/api/images/big.nii.gz", f"{SLICE}/scribble", f"{SLICE}/mask", "/api/classes"])
def test_a_gigabyte_is_refused_before_it_is_read(folder: Path, path: str) -> None:
    with serving(folder) as address:
        assert raw(address, "PUT", path, length=2**30) == 413


@pytest.mark.parametrize("path", ["/api/images/big.nii.gz", f"{SLICE}/scribble", "/api/classes"])
def test_a_body_without_a_length_is_refused_where_it_grows_too_large(
    folder: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskmixadv.studio.http.protect.MOST_BYTES", 2**20)
    monkeypatch.setattr("maskmixadv.studio.http.protect.MOST_BODY", 2**20)
    sent = 0

    def gigabyte() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1024):
            sent += 2**20
            yield bytes(2**20)

    with client(folder) as page:
        try:
            answer = page.put(path, content=gigabyte(), headers={"Content-Type": "application/json"})
        except httpx.WriteError:  # the server had hung up before all was sent
            pass
        else:
            refused(answer, 413, "body")
        assert sent < 2**28
        assert page.get("/api/folder").status_code == 200


@pytest.mark.parametrize("size", [0, 1, SHAPE[0] * SHAPE[1] - 1, SHAPE[0] * SHAPE[1] + 1])
def test_strokes_of_another_size_are_refused(page: httpx.Client, folder: Path, size: int) -> None:
    before = (folder / "scribbles" / "s0.nii.gz").read_bytes()
    refused(page.put(f"{SLICE}/scribble", content=bytes(size)), 400, str(size), "40 × 48")
    assert (folder / "scribbles" / "s0.nii.gz").read_bytes() == before


@pytest.mark.parametrize("code", [4, 17, 254])
def test_strokes_of_unknown_classes_are_refused(page: httpx.Client, folder: Path, code: int) -> None:
    before = (folder / "scribbles" / "s0.nii.gz").read_bytes()
    refused(page.put(f"{SLICE}/scribble", content=strokes(code).tobytes()), 400, f"class {code}")
    assert (folder / "scribbles" / "s0.nii.gz").read_bytes() == before


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e99", "x"])
def test_seconds_are_numbers(page: httpx.Client, seconds: str) -> None:
    refused(page.put(f"{SLICE}/scribble?seconds={seconds}", content=strokes().tobytes()), 400, "seconds")


@pytest.mark.parametrize("index", ["x", "1.5", "9" * 5000, "-1", "3", "1e3", "٣"])
def test_slices_are_numbers_of_slices(page: httpx.Client, index: str) -> None:
    assert page.get(f"/api/cases/s0/slices/{index}/image").status_code in (400, 404)


@pytest.mark.parametrize("body", ORDERS)
def test_orders_that_are_none_start_nothing(page: httpx.Client, folder: Path, body: bytes) -> None:
    refused(page.post("/api/train", content=body, headers={"Content-Type": "application/json"}), 400)
    assert page.get("/api/train").json()["state"] == "idle"
    assert not list((folder / "runs").iterdir())


@pytest.mark.slow
def test_hundreds_of_strokes_at_once_are_all_kept(page: httpx.Client, folder: Path) -> None:
    planes = [strokes(number % 4) for number in range(3)]

    def draw(number: int) -> int:
        body = planes[number % 3].tobytes()
        return page.put(f"/api/cases/s0/slices/{number % 3}/scribble?seconds=0.5", content=body).status_code

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(draw, range(300))) == {200}
    stored = nifti.read(folder / "scribbles" / "s0.nii.gz").array
    np.testing.assert_array_equal(np.where(stored == 4, 255, stored), planes)
    assert page.get("/api/folder").json()["cases"][0]["seconds"] == 150
    assert [path.name for path in (folder / "scribbles").iterdir()] == ["s0.nii.gz"]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, folder: Path) -> None:
    outside = tmp_path / "outside"
    own.case(outside, "x")
    (folder / "images" / "x.nii.gz").symlink_to(outside / "images" / "x.nii.gz")
    (folder / "scribbles" / "s0.nii.gz").unlink()
    (folder / "scribbles" / "s0.nii.gz").symlink_to(outside / "scribbles" / "x.nii.gz")
    before = (outside / "scribbles" / "x.nii.gz").read_bytes()
    with client(folder) as page:
        refused(page.get("/api/cases/x/slices/1/image"), 404)
        refused(page.get(f"{SLICE}/scribble"), 400, "link")
        refused(page.put(f"{SLICE}/scribble", content=strokes().tobytes()), 400, "link")
    assert (outside / "scribbles" / "x.nii.gz").read_bytes() == before


@pytest.mark.parametrize("part", ["images", "scribbles", "predictions", "studio.json", "classes.toml", ".studio"])
def test_a_folder_with_parts_elsewhere_is_not_served(tmp_path: Path, folder: Path, part: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    bare = outside / "hearts"
    bare.mkdir()
    (bare / part).symlink_to(folder)
    with pytest.raises(InputError, match="link"):
        Session(bare)
    assert [path.name for path in bare.iterdir() if not path.is_symlink() and path.is_file()] in ([], ["classes.toml"])


def test_predictions_are_not_unpickled(page: httpx.Client, folder: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(folder / "trapped"),)

    out = folder / "predictions" / "001"
    out.mkdir(parents=True)
    held = io.BytesIO()
    np.savez(held, disagreement=np.array([Trap()], dtype=object))
    (out / "s0.npz").write_bytes(held.getvalue())
    refused(page.get(f"{SLICE}/disagreement"), 400, "s0.npz")
    assert not (folder / "trapped").exists()


def test_only_loopback_is_listened_on(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(folder) as address:
        port = int(address.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", port), timeout=2):
            pass
        assert command_line(["studio", str(tmp_path / "outside"), "--port", str(port)]) == 2
    assert command_line(["studio", str(folder), "--port", "99999"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


HEAD = f"PUT {{}} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Token: {TOKEN}\r\nContent-Type: application/json\r\n"
BEGUN = {
    "nothing": b"",
    "a head": HEAD.format("/api/classes").encode(),
    "a body": (HEAD.format("/api/classes") + "Content-Length: 1000\r\n\r\n{").encode(),
    "an upload": (HEAD.format("/api/images/x.nii.gz") + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").encode(),
    "strokes": (HEAD.format(f"{SLICE}/scribble") + "Content-Length: 1920\r\n\r\n").encode(),
    "what nobody reads": (HEAD.format("/api/nothing") + "Content-Length: 1000\r\n\r\n{").encode(),
    "after another one": (HEAD.format("/api/nothing") + "Content-Length: 0\r\n\r\nGET / HT").encode(),
}


def seconds_until_it_ends(address: str, begun: bytes, *, drip: bytes) -> float:
    """Begin a request and go on with `drip` a few times a second, until the server has had enough."""
    host, port = address.removeprefix("http://").split(":")
    start = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=0.1) as connection:
        connection.sendall(begun)
        while time.monotonic() - start < 20:
            try:
                connection.sendall(drip)
                if not connection.recv(4096):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - start


@pytest.mark.parametrize("drip", [b"", b"1"], ids=["silent", "dripping"])
def test_requests_that_do_not_end_are_ended(folder: Path, drip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskmixadv.studio.http.patience.PATIENCE", 1.0)
    with serving(folder) as address, ThreadPoolExecutor(len(BEGUN)) as pool:
        held = [pool.submit(seconds_until_it_ends, address, begun, drip=drip) for begun in BEGUN.values()]
        headers = {"X-Token": TOKEN}
        while not all(each.done() for each in held):  # meanwhile others are answered
            assert httpx.get(f"{address}/api/folder", headers=headers, timeout=5, trust_env=False).status_code == 200
        lasted = {name: each.result() for name, each in zip(BEGUN, held, strict=True)}
    # A connection that is kept open for the next request lasts 5 s; one that is never ended would last 20.
    assert max(lasted.values()) < 15, lasted
    assert [path.name for path in (folder / "images").iterdir()] == ["s0.nii.gz"]


def test_a_slow_upload_that_goes_on_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskmixadv.studio.http.patience.PATIENCE", 0.5)
    monkeypatch.setattr("maskmixadv.studio.http.patience.PACE", 2000)
    image = (folder / "images" / "s0.nii.gz").read_bytes()

    def slowly() -> Iterator[bytes]:
        for at in range(0, len(image), 1000):
            yield image[at : at + 1000]
            time.sleep(0.15)

    with client(folder) as page:
        begun = time.monotonic()
        assert page.put("/api/images/slow.nii.gz", content=slowly()).json() == {"case": "slow"}
        assert time.monotonic() - begun > 1
    (folder / "images" / "slow.nii.gz").unlink()
