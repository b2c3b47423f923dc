#!/usr/bin/env python3
"""An HTTP/3 client that shares no code with the edge: aioquic's.

Fetches each URL over HTTP/3 by aioquic and over HTTP/1.1 by Python's own http.client, and compares: the
bytes, the headers that viewers and caches act on, HEAD, ranges, conditionals. Prints one line a check
(`ok - …` or `not ok - …`) and exits 1 when one fails.

    python3 tests/independent_h3.py [--spki BASE64] URL…

With `--spki` both connections have to show a certificate of that key.
"""

import argparse
import asyncio
import base64
import hashlib
import http.client
import ssl
import sys
from urllib.parse import urlsplit

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TIMEOUT = 20.0
# Headers that both protocols have to agree on; Date, Age and Cache-Status tell of the moment instead.
AGREED = (
    "content-type",
    "content-length",
    "content-range",
    "content-encoding",
    "accept-ranges",
    "etag",
    "cache-control",
    "last-modified",
    "vary",
    "access-control-allow-origin",
    "access-control-expose-headers",
)
failed = 0


def check(passed, what, detail=""):
    global failed
    failed += not passed
    print(f"{'ok' if passed else 'not ok'} - {what}", flush=True)
    if not passed and detail:
        print(f"#   {detail}", flush=True)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def agreed(self):
        return {name: self.headers[name] for name in AGREED if name in self.headers}


class Framing(H3Connection):
    """aioquic holds Content-Length against the body even where there is none to be (RFC 9110 §8.6)."""

    def __init__(self, quic):
        super().__init__(quic)
        self.bodiless = set()

    def _check_content_length(self, stream):
        if stream.stream_id not in self.bodiless or stream.content_length > 0:
            super()._check_content_length(stream)


