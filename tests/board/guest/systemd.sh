#!/bin/sh
# In place of init.sh where systemd is process 1: what is as if installed, the units, then systemd.
# Its units are the layer's *.service files, started at boot, and one that runs main.sh as init.sh does.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755,size=8m run /run
mount -t tmpfs -o mode=1777,size=8m tmp /tmp
mount -t tmpfs -o mode=755,size=4m varlib /var/lib
mount -t tmpfs -o mode=755,size=4m varlog /var/log
for port in /sys/class/virtio-ports/*; do
    ln -s "/dev/${port##*/}" "/dev/board-$(cat "$port/name")"
done
packages=/usr/lib/python3/dist-packages
mount -o bind /lmkd/site/lmkd $packages/lmkd
mount -o bind /lmkd/site/dist-info $packages/lmkd-0.dist-info
mount -o bind /lmkd/site/lmkd-script /usr/bin/lmkd
mount -o bind /lmkd/etc /etc/lmkd
ldconfig -X -C /run/ld.so.cache

units=/run/systemd/system
mkdir -p $units/multi-user.target.wants
# What a board without network, users and terminals can do without.
for unit in getty.target getty-static.service proc-sys-fs-binfmt_misc.automount systemd-binfmt.service \
    systemd-journal-flush.service systemd-logind.service systemd-networkd.service systemd-timesyncd.service \
    systemd-udev-trigger.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
    systemd-user-sessions.service; do
    ln -s /dev/null $units/$unit
done
cat > $units/board.service << 'UNIT'
[Unit]
Description=main.sh of the board
[Service]
ExecStart=/bin/sh /lmkd/guest/run.sh
Environment=HOME=/tmp LANG=C.UTF-8 PYTHONUNBUFFERED=1
OOMScoreAdjust=-1000
UNIT
cp /lmkd/files/*.service $units
# Standard error as the other boards have it; what the unit's confines leave of the kernel; a shorter watchdog.
mkdir $units/lmkd.service.d
cat > $units/lmkd.service.d/board.conf << 'UNIT'
[Service]
ExecStartPost=/bin/sh -c "lmkd doctor --json > /run/doctor-inside.json"
StandardError=append:/var/log/manager.log
WatchdogSec=8
UNIT
for unit in "$units"/*.service; do
    [ -L "$unit" ] || ln -s "../${unit##*/}" $units/multi-user.target.wants
done
exec /lib/systemd/systemd
