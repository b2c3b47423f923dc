"""aioquic against the listener: `aioquic_client.py CASE PORT LARGE`."""

import asyncio
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset
from aioquic.quic.packet import QuicProtocolVersion

REQUEST_CANCELLED = 0x10C


def pattern(length):
    whole, rest = divmod(length, 251)
    return bytes(range(251)) * whole + bytes(range(rest))


class Answer:
    def __init__(self):
        self.headers, self.body = {}, bytearray()
        self.done = asyncio.get_running_loop().create_future()
        self.first = asyncio.Event()


class Client(QuicConnectionProtocol):
    """One connection; requests may run side by side."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.h3 = H3Connection(self._quic)
        self.answers = {}

    def send(self, method, path, headers=(), body=None):
        stream = self._quic.get_next_available_stream_id()
        self.answers[stream] = Answer()
        fields = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": path, **dict(headers)}
        encoded = [(name.encode(), value.encode()) for name, value in fields.items()]
        self.h3.send_headers(stream, encoded, end_stream=body is None)
        if body is not None:
            self.h3.send_data(stream, body, end_stream=True)
        self.transmit()
        return stream

    async def ask(self, method, path, headers=(), body=None):
        answer = self.answers[self.send(method, path, headers, body)]
        await asyncio.wait_for(answer.done, 50)
        return int(answer.headers[":status"]), answer.headers, bytes(answer.body)

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            for answer in self.answers.values():
                if not answer.done.done():
                    answer.done.set_exception(ConnectionError(f"closed: {event.error_code:#x} {event.reason_phrase}"))
        if isinstance(event, StreamReset) and event.stream_id in self.answers:
            answer = self.answers[event.stream_id]
            if not answer.done.done():
                answer.done.set_exception(ConnectionError(f"reset: {event.error_code:#x}"))
        for each in self.h3.handle_event(event):
            answer = self.answers.get(each.stream_id)
            if answer is None:
                continue
            if isinstance(each, HeadersReceived):
                answer.headers.update((name.decode(), value.decode()) for name, value in each.headers)
            elif isinstance(each, DataReceived):
                answer.body += each.data
                answer.first.set()
            if each.stream_ended and not answer.done.done():
                answer.done.set_result(None)


def configuration(**options):
    made = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost", **options)
    made.verify_mode = ssl.CERT_NONE
    made.max_data = made.max_stream_data = 16 << 20
    return made


def to(port, made=None, **options):
    return connect("127.0.0.1", port, configuration=made or configuration(), create_protocol=Client, **options)


async def get(client, length=1000):
    status, _, body = await client.ask("GET", f"/bytes/{length}")
    assert status == 200 and body == pattern(length), f"{status}, {len(body)} bytes"


async def run(case, port, large):
    if case == "0-rtt":
        return await early(port)
    if case == "version":
        made = configuration(
            original_version=0x1A2A3A4A,
            supported_versions=[0x1A2A3A4A, QuicProtocolVersion.VERSION_1],
        )
        async with to(port, made) as client:
            assert client._quic._version_negotiated_incompatible
            return await get(client)
    async with to(port) as client:
        if case == "get":
            await get(client)
            assert (await client.ask("GET", "/no-such"))[0] == 404
        elif case == "range":
            status, headers, body = await client.ask("GET", "/bytes/1000", {"range": "bytes=100-199"})
            assert (status, body) == (206, pattern(1000)[100:200])
            assert headers["content-range"] == "bytes 100-199/1000"
            assert (await client.ask("GET", "/bytes/1000", {"range": "bytes=1000-"}))[0] == 416
        elif case == "download":
            await get(client, large)
        elif case == "upload":
            status, _, body = await client.ask("POST", "/upload", body=pattern(large))
            assert (status, body) == (200, f"{large} true".encode()), body
        elif case == "cancel":
            stream = client.send("GET", "/endless")
            await asyncio.wait_for(client.answers[stream].first.wait(), 10)
            client._quic.stop_stream(stream, REQUEST_CANCELLED)
            client.transmit()
            for _ in range(500):
                if (await client.ask("GET", "/open"))[2] == b"0":
                    break
                await asyncio.sleep(0.01)
            else:
                raise AssertionError("it goes on")
            await get(client)
        elif case == "retry":
            assert client._quic._retry_count == 1
            await get(client)
        elif case == "migration":
            await get(client)
            before = client._transport.get_extra_info("sockname")
            client._transport.close()
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: client, local_addr=("::", 0))
            assert client._transport.get_extra_info("sockname") != before
            client._quic.change_connection_id()
            await get(client, 1 << 20)
        elif case == "key-update":
            await get(client)
            for _ in range(3):
                client._quic.request_key_update()
                await get(client, 100_000)
        else:
            sys.exit(77)


async def early(port):
    tickets = []
    async with to(port, session_ticket_handler=tickets.append) as client:
        await get(client)
        await get(client)
    async with to(port, configuration(session_ticket=tickets.pop()), wait_connected=False) as client:
        status, _, body = await client.ask("GET", "/early")
        assert (status, body) == (200, b"early=true"), body
        assert client._quic.tls.early_data_accepted


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
