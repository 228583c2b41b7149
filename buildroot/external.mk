include $(sort $(wildcard $(BR2_EXTERNAL_LMKD_PATH)/package/*/*.mk))
