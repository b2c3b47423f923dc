"""libcurl with ngtcp2 and nghttp3, by curl_cffi, against the listener: `curl_client.py CASE PORT LARGE`."""

import sys
import time

from curl_cffi import CurlHttpVersion, requests


def pattern(length):
    whole, rest = divmod(length, 251)
    return bytes(range(251)) * whole + bytes(range(rest))


def run(case, port, large):
    base = f"https://localhost:{port}"
    session = requests.Session(http_version=CurlHttpVersion.V3ONLY, verify=False, timeout=50)

    def get(length, **options):
        answer = session.get(f"{base}/bytes/{length}", **options)
        assert answer.http_version == CurlHttpVersion.V3, answer.http_version
        return answer

    if case in ("get", "retry"):
        answer = get(1000)
        assert (answer.status_code, answer.content) == (200, pattern(1000))
        assert session.get(f"{base}/no-such").status_code == 404
    elif case == "range":
        answer = get(1000, headers={"range": "bytes=100-199"})
        assert (answer.status_code, answer.content) == (206, pattern(1000)[100:200])
        assert answer.headers["content-range"] == "bytes 100-199/1000"
        assert get(1000, headers={"range": "bytes=1000-"}).status_code == 416
    elif case == "download":
        assert get(large).content == pattern(large)
    elif case == "upload":
        answer = session.post(f"{base}/upload", data=pattern(large))
        assert (answer.status_code, answer.text) == (200, f"{large} true"), answer.text
    elif case == "cancel":
        answer = session.get(f"{base}/endless", stream=True)
        assert next(answer.iter_content())
        answer.close()
        for _ in range(500):
            if session.get(f"{base}/open").text == "0":
                break
            time.sleep(0.01)
        else:
            raise AssertionError("it goes on")
    else:
        # It resumes no session across handles, and does the rest by itself or not at all.
        sys.exit(77)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
