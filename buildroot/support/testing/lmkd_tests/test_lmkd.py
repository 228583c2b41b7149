"""Boots the images of this tree's defconfigs; in each lmkd ends what grows without end, and comes back when killed."""

import json
import os
import re
import time

import infra.basetest

TREE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
NOT_FOR_TESTS = ("BR2_PACKAGE_HOST_QEMU", "BR2_ROOTFS_POST")
# Grows by 20 MB a second of what does not compress, and says when it may be killed first.
HOG = (
    "import os, time; open(\"/proc/self/oom_score_adj\", \"w\").write(\"900\"); kept = []; "
    "[(kept.append(os.urandom(1 << 19)), time.sleep(0.025)) for _ in range(2048)]"
)


def config_of(architecture):
    """A defconfig of this tree, without what only makes it easy to start by hand."""
    with open(os.path.join(TREE, "configs", f"lmkd_qemu_{architecture}_defconfig")) as lines:
        return "".join(line for line in lines if not line.startswith(NOT_FOR_TESTS))


# Where the package may put files: its modules, its command, and what the init systems and the bus look for.
PLACES = re.compile(
    r"\./(usr/lib/python3[^/]*/site-packages/lmkd[-/]|usr/bin/lmkd$|etc/lmkd/|etc/init\.d/(S\d\d)?lmkd|"
    r"usr/lib/systemd/system/lmkd|usr/share/dbus-1/system[^/]*/org\.freedesktop\.LowMemoryMonitor\.)"
)


class LmkdBase(infra.basetest.BRTest):
    br2_external = [TREE]
    store = "zram"
    restart = "/etc/init.d/S15lmkd restart"

    def image(self, name):
        return os.path.join(self.builddir, "images", name)

    def output_of(self, command, timeout=-1):
        lines, code = self.emulator.run(command, timeout)
        self.assertEqual(code, 0, "\n".join([command, *lines]))
        return lines

    def wait_for(self, command, seconds=60):
        """Until the command succeeds on the board."""
        until = time.monotonic() + seconds * self.timeout_multiplier
        while time.monotonic() < until:
            if self.emulator.run(command, 30)[1] == 0:
                return
            time.sleep(1)
        self.fail(f"never true within {seconds} s: {command}")

    def events(self, name):
        lines = self.output_of("lmkd events --json", 30)
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in found if event.get("event") == name]

    def check(self):
        self.check_files()
        self.emulator.login()
        self.wait_for("lmkd status >/dev/null 2>&1")
        self.assertTrue(self.events("ready"))
        self.assertTrue(self.missing().isdisjoint(("psi", "swap", "zram", "perf_page_faults", "proc_connector")))
        self.check_kill()
        self.check_second()
        self.check_restart(f"kill -9 {self.guard()}")
        self.check_restart(self.restart)

    def check_files(self):
        """Of lmkd nothing lies elsewhere, and neither it nor what it brings along has tests or tools in the image."""
        with open(os.path.join(self.builddir, "build", "packages-file-list.txt")) as rows:
            own = [row.strip().split(",", 1)[1] for row in rows if row.startswith("lmkd,")]
        self.assertTrue(own)
        self.assertEqual([], [path for path in own if not PLACES.match(path)])
        brought = [
            os.path.join(folder, name)
            for folder, folders, files in os.walk(os.path.join(self.builddir, "target", "usr", "lib"))
            for name in (*folders, *files)
            if "/site-packages" in folder and (name in ("tests", "tools") or name.startswith("test_"))
        ]
        self.assertEqual([], brought)

    def missing(self):
        rows = json.loads("".join(self.output_of("lmkd doctor --json", 30)))["features"]
        return {row["name"] for row in rows if not row["present"]}

    def check_kill(self):
        self.output_of(f"python3 -c '{HOG}' >/dev/null 2>&1 & echo $! > /tmp/hog")
        pid = int(self.output_of("cat /tmp/hog")[0])
        self.wait_for(f"! kill -0 {pid} 2>/dev/null", 120)
        self.assertIn(pid, [event["pid"] for event in self.events("kill")])
        self.wait_for(f"lmkd events --json | grep '\"receipt\"' | grep -q '\"pid\": {pid},'")
        self.assertEqual([], self.output_of("dmesg | grep -i 'out of memory' || true"))

    def check_second(self):
        """Two would each end somebody for the same lack of memory."""
        lines, code = self.emulator.run("lmkd run", 60)
        self.assertEqual(1, code)
        self.assertIn("another lmkd guards this board", "".join(lines))

    def guard(self):
        return self.events("ready")[-1]["pid"]

    def check_restart(self, command):
        """After it another guard answers, and it has taken over the store, which has stayed up."""
        guard, before = self.guard(), self.swaps()
        self.output_of(command, 60)
        self.wait_for(f"lmkd status >/dev/null 2>&1 && ! kill -0 {guard} 2>/dev/null")
        self.assertNotEqual(guard, self.guard())
        self.assertTrue(self.events("store_adopted"))
        self.assertEqual(before, self.swaps())

    def swaps(self):
        """The one swap device, which is the store that was chosen."""
        status = json.loads("".join(self.output_of("lmkd status --json", 30)))
        self.assertEqual(self.store, status["store"]["kind"])
        devices = self.output_of("tail -n +2 /proc/swaps | cut -d ' ' -f1")
        self.assertEqual(1, len(devices))
        return devices


class TestLmkdArm(LmkdBase):
    config = config_of("arm")

    def test_run(self):
        self.emulator.boot(
            arch="armv7",
            kernel=self.image("zImage"),
            kernel_cmdline=["rootwait", "root=/dev/mmcblk0", "console=ttyAMA0"],
            options=[
                "-M", "vexpress-a9", "-dtb", self.image("vexpress-v2p-ca9.dtb"),
                "-drive", f"file={self.image('rootfs.ext4')},if=sd,format=raw",
            ],
        )
        self.check()


class TestLmkdAarch64(LmkdBase):
    config = config_of("aarch64")

    def test_run(self):
        self.emulator.boot(
            arch="aarch64",
            kernel=self.image("Image"),
            kernel_cmdline=["rootwait", "root=/dev/vda", "console=ttyAMA0"],
            options=[
                "-M", "virt", "-cpu", "cortex-a53",
                "-drive", f"file={self.image('rootfs.ext4')},if=none,format=raw,id=disk",
                "-device", "virtio-blk-device,drive=disk",
            ],
        )
        self.check()


class TestLmkdZswapSystemd(LmkdBase):
    """The other store, the other init system, nothing paged out, and the bridge to D-Bus."""

    store = "zswap"
    restart = "systemctl restart lmkd"
    config = config_of("aarch64").replace('"128M"', '"256M"') + """
        BR2_INIT_SYSTEMD=y
        BR2_PACKAGE_LMKD_STORE_ZSWAP=y
        # BR2_PACKAGE_LMKD_TRIM is not set
        BR2_PACKAGE_LMKD_DBUS=y
    """

    def test_run(self):
        TestLmkdAarch64.test_run(self)

    def missing(self):
        missing = super().missing()
        self.assertTrue(missing.isdisjoint(("zswap", "device_mapper")))
        return missing - {"zram"}
