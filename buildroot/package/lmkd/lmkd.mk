################################################################################
#
# lmkd
#
################################################################################

# This tree lies in lmkd's own repository
LMKD_SITE = $(BR2_EXTERNAL_LMKD_PATH)/..
LMKD_SITE_METHOD = local
LMKD_LICENSE = MIT
LMKD_LICENSE_FILES = LICENSE
LMKD_SETUP_TYPE = setuptools

# Of the repository only what is built and installed: no tests, tools or
# images of boards
LMKD_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--exclude=__pycache__ \
	--include=/LICENSE \
	--include=/README.md \
	--include=/pyproject.toml \
	--include=/clients/*** \
	--include=/configs/*** \
	--include=/lmkd/*** \
	--exclude=*

LMKD_CONFIG_FILE_$(BR2_PACKAGE_LMKD_CONFIG_DEFAULT) = $(@D)/configs/default.yaml
LMKD_CONFIG_FILE_$(BR2_PACKAGE_LMKD_CONFIG_BOARD_64MB) = $(@D)/configs/board-64mb.yaml
LMKD_CONFIG_FILE_$(BR2_PACKAGE_LMKD_CONFIG_HEADLESS_GATEWAY) = $(@D)/configs/headless-gateway.yaml
LMKD_CONFIG_FILE_$(BR2_PACKAGE_LMKD_CONFIG_KIOSK) = $(@D)/configs/kiosk.yaml
LMKD_CONFIG_FILE_$(BR2_PACKAGE_LMKD_CONFIG_MEDIA_BOX) = $(@D)/configs/media-box.yaml
LMKD_CONFIG_FILE_$(BR2_PACKAGE_LMKD_CONFIG_CUSTOM) = \
	$(call qstrip,$(BR2_PACKAGE_LMKD_CONFIG_CUSTOM_FILE))

ifeq ($(BR2_PACKAGE_LMKD_CONFIG_CUSTOM)$(BR_BUILDING),yy)
ifeq ($(LMKD_CONFIG_FILE_y),)
$(error lmkd: a configuration of your own is chosen, but no path is given)
endif
endif

LMKD_STORE_DROP_IN_$(BR2_PACKAGE_LMKD_STORE_ZSWAP) = store-zswap.yaml
LMKD_STORE_DROP_IN_$(BR2_PACKAGE_LMKD_STORE_NONE) = store-none.yaml
ifeq ($(BR2_PACKAGE_LMKD_STORE_NONE)$(BR2_PACKAGE_LMKD_TRIM),)
LMKD_TRIM_DROP_IN = trim-off.yaml
endif

# A group that there is lets its members command lmkd over its socket
define LMKD_USERS
	- - lmkd -1 - - - - lmkd control socket
endef

# The wheel's data lands in /share: of it only what is chosen is installed
define LMKD_INSTALL_CONFIG
	rm -rf $(TARGET_DIR)/share/lmkd
	rmdir --ignore-fail-on-non-empty $(TARGET_DIR)/share
	$(INSTALL) -d -m 0755 $(TARGET_DIR)/etc/lmkd/lmkd.d
	rm -f $(TARGET_DIR)/etc/lmkd/lmkd.d/00-store.yaml \
		$(TARGET_DIR)/etc/lmkd/lmkd.d/00-trim.yaml
	$(if $(LMKD_CONFIG_FILE_y),
		$(INSTALL) -m 0644 $(LMKD_CONFIG_FILE_y) \
			$(TARGET_DIR)/etc/lmkd/lmkd.yaml)
	$(if $(LMKD_STORE_DROP_IN_y),
		$(INSTALL) -m 0644 $(LMKD_PKGDIR)/drop-ins/$(LMKD_STORE_DROP_IN_y) \
			$(TARGET_DIR)/etc/lmkd/lmkd.d/00-store.yaml)
	$(if $(LMKD_TRIM_DROP_IN),
		$(INSTALL) -m 0644 $(LMKD_PKGDIR)/drop-ins/$(LMKD_TRIM_DROP_IN) \
			$(TARGET_DIR)/etc/lmkd/lmkd.d/00-trim.yaml)
endef
LMKD_POST_INSTALL_TARGET_HOOKS += LMKD_INSTALL_CONFIG

# python-psutil 7.1 and older installs its tests too: 750 KiB that nothing runs
define LMKD_REMOVE_PSUTIL_TESTS
	rm -rf $(TARGET_DIR)/usr/lib/python$(PYTHON3_VERSION_MAJOR)/site-packages/psutil/tests
endef
LMKD_TARGET_FINALIZE_HOOKS += LMKD_REMOVE_PSUTIL_TESTS

define LMKD_PERMISSIONS
	/etc/lmkd d 0755 0 0 - - - - -
	/etc/lmkd/lmkd.d d 0755 0 0 - - - - -
endef

define LMKD_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(@D)/configs/init/S15lmkd \
		$(TARGET_DIR)/etc/init.d/S15lmkd
	$(LMKD_INSTALL_INIT_SYSV_DBUS)
endef

define LMKD_INSTALL_INIT_OPENRC
	$(INSTALL) -D -m 0755 $(@D)/configs/init/openrc/lmkd \
		$(TARGET_DIR)/etc/init.d/lmkd
	$(LMKD_INSTALL_INIT_OPENRC_DBUS)
endef

define LMKD_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/configs/init/lmkd.service \
		$(TARGET_DIR)/usr/lib/systemd/system/lmkd.service
	$(LMKD_INSTALL_INIT_SYSTEMD_ZSWAP)
	$(LMKD_INSTALL_INIT_SYSTEMD_DBUS)
endef

ifeq ($(BR2_PACKAGE_LMKD_STORE_ZSWAP),y)
define LMKD_INSTALL_INIT_SYSTEMD_ZSWAP
	$(INSTALL) -D -m 0644 $(@D)/configs/init/zswap.conf \
		$(TARGET_DIR)/usr/lib/systemd/system/lmkd.service.d/zswap.conf
endef
endif

ifeq ($(BR2_PACKAGE_LMKD_DBUS),y)
LMKD_DEPENDENCIES += dbus

define LMKD_INSTALL_DBUS
	$(INSTALL) -D -m 0644 $(@D)/configs/dbus/org.freedesktop.LowMemoryMonitor.conf \
		$(TARGET_DIR)/usr/share/dbus-1/system.d/org.freedesktop.LowMemoryMonitor.conf
	$(INSTALL) -D -m 0644 $(@D)/configs/dbus/org.freedesktop.LowMemoryMonitor.service \
		$(TARGET_DIR)/usr/share/dbus-1/system-services/org.freedesktop.LowMemoryMonitor.service
endef
LMKD_POST_INSTALL_TARGET_HOOKS += LMKD_INSTALL_DBUS

define LMKD_INSTALL_INIT_SYSV_DBUS
	$(INSTALL) -D -m 0755 $(@D)/configs/init/S31lmkd-dbus \
		$(TARGET_DIR)/etc/init.d/S31lmkd-dbus
endef

define LMKD_INSTALL_INIT_OPENRC_DBUS
	$(INSTALL) -D -m 0755 $(@D)/configs/init/openrc/lmkd-dbus \
		$(TARGET_DIR)/etc/init.d/lmkd-dbus
endef

define LMKD_INSTALL_INIT_SYSTEMD_DBUS
	$(INSTALL) -D -m 0644 $(@D)/configs/dbus/lmkd-dbus.service \
		$(TARGET_DIR)/usr/lib/systemd/system/lmkd-dbus.service
endef
endif

# What both stores need. The algorithms are the crypto API's; zram has them of
# its own since Linux 6.12
define LMKD_LINUX_CONFIG_FIXUPS_SWAP
	$(call KCONFIG_ENABLE_OPT,CONFIG_SWAP)
	$(call KCONFIG_ENABLE_OPT,CONFIG_CRYPTO)
	$(call KCONFIG_ENABLE_OPT,CONFIG_CRYPTO_LZO)
	$(call KCONFIG_ENABLE_OPT,CONFIG_CRYPTO_LZ4)
	$(call KCONFIG_ENABLE_OPT,CONFIG_CRYPTO_ZSTD)
	$(call KCONFIG_ENABLE_OPT,CONFIG_ZSMALLOC)
	$(call KCONFIG_ENABLE_OPT,CONFIG_BLK_DEV)
endef

ifeq ($(BR2_PACKAGE_LMKD_STORE_ZRAM),y)
define LMKD_LINUX_CONFIG_FIXUPS_STORE
	$(LMKD_LINUX_CONFIG_FIXUPS_SWAP)
	$(call KCONFIG_ENABLE_OPT,CONFIG_ZRAM)
	$(call KCONFIG_ENABLE_OPT,CONFIG_ZRAM_BACKEND_LZO)
	$(call KCONFIG_ENABLE_OPT,CONFIG_ZRAM_BACKEND_LZ4)
	$(call KCONFIG_ENABLE_OPT,CONFIG_ZRAM_BACKEND_ZSTD)
	$(LMKD_LINUX_CONFIG_FIXUPS_WRITEBACK)
endef
endif

ifeq ($(BR2_PACKAGE_LMKD_ZRAM_WRITEBACK),y)
define LMKD_LINUX_CONFIG_FIXUPS_WRITEBACK
	$(call KCONFIG_ENABLE_OPT,CONFIG_ZRAM_WRITEBACK)
	$(call KCONFIG_ENABLE_OPT,CONFIG_ZRAM_MULTI_COMP)
	$(call KCONFIG_ENABLE_OPT,CONFIG_ZRAM_TRACK_ENTRY_ACTIME)
	$(call KCONFIG_ENABLE_OPT,CONFIG_ZRAM_MEMORY_TRACKING)
endef
endif

ifeq ($(BR2_PACKAGE_LMKD_STORE_ZSWAP),y)
define LMKD_LINUX_CONFIG_FIXUPS_STORE
	$(LMKD_LINUX_CONFIG_FIXUPS_SWAP)
	$(call KCONFIG_ENABLE_OPT,CONFIG_ZSWAP)
	$(call KCONFIG_ENABLE_OPT,CONFIG_BLK_DEV_LOOP)
	$(call KCONFIG_ENABLE_OPT,CONFIG_MD)
	$(call KCONFIG_ENABLE_OPT,CONFIG_BLK_DEV_DM)
endef
endif

define LMKD_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_PSI)
	$(call KCONFIG_DISABLE_OPT,CONFIG_PSI_DEFAULT_DISABLED)
	$(call KCONFIG_ENABLE_OPT,CONFIG_CGROUPS)
	$(call KCONFIG_ENABLE_OPT,CONFIG_MEMCG)
	$(call KCONFIG_ENABLE_OPT,CONFIG_PERF_EVENTS)
	$(call KCONFIG_ENABLE_OPT,CONFIG_ADVISE_SYSCALLS)
	$(call KCONFIG_ENABLE_OPT,CONFIG_PROC_PAGE_MONITOR)
	$(call KCONFIG_ENABLE_OPT,CONFIG_COMPACTION)
	$(call KCONFIG_ENABLE_OPT,CONFIG_LRU_GEN)
	$(call KCONFIG_ENABLE_OPT,CONFIG_LRU_GEN_ENABLED)
	$(call KCONFIG_ENABLE_OPT,CONFIG_NET)
	$(call KCONFIG_ENABLE_OPT,CONFIG_UNIX)
	$(call KCONFIG_SET_OPT,CONFIG_CONNECTOR,y)
	$(call KCONFIG_ENABLE_OPT,CONFIG_PROC_EVENTS)
	$(LMKD_LINUX_CONFIG_FIXUPS_STORE)
endef

$(eval $(python-package))
