################################################################################
#
# python-structlog
#
################################################################################

PYTHON_STRUCTLOG_VERSION = 26.1.0
PYTHON_STRUCTLOG_SITE = $(call github,hynek,structlog,$(PYTHON_STRUCTLOG_VERSION))
PYTHON_STRUCTLOG_LICENSE = Apache-2.0 or MIT
PYTHON_STRUCTLOG_LICENSE_FILES = COPYRIGHT LICENSE-APACHE LICENSE-MIT NOTICE
PYTHON_STRUCTLOG_SETUP_TYPE = hatch
PYTHON_STRUCTLOG_DEPENDENCIES = \
	host-python-hatch-fancy-pypi-readme \
	host-python-hatch-vcs
# It names Python versions that Buildroot's trove-classifiers may not know yet
PYTHON_STRUCTLOG_ENV = HATCH_METADATA_CLASSIFIERS_NO_VERIFY=1

$(eval $(python-package))
