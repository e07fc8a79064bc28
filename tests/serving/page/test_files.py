"""The files of the page, as any client fetches them."""

from __future__ import annotations

import httpx

from serving.page_files import FILES


def test_its_files_are_whole_typed_and_known_again(client: httpx.Client) -> None:
    types = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for path, file in FILES.items():
        answer = client.get(path)
        assert answer.content == file.read_bytes()
        assert answer.headers["content-type"].split(";")[0] == types[file.suffix.removeprefix(".")]
        policy = answer.headers["content-security-policy"]
        assert "'unsafe" not in policy
        assert "default-src 'none'" in policy
        etag = answer.headers["etag"]
        for known in (etag, f'"other", W/{etag}', "*"):
            assert client.get(path, headers={"if-none-match": known}).status_code == 304
        assert client.get(path, headers={"if-none-match": '"other"'}).status_code == 200


def test_modules_are_fetched_at_once_and_not_one_after_another() -> None:
    index = FILES["/"].read_text()
    modules = {path.name for path in FILES.values() if path.suffix == ".js"}
    assert {name for name in modules if f"page/{name}" in index} == modules