class H3Client(QuicConnectionProtocol):
    """One connection; requests may run side by side."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.h3 = Framing(self._quic)
        self.waiting = {}

    async def request(self, method, url, headers=()):
        parts = urlsplit(url)
        stream = self._quic.get_next_available_stream_id()
        done = asyncio.get_running_loop().create_future()
        self.waiting[stream] = (done, [], bytearray())
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        pseudo = {":method": method, ":scheme": "https", ":authority": parts.netloc, ":path": target}
        if method == "HEAD" or any(name == "if-none-match" for name, _ in headers):
            self.h3.bodiless.add(stream)
        fields = [*pseudo.items(), ("user-agent", "aioquic"), *headers]
        self.h3.send_headers(stream, [(k.encode(), v.encode()) for k, v in fields], end_stream=True)
        self.transmit()
        return await asyncio.wait_for(done, TIMEOUT)

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.waiting:
            self.fail(event.stream_id, f"stream reset with {event.error_code:#x}")
        if isinstance(event, ConnectionTerminated):
            for stream in list(self.waiting):
                self.fail(stream, f"connection closed: {event.error_code:#x} {event.reason_phrase}")
        for each in self.h3.handle_event(event):
            if each.stream_id not in self.waiting:
                continue
            done, headers, body = self.waiting[each.stream_id]
            if isinstance(each, HeadersReceived):
                headers.extend(each.headers)
            elif isinstance(each, DataReceived):
                body.extend(each.data)
            if getattr(each, "stream_ended", False):
                del self.waiting[each.stream_id]
                named = {}
                for name, value in headers:
                    name, value = name.decode(), value.decode()
                    named[name] = f"{named[name]}, {value}" if name in named else value
                done.set_result(Answer(int(named.pop(":status", "0")), named, bytes(body)))

    def fail(self, stream, why):
        done = self.waiting.pop(stream)[0]
        if not done.done():
            done.set_exception(ConnectionError(why))

    def key(self):
        return spki(self._quic.tls._peer_certificate)


class H1Client:
    """One kept-alive connection over TLS."""

    def __init__(self, host, port):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        self.connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
        self.connection.connect()

    def request(self, method, url, headers=()):
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        self.connection.request(method, target, headers=dict(headers))
        response = self.connection.getresponse()
        body = response.read()
        names = {name.lower() for name, _ in response.getheaders()}
        return Answer(response.status, {name: response.getheader(name) for name in names}, body)

    def key(self):
        return spki(x509.load_der_x509_certificate(self.connection.sock.getpeercert(binary_form=True)))


def spki(certificate):
    der = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


async def same(h3, h1, method, url, headers, what, status, empty=False):
    """Asks both, compares, and answers what HTTP/3 brought."""
    one = await asyncio.to_thread(h1.request, method, url, headers)
    three = await h3.request(method, url, headers)
    check(one.status == three.status == status, f"{what}: {status} on both", f"{one.status} and {three.status}")
    check(one.body == three.body and (not empty or three.body == b""), f"{what}: {len(three.body)} identical bytes")
    check(one.agreed() == three.agreed(), f"{what}: the same headers", f"{one.agreed()} and {three.agreed()}")
    return three


async def compare(h3, h1, url):
    name = urlsplit(url).path
    whole = await same(h3, h1, "GET", url, [], f"GET {name}", 200)
    length = len(whole.body)
    check(length > 0 and whole.headers.get("content-length") == str(length), f"GET {name}: Content-Length is true")
    check("cache-status" in whole.headers, f"GET {name}: Cache-Status is there")
    head = await same(h3, h1, "HEAD", url, [], f"HEAD {name}", 200, empty=True)
    check(head.headers.get("content-length") == str(length), f"HEAD {name}: Content-Length of the GET", head.headers)

    etag = whole.headers.get("etag", "")
    check(etag.startswith('"'), f"GET {name}: a strong ETag", etag)
    await same(h3, h1, "GET", url, [("if-none-match", etag)], f"GET {name} If-None-Match", 304, empty=True)

    if name.endswith((".m4s", ".mp4")):
        first, last = length // 3, length // 2
        for header, low, high in (
            (f"bytes={first}-{last}", first, last),
            (f"bytes={first}-", first, length - 1),
            ("bytes=-100", max(0, length - 100), length - 1),
        ):
            part = await same(h3, h1, "GET", url, [("range", header)], f"GET {name} {header}", 206)
            check(part.body == whole.body[low : high + 1], f"GET {name} {header}: the bytes of the whole")
            wanted = f"bytes {low}-{high}/{length}"
            found = part.headers.get("content-range")
            check(found == wanted, f"GET {name} {header}: Content-Range", f"{found}, not {wanted}")
        await same(h3, h1, "GET", url, [("range", f"bytes={length}-")], f"GET {name} past the end", 416)


async def side_by_side(h3, h1, urls):
    """Many streams of one connection at the same time keep their bytes apart."""
    answers = await asyncio.gather(*(h3.request("GET", url) for url in urls * 3))
    wanted = [await asyncio.to_thread(h1.request, "GET", url) for url in urls]
    equal = all(answer.body == wanted[i % len(urls)].body for i, answer in enumerate(answers))
    check(equal, f"{len(answers)} streams side by side bring identical bytes")


async def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spki", help="base64 of the SHA-256 of the server's public key")
    parser.add_argument("urls", nargs="+", metavar="URL")
    options = parser.parse_args()

    origin = urlsplit(options.urls[0])
    host, port = origin.hostname, origin.port or 443
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=host)
    configuration.verify_mode = ssl.CERT_NONE
    h1 = await asyncio.to_thread(H1Client, host, port)
    async with connect(host, port, configuration=configuration, create_protocol=H3Client) as h3:
        check(True, f"HTTP/3 connects to {host} over {configuration.alpn_protocols[0]}")
        if options.spki:
            check(h3.key() == options.spki, "HTTP/3: the certificate's key", h3.key())
            check(h1.key() == options.spki, "HTTP/1.1: the certificate's key", h1.key())
        one = await asyncio.to_thread(h1.request, "HEAD", options.urls[0])
        service = one.headers.get("alt-svc") or ""
        check(f'h3=":{port}"' in service, "HTTP/1.1 advertises HTTP/3 on this port", service)
        for url in options.urls:
            await compare(h3, h1, url)
        await side_by_side(h3, h1, options.urls)
        h3.close(error_code=ErrorCode.H3_NO_ERROR)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(asyncio.wait_for(main(), 100)))
