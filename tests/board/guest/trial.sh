# Owns a trial of the compression algorithms and what it leaves behind; sourced by main.sh. The manager runs.
NOTE=/run/lmkd/trial.json

zrams() { ls -d /sys/block/zram* | wc -l; }
modules() { cut -d ' ' -f 1 /proc/modules | sort | paste -s -d ' ' -; }
says() { "$@" > /dev/null 2>&1 && echo true || echo false; }
at_work() { [ -f $NOTE ] && [ "$(cat /sys/block/zram1/disksize 2> /dev/null || echo 0)" -gt 0 ]; }
dies_at_work() { # signal
    lmkd store bench --json --only algorithms --algorithm lz4hc > /run/bench.out 2>&1 &
    bench=$!
    tries=0
    until at_work || [ $tries -ge 300 ]; do tries=$((tries + 1)); sleep 0.02; done
    kill "-$1" $bench
    wait $bench
    emit "{\"kind\": \"trial\", \"step\": \"$1\", \"exit\": $?, \"zrams\": $(zrams), \"noted\": $(says test -f $NOTE)}"
}
dies_sending() { # signal, while the command's own memory is on its way to the store
    lmkd store bench --json --only pages > /run/bench.out 2>&1 &
    bench=$!
    tries=0
    until pgrep -P $bench > /dev/null || [ $tries -ge 300 ]; do tries=$((tries + 1)); sleep 0.02; done
    sleep 0.5
    kill "-$1" $bench
    wait $bench
    code=$?
    sleep 0.5
    emit "{\"kind\": \"trial\", \"step\": \"sending $1\", \"exit\": $code, \"left\": $(pgrep -f 'store bench' | wc -l)}"
}

moved() { grep -q '"event":"store_move"' "$LOG"; }
answered() { grep -qE 'intact|lost' /run/keeper.out; }
within() { # seconds, command; is it so by then?
    left=$(($1 * 10))
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || break
        sleep 0.1
    done
    says "$@"
}
algorithm_of() { sed 's/.*\[\(.*\)\].*/\1/' "/sys/block/$1/comp_algorithm"; }
swaps() { awk 'NR > 1 { print substr($1, 6) }' /proc/swaps; }

moves_by_itself() { # a store that another start has made, without the trial's word: it moves in calm, bytes and all
    kill -TERM "$MANAGER_PID"
    wait "$MANAGER_PID"
    lmkd_events
    lmkd store down > /run/down.out 2>&1 || cat /run/down.out
    other=lzo-rle
    [ "$1" = $other ] && other=lz4
    echo "store: {algorithm: $other}" > /run/other.yaml
    lmkd store up --config /run/other.yaml > /run/up.out 2>&1 || cat /run/up.out
    mkdir /sys/fs/cgroup/keeper
    sh -c 'echo $$ > /sys/fs/cgroup/keeper/cgroup.procs; exec /lmkd/keeper 8' > /run/keeper.out 3>&- 4>&- &
    keeper=$!
    within 10 grep -q filled /run/keeper.out > /dev/null
    echo 8M > /sys/fs/cgroup/keeper/memory.reclaim
    made=$(algorithm_of "$(swaps)")
    LOG=/var/log/third.log
    start_manager lmkd run
    wait_ready 30 notify
    stored=$(awk 'NR > 1 { used += $4 } END { print used + 0 }' /proc/swaps)
    seen=$(within 60 moved)
    kill -USR1 $keeper
    intact=$(within 10 answered)
    grep -q lost /run/keeper.out && intact=false
    emit "{\"kind\": \"trial\", \"step\": \"moved\", \"seen\": $seen, \"from\": \"$made\", \"to\": \"$(algorithm_of "$(swaps)")\", \"stored_kib\": $stored, \"swaps\": \"$(swaps)\", \"intact\": $intact}"
}

/lmkd/load --seconds 160 --background n=4,size=6M,compress=3 > /dev/null 3>&- 4>&- &
load=$!
sleep 3
before=$(modules)
free_before=$(awk '/^VmallocUsed/ { print $2 }' /proc/meminfo)
lmkd store trial --json > /run/trial.out 2> /run/trial.err
code=$?
cat /run/trial.err
free_after=$(awk '/^VmallocUsed/ { print $2 }' /proc/meminfo)
same=false
[ "$before" = "$(modules)" ] && same=true
emit "{\"kind\": \"trial\", \"step\": \"whole\", \"exit\": $code, \"zrams\": $(zrams), \"noted\": $(says test -f $NOTE), \"same_modules\": $same, \"vmalloc_kib\": $((free_after - free_before)), \"found\": $(cat /run/trial.out)}"
begun=$(cut -d . -f 1 /proc/uptime)
lmkd store bench --json --only pages --only deaths --size 4M --apps 4 > /run/bench.out 2> /run/bench.err
code=$?
cat /run/bench.err
emit "{\"kind\": \"trial\", \"step\": \"bench\", \"exit\": $code, \"seconds\": $(($(cut -d . -f 1 /proc/uptime) - begun)), \"found\": $(cat /run/bench.out)}"
dies_sending TERM
dies_sending KILL
dies_at_work TERM
dies_at_work KILL
kill -TERM "$MANAGER_PID"
wait "$MANAGER_PID"
lmkd store down > /run/down.out 2>&1 || cat /run/down.out
LOG=/var/log/second.log
start_manager lmkd run
wait_ready 30 notify
status=$(lmkd store status --json)
emit "{\"kind\": \"trial\", \"step\": \"next\", \"zrams\": $(zrams), \"noted\": $(says test -f $NOTE), \"status\": $status}"
moves_by_itself "$(algorithm_of "$(swaps)")"
kill $load
wait $load
lmkd_events
