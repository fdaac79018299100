# SPDX-License-Identifier: Apache-2.0
"""Another machine, as far as a network can tell: interfaces, loopback and ports of its own, behind a cable that can be pulled."""
import os, subprocess


class Machine:
    """A network namespace that a pair of virtual interfaces joins to this machine; made by root alone."""

    def __init__(self, number):
        self.name, self.cable = f"pandion-{os.getpid()}-{number}", f"pan{os.getpid()}-{number}"[-15:]
        self.near, self.far = f"10.213.{number}.1", f"10.213.{number}.2"
        self.processes = []
        self._ip("netns", "add", self.name)
        self._ip("link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        self._ip("addr", "add", f"{self.near}/30", "dev", self.cable)
        self.plug(True)
        for words in (["addr", "add", f"{self.far}/30", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]):
            self._ip("-n", self.name, *words)

    @staticmethod
    def _ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    def start(self, *command, log):
        self.processes.append(subprocess.Popen(["ip", "netns", "exec", self.name, *command], stderr=log))

    def plug(self, in_it):
        """Pulls the cable or puts it in; nobody is told, as with a real one."""
        self._ip("link", "set", self.cable, "up" if in_it else "down")

    def slow(self, kilobytes_per_second):
        """Makes the line slow both ways; None makes it fast again."""
        for near, device in (([], self.cable), (["-n", self.name], "eth0")):
            if kilobytes_per_second:
                shape = ["root", "tbf", "rate", f"{8 * kilobytes_per_second}kbit", "burst", "16kb", "latency", "400ms"]
                subprocess.run(["tc", *near, "qdisc", "add", "dev", device, *shape], check=True)
            else:
                subprocess.run(["tc", *near, "qdisc", "del", "dev", device, "root"], check=True)

    def remove(self):
        for process in self.processes: process.kill()
        for process in self.processes: process.wait()
        self._ip("netns", "del", self.name)
