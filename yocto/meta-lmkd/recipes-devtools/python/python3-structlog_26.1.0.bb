SUMMARY = "Structured logging for Python"
HOMEPAGE = "https://www.structlog.org/"
SECTION = "devel/python"
# blacksail writes it as SPDX does, wrynose does not know that yet.
LICENSE = "MIT ${@'OR' if 'blacksail' in d.getVar('LAYERSERIES_CORENAMES').split() else '|'} Apache-2.0"
LIC_FILES_CHKSUM = " \
    file://COPYRIGHT;md5=643cb6c30522c9c6f6eb6ecf8b3088ef \
    file://LICENSE-APACHE;md5=2ee41112a44fe7014dce33e26468ba93 \
    file://LICENSE-MIT;md5=0473cdcf9c6ed3f81c08d886870daea5 \
"

SRC_URI[sha256sum] = "f63a716cbd1b1291cf7661de7794b455acfa4c43c5bcf1630e6ad5ddc1adb3b7"

inherit pypi python_hatchling

DEPENDS += "python3-hatch-fancy-pypi-readme-native python3-hatch-vcs-native"

RDEPENDS:${PN} += " \
    python3-asyncio \
    python3-core \
    python3-datetime \
    python3-json \
    python3-logging \
"

BBCLASSEXTEND = "native nativesdk"
