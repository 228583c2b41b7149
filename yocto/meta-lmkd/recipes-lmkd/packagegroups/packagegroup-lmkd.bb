SUMMARY = "lmkd, its D-Bus bridge where there is a bus, and sample configurations"

inherit packagegroup

RDEPENDS:${PN} = " \
    lmkd \
    ${@bb.utils.contains('DISTRO_FEATURES', 'dbus', 'lmkd-dbus', '', d)} \
"
RRECOMMENDS:${PN} = "lmkd-samples"
