# SPDX-License-Identifier: Apache-2.0
"""A daemon under test, clients of it, and what the kernel says of it."""
import json, os, resource, signal, socket, struct, subprocess, tempfile, time, uuid
import zmq

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
PICTURE = open("Examples/desk.jpg", "rb").read()
CLICK = [{"points": [[200, 150]], "point_labels": [1]}]


class Daemon:
    def __init__(self, binary, *arguments, wait=True):
        self.folder = tempfile.mkdtemp(prefix="pandion-drill-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.control = f"ipc://{self.folder}/control.sock"
        self.binary, self.arguments = binary, arguments
        self.start(wait)

    def start(self, wait=True):
        self.log = open(f"{self.folder}/log", "a")
        self.process = subprocess.Popen(
            [self.binary, "serve", "--endpoint", self.endpoint, "--control", self.control, *self.arguments],
            stderr=self.log)
        if wait:
            reply = Client(self.control).ask({"op": "health"}, timeout=60)
            assert reply and reply["status"] == "ok", f"no daemon: {open(f'{self.folder}/log').read()}"

    def status(self, key):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(key + ":"):
                return int(line.split()[1])

    @property
    def rss(self):
        return self.status("VmRSS") / 1024

    @property
    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @property
    def threads(self):
        return self.status("Threads")

    def workers(self, stage):
        """The processes of its workers of a stage."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit(): continue
            try:
                parent = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()
                words = open(f"/proc/{entry}/cmdline", "rb").read().split(b"\0")
            except OSError: continue
            # A dead one that nobody has buried yet is none.
            if int(parent[1]) == self.process.pid and parent[0] != "Z" and stage.encode() in words: found.append(int(entry))
        return found

    def stats(self):
        return Client(self.control).ask({"op": "stats"}, timeout=20)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


class Client:
    def __init__(self, endpoint, identity=None, keys=None):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, 100_000)
        self.socket.setsockopt(zmq.RCVHWM, 100_000)
        if identity:
            self.socket.setsockopt(zmq.IDENTITY, identity)
        if keys:
            self.socket.curve_serverkey, self.socket.curve_publickey, self.socket.curve_secretkey = keys
        self.socket.connect(endpoint)

    def send(self, header, *blobs):
        self.socket.send_multipart([json.dumps({"v": 1, **header}).encode(), *blobs])

    def receive(self, timeout):
        if not self.socket.poll(int(timeout * 1000)):
            return None
        return json.loads(self.socket.recv_multipart()[0])

    def ask(self, header, *blobs, timeout=10):
        self.send({"id": uuid.uuid4().hex, **header}, *blobs)
        return self.receive(timeout)

    def handle(self):
        return self.ask({"op": "put_image", "image": {"blob": 0, "encoding": "jpeg"}}, PICTURE, timeout=60)["image"]["handle"]

    def close(self):
        self.socket.close()


def click(handle, **more):
    return {"op": "segment", "image": {"handle": handle}, "prompts": CLICK, "id": uuid.uuid4().hex, **more}


def raw(port, greet=True):
    """A plain TCP connection that has, if wished, shaken hands as a DEALER without the library."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(5)
    connection.connect(("127.0.0.1", port))
    if greet:
        connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
        body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
        connection.sendall(b"\x04" + bytes([len(body)]) + body)
        received = b""
        while len(received) < 66:  # its greeting and the beginning of its READY
            received += connection.recv(66 - len(received))
        connection.recv(received[65])
    return connection


def percentile(values, fraction):
    return sorted(values)[min(len(values) - 1, int(len(values) * fraction))] if values else float("nan")
