SUMMARY = "Low-memory manager for boards that have no swap disk"
DESCRIPTION = "Keeps a compressed swap store in RAM, watches memory pressure, and ends the least important applications \
early, so that the kernel's out-of-memory path is never reached."
SECTION = "base"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=f12862fb3c8a399a88234454214a0639"

# The sources are copied from the checkout that this layer is a part of: nothing is fetched.
FILESEXTRAPATHS:prepend := "${LMKD_SOURCE}:"
SRC_URI = " \
    file://LICENSE \
    file://README.md \
    file://clients \
    file://configs \
    file://lmkd \
    file://pyproject.toml \
"
S = "${UNPACKDIR}"

inherit python_setuptools_build_meta systemd update-rc.d useradd

# Its members may set priorities, kill and reload (control.group).
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system lmkd"

SYSTEMD_PACKAGES = "${PN} ${@'${PN}-dbus' if d.getVar('LMKD_DBUS') == 'true' else ''}"
SYSTEMD_SERVICE:${PN} = "lmkd.service"
SYSTEMD_SERVICE:${PN}-dbus = "lmkd-dbus.service"

INITSCRIPT_NAME = "lmkd"
INITSCRIPT_PARAMS = "start 10 2 3 4 5 . stop 90 0 1 6 ."

PACKAGECONFIG ??= "${@bb.utils.filter('DISTRO_FEATURES', 'dbus', d)}"
PACKAGECONFIG[dbus] = ""
LMKD_DBUS = "${@bb.utils.contains('PACKAGECONFIG', 'dbus', 'true', 'false', d)}"

do_install:append() {
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -D -m 0644 ${S}/configs/init/lmkd.service ${D}${systemd_system_unitdir}/lmkd.service
        if [ "${LMKD_STORE}" = zswap ]; then
            install -D -m 0644 ${S}/configs/init/zswap.conf ${D}${systemd_system_unitdir}/lmkd.service.d/zswap.conf
        fi
        if ${LMKD_DBUS}; then
            install -D -m 0644 ${S}/configs/dbus/lmkd-dbus.service ${D}${systemd_system_unitdir}/lmkd-dbus.service
        fi
    else
        install -D -m 0755 ${S}/configs/init/S15lmkd ${D}${INIT_D_DIR}/lmkd
    fi
    if ${LMKD_DBUS}; then
        name=org.freedesktop.LowMemoryMonitor
        install -D -m 0644 ${S}/configs/dbus/$name.conf ${D}${datadir}/dbus-1/system.d/$name.conf
        install -D -m 0644 ${S}/configs/dbus/$name.service ${D}${datadir}/dbus-1/system-services/$name.service
    fi
    # They are installed above, to where they are of use.
    rm -rf ${D}${datadir}/lmkd/configs/dbus ${D}${datadir}/lmkd/configs/init
    install -d ${D}${sysconfdir}/lmkd/lmkd.d
}

# Samples of configurations and clients in C and shell are packages of their own: a board needs neither.
PACKAGES =+ "${PN}-samples ${PN}-clients ${PN}-dbus"
SUMMARY:${PN}-samples = "${SUMMARY}: configurations to start from"
FILES:${PN}-samples = "${datadir}/lmkd/configs"
SUMMARY:${PN}-clients = "${SUMMARY}: the client in C, and examples"
FILES:${PN}-clients = "${datadir}/lmkd/clients"
SUMMARY:${PN}-dbus = "${SUMMARY}: org.freedesktop.LowMemoryMonitor on the system bus"
FILES:${PN}-dbus = " \
    ${datadir}/dbus-1 \
    ${systemd_system_unitdir}/lmkd-dbus.service \
"
RDEPENDS:${PN}-dbus = "${PN} ${@'dbus' if d.getVar('LMKD_DBUS') == 'true' else ''}"

RDEPENDS:${PN} += " \
    python3-asyncio \
    python3-core \
    python3-ctypes \
    python3-difflib \
    python3-fcntl \
    python3-io \
    python3-json \
    python3-lz4 \
    python3-math \
    python3-mmap \
    python3-netclient \
    python3-psutil \
    python3-pyudev \
    python3-pyyaml \
    python3-resource \
    python3-structlog \
    python3-terminal \
"
# Built in or not in the kernel at all: then there is no such package, and nothing to install.
RRECOMMENDS:${PN} += " \
    kernel-module-zram \
    kernel-module-lz4 \
    kernel-module-zstd \
    ${@'kernel-module-dm-mod kernel-module-loop' if d.getVar('LMKD_STORE') == 'zswap' else ''} \
"
