################################################################################
#
# python-lz4
#
################################################################################

PYTHON_LZ4_VERSION = 4.4.5
PYTHON_LZ4_SITE = $(call github,python-lz4,python-lz4,v$(PYTHON_LZ4_VERSION))
PYTHON_LZ4_LICENSE = BSD-3-Clause
PYTHON_LZ4_LICENSE_FILES = LICENSE
PYTHON_LZ4_SETUP_TYPE = setuptools
PYTHON_LZ4_DEPENDENCIES = \
	host-pkgconf \
	host-python-pkgconfig \
	host-python-setuptools-scm \
	lz4
# The archive has no git history to take the version from
PYTHON_LZ4_ENV = SETUPTOOLS_SCM_PRETEND_VERSION_FOR_LZ4=$(PYTHON_LZ4_VERSION)
# It asks for wheel, which setuptools has in itself
PYTHON_LZ4_BUILD_OPTS = --skip-dependency-check

$(eval $(python-package))
