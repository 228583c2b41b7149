#!/bin/busybox sh
# First program of the board: load the disk drivers, mount both disks read-only, hand over to the layer's init.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
while read -r module; do
    $B insmod "/modules/$module"
done < /modules/order

mount_disk() { # serial, mount point
    tries=0
    while [ $tries -lt 200 ]; do
        for disk in /sys/block/vd*; do
            [ "$($B cat "$disk/serial" 2>/dev/null)" = "$1" ] || continue
            $B mount -t ext4 -o ro,noatime "/dev/${disk##*/}" "$2" && return 0
        done
        tries=$((tries + 1))
        $B usleep 20000
    done
    echo "board: no disk with serial $1"
    return 1
}
mount_disk root /root || exit 1
mount_disk layer /root/lmkd || exit 1
$B umount /proc /sys
$B mount -o move /dev /root/dev
exec $B switch_root /root /lmkd/guest/init.sh
