"""A relay on loopback that can stop forwarding without closing, and add delay."""
import collections
import selectors
import socket
import threading
import time


class Proxy:
    """Forwards 127.0.0.1:port to target. stall() keeps both sides open and moves nothing. What comes within the
    seconds of together goes on in one piece, as to a process that had no processor meanwhile."""

    def __init__(self, target, delay=0.0, together=0.0):
        self.target, self.delay, self.together = target, delay, together
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.stalled = threading.Event()
        self.done = threading.Event()
        self.sockets = []
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.done.set()
        self.thread.join(5)
        for each in [self.listener, *self.sockets]:
            each.close()

    def stall(self):
        self.stalled.set()

    def run(self):
        selector = selectors.DefaultSelector()
        selector.register(self.listener, selectors.EVENT_READ)
        peers, late = {}, collections.deque()
        while not self.done.is_set():
            wait = 0.1
            if late:
                wait = max(0.0, min(wait, late[0][0] - time.monotonic()))
            ready = selector.select(wait)
            if self.stalled.is_set():
                time.sleep(0.05)
                continue
            for key, _ in ready:
                if key.fileobj is self.listener:
                    client = self.listener.accept()[0]
                    server = socket.create_connection(("127.0.0.1", self.target))
                    for one, other in ((client, server), (server, client)):
                        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        peers[one] = other
                        selector.register(one, selectors.EVENT_READ)
                        self.sockets.append(one)
                    continue
                time.sleep(self.together)
                try:
                    data = key.fileobj.recv(1 << 20)
                except OSError:
                    data = b""
                late.append((time.monotonic() + self.delay, peers[key.fileobj], data))
                if not data:
                    selector.unregister(key.fileobj)
            while late and late[0][0] <= time.monotonic():
                _, peer, data = late.popleft()
                try:
                    if data:
                        peer.setblocking(True)
                        peer.sendall(data)
                    else:
                        peer.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
