# Owns what becomes of the store while the manager runs: swap of others, its limit, writing back, moving; sourced by
# main.sh. Each step is one record of kind "stores". /dev/ram0 is the backing device of the configuration.

stores() { # step, fields as JSON
    emit "{\"kind\": \"stores\", \"step\": \"$1\", $2}"
}

logged() { # event, how often at least
    [ "$(grep -c "\"event\":\"$1\"" "$LOG")" -ge "${2:-1}" ]
}

own() { sed -n 's/.*"device": *"\(zram[0-9]*\)".*/\1/p' /run/lmkd/store.json; }
bd_writes() { awk '{ print $3 + 0 }' "/sys/block/$(own)/bd_stat"; }
answers() { [ "$(grep -cE 'intact|lost' /run/keeper.out)" -ge "$1" ]; }

intact() { # how often it was asked, with this time: reads every page back
    kill -USR1 "$KEEPER"
    until_true 80 answers "$1" > /dev/null
    [ "$(grep -c intact /run/keeper.out)" -eq "$1" ] && echo true || echo false
}

fill_store() { # an application whose pages lie in the store
    mkdir /sys/fs/cgroup/keeper
    sh -c 'echo $$ > /sys/fs/cgroup/keeper/cgroup.procs; exec /lmkd/keeper 16' > /run/keeper.out 3>&- 4>&- &
    KEEPER=$!
    until_true 100 grep -q filled /run/keeper.out > /dev/null
    echo 15M > /sys/fs/cgroup/keeper/memory.reclaim
}

somebody_elses() { # swap that a distribution's script would set up, while the manager runs
    number=$(cat /sys/class/zram-control/hot_add)
    until [ -b "/dev/zram$number" ]; do sleep 0.02; done
    echo 32M > "/sys/block/zram$number/disksize"
    mkswap "/dev/zram$number" > /dev/null
    swapon "/dev/zram$number"
    came=$(until_true 50 logged store_changed)
    limit=$(awk '{ print $4 }' "/sys/block/zram$number/mm_stat")
    swapoff "/dev/zram$number"
    went=$(until_true 50 logged store_changed 2)
    echo 1 > "/sys/block/zram$number/reset"
    echo "$number" > /sys/class/zram-control/hot_remove
    stores others "\"number\": $number, \"came\": $came, \"went\": $went, \"limit_bytes\": $limit"
}

fill_more() { # what grows compresses: the limit is to follow
    /lmkd/load --seconds 10 --seed 1 --background n=6,size=12M,adj=900,compress=3 \
        --grow rate=25M,limit=225M,compress=3,adj=200,delay=1 > /run/fill.out 3>&-
    stores filled "\"raised\": $(until_true 20 logged store_limit), \"intact\": $(intact 1)"
}

again() { # the manager, with a new log; what it says goes to the host with the rest
    kill -TERM "$MANAGER_PID"
    wait "$MANAGER_PID"
    lmkd_events
    LOG=/var/log/manager-$1.log
    start_manager lmkd run
    wait_ready 30 notify
}

write_back() { # after a new start the first round comes soon; the second one finds the day's budget used up
    echo 15M > /sys/fs/cgroup/keeper/memory.reclaim
    sleep 2
    again second
    wrote=$(until_true 120 logged writeback)
    sleep 2
    first=$(bd_writes)
    again third
    sleep 5
    stores written "\"wrote\": $wrote, \"units\": $first, \"units_after\": $(bd_writes), \"account\": \"$(cat /run/lmkd/writeback)\", \"intact\": $(intact 2)"
}

move_store() {
    before=$(own)
    echo 15M > /sys/fs/cgroup/keeper/memory.reclaim
    stored=$(awk 'NR > 1 { used += $4 } END { print used + 0 }' /proc/swaps)
    lmkd store move --algorithm lzo-rle > /run/move.out 2>&1
    code=$?
    cat /run/move.out
    algorithm=$(sed 's/.*\[\(.*\)\].*/\1/' "/sys/block/$(own)/comp_algorithm")
    seen=$(until_true 50 logged store_changed)
    stores moved "\"exit\": $code, \"stored_kib\": $stored, \"from\": \"$before\", \"to\": \"$(own)\", \"algorithm\": \"$algorithm\", \"seen\": $seen, \"swaps\": $(($(wc -l < /proc/swaps) - 1)), \"intact\": $(intact 3)"
    kill -TERM "$MANAGER_PID"
    wait "$MANAGER_PID"
    lmkd store down > /run/down.out 2>&1
    stores down "\"exit\": $?, \"swaps\": $(($(wc -l < /proc/swaps) - 1)), \"intact\": $(intact 4)"
}

fill_store
somebody_elses
fill_more
write_back
move_store
lmkd_events
show_log
