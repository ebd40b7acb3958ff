"""`socketio.Client` and `socketio.AsyncClient` behind one recorder, so that every test runs with both."""

import asyncio
import threading

import socketio

from gateway import DEADLINE, eventually

NAMES = ["connected", "subscribed", "unsubscribed", "gap", "progress", "model_result", "clarification", "completed", "error", "thumbnail_ready"]
TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": ["polling", "websocket"]}


class Recorder:
    """What a client was told. Its handlers take exactly one parameter: a second argument would be a TypeError."""

    def __init__(self):
        self.log = []
        self.changed = threading.Condition()

    def take(self, name, data):
        with self.changed:
            self.log.append((name, data))
            self.changed.notify_all()

    def event(self, name, wanted=lambda data: True, after=0, seconds=DEADLINE):
        """The payload of the first event of that name for which `wanted` holds, now or later."""

        def find():
            return next((one for one in self.log[after:] if one[0] == name and wanted(one[1])), None)

        with self.changed:
            if not self.changed.wait_for(lambda: find() is not None, seconds):
                raise AssertionError(f"no {name} within {seconds} s; the last entries: {self.log[-8:]!r}"[:2000])
            return find()[1]

    def payloads(self, name):
        return [data for got, data in self.log if got == name]

    def sequence(self):
        return [data["_seq"] for _, data in self.log if isinstance(data, dict) and "_seq" in data]


class Sync(Recorder):
    """The threaded client."""

    kind = "sync"

    def __init__(self, url, transport="websocket", namespace="/", **options):
        super().__init__()
        serializer = {"serializer": "msgpack"} if options.get("msgpack") else {}
        self.namespace = namespace
        self.client = socketio.Client(reconnection=options.get("reconnection", False), handle_sigint=False, **serializer)
        for name in NAMES:
            self.client.on(name, self._handler(name), namespace=namespace)
        self.client.connect(
            url,
            transports=TRANSPORTS[transport],
            namespaces=[namespace],
            socketio_path="socket.io-msgpack" if serializer else "socket.io",
            wait_timeout=DEADLINE,
        )

    def _handler(self, name):
        def handle(data):
            self.take(name, data)

        return handle

    def emit(self, name, data):
        self.client.emit(name, data, namespace=self.namespace)

    def ask(self, name, data):
        return self.client.call(name, data, namespace=self.namespace, timeout=DEADLINE)

    def close(self):
        self.client.disconnect()


class Async(Recorder):
    """The asyncio client, its loop in a thread of its own."""

    kind = "async"

    def __init__(self, url, transport="websocket", namespace="/", **options):
        super().__init__()
        self.namespace = namespace
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self._run(self._connect(url, transport, options))

    async def _connect(self, url, transport, options):
        serializer = {"serializer": "msgpack"} if options.get("msgpack") else {}
        self.client = socketio.AsyncClient(reconnection=options.get("reconnection", False), handle_sigint=False, **serializer)
        for name in NAMES:
            self.client.on(name, self._handler(name), namespace=self.namespace)
        await self.client.connect(
            url,
            transports=TRANSPORTS[transport],
            namespaces=[self.namespace],
            socketio_path="socket.io-msgpack" if serializer else "socket.io",
            wait_timeout=DEADLINE,
        )

    def _handler(self, name):
        async def handle(data):
            self.take(name, data)

        return handle

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE * 2)

    def emit(self, name, data):
        self._run(self.client.emit(name, data, namespace=self.namespace))

    def ask(self, name, data):
        return self._run(self.client.call(name, data, namespace=self.namespace, timeout=DEADLINE))

    async def _leave(self):
        # a packet that is being posted while the client disconnects makes it forget to send the rest, its close
        # included; it would then wait for the server's next ping
        await asyncio.wait_for(self.client.eio.queue.join(), DEADLINE)
        await self.client.disconnect()

    def close(self):
        self._run(self._leave())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(DEADLINE)
        self.loop.close()


def subscribe(client, session):
    """Subscribes and waits for the confirmation."""
    after = len(client.log)
    client.emit("subscribe", session)
    return client.event("subscribed", lambda data: data["sessionId"] == session, after)


def transport_of(client):
    """The transport in use."""
    current = client.client.transport
    return current() if callable(current) else current


def wait_for_transport(client, name):
    """Waits until the client ended on that transport."""
    eventually(lambda: transport_of(client) == name, f"transport {name}")
