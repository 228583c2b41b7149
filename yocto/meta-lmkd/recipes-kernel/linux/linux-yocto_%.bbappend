# Nothing changes for who has the layer and does not want lmkd.
require ${@bb.utils.contains('DISTRO_FEATURES', 'lmkd', 'linux-lmkd.inc', '', d)}
