#
# SPDX-License-Identifier: MIT
#
"""lmkd on the image: it runs, finds its store, ends what eats the memory, and is started again when it dies.

TEST_SUITES:append = " lmkd"
"""

import json
import time

from oeqa.core.decorator.depends import OETestDepends
from oeqa.runtime.case import OERuntimeTestCase
from oeqa.runtime.decorator.package import OEHasPackage

READY_S = 60
KILL_S = 90
# Takes memory that does not compress, and would be the kernel's first choice as well.
HOG = """
import os
open('/proc/self/oom_score_adj', 'w').write('900')
held = []
while True:
    held.append(os.urandom(1 << 20))
"""


class LmkdTest(OERuntimeTestCase):
    """Needs ssh, and an image with the package lmkd."""

    def run_on_target(self, command, timeout=60):
        """What ``command`` prints; a failure names it."""
        status, output = self.target.run(command, timeout)
        self.assertEqual(status, 0, msg=f"{command}: exit {status}\n{output}")
        return output

    def lmkd_status(self):
        """The status; None while lmkd does not answer."""
        status, output = self.target.run("lmkd status --json")
        return json.loads(output) if status == 0 else None

    def until(self, seconds, look):
        """What ``look`` gives once it is true; the last answer when the time is up."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found or time.monotonic() > deadline:
                return found
            time.sleep(1)

    def records(self, event):
        """lmkd's records of that name."""
        lines = self.run_on_target("lmkd events --json").splitlines()
        return [record for record in map(json.loads, lines) if record.get("event") == event]

    def guard(self):
        """The guard's process id, by its own record."""
        ready = self.records("ready")
        self.assertTrue(ready, msg="lmkd has not said that it is ready")
        return ready[-1]["pid"]

    @OETestDepends(["ssh.SSHTest.test_ssh"])
    @OEHasPackage(["lmkd"])
    def test_it_runs(self):
        self.assertTrue(self.until(READY_S, self.lmkd_status), msg="lmkd does not answer")

    @OETestDepends(["lmkd.LmkdTest.test_it_runs"])
    def test_the_kernel_has_what_it_needs(self):
        rows = json.loads(self.run_on_target("lmkd doctor --json"))["features"]
        missing = {row["name"] for row in rows if not row["present"]}
        self.assertFalse(missing & {"psi", "proc_connector", "cgroup_memory", "swap", "zram"}, msg=str(rows))
        self.assertIn("/dev/", self.run_on_target("tail -n +2 /proc/swaps"), msg="there is no compressed store")

    @OETestDepends(["lmkd.LmkdTest.test_it_runs"])
    def test_it_ends_what_eats_the_memory(self):
        before = self.run_on_target("grep '^oom_kill ' /proc/vmstat")
        self.target.run(f'python3 -c "{HOG}" > /dev/null 2>&1 &')
        kills = self.until(KILL_S, lambda: self.records("kill"))
        self.assertEqual({record["name"] for record in kills}, {"python3"}, msg=str(kills))
        self.assertEqual(self.run_on_target("grep '^oom_kill ' /proc/vmstat"), before, msg="the kernel killed")

    @OETestDepends(["lmkd.LmkdTest.test_it_ends_what_eats_the_memory"])
    def test_it_is_started_again_with_its_store(self):
        swaps, guard = self.run_on_target("cut -d ' ' -f 1 /proc/swaps"), self.guard()
        self.run_on_target(f"kill -9 {guard}")
        self.assertTrue(self.until(READY_S, lambda: self.lmkd_status() and self.guard() != guard))
        self.assertEqual(self.run_on_target("cut -d ' ' -f 1 /proc/swaps"), swaps)
