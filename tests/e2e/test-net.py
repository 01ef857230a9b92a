"""The network-facing process by itself, against stock clients, behind fake-monitor."""
import os

from lib import BUILD, Server, case, equal, main

FAKE = os.path.join(BUILD, "tests", "e2e", "fake-monitor")


class Net(Server):
    """The zygote and its net processes; sessions are plain processes of RUN_UID."""

    name = "fake-monitor"
    NET_UID, RUN_UID = 64001, 64002
    password = "correct horse"

    def __init__(self, *options):
        super().__init__()
        self.options = options
        self.write("authorized_keys", self.public + "\n")
        os.mkdir(self.path("empty"), 0o755)

    def argv(self):
        return [FAKE, str(self.port), self.path("host_key"), self.path("authorized_keys"),
                self.user, self.password, str(self.NET_UID), str(self.RUN_UID),
                self.path("empty"), *self.options]


@case("a command runs and its output, errors and exit code come back")
def _():
    with Net() as net:
        result = net.ssh("echo out; echo err >&2; exit 7")
        equal((result.code, result.out, result.err), (7, b"out\n", b"err\n"), "exec")


main()
