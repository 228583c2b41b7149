# Owns the crashes of the store's commands: the keeper, the configurations, and crash.py; sourced by main.sh. The
# manager of the board is none; its swap makes way.
swapoff /dev/zram0
echo 1 > /sys/block/zram0/reset
modprobe dm-mod
mkdir -p /run/lmkd /sys/fs/cgroup/keeper
echo 'store: {kind: zram}' > /run/zram.yaml
echo 'store: {kind: zswap}' > /run/zswap.yaml
sh -c 'echo $$ > /sys/fs/cgroup/keeper/cgroup.procs; exec /lmkd/keeper 4' > /run/keeper.out 3>&- 4>&- &
KEEPER=$!
until grep -q filled /run/keeper.out; do sleep 0.1; done
python3 /lmkd/guest/crash.py $KEEPER
