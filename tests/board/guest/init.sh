#!/bin/sh
# Process 1 of the board: mounts, channels to the host, runs the layer's main.sh, reports how it ended, powers off.
# Channels: descriptor 3 takes result records (one JSON object a line), descriptor 4 takes plain text.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 PYTHONUNBUFFERED=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755,size=8m run /run
mount -t tmpfs -o size=8m tmp /tmp
mount -t tmpfs -o mode=755,size=4m varlib /var/lib
mount -t tmpfs -o mode=755,size=4m varlog /var/log
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777,size=1m shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
for controller in memory cpu io pids; do
    echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
done 2>/dev/null
ip link set lo up
hostname board

for port in /sys/class/virtio-ports/*; do
    ln -s "/dev/${port##*/}" "/dev/board-$(cat "$port/name")"
done
exec 3> /dev/board-results 4> /dev/board-text

# The wheel as if installed; ld.so.cache so that ctypes.util.find_library works as on a configured system.
packages=/usr/lib/python3/dist-packages
[ -d /lmkd/site/lmkd ] && mount -o bind /lmkd/site/lmkd $packages/lmkd
[ -d /lmkd/site/dist-info ] && mount -o bind /lmkd/site/dist-info $packages/lmkd-0.dist-info
[ -f /lmkd/site/lmkd-script ] && mount -o bind /lmkd/site/lmkd-script /usr/bin/lmkd
mount -o bind /lmkd/etc /etc/lmkd
command -v ldconfig > /dev/null && ldconfig -X -C /run/ld.so.cache
if grep -q board.udev=1 /proc/cmdline; then
    /usr/lib/systemd/systemd-udevd --daemon || /lib/systemd/systemd-udevd --daemon
    udevadm trigger && udevadm settle
fi

cd /tmp || exit 1
sh /lmkd/guest/main.sh < /dev/null >&4 2>&4 &
wait $!
code=$?
dmesg | grep -E 'Out of memory: Killed|oom-kill:' | tail -40 >&4
echo "board: main.sh ended with $code"
echo "{\"kind\": \"end\", \"exit\": $code, \"uptime_s\": $(cut -d ' ' -f 1 /proc/uptime)}" >&3
poweroff -f
