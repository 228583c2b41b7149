#!/bin/sh
# Writes images/start-qemu.sh, which boots the image with 256 MB and one
# processor, the console on this terminal (ctrl-a x ends it).
# Arguments: the folder of the images; the architecture, as the defconfig says.
set -eu

case "$2" in
	arm)
		machine="-M vexpress-a9"
		kernel="-kernel zImage -dtb vexpress-v2p-ca9.dtb"
		drive="-drive file=rootfs.ext4,if=sd,format=raw"
		root=/dev/mmcblk0
		net="-net nic,model=lan9118 -net user"
		;;
	aarch64)
		machine="-M virt -cpu cortex-a53"
		kernel="-kernel Image"
		drive="-drive file=rootfs.ext4,if=none,format=raw,id=disk -device virtio-blk-device,drive=disk"
		root=/dev/vda
		net="-netdev user,id=net -device virtio-net-device,netdev=net"
		;;
	*)
		echo "$0: no board for '$2': arm or aarch64 is meant" >&2
		exit 1
		;;
esac

script="$1/start-qemu.sh"
cat > "$script" <<-EOF
	#!/bin/sh
	cd "\$(dirname "\$0")" || exit 1
	PATH="$HOST_DIR/bin:\$PATH"
	exec qemu-system-$2 $machine -smp 1 -m 256 -nographic $kernel $drive $net \\
	    -append "rootwait root=$root console=ttyAMA0" "\$@"
EOF
chmod +x "$script"
